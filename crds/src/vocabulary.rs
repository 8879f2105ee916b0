//! The closed vocabulary of the status: phases, condition types and reasons, each with its meaning.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The conditions in one word. For people: nothing may branch on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Accepted, but a tier is not available yet, or lost its last available proxy.
    Pending,
    /// Every tier is available.
    Running,
    /// Something selects the fleet, and every tier acknowledged the configuration.
    Listening,
    /// Somebody must act: the message says what and where.
    Failed,
}

impl Phase {
    /// All of them, in the order of a fleet's life.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Listening, Self::Failed];

    /// As in `status.phase`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Listening => "Listening",
            Self::Failed => "Failed",
        }
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Pending => {
                "accepted, but a tier is not available yet, or lost its last available proxy"
            }
            Self::Running => {
                "every tier is available; nothing selects the fleet yet, or its configuration is not acknowledged yet"
            }
            Self::Listening => {
                "something selects the fleet, and every tier acknowledged this generation once; changes of routes, endpoints and certificates never leave it"
            }
            Self::Failed => "somebody must act; the message says what and where",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The types of the operator's conditions. Conditions of other types are left as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// Whether the fleet does what its generation says.
    Ready,
    /// Whether what is declared can be done.
    Accepted,
    /// Whether every tier has at least one ready proxy.
    Available,
    /// Whether every tier has its identity towards the operator, and its default certificates.
    CertificatesReady,
    /// Whether every tier acknowledged the configuration, and something selects the fleet.
    Listening,
    /// Present while a ready proxy has no stream to the operator. Changes nothing else.
    ConfigurationStale,
    /// Present while an autoscaler cannot scale its tier. Changes nothing else.
    AutoscalerInactive,
    /// Present while another field manager holds fields that the operator would set otherwise. Changes nothing else.
    Overridden,
    /// Present while a certificate that is served ends soon, or has ended. Changes nothing else.
    CertificateExpiring,
    /// Present while the operator works towards Ready (kstatus).
    Reconciling,
    /// Present while somebody must act (kstatus).
    Stalled,
}

impl ConditionType {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Accepted,
        Self::Available,
        Self::CertificatesReady,
        Self::Listening,
        Self::ConfigurationStale,
        Self::AutoscalerInactive,
        Self::Overridden,
        Self::CertificateExpiring,
        Self::Reconciling,
        Self::Stalled,
    ];

    /// As in `type` of a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Accepted => "Accepted",
            Self::Available => "Available",
            Self::CertificatesReady => "CertificatesReady",
            Self::Listening => "Listening",
            Self::ConfigurationStale => "ConfigurationStale",
            Self::AutoscalerInactive => "AutoscalerInactive",
            Self::Overridden => "Overridden",
            Self::CertificateExpiring => "CertificateExpiring",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
        }
    }

    /// Whether the condition is absent instead of False (kstatus: abnormal when present).
    #[must_use]
    pub const fn is_abnormal(self) -> bool {
        self.is_aside() || matches!(self, Self::Reconciling | Self::Stalled)
    }

    /// Whether it is present by the way: no other condition and no phase follows from it.
    #[must_use]
    pub const fn is_aside(self) -> bool {
        matches!(
            self,
            Self::ConfigurationStale
                | Self::AutoscalerInactive
                | Self::Overridden
                | Self::CertificateExpiring
        )
    }

    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ready => {
                "the fleet does what its generation says: `kubectl wait --for=condition=Ready`"
            }
            Self::Accepted => {
                "what is declared can be done, and the cluster took the objects made from it"
            }
            Self::Available => "every tier has at least one ready proxy",
            Self::CertificatesReady => {
                "every tier has its identity towards the operator, and the default certificates that are declared are served"
            }
            Self::Listening => {
                "something selects the fleet, and every tier acknowledged the configuration; while a new generation is not acknowledged yet, it stays True with the `observedGeneration` that was"
            }
            Self::ConfigurationStale => {
                "present while a ready proxy has had no stream to the operator for 30 seconds; the proxy goes on serving what it holds"
            }
            Self::AutoscalerInactive => {
                "present while an autoscaler has been unable to scale its tier for 2 minutes; the number of proxies stays"
            }
            Self::Overridden => {
                "present while another field manager holds fields of the fleet's objects that the operator would set otherwise; they stay as that manager says"
            }
            Self::CertificateExpiring => {
                "present while a certificate that the fleet serves ends within 14 days, or has ended; it is served nevertheless"
            }
            Self::Reconciling => "present while the operator works towards Ready",
            Self::Stalled => "present while somebody must act",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether an Event is news or a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// News.
    Normal,
    /// Something that somebody should look at.
    Warning,
}

