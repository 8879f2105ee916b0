//! The INFRA loop: every GatewayConfig is looked at when something about it changed, when it failed, and now
//! and then without a reason.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use gatefleet_apply::Leadership;
use gatefleet_distribute::Holdings;
use gatefleet_infra::{Child, ChildObject, FLEET_LABEL, labels};
use gatefleet_names::{FleetKey, Tier};
use gatefleet_watch::{View, compare_versions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
};

use crate::{
    Pace,
    observe::{Sight, Streamless, fleet_of},
    queue::Queue,
    reconcile::{Outcome, Reconcile, Tools, Written},
    sent::Sent,
    translate::Report,
};

/// Fleets under way at a time.
const CONCURRENCY: usize = 8;
/// How long a fleet waits to see its own writes before it is looked at nevertheless.
const LONGEST_BLINDNESS: Duration = Duration::from_secs(5);

/// What the loop listens to.
pub(crate) struct Fleets {
    pub(crate) leadership: Leadership,
    pub(crate) tools: Arc<Tools>,
    pub(crate) views: watch::Receiver<Option<Arc<View>>>,
    pub(crate) reports: watch::Receiver<Option<Arc<Report>>>,
    pub(crate) holdings: watch::Receiver<Arc<Holdings>>,
    pub(crate) sent: Sent,
    pub(crate) pace: Pace,
}

/// Writes that a fleet must see before it is looked at again.
struct Blind {
    written: Vec<Written>,
    until: Instant,
}

struct Loop {
    fleets: Fleets,
    sight: Sight,
    queue: Queue<FleetKey>,
    running: JoinSet<Outcome>,
    keys: BTreeMap<Id, FleetKey>,
    blind: BTreeMap<FleetKey, Blind>,
    /// When a status was last written.
    told: BTreeMap<FleetKey, Instant>,
}

impl Fleets {
    /// Runs as long as there are views.
    pub(crate) async fn run(mut self) {
        let view = loop {
            if let Some(view) = self.views.borrow_and_update().clone() {
                break view;
            }
            if self.views.changed().await.is_err() {
                return;
            }
        };
        let sight = Sight {
            report: self.reports.borrow_and_update().clone(),
            holdings: Arc::clone(&self.holdings.borrow_and_update()),
            sent: self.sent.clone(),
            streamless: Streamless::default(),
            view,
        };
        let all: Vec<FleetKey> =
            sight.view.state.gateway_configs.iter().map(|config| fleet_of(config)).collect();
        let mut looping = Loop {
            fleets: self,
            sight,
            queue: Queue::new(Duration::from_millis(200), Duration::from_mins(1)),
            running: JoinSet::new(),
            keys: BTreeMap::new(),
            blind: BTreeMap::new(),
            told: BTreeMap::new(),
        };
        looping.add(all);
        while looping.turn().await {}
    }
}

impl Loop {
    /// Waits for one thing and acts on it; `false` when there is nobody left to listen to.
    async fn turn(&mut self) -> bool {
        self.start_due();
        let next = self.queue.next_at().filter(|_| self.running.len() < CONCURRENCY);
        tokio::select! {
            changed = self.fleets.views.changed() => {
                let view = self.fleets.views.borrow_and_update().clone();
                if let Some(view) = view {
                    self.see(view);
                }
                changed.is_ok()
            }
            changed = self.fleets.reports.changed() => {
                let report = self.fleets.reports.borrow_and_update().clone();
                if let Some(report) = report {
                    self.hear(report);
                }
                changed.is_ok()
            }
            changed = self.fleets.holdings.changed() => {
                let holdings = Arc::clone(&self.fleets.holdings.borrow_and_update());
                self.count(holdings);
                changed.is_ok()
            }
            true = self.fleets.leadership.changed() => {
                // What was believed about a term that ended is no reason to wait in the next one.
                self.blind.clear();
                let configs = self.sight.view.state.gateway_configs.iter();
                let all: Vec<FleetKey> = configs.map(|config| fleet_of(config)).collect();
                self.add(all);
                true
            }
            Some(ended) = self.running.join_next_with_id() => {
                self.ended(ended);
                true
            }
            () = sleep_until(next), if next.is_some() => true,
        }
    }

