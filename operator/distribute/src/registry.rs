//! Live streams and what their proxies hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use gatefleet_names::TierKey;
use gatefleet_snapshot::{
    MAX_NAME_BYTES,
    v1::{self, Hello, Report, outcome},
};
use tokio::sync::{oneshot, watch};

use crate::{Holding, Holdings, ProxyHoldings};

/// More resources than this are not remembered of one proxy.
const MAX_RESOURCES: usize = 200_000;
/// More capabilities than this are not remembered of one proxy.
const MAX_CAPABILITIES: usize = 1024;
/// Longest message that is remembered, in bytes.
const MAX_MESSAGE: usize = 1024;

type Key = (TierKey, Arc<str>);

#[derive(Debug)]
pub(crate) struct Registry {
    holdings: watch::Sender<Arc<Holdings>>,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    streams: BTreeMap<Key, (u64, oneshot::Sender<()>)>,
    count: u64,
    /// Who of a tier reported last: others will say the same, and share its texts.
    freshest: BTreeMap<TierKey, Arc<str>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { holdings: watch::channel(Arc::default()).0, live: Mutex::default() }
    }
}

/// One stream; dropping it forgets what the proxy holds, unless a newer stream of the same pod replaced it.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    registry: &'a Registry,
    key: Key,
    stream: u64,
}

impl Registry {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Holdings>> {
        self.holdings.subscribe()
    }

    /// Takes the place of an older stream of the same pod. The receiver fires when a newer one does the same.
    pub(crate) fn register(
        &self,
        tier: &TierKey,
        hello: Hello,
        now: SystemTime,
    ) -> (Registration<'_>, oneshot::Receiver<()>) {
        let key: Key = (tier.clone(), shortened(&hello.pod_uid, MAX_NAME_BYTES).into());
        let (replace, replaced) = oneshot::channel();
        let mut proxy = ProxyHoldings {
            pod_name: shortened(&hello.pod_name, MAX_NAME_BYTES).into(),
            connected_since: now,
            proxy_version: shortened(&hello.proxy_version, MAX_NAME_BYTES).into(),
            capabilities: hello.capabilities.into_iter().take(MAX_CAPABILITIES).collect(),
            ready: false,
            regressed: false,
            resources: Arc::default(),
        };
        let mut live = self.live();
        live.count = live.count.saturating_add(1);
        let stream = live.count;
        if let Some((_, older)) = live.streams.insert(key.clone(), (stream, replace)) {
            // It may have ended by itself.
            let _ = older.send(());
        }
        let freshest = live.freshest.insert(key.0.clone(), Arc::clone(&key.1));
        self.holdings.send_modify(|holdings| {
            let proxies = Arc::make_mut(holdings).tiers.entry(key.0.clone()).or_default();
            let peer = freshest.and_then(|uid| proxies.get(&uid)).map(Arc::clone);
            note(&mut proxy, hello.held.unwrap_or_default(), peer.as_deref());
            proxies.insert(Arc::clone(&key.1), Arc::new(proxy));
        });
        drop(live);
        (Registration { registry: self, key, stream }, replaced)
    }

    /// Held during every change, so that nothing of a replaced stream comes after its successor.
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn is_current(&self, registration: &Registration<'_>) -> bool {
        let current = self.streams.get(&registration.key);
        current.is_some_and(|(stream, _)| *stream == registration.stream)
    }
}

impl Registration<'_> {
    pub(crate) fn report(&self, report: Report) {
        let mut live = self.registry.live();
        if !live.is_current(self) {
            return;
        }
        let freshest = live.freshest.insert(self.key.0.clone(), Arc::clone(&self.key.1));
        let freshest = freshest.filter(|uid| *uid != self.key.1);
        self.registry.holdings.send_modify(|holdings| {
            let Some(proxies) = Arc::make_mut(holdings).tiers.get_mut(&self.key.0) else { return };
            let peer = freshest.and_then(|uid| proxies.get(&uid)).map(Arc::clone);
            if let Some(proxy) = proxies.get_mut(&self.key.1) {
                note(Arc::make_mut(proxy), report, peer.as_deref());
            }
        });
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut live = self.registry.live();
        if !live.is_current(self) {
            return;
        }
        live.streams.remove(&self.key);
        self.registry.holdings.send_modify(|holdings| {
            let tiers = &mut Arc::make_mut(holdings).tiers;
            if let Some(proxies) = tiers.get_mut(&self.key.0) {
                proxies.remove(&self.key.1);
                if proxies.is_empty() {
                    tiers.remove(&self.key.0);
                    live.freshest.remove(&self.key.0);
                }
            }
        });
    }
}