/// Why a condition is what it is. Also the reason of Events on a `GatewayConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The declaration can be done.
    Accepted,
    /// Every tier has a ready proxy.
    TiersAvailable,
    /// Every tier has its identity.
    CertificatesIssued,
    /// Every tier acknowledged the configuration.
    Acknowledged,
    /// No class and no `ingress` selects the fleet.
    NothingSelects,
    /// Proxies do not hold this generation yet.
    AwaitingAcknowledgement,
    /// A tier has no ready proxy.
    TierUnavailable,
    /// The tiers' identities are not there yet.
    CertificatesPending,
    /// An object could not be written; it is tried again.
    ApplyFailed,
    /// `ingress.ingressClass` without a north-south tier.
    NorthSouthTierMissing,
    /// The declaration cannot be done although the schema let it pass.
    SpecInvalid,
    /// The cluster refuses an object that the declaration leads to.
    ApplyRefused,
    /// An object of that name exists and belongs to somebody else.
    NameTaken,
    /// A fixed port of the nodes is somebody else's.
    PortTaken,
    /// The Secret of a tier's certificate authority is unreadable.
    AuthorityInvalid,
    /// A default certificate cannot be served.
    DefaultCertificateUnusable,
    /// A proxy refuses the tier's settings or a listener.
    ConfigurationRefused,
    /// A ready proxy has no stream to the operator.
    ProxyWithoutStream,
    /// An autoscaler cannot scale its tier.
    AutoscalerInactive,
    /// Another field manager holds a field of one of the fleet's objects.
    FieldOverridden,
    /// A certificate that is served ends within 14 days.
    CertificateEndsSoon,
    /// A certificate that is served has ended.
    CertificateExpired,
}

impl Reason {
    /// All of them: good news, on the way, somebody must act, by the way.
    pub const ALL: [Self; 22] = [
        Self::Accepted,
        Self::TiersAvailable,
        Self::CertificatesIssued,
        Self::Acknowledged,
        Self::NothingSelects,
        Self::AwaitingAcknowledgement,
        Self::TierUnavailable,
        Self::CertificatesPending,
        Self::ApplyFailed,
        Self::NorthSouthTierMissing,
        Self::SpecInvalid,
        Self::ApplyRefused,
        Self::NameTaken,
        Self::PortTaken,
        Self::AuthorityInvalid,
        Self::DefaultCertificateUnusable,
        Self::ConfigurationRefused,
        Self::ProxyWithoutStream,
        Self::AutoscalerInactive,
        Self::FieldOverridden,
        Self::CertificateEndsSoon,
        Self::CertificateExpired,
    ];

