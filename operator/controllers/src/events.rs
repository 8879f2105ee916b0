//! Every Event that the operator writes. `docs/reference/events.md` lists them; the stories hold what is written
//! against them.

use gatefleet_crds::Reason as FleetReason;
use gatefleet_routes::{Reason, Severity};

use crate::observe::Refused;

/// Another controller replaced the addresses of an Ingress.
pub(crate) const STATUS_CONTESTED: &str = "StatusContested";

/// One kind of Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownEvent {
    /// The kinds of objects that it is about.
    pub about: &'static [&'static str],
    /// Its reason.
    pub reason: &'static str,
    /// Whether it is always a Warning; else it is Normal when it tells of progress.
    pub warning: bool,
    /// What it tells.
    pub means: String,
}

/// All of them.
#[must_use]
pub fn known_events() -> Vec<KnownEvent> {
    let fleets = FleetReason::ALL.into_iter().map(|reason| KnownEvent {
        about: &["GatewayConfig"],
        reason: reason.as_str(),
        warning: reason.is_stalled(),
        means: reason.meaning().to_owned(),
    });
    let told = Reason::ALL.iter().filter(|reason| reason.severity() != Severity::Info);
    let routes = told.map(|reason| KnownEvent {
        about: &["Ingress", "IngressClass", "GatewayConfig"],
        reason: reason.as_str(),
        warning: true,
        means: reason.explanation().to_owned(),
    });
    let contested = KnownEvent {
        about: &["Ingress"],
        reason: STATUS_CONTESTED,
        warning: true,
        means: "Another controller replaced the addresses in the status; they are left so."
            .to_owned(),
    };
    let refused = KnownEvent {
        about: &["Ingress", "IngressClass", "GatewayConfig"],
        reason: Refused::REASON,
        warning: true,
        means: "A live proxy refuses what was made of the object; it goes on serving the last good one.".to_owned(),
    };
    fleets.chain(routes).chain([contested, refused]).collect()
}