    fn add(&mut self, keys: impl IntoIterator<Item = FleetKey>) {
        let now = Instant::now();
        for key in keys {
            self.queue.add(key, now);
        }
    }

    fn see(&mut self, view: Arc<View>) {
        let changed = changed_fleets(&self.sight.view, &view);
        self.sight.view = view;
        self.sight.streamless.retain(&self.sight.view);
        let sighted: Vec<FleetKey> = self
            .blind
            .iter()
            .filter(|(key, blind)| is_seen(&self.sight.view, key, &blind.written))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &sighted {
            self.blind.remove(key);
        }
        self.add(changed);
        self.add(sighted);
    }

    fn hear(&mut self, report: Arc<Report>) {
        let before = self.sight.report.as_ref().map(|report| &report.output);
        let mut changed = BTreeSet::new();
        for (fleet, routes) in &report.output.fleets {
            if before.and_then(|before| before.fleets.get(fleet)) != Some(routes) {
                changed.insert(fleet.clone());
            }
        }
        for (tier, routes) in &report.output.tiers {
            let same = before
                .and_then(|before| before.tiers.get(tier))
                .is_some_and(|before| Arc::ptr_eq(before, routes) || before == routes);
            if !same {
                changed.insert(tier.fleet.clone());
            }
        }
        self.sight.report = Some(report);
        self.add(changed);
    }

    fn count(&mut self, holdings: Arc<Holdings>) {
        let tiers = self.sight.holdings.tiers.keys().chain(holdings.tiers.keys());
        let changed: BTreeSet<FleetKey> = tiers
            .filter(|tier| self.sight.holdings.tiers.get(tier) != holdings.tiers.get(tier))
            .map(|tier| tier.fleet.clone())
            .collect();
        self.sight.holdings = holdings;
        self.add(changed);
    }

    fn start_due(&mut self) {
        while self.running.len() < CONCURRENCY
            && let Some(key) = self.queue.take(Instant::now())
        {
            let now = Instant::now();
            if let Some(blind) = self.blind.get(&key).filter(|blind| blind.until > now) {
                // Comes again when the view has caught up.
                self.queue.done(&key, Some(blind.until));
                continue;
            }
            self.start(key, now);
        }
    }

    fn start(&mut self, key: FleetKey, now: Instant) {
        let configs = &self.sight.view.state.gateway_configs;
        let Some(config) = configs.get(&key.namespace, &key.name).cloned() else {
            self.queue.done(&key, None);
            self.queue.forget(&key);
            self.blind.remove(&key);
            self.told.remove(&key);
            return;
        };
        if config.metadata.deletion_timestamp.is_some() {
            // Garbage collection takes the children; nothing is written to them any more.
            self.queue.done(&key, None);
            return;
        }
        let pause = self.fleets.pace.aggregate;
        let counts_are_due = self.told.get(&key).is_none_or(|told| *told + pause <= now);
        let (tools, sight) = (Arc::clone(&self.fleets.tools), self.sight.clone());
        let handle = self.running.spawn(async move {
            let reconcile = Reconcile {
                tools: &tools,
                sight: &sight,
                config: &config,
                counts_are_due,
                outcome: Outcome::default(),
                problems: Vec::new(),
            };
            Box::pin(reconcile.run()).await
        });
        self.keys.insert(handle.id(), key);
    }

