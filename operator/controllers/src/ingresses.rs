//! What users of Ingresses are told: addresses in `status.loadBalancer` once proxies hold the routes, and
//! findings as Events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use gatefleet_apply::{Events, Finding, Leadership, Refusal, Weight, Writer};
use gatefleet_distribute::{Holdings, ProxyHoldings};
use gatefleet_infra::Holding;
use gatefleet_names::{Kind, ObjectKey, Tier, TierKey};
use gatefleet_routes::{Diagnostic, IngressOutcome, Severity};
use gatefleet_watch::{View, compare_versions};
use k8s_openapi::api::{core::v1::ObjectReference, networking::v1::Ingress};
use kube::ResourceExt;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    events::STATUS_CONTESTED,
    observe::{Refused, Sight, Streamless, text_of},
    reconcile::reference,
    sent::Sent,
    translate::Report,
};

/// After a failed write.
const RETRY: Duration = Duration::from_secs(2);

/// What the loop listens to and writes with.
pub(crate) struct Ingresses {
    pub(crate) leadership: Leadership,
    pub(crate) writer: Writer,
    pub(crate) events: Events,
    pub(crate) views: watch::Receiver<Option<Arc<View>>>,
    pub(crate) reports: watch::Receiver<Option<Arc<Report>>>,
    pub(crate) holdings: watch::Receiver<Arc<Holdings>>,
    pub(crate) sent: Sent,
}

/// What is remembered about one Ingress.
#[derive(Debug, Default)]
struct Memory {
    uid: String,
    /// The tier and generation whose routes live proxies held.
    acknowledged: Option<(TierKey, i64)>,
    /// What was written: the addresses, and the resourceVersion after it.
    published: Option<(BTreeSet<String>, String)>,
    /// Somebody else wrote other addresses after us: these are left alone until ours change.
    contested: bool,
}

/// What is remembered about everything.
#[derive(Default)]
struct Memories {
    ingresses: BTreeMap<ObjectKey, Memory>,
    /// Findings that were said, by the UID of their object.
    said: BTreeMap<(ObjectKey, String), BTreeSet<Finding>>,
}

impl Ingresses {
    /// Runs as long as there are reports.
    pub(crate) async fn run(mut self) {
        let mut memories = Memories::default();
        let mut retry = false;
        loop {
            tokio::select! {
                changed = self.reports.changed() => if changed.is_err() { return },
                changed = self.holdings.changed() => if changed.is_err() { return },
                changed = self.views.changed() => if changed.is_err() { return },
                true = self.leadership.changed() => {}
                () = tokio::time::sleep(RETRY), if retry => {}
            }
            let report = self.reports.borrow_and_update().clone();
            let view = self.views.borrow_and_update().clone();
            let (Some(report), Some(view)) = (report, view) else { continue };
            if self.leadership.term().is_none() {
                // What another replica says and publishes meanwhile is not known here.
                memories = Memories::default();
                continue;
            }
            let sight = Sight {
                view,
                report: Some(Arc::clone(&report)),
                holdings: Arc::clone(&self.holdings.borrow_and_update()),
                sent: self.sent.clone(),
                streamless: Streamless::default(),
            };
            self.say_findings(&sight, &report, &mut memories).await;
            retry = !self.publish(&sight, &report, &mut memories).await;
        }
    }

    /// Writes what changed; whether all went well.
    async fn publish(&self, sight: &Sight, report: &Report, memories: &mut Memories) -> bool {
        let mut well = true;
        let mut tiers = Tiers { sight, live: BTreeMap::new(), addresses: BTreeMap::new() };
        memories.ingresses.retain(|key, _| report.output.ingresses.contains_key(key));
        for (key, outcome) in &report.output.ingresses {
            let Some(ingress) = sight.view.state.ingresses.get(&key.namespace, &key.name) else {
                continue;
            };
            let uid = ingress.uid().unwrap_or_default();
            let memory = memories.ingresses.entry(key.clone()).or_default();
            if memory.uid != uid {
                *memory = Memory { uid, ..Memory::default() };
            }
            let Some(wanted) = tiers.wanted(key, outcome, memory) else { continue };
            well &= self.write(ingress, wanted, memory).await;
        }
        well
    }

