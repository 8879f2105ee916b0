//! Live streams and what their proxies hold.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
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
        let stream = {
            let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.count = live.count.saturating_add(1);
            let stream = live.count;
            if let Some((_, older)) = live.streams.insert(key.clone(), (stream, replace)) {
                // It may have ended by itself.
                let _ = older.send(());
            }
            stream
        };
        let mut proxy = ProxyHoldings {
            pod_name: shortened(&hello.pod_name, MAX_NAME_BYTES).into(),
            connected_since: now,
            proxy_version: shortened(&hello.proxy_version, MAX_NAME_BYTES).into(),
            capabilities: hello.capabilities.into_iter().take(MAX_CAPABILITIES).collect(),
            ready: false,
            regressed: false,
            resources: Arc::default(),
        };
        note(&mut proxy, hello.held.unwrap_or_default());
        self.holdings.send_modify(|holdings| {
            let tiers = &mut Arc::make_mut(holdings).tiers;
            tiers.entry(key.0.clone()).or_default().insert(Arc::clone(&key.1), Arc::new(proxy));
        });
        (Registration { registry: self, key, stream }, replaced)
    }
}

impl Registration<'_> {
    pub(crate) fn report(&self, report: Report) {
        if !self.is_current() {
            return;
        }
        self.registry.holdings.send_modify(|holdings| {
            let tier = Arc::make_mut(holdings).tiers.get_mut(&self.key.0);
            if let Some(proxy) = tier.and_then(|proxies| proxies.get_mut(&self.key.1)) {
                note(Arc::make_mut(proxy), report);
            }
        });
    }

    fn is_current(&self) -> bool {
        let live = self.registry.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.streams.get(&self.key).is_some_and(|(stream, _)| *stream == self.stream)
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut live = self.registry.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.streams.get(&self.key).is_none_or(|(stream, _)| *stream != self.stream) {
            return;
        }
        live.streams.remove(&self.key);
        self.registry.holdings.send_modify(|holdings| {
            let tiers = &mut Arc::make_mut(holdings).tiers;
            if let Some(proxies) = tiers.get_mut(&self.key.0) {
                proxies.remove(&self.key.1);
                if proxies.is_empty() {
                    tiers.remove(&self.key.0);
                }
            }
        });
    }
}

fn note(proxy: &mut ProxyHoldings, report: Report) {
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
        if known || fits {
            resources.insert(outcome.name.as_str().into(), holding(&outcome));
        }
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
