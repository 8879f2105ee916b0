//! The kinds of objects that a `GatewayConfig` owns.
//!
//! [`child_kinds!`](crate::child_kinds) is the one place that lists them. What is applied, pruned, watched, waited
//! for and released follows from its lines.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::ApiResource};
use serde_json::Value;

/// Hands the table of kinds to the macro named `$then`. A line is `KIND in MODULE => SHELF`: the type in
/// `k8s_openapi::api`, and where watches put its objects.
#[macro_export]
macro_rules! child_kinds {
    ($then:ident) => {
        $then! {
            // Routes need these too: their shelves are those of the state that routes are made of.
            routes {
                Secret in core::v1 => secrets,
                Service in core::v1 => services,
            }
            own {
                ServiceAccount in core::v1 => service_accounts,
                ConfigMap in core::v1 => config_maps,
                NetworkPolicy in networking::v1 => network_policies,
                PodDisruptionBudget in policy::v1 => disruption_budgets,
                HorizontalPodAutoscaler in autoscaling::v2 => autoscalers,
                Deployment in apps::v1 => deployments,
            }
        }
    };
}

macro_rules! kinds {
    (
        routes { $($shared:ident in $($shared_module:ident)::+ => $shared_shelf:ident,)+ }
        own { $($own:ident in $($own_module:ident)::+ => $own_shelf:ident,)+ }
    ) => {
        kinds! { $($shared in $($shared_module)::+,)+ $($own in $($own_module)::+,)+ }
    };
    ($($kind:ident in $($module:ident)::+,)+) => {
        /// The kinds of objects that a `GatewayConfig` owns.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ChildKind {
            $(
                #[doc = concat!("Of `", stringify!($($module)::+), "`.")]
                $kind,
            )+
        }

        impl ChildKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// As in `kind:` of a manifest.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)+
                }
            }

            /// Where the API server serves it.
            #[must_use]
            pub fn resource(self) -> ApiResource {
                match self {
                    $(Self::$kind => {
                        ApiResource::erase::<k8s_openapi::api::$($module)::+::$kind>(&())
                    })+
                }
            }
        }

        $(
            impl ChildObject for k8s_openapi::api::$($module)::+::$kind {
                fn kind(&self) -> ChildKind {
                    ChildKind::$kind
                }

                fn metadata(&self) -> &ObjectMeta {
                    self.meta()
                }

                fn manifest(&self) -> serde_json::Result<Value> {
                    serde_json::to_value(self)
                }
            }
        )+
    };
}

child_kinds!(kinds);

/// An object of one of these kinds, whichever.
pub trait ChildObject: fmt::Debug + Send + Sync {
    /// Its kind.
    fn kind(&self) -> ChildKind;

    /// Its metadata.
    fn metadata(&self) -> &ObjectMeta;

    /// What is sent to the API server, or was received from it.
    ///
    /// # Errors
    ///
    /// When the object has no JSON form, which none of these kinds can bring about.
    fn manifest(&self) -> serde_json::Result<Value>;

    /// Which one it is.
    fn child(&self) -> Child {
        Child { kind: self.kind(), name: self.metadata().name.clone().unwrap_or_default() }
    }
}

/// One object in the namespace of its `GatewayConfig`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.name)
    }
}