    /// As in `reason` of a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::TiersAvailable => "TiersAvailable",
            Self::CertificatesIssued => "CertificatesIssued",
            Self::Acknowledged => "Acknowledged",
            Self::NothingSelects => "NothingSelects",
            Self::AwaitingAcknowledgement => "AwaitingAcknowledgement",
            Self::TierUnavailable => "TierUnavailable",
            Self::CertificatesPending => "CertificatesPending",
            Self::ApplyFailed => "ApplyFailed",
            Self::NorthSouthTierMissing => "NorthSouthTierMissing",
            Self::SpecInvalid => "SpecInvalid",
            Self::ApplyRefused => "ApplyRefused",
            Self::NameTaken => "NameTaken",
            Self::PortTaken => "PortTaken",
            Self::AuthorityInvalid => "AuthorityInvalid",
            Self::ConfigurationRefused => "ConfigurationRefused",
            Self::DefaultCertificateUnusable => "DefaultCertificateUnusable",
            Self::ProxyWithoutStream => "ProxyWithoutStream",
            Self::AutoscalerInactive => "AutoscalerInactive",
            Self::FieldOverridden => "FieldOverridden",
            Self::CertificateEndsSoon => "CertificateEndsSoon",
            Self::CertificateExpired => "CertificateExpired",
        }
    }

    /// Whether somebody must act before it goes away.
    #[must_use]
    pub const fn is_stalled(self) -> bool {
        matches!(
            self,
            Self::NorthSouthTierMissing
                | Self::SpecInvalid
                | Self::ApplyRefused
                | Self::NameTaken
                | Self::PortTaken
                | Self::AuthorityInvalid
                | Self::DefaultCertificateUnusable
                | Self::ConfigurationRefused
        )
    }

    /// The conditions that carry it, besides Ready, Reconciling and Stalled, which repeat the decisive one.
    #[must_use]
    pub const fn conditions(self) -> &'static [ConditionType] {
        use ConditionType::{
            Accepted, AutoscalerInactive, Available, CertificateExpiring, CertificatesReady,
            ConfigurationStale, Listening, Overridden,
        };
        match self {
            Self::Accepted
            | Self::ApplyFailed
            | Self::NorthSouthTierMissing
            | Self::SpecInvalid
            | Self::ApplyRefused
            | Self::NameTaken
            | Self::PortTaken => &[Accepted],
            Self::TiersAvailable => &[Available],
            Self::TierUnavailable => &[Available, Listening],
            Self::CertificatesIssued
            | Self::CertificatesPending
            | Self::AuthorityInvalid
            | Self::DefaultCertificateUnusable => &[CertificatesReady],
            Self::Acknowledged
            | Self::NothingSelects
            | Self::AwaitingAcknowledgement
            | Self::ConfigurationRefused => &[Listening],
            Self::ProxyWithoutStream => &[ConfigurationStale],
            Self::AutoscalerInactive => &[AutoscalerInactive],
            Self::FieldOverridden => &[Overridden],
            Self::CertificateEndsSoon | Self::CertificateExpired => &[CertificateExpiring],
        }
    }

    /// What it says, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Accepted => {
                "What is declared can be done, and the cluster took all objects made from it."
            }
            Self::TiersAvailable => "Every tier has at least one ready proxy.",
            Self::CertificatesIssued => {
                "Every tier has the certificate with which its proxies identify themselves to the operator."
            }
            Self::Acknowledged => {
                "Every tier's live proxies reported that they serve this generation."
            }
            Self::NothingSelects => {
                "The fleet runs, but no IngressClass names it in its `parameters` and it has no `spec.ingress.ingressClass`."
            }
            Self::AwaitingAcknowledgement => {
                "The message counts the ready proxies that already hold this generation."
            }
            Self::TierUnavailable => {
                "A tier has no ready proxy: not started yet, or lost. The message carries what the cluster says about its pods."
            }
            Self::CertificatesPending => "The certificate of a tier is being issued.",
            Self::ApplyFailed => {
                "An object could not be written, for instance because the API server did not answer. It is tried again."
            }
            Self::NorthSouthTierMissing => {
                "`spec.ingress.ingressClass` asks the north-south tier to serve Ingresses, and the fleet has none."
            }
            Self::SpecInvalid => {
                "A value passed the schema but cannot be used; the message names field and value."
            }
            Self::ApplyRefused => {
                "The cluster refuses an object made from the declaration (a quota, a policy, an immutable field, a missing permission); the message names the object and repeats the answer."
            }
            Self::NameTaken => {
                "An object of the needed name exists and is not owned by this GatewayConfig. It is left alone."
            }
            Self::PortTaken => {
                "A `listeners[].nodePort` is allocated to another Service, which the message names. The tier stays as it is."
            }
            Self::AuthorityInvalid => {
                "The Secret `NAME-TIER-channel-ca` holds no usable certificate authority."
            }
            Self::DefaultCertificateUnusable => {
                "A Secret that `tls.defaultCertificate` names does not exist, is of the wrong type, holds no usable certificate, or is of another namespace that does not allow it. The tier serves without it; the message names field and Secret."
            }
            Self::ConfigurationRefused => {
                "A live proxy refuses the tier's settings or one of its listeners; the message has its reason. It goes on serving the last good ones."
            }
            Self::ProxyWithoutStream
            | Self::FieldOverridden
            | Self::AutoscalerInactive
            | Self::CertificateEndsSoon
            | Self::CertificateExpired => self.meaning_by_the_way(),
        }
    }

    /// Of those that stand on a condition of their own and change nothing else.
    const fn meaning_by_the_way(self) -> &'static str {
        match self {
            Self::ProxyWithoutStream => {
                "A ready proxy has had no stream to the operator for 30 seconds. It serves what it holds, but learns of no change."
            }
            Self::FieldOverridden => {
                "Somebody took a field of one of the fleet's objects over with a server-side apply; the message names object, manager and field. It stays as that manager says. What is merely edited is set back."
            }
            Self::AutoscalerInactive => {
                "The HorizontalPodAutoscaler of a tier says for 2 minutes that it cannot scale; the message repeats why. The number of proxies stays."
            }
            Self::CertificateEndsSoon => {
                "A certificate that the fleet serves ends within 14 days; the message names the Secret."
            }
            Self::CertificateExpired => {
                "A certificate that the fleet serves has ended; clients refuse it. The message names the Secret."
            }
            _ => "",
        }
    }

    /// What to do about it, in a sentence.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Accepted
            | Self::TiersAvailable
            | Self::CertificatesIssued
            | Self::Acknowledged => "Nothing.",
            Self::NothingSelects => {
                "Create an IngressClass with controller `gatefleet.dev/north-south` (or `gatefleet.dev/east-west`) whose `parameters` name the GatewayConfig, or set `spec.ingress.ingressClass`."
            }
            Self::AwaitingAcknowledgement => {
                "Wait. If the count stands still for a minute, read the logs of the proxies that are missing: `kubectl logs -l gatefleet.dev/fleet=NAME`."
            }
            Self::TierUnavailable => {
                "Wait if pods are starting; else do what the message says: `kubectl describe pod -l gatefleet.dev/fleet=NAME,gatefleet.dev/tier=TIER`."
            }
            Self::CertificatesPending => "Wait; it takes a second.",
            Self::ApplyFailed => {
                "Wait; if it stays, the message says which object and what the API server answered."
            }
            Self::NorthSouthTierMissing => {
                "Add `spec.northSouth: {}`, or remove `spec.ingress.ingressClass`."
            }
            Self::SpecInvalid => "Correct the field that the message names.",
            Self::ApplyRefused => {
                "Change the field that leads to it, or what refuses it. It is tried again at every change, and every few minutes."
            }
            Self::NameTaken => {
                "Rename or delete the object that the message names, or choose another name for the GatewayConfig."
            }
            Self::PortTaken => {
                "Choose another port or leave `nodePort` out, or take the port away from who has it; it is tried again every 30 seconds."
            }
            Self::AuthorityInvalid => {
                "Delete that Secret: a new authority and new certificates are then issued, and the proxies reconnect."
            }
            Self::DefaultCertificateUnusable => {
                "Do what the message says: create or correct the Secret, allow the reference with a ReferenceGrant, or remove it."
            }
            Self::CertificateEndsSoon | Self::CertificateExpired => {
                "Renew the certificate in the Secret that the message names; proxies take the new one within seconds. If somebody renews it (cert-manager, say), ask there why it did not."
            }
            Self::ConfigurationRefused => "Correct what the message names.",
            Self::ProxyWithoutStream => {
                "Read that pod's log; usual causes are a network policy between it and the operator, or an overloaded node."
            }
            Self::FieldOverridden => {
                "Declare the same value, or let that manager give the field up: apply again as that manager without the field (a required one first with the operator's value)."
            }
            Self::AutoscalerInactive => {
                "Install what serves `metrics.k8s.io` (metrics-server) if the cluster has none, or say `replicas` instead of `autoscaling`."
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_camel_case_and_every_reason_has_a_sentence_and_a_remedy() {
        let camel = |word: &str| {
            word.starts_with(|first: char| first.is_ascii_uppercase())
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        for reason in Reason::ALL {
            let (meaning, remedy) = (reason.meaning(), reason.remedy());
            assert!(camel(reason.as_str()) && !reason.conditions().is_empty(), "{reason}");
            assert!(meaning.ends_with('.') && remedy.ends_with('.'), "{reason}");
            assert!(!reason.is_stalled() || remedy != "Nothing.", "{reason} needs a remedy");
            assert_eq!(format!("{reason:?}"), reason.as_str(), "listed under its own name");
        }
        for condition in ConditionType::ALL {
            assert_eq!(format!("{condition:?}"), condition.as_str());
        }
        for phase in Phase::ALL {
            assert_eq!(format!("{phase:?}"), phase.as_str());
        }
    }
}
