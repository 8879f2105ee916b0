//! The data path as its owner sees it: start it, give it configurations, drain it, ask it.

use std::{
    io::{self, Write},
    net::IpAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gatefleet_channel::{EffectiveSet, Engine, Refusals};
use gatefleet_http::Phase;
use gatefleet_snapshot::v1::Resource;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    compile::{Compiled, DrainSettings, compile},
    dns::Watch,
    join::{Joined, Place, join, live_pools},
    observe::{Observation, Statistics},
    thread::{StartError, Threads},
    view::{self, BackendView, CertificateView, ListenerView},
};

/// How long a swap waits for the first answer about new DNS names.
const FIRST_ANSWER: Duration = Duration::from_millis(500);
/// How long the end waits for the reader of the access log.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How often a drain looks whether connections are left.
const LOOK: Duration = Duration::from_millis(20);

/// What the process was told.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Threads of the data path.
    pub threads: NonZeroUsize,
    /// Replaces the bind addresses of every listener.
    pub bind: Option<IpAddr>,
}

/// All threads, and what they serve.
#[derive(Debug)]
pub struct DataPath {
    threads: Threads,
    observation: Arc<Observation>,
    place: Place,
    joined: Mutex<Option<Joined>>,
    capabilities: Vec<&'static str>,
}

impl DataPath {
    /// Starts the threads, with nothing to serve. Access log lines go to `access_log`.
    ///
    /// # Errors
    /// When the operating system refuses a thread or an event loop.
    pub fn start(options: Options, access_log: Box<dyn Write + Send>) -> Result<Self, StartError> {
        let log = |error: io::Error| StartError::Thread(options.threads.get(), error);
        let observation = Arc::new(Observation::start(access_log).map_err(log)?);
        let threads = Threads::start(options.threads, &observation)?;
        let place = Place { threads: options.threads, bind: options.bind };
        let mut capabilities = crate::compile::CAPABILITIES.to_vec();
        capabilities.extend(gatefleet_http::CAPABILITIES);
        capabilities.sort_unstable();
        capabilities.dedup();
        Ok(Self { threads, observation, place, joined: Mutex::default(), capabilities })
    }

    /// What happened since the start, over all threads.
    pub fn statistics(&self) -> Statistics {
        self.observation.statistics()
    }

    /// Whether every thread still runs. One that panicked is gone for good, and its share of connections with it.
    pub fn is_alive(&self) -> bool {
        self.threads.are_alive()
    }

    /// Open client connections.
    pub fn connections(&self) -> usize {
        self.threads.connections()
    }

    /// Listeners that are open, in ascending order of address.
    pub async fn listeners(&self) -> Vec<ListenerView> {
        self.joined.lock().await.as_ref().map(view::listeners).unwrap_or_default()
    }

    /// Backends and what happened towards them, in ascending order of name.
    pub async fn backends(&self) -> Vec<BackendView> {
        self.joined.lock().await.as_ref().map(view::backends).unwrap_or_default()
    }

    /// Certificates that are loaded, in ascending order of name.
    pub async fn certificates(&self) -> Vec<CertificateView> {
        self.joined.lock().await.as_ref().map(view::certificates).unwrap_or_default()
    }

    /// The resources that are served now.
    pub async fn effective(&self) -> EffectiveSet<Compiled> {
        self.joined.lock().await.as_ref().map(|joined| joined.set.clone()).unwrap_or_default()
    }

    /// How the tier wants the process to end.
    pub async fn drain_settings(&self) -> DrainSettings {
        self.joined.lock().await.as_ref().map(|joined| joined.tier.drain).unwrap_or_default()
    }

    /// First part of the end: everything is still accepted and served, but every answer ends its
    /// connection.
    pub async fn close_after_answers(&self) {
        self.threads.advance(Phase::Closing).await;
    }

    /// Second part: accepts what waits, closes all listeners, and waits until the last connection has
    /// ended its request, at most for `timeout`. Returns how many connections are left.
    pub async fn stop(&self, timeout: Duration) -> usize {
        self.threads.advance(Phase::Stopping).await;
        let deadline = Instant::now().checked_add(timeout);
        while self.connections() > 0 && deadline.is_some_and(|at| Instant::now() < at) {
            tokio::time::sleep(LOOK).await;
        }
        self.threads.flush().await;
        self.observation.settle(LAST_LINES);
        self.connections()
    }
}

/// An expired certificate is served: who uses it knows best whether its clients care. But it is said, once.
fn warn_of_expired(next: &Joined, previous: Option<&Joined>) {
    if previous.is_some_and(|previous| next.has_certificates_of(previous)) {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let known = previous.map(view::certificates).unwrap_or_default();
    for certificate in view::certificates(next) {
        let has_ended = u64::try_from(certificate.not_after).unwrap_or_default() < now;
        if has_ended && !known.contains(&certificate) {
            let CertificateView { name, names, not_after, .. } = certificate;
            tracing::warn!(
                certificate = name,
                ?names,
                not_after,
                "serving an expired certificate; renew it"
            );
        }
    }
}

impl Engine for DataPath {
    type Compiled = Compiled;

    fn capabilities(&self) -> &[&'static str] {
        &self.capabilities
    }

    fn compile(&self, resource: &Resource) -> Result<Compiled, String> {
        compile(resource).map_err(|error| error.to_string())
    }

    async fn swap(&self, set: EffectiveSet<Compiled>) -> Result<(), Refusals> {
        let mut joined = self.joined.lock().await;
        let (next, updates) = join(set, joined.as_ref(), &self.place)?;
        for (backend, targets) in &updates {
            backend.set_targets(targets);
        }
        let is_new = |watch: &&Arc<Watch>| {
            let known = joined.iter().flat_map(|joined| joined.backends.values());
            !known.filter_map(|built| built.watch.as_ref()).any(|one| Arc::ptr_eq(one, watch))
        };
        let watches = next.backends.values().filter_map(|built| built.watch.as_ref());
        let first_answers = async {
            for watch in watches.filter(is_new) {
                watch.answered().await;
            }
        };
        let _ = tokio::time::timeout(FIRST_ANSWER, first_answers).await;
        warn_of_expired(&next, joined.as_ref());
        self.threads.install(&next.plan, live_pools(&next.backends)).await;
        *joined = Some(next);
        Ok(())
    }
}