/// Texts that a peer holds too are shared: thousands of resources times hundreds of proxies.
fn note(proxy: &mut ProxyHoldings, report: Report, peer: Option<&ProxyHoldings>) {
    proxy.ready = report.ready;
    proxy.regressed = report.watermark_regressed;
    if report.outcomes.is_empty() && report.removed.is_empty() {
        return;
    }
    let resources = Arc::make_mut(&mut proxy.resources);
    for name in &report.removed {
        resources.remove(name.as_str());
    }
    for outcome in report.outcomes {
        let known = resources.contains_key(outcome.name.as_str());
        let fits = outcome.name.len() <= MAX_NAME_BYTES && resources.len() < MAX_RESOURCES;
        if !known && !fits {
            continue;
        }
        let holding = holding(&outcome);
        let shared = peer.and_then(|peer| peer.resources.get_key_value(outcome.name.as_str()));
        match shared {
            Some((name, held)) if *held == holding => {
                resources.insert(Arc::clone(name), held.clone())
            }
            _ => resources.insert(outcome.name.as_str().into(), holding),
        };
    }
}

fn holding(outcome: &v1::Outcome) -> Holding {
    let text = |text: &str| -> Arc<str> { shortened(text, MAX_MESSAGE).into() };
    let version = text(&outcome.version);
    match outcome.status() {
        outcome::Status::Installed => Holding::Installed { version },
        outcome::Status::DependencyRefused => {
            Holding::DependencyRefused { version, message: text(&outcome.message) }
        }
        outcome::Status::Refused => Holding::Refused {
            version: Some(version).filter(|version| !version.is_empty()),
            refused_version: text(&outcome.refused_version),
            message: text(&outcome.message),
        },
    }
}

fn shortened(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gatefleet_names::{FleetKey, Tier};

    use super::*;

    fn tier() -> TierKey {
        FleetKey::new("edge", "prod").tier(Tier::NorthSouth)
    }

    fn hello(uid: &str, version: &str) -> Hello {
        Hello { pod_uid: uid.to_owned(), held: Some(report(version)), ..Hello::default() }
    }

    fn report(version: &str) -> Report {
        let outcome = v1::Outcome {
            name: "backend/a".to_owned(),
            version: version.to_owned(),
            ..v1::Outcome::default()
        };
        Report { outcomes: vec![outcome], ..Report::default() }
    }

    fn held(registry: &Registry, uid: &str) -> (Arc<str>, Arc<str>) {
        let holdings = registry.subscribe().borrow().clone();
        let (name, holding) = holdings.tiers[&tier()][uid].resources.first_key_value().unwrap();
        let Holding::Installed { version } = holding else { panic!("{holding:?}") };
        (Arc::clone(name), Arc::clone(version))
    }

    #[test]
    fn proxies_that_hold_the_same_share_its_texts() {
        let registry = Registry::default();
        let now = SystemTime::UNIX_EPOCH;
        let (one, _) = registry.register(&tier(), hello("one", "v1"), now);
        let (_two, _) = registry.register(&tier(), hello("two", "v1"), now);
        let (left, right) = (held(&registry, "one"), held(&registry, "two"));
        assert!(Arc::ptr_eq(&left.0, &right.0) && Arc::ptr_eq(&left.1, &right.1));
        one.report(report("v2"));
        assert_eq!(&*held(&registry, "one").1, "v2");
        assert_eq!(&*held(&registry, "two").1, "v1");
    }

    #[test]
    fn an_older_stream_neither_reports_nor_takes_the_newer_one_away() {
        let registry = Registry::default();
        let now = SystemTime::UNIX_EPOCH;
        let (older, mut replaced) = registry.register(&tier(), hello("one", "v1"), now);
        let (newer, _) = registry.register(&tier(), hello("one", "v2"), now);
        assert!(replaced.try_recv().is_ok());
        older.report(report("v1"));
        drop(older);
        assert_eq!(&*held(&registry, "one").1, "v2");
        drop(newer);
        assert!(registry.subscribe().borrow().tiers.is_empty());
    }

    #[test]
    fn what_is_reported_is_bounded() {
        let registry = Registry::default();
        let (one, _) = registry.register(&tier(), hello("one", "v1"), SystemTime::UNIX_EPOCH);
        let mut long = report("v1");
        long.outcomes[0].status = outcome::Status::Refused.into();
        long.outcomes[0].message = "ä".repeat(MAX_MESSAGE);
        long.outcomes.push(v1::Outcome { name: "x".repeat(2000), ..v1::Outcome::default() });
        one.report(long);
        let holdings = registry.subscribe().borrow().clone();
        let resources = &holdings.tiers[&tier()]["one"].resources;
        assert_eq!(resources.len(), 1);
        let Holding::Refused { message, .. } = &resources["backend/a"] else { panic!() };
        assert_eq!(message.len(), MAX_MESSAGE);
    }
}