    async fn write(
        &self,
        ingress: &Ingress,
        wanted: BTreeSet<String>,
        memory: &mut Memory,
    ) -> bool {
        let shown = addresses_of(ingress);
        let same_wish = memory.published.as_ref().is_some_and(|(before, _)| *before == wanted);
        if shown == wanted {
            if !same_wish {
                let version = ingress.resource_version().unwrap_or_default();
                memory.published = Some((wanted, version));
            }
            return true;
        }
        if same_wish {
            let written = memory.published.as_ref().map_or("", |(_, version)| version);
            let version = ingress.resource_version().unwrap_or_default();
            if compare_versions(&version, written).is_gt() && !memory.contested {
                memory.contested = true;
                self.events.say(&reference(ingress), &contested(&wanted, &shown)).await;
            }
            return true;
        }
        match self.writer.apply_status(ingress, &status_with(&wanted), true).await {
            Ok(written) => {
                memory.published = Some((wanted, written.resource_version().unwrap_or_default()));
                memory.contested = false;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "publish addresses");
                // Gone, or another one by now: the next view says so.
                matches!(error.refusal, Refusal::Absent | Refusal::Conflict)
            }
        }
    }

    /// Once per finding; again only when it went away in between.
    async fn say_findings(&self, sight: &Sight, report: &Report, memories: &mut Memories) {
        let mut current: BTreeMap<(ObjectKey, String), BTreeSet<Finding>> = BTreeMap::new();
        for (object, finding) in findings(sight, report) {
            if let Some(about) = subject(&sight.view, &object) {
                let key = (object, about.uid.clone().unwrap_or_default());
                let said = memories.said.get(&key);
                if said.is_none_or(|said| !said.contains(&finding)) {
                    self.events.say(&about, &finding).await;
                }
                current.entry(key).or_default().insert(finding);
            }
        }
        memories.said = current;
    }
}

/// What translation found out, and what proxies refuse.
fn findings(sight: &Sight, report: &Report) -> BTreeSet<(ObjectKey, Finding)> {
    let of_ingresses = report.output.ingresses.values().flat_map(|one| one.diagnostics.iter());
    let translated = of_ingresses
        .chain(&report.output.findings)
        .filter(|finding| finding.severity() != Severity::Info)
        .map(|finding| (finding.object.clone(), warning(finding)));
    let refused = report.output.tiers.keys().flat_map(|tier| sight.refusals(report, tier));
    let refused = refused.map(|Refused { object, message }| {
        let reason = Refused::REASON.to_owned();
        (object, Finding { weight: Weight::Warning, reason, message })
    });
    translated.chain(refused).collect()
}

/// What all Ingresses of a tier have in common, looked up once.
struct Tiers<'a> {
    sight: &'a Sight,
    live: BTreeMap<TierKey, Vec<Option<&'a ProxyHoldings>>>,
    addresses: BTreeMap<TierKey, BTreeSet<String>>,
}

impl Tiers<'_> {
    /// The addresses that the Ingress should show; `None`: whatever it shows is left alone.
    fn wanted(
        &mut self,
        key: &ObjectKey,
        outcome: &IngressOutcome,
        memory: &mut Memory,
    ) -> Option<BTreeSet<String>> {
        let Some(tier) = &outcome.publisher else {
            memory.acknowledged = None;
            // What we wrote is taken back; what somebody else wrote is not ours.
            let ours = memory.published.as_ref().filter(|(ours, _)| !ours.is_empty());
            return ours.map(|_| BTreeSet::new());
        };
        let held = memory.acknowledged.as_ref().is_some_and(|(held, _)| held == tier);
        if !held && !self.is_acknowledged(key, outcome, tier) {
            return None;
        }
        memory.acknowledged = Some((tier.clone(), outcome.generation));
        let addresses = self.addresses.entry(tier.clone());
        let found = addresses.or_insert_with(|| tier_addresses(&self.sight.view, tier));
        Some(found.clone()).filter(|found| !found.is_empty())
    }

    /// Whether every live proxy of the tier, and at least one, holds what was derived from the Ingress.
    fn is_acknowledged(
        &mut self,
        key: &ObjectKey,
        outcome: &IngressOutcome,
        tier: &TierKey,
    ) -> bool {
        let Some(names) = outcome.tiers.get(tier).filter(|names| !names.is_empty()) else {
            return false;
        };
        let sight = self.sight;
        let live = self.live.entry(tier.clone()).or_insert_with(|| sight.live_proxies(tier));
        let object = (key, outcome.generation);
        let holds = |proxy| sight.sent.holding(tier, object, proxy, names) == Holding::Current;
        !live.is_empty() && live.iter().all(|proxy| proxy.is_some_and(holds))
    }
}

