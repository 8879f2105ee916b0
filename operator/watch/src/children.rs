//! What the operator wrote itself, by the table of kinds that a `GatewayConfig` owns.

use gatefleet_infra::{ChildKind, ChildObject};
use gatefleet_state::Shelf;
use k8s_openapi::api::core::v1::Pod;

use crate::View;

macro_rules! children {
    (
        routes { $($shared:ident in $($shared_module:ident)::+ => $shared_shelf:ident,)+ }
        own { $($own:ident in $($own_module:ident)::+ => $own_shelf:ident,)+ }
    ) => {
        /// Objects that carry [`crate::MANAGED_BY`]. Services and Secrets are found in [`View::state`].
        #[derive(Clone, Debug, Default)]
        pub struct Children {
            $(
                #[doc = concat!("Of `", stringify!($($own_module)::+), "`.")]
                pub $own_shelf: Shelf<k8s_openapi::api::$($own_module)::+::$own>,
            )+
            /// Of `core::v1`. They belong to the Deployments.
            pub pods: Shelf<Pod>,
        }

        /// Calls `$call!(TYPE => PATH IN THE VIEW)` for each kind that nobody watches for other reasons.
        macro_rules! for_own_kinds {
            ($call:ident) => {
                $($call! { k8s_openapi::api::$($own_module)::+::$own => children.$own_shelf })+
            };
        }
        pub(crate) use for_own_kinds;

        impl View {
            /// The object of this kind and name.
            #[must_use]
            pub fn child(
                &self,
                kind: ChildKind,
                namespace: &str,
                name: &str,
            ) -> Option<&dyn ChildObject> {
                match kind {
                    $(ChildKind::$shared => any(self.state.$shared_shelf.get(namespace, name)),)+
                    $(ChildKind::$own => any(self.children.$own_shelf.get(namespace, name)),)+
                }
            }

            /// The objects of this kind.
            #[must_use]
            pub fn children_in(&self, kind: ChildKind, namespace: &str) -> Vec<&dyn ChildObject> {
                match kind {
                    $(ChildKind::$shared => all(&self.state.$shared_shelf, namespace),)+
                    $(ChildKind::$own => all(&self.children.$own_shelf, namespace),)+
                }
            }

            /// Kind, namespace and name of everything that differs from `before`.
            #[must_use]
            pub fn changed_children(&self, before: &Self) -> Vec<(ChildKind, String, String)> {
                let mut changed = Vec::new();
                $(changed.extend(of_kind(
                    ChildKind::$shared,
                    self.state.$shared_shelf.changed_since(&before.state.$shared_shelf),
                ));)+
                $(changed.extend(of_kind(
                    ChildKind::$own,
                    self.children.$own_shelf.changed_since(&before.children.$own_shelf),
                ));)+
                changed
            }
        }
    };
}

gatefleet_infra::child_kinds!(children);

fn any<K: ChildObject>(found: Option<&std::sync::Arc<K>>) -> Option<&dyn ChildObject> {
    found.map(|object| &**object as &dyn ChildObject)
}

fn all<'a, K: ChildObject + kube::Resource>(
    shelf: &'a Shelf<K>,
    namespace: &str,
) -> Vec<&'a dyn ChildObject> {
    shelf.in_namespace(namespace).map(|object| &**object as &dyn ChildObject).collect()
}

fn of_kind(
    kind: ChildKind,
    changed: Vec<(String, String)>,
) -> impl Iterator<Item = (ChildKind, String, String)> {
    changed.into_iter().map(move |(namespace, name)| (kind, namespace, name))
}