    fn ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let now = Instant::now();
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(key) = self.keys.remove(&id) else { return };
        let outcome = match ended {
            Ok((_, outcome)) => outcome,
            Err(error) => {
                tracing::error!(%error, "reconcile GatewayConfig {key}");
                self.queue.failed(&key, now, Duration::from_secs(1));
                return;
            }
        };
        if outcome.told {
            self.told.insert(key.clone(), now);
        }
        if !is_seen(&self.sight.view, &key, &outcome.written) {
            let blind = Blind { written: outcome.written, until: now + LONGEST_BLINDNESS };
            self.blind.insert(key.clone(), blind);
        }
        if let Some(at_least) = outcome.retry {
            self.queue.failed(&key, now, at_least);
            return;
        }
        let pause = self.pause(&key, outcome.postponed);
        let pause = outcome.look_again.map_or(pause, |again| again.min(pause));
        self.queue.done(&key, Some(now + pause));
    }

    /// When to look again without a reason.
    fn pause(&self, key: &FleetKey, postponed: bool) -> Duration {
        let pace = self.fleets.pace;
        let mut pause = pace.resync;
        if postponed {
            let told = self.told.get(key).map(Instant::elapsed).unwrap_or_default();
            pause = pause.min(pace.aggregate.saturating_sub(told));
        }
        pause
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Whether the view shows these writes, or something newer.
fn is_seen(view: &View, fleet: &FleetKey, written: &[Written]) -> bool {
    let namespace = fleet.namespace.as_str();
    written.iter().all(|Written { child, version: wanted }| {
        let seen = match child {
            None => view.state.gateway_configs.get(namespace, &fleet.name).map(|o| &o.metadata),
            Some(Child { kind, name }) => {
                view.child(*kind, namespace, name).map(ChildObject::metadata)
            }
        };
        let version = seen.and_then(|seen| seen.resource_version.as_deref());
        version.is_some_and(|seen| compare_versions(seen, wanted).is_ge())
    })
}

/// The fleets of which something differs between two views.
fn changed_fleets(before: &View, after: &View) -> BTreeSet<FleetKey> {
    let mut changed: BTreeSet<FleetKey> = after
        .state
        .gateway_configs
        .changed_since(&before.state.gateway_configs)
        .into_iter()
        .map(|(namespace, name)| FleetKey { namespace, name })
        .collect();
    let fleets = FleetNames::new(after);
    for (kind, namespace, name) in after.changed_children(before) {
        let states = [before, after].map(|view| view.child(kind, &namespace, &name));
        let states = states.map(|state| state.map(ChildObject::metadata));
        changed.extend(fleets.owner(&namespace, states));
    }
    for (namespace, name) in after.children.pods.changed_since(&before.children.pods) {
        let states = [before, after].map(|view| view.children.pods.get(&namespace, &name));
        let states = states.map(|state| state.map(|pod| &pod.metadata));
        changed.extend(fleets.owner(&namespace, states));
    }
    for (namespace, _) in after.answered.difference(&before.answered) {
        changed.extend(fleets.in_namespace(namespace));
    }
    changed
}

/// Fleets by namespace and label.
struct FleetNames(BTreeMap<(String, String), FleetKey>);

impl FleetNames {
    fn new(view: &View) -> Self {
        let keyed = view.state.gateway_configs.iter().map(|config| {
            let fleet = fleet_of(config);
            let label = labels(&fleet.name, Tier::NorthSouth).remove(FLEET_LABEL);
            ((fleet.namespace.clone(), label.unwrap_or_default()), fleet)
        });
        Self(keyed.collect())
    }

    fn in_namespace(&self, namespace: &str) -> Vec<FleetKey> {
        let all = self.0.values().filter(|fleet| fleet.namespace == namespace);
        all.cloned().collect()
    }

    /// Whose object this is or was, by its label in two states.
    fn owner(&self, namespace: &str, states: [Option<&ObjectMeta>; 2]) -> Option<FleetKey> {
        let mut states = states.into_iter().flatten();
        let label = states.find_map(|meta| meta.labels.as_ref()?.get(FLEET_LABEL).cloned())?;
        self.0.get(&(namespace.to_owned(), label)).cloned()
    }
}