/// As the GatewayConfig shows them, unless it says others itself.
fn tier_addresses(view: &View, tier: &TierKey) -> BTreeSet<String> {
    let TierKey { fleet, tier } = tier;
    let config = view.state.gateway_configs.get(&fleet.namespace, &fleet.name);
    let said = config.map(|config| &config.spec.ingress.publish_addresses);
    if let Some(said) = said.filter(|said| !said.is_empty()) {
        return said.iter().cloned().collect();
    }
    let status = config.and_then(|config| config.status.as_ref());
    let status = status.and_then(|status| match tier {
        Tier::NorthSouth => status.north_south.as_ref(),
        Tier::EastWest => status.east_west.as_ref(),
    });
    status.into_iter().flat_map(|status| status.addresses.iter().cloned()).collect()
}

fn addresses_of(ingress: &Ingress) -> BTreeSet<String> {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    entries.filter_map(|entry| entry.ip.clone().or_else(|| entry.hostname.clone())).collect()
}

fn status_with(addresses: &BTreeSet<String>) -> Value {
    if addresses.is_empty() {
        return json!({});
    }
    let entries: Vec<Value> = addresses
        .iter()
        .map(|address| match address.parse::<std::net::IpAddr>() {
            Ok(_) => json!({ "ip": address }),
            Err(_) => json!({ "hostname": address }),
        })
        .collect();
    json!({ "loadBalancer": { "ingress": entries } })
}

fn contested(ours: &BTreeSet<String>, theirs: &BTreeSet<String>) -> Finding {
    let list = |addresses: &BTreeSet<String>| {
        addresses.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    Finding {
        weight: Weight::Warning,
        reason: STATUS_CONTESTED.to_owned(),
        message: format!(
            "another controller replaced the addresses {} by {}; they are left so: take the class away from one of the two controllers",
            list(ours),
            list(theirs),
        ),
    }
}

fn warning(finding: &Diagnostic) -> Finding {
    let message = text_of(finding);
    Finding { weight: Weight::Warning, reason: finding.reason.to_string(), message }
}

/// The object that a finding is about, if it is of a kind that has Events.
fn subject(view: &View, key: &ObjectKey) -> Option<ObjectReference> {
    let state = &view.state;
    match key.kind {
        Kind::Ingress => state.ingresses.get(&key.namespace, &key.name).map(|o| reference(&**o)),
        Kind::IngressClass => state.ingress_classes.get("", &key.name).map(|o| reference(&**o)),
        Kind::GatewayConfig => {
            state.gateway_configs.get(&key.namespace, &key.name).map(|o| reference(&**o))
        }
        Kind::Namespace
        | Kind::Secret
        | Kind::Service
        | Kind::EndpointSlice
        | Kind::ReferenceGrant => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_published_as_what_they_are() {
        let addresses: BTreeSet<String> =
            ["192.0.2.1", "2001:db8::1", "lb.example"].map(str::to_owned).into();
        let status = status_with(&addresses);
        let expected =
            json!([{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"hostname": "lb.example"}]);
        assert_eq!(status["loadBalancer"]["ingress"], expected);
        assert_eq!(status_with(&BTreeSet::new()), json!({}));
    }
}
