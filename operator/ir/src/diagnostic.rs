//! Findings about user input.

use std::fmt;

use gatefleet_names::ObjectKey;
use serde::{Deserialize, Serialize};

/// One finding: which object, which field, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Diagnostic {
    /// The object that must be changed.
    pub object: ObjectKey,
    /// The field in it, as a path: `spec.rules[0].http.paths[1].path`. Empty: the object as a whole.
    pub field: String,
    /// What kind of finding it is.
    pub reason: Reason,
    /// What is wrong and what to do, for people. Without resource versions or hashes.
    pub message: String,
}

impl Diagnostic {
    /// A finding about `field` of `object`.
    pub fn new(
        object: &ObjectKey,
        field: impl Into<String>,
        reason: Reason,
        message: impl Into<String>,
    ) -> Self {
        Self { object: object.clone(), field: field.into(), reason, message: message.into() }
    }

    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.reason.severity()
    }
}

/// `Ingress shop/web: spec.rules[0].host: InvalidHostname: …`
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        write!(f, "{}: {}", self.reason, self.message)
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// Nothing is wrong; somebody may wonder.
    Info,
    /// All of it is served, but not as somebody might expect.
    Warning,
    /// A part of the object is not served.
    Refused,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $severity:ident,)*) => {
        /// The closed list of findings.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Reason {
            /// Every reason, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// As in events and status: one CamelCase word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// What it means, for the documentation.
            #[must_use]
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim(),)* }
            }
        }
    };
}

reasons! {
    /// A host is no DNS name: its rules are not served.
    InvalidHostname: Refused,
    /// A path is not absolute: its rule is not served.
    InvalidPath: Refused,
    /// A path or pattern is no regular expression that can be served: its rule is not served.
    InvalidRegex: Refused,
    /// A rewrite names a group that its path does not have: the group stands for nothing.
    RewriteGroupMissing: Warning,
    /// A backend names a Service that does not exist: its requests get 503.
    ServiceNotFound: Refused,
    /// A backend names a port that its Service does not have: its requests get 503.
    PortNotFound: Refused,
    /// A backend is of a kind that cannot be served: its requests get 404 (as in nginx).
    BackendNotSupported: Refused,
    /// A Secret does not exist: the host has no certificate of its own.
    SecretNotFound: Refused,
    /// A Secret is not of type kubernetes.io/tls, or lacks tls.crt or tls.key.
    SecretInvalid: Refused,
    /// The certificate or key in a Secret cannot be read.
    CertificateInvalid: Refused,
    /// The private key in a Secret does not belong to its certificate.
    KeyMismatch: Refused,
    /// A reference into another namespace that no `ReferenceGrant` there allows.
    ReferenceNotPermitted: Refused,
    /// The certificate is served, but clients will refuse it: its time is over.
    CertificateExpired: Warning,
    /// The certificate is served, but clients will refuse it: its time has not begun.
    CertificateNotYetValid: Warning,
    /// The certificate is served, but clients will refuse it: it is for other names.
    CertificateNameMismatch: Warning,
    /// An older object claims the same path of the same host: this one's rule is not served.
    RouteConflict: Refused,
    /// An older object claims the same host with another certificate: this one's is not served.
    TlsConflict: Refused,
    /// A hostname that exists because of another one (an alias, or www and apex) is in use: it is not served.
    AliasConflict: Warning,
    /// A canary has no rule with the same host, path and path type beside which it could stand.
    CanaryWithoutPrimary: Refused,
    /// The value of an annotation cannot be read: the default holds instead.
    InvalidAnnotationValue: Refused,
    /// An annotation guards access and is not served: its rules answer 503.
    AccessControlNotServed: Refused,
    /// An annotation of ingress-nginx that is not served: the rules are served without it.
    AnnotationNotServed: Warning,
    /// No annotation of ingress-nginx has this name.
    UnknownAnnotation: Warning,
    /// The annotation has no effect on this object.
    AnnotationIgnored: Info,
    /// The engine does not serve this yet: the rule answers 503.
    FeatureNotServed: Refused,
    /// No fleet selects the object's class.
    NotSelected: Info,
    /// The object names a class that does not exist.
    ClassNotFound: Warning,
    /// The object's class belongs to this operator and names no fleet that exists.
    ClassBroken: Warning,
    /// An IngressClass of this operator names no GatewayConfig.
    ParametersMissing: Refused,
    /// The parameters of an IngressClass are no GatewayConfig.
    ParametersInvalid: Refused,
    /// The GatewayConfig that an IngressClass names does not exist.
    ParametersNotFound: Refused,
    /// An IngressClass has a controller of this operator that does not exist.
    ControllerUnknown: Refused,
    /// The GatewayConfig has no such tier.
    TierNotFound: Refused,
    /// An older GatewayConfig claims the same classes: it publishes their addresses.
    ClassConflict: Warning,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
