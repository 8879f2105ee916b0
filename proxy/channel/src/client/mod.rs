//! The stream client: one stream to every replica of the operator, configuration from one of them.

mod assembly;
mod backoff;
mod identity;
mod regression;
mod replicas;
mod report;
mod saver;
mod session;

use std::{sync::Arc, time::Duration};

use gatefleet_snapshot::v1::Subscribe;
use tokio::{
    sync::{mpsc, watch},
    time::{self, Instant},
};

use crate::{
    Bootstrap, ChannelState, DiskCopy, Engine, PodIdentity, Source, Transaction, install::Installer,
};
use regression::{Regression, Verdict};
use replicas::Replicas;
use report::{Held, subscribes};
use saver::Saver;
use session::{Command, Event, EventKind, Stream};

/// Durations of the client; the default is what proxies use.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long an older configuration of another replica is refused. 90 s: bookmarks come each minute.
    pub regression: Duration,
    /// First wait after a lost stream; it doubles with every failure. 250 ms.
    pub backoff_start: Duration,
    /// Longest wait. 8 s.
    pub backoff_limit: Duration,
    /// How often certificates are looked at, and after what time without any stream the addresses of the
    /// bootstrap are tried again. 5 s.
    pub look: Duration,
    /// How often what could not be installed is tried again. 2 s.
    pub retry: Duration,
    /// How long changes are collected before the copy on disk is replaced. 200 ms.
    pub save: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            regression: Duration::from_secs(90),
            backoff_start: Duration::from_millis(250),
            backoff_limit: Duration::from_secs(8),
            look: Duration::from_secs(5),
            retry: Duration::from_secs(2),
            save: Duration::from_millis(200),
        }
    }
}

/// Takes configuration from the operator, for ever. The copy on disk is installed first, so that the proxy
/// serves with the operator down.
///
/// Dropping the future ends all streams.
pub async fn run_client<E: Engine>(
    bootstrap: Bootstrap,
    pod: PodIdentity,
    engine: Arc<E>,
    state: watch::Sender<ChannelState>,
) -> ! {
    run_client_with(bootstrap, pod, engine, state, Timing::default()).await
}

/// [`run_client`] with other durations.
pub async fn run_client_with<E: Engine>(
    bootstrap: Bootstrap,
    pod: PodIdentity,
    engine: Arc<E>,
    state: watch::Sender<ChannelState>,
    timing: Timing,
) -> ! {
    let (events, inbox) = mpsc::channel(16);
    let (held, _) = watch::channel(Arc::new(Held::default()));
    let stream = Stream {
        events,
        held: held.clone(),
        timing,
        pod,
        capabilities: engine.capabilities().iter().map(|name| (*name).to_owned()).collect(),
        server_name: bootstrap.server_name.clone(),
        directory: bootstrap.channel_dir.clone(),
    };
    let copy = DiskCopy::new(&bootstrap.state_dir, bootstrap.state_bytes);
    let client = Client {
        installer: Installer::new(engine, state.clone()),
        replicas: Replicas::new(bootstrap.servers, stream),
        regression: Regression::new(timing.regression),
        saver: Saver::start(copy.clone(), timing.save, state),
        held,
        withheld: None,
        timing,
    };
    client.run(copy, inbox).await
}

/// A transaction that waits until its replica has caught up.
struct Withheld {
    transaction: Transaction,
    nonce: String,
    until: Instant,
}

struct Client<E: Engine> {
    installer: Installer<E>,
    replicas: Replicas,
    regression: Regression,
    saver: Saver,
    held: watch::Sender<Arc<Held>>,
    withheld: Option<Withheld>,
    timing: Timing,
}

impl<E: Engine> Client<E> {
    async fn run(mut self, copy: DiskCopy, mut inbox: mpsc::Receiver<Event>) -> ! {
        self.load(&copy).await;
        let mut look = time::interval(self.timing.look);
        let mut retry = time::interval(self.timing.retry);
        loop {
            let until = self.withheld.as_ref().map(|withheld| withheld.until);
            tokio::select! {
                Some(event) = inbox.recv() => self.take(event).await,
                () = at(until) => self.take_withheld().await,
                _ = look.tick() => self.replicas.look(Instant::now()),
                _ = retry.tick() => {
                    if self.installer.retry().await {
                        self.tell(None);
                    }
                }
            }
            self.subscribe();
            self.show_connected();
        }
    }

    async fn load(&mut self, copy: &DiskCopy) {
        match copy.load() {
            Ok(None) => {}
            Ok(Some(snapshot)) => {
                self.installer.install(&Transaction::replace(snapshot), Source::Disk).await;
                self.tell(None);
            }
            Err(error) => self.problem(error.to_string()),
        }
    }

    async fn take(&mut self, event: Event) {
        if !self.replicas.knows(&event) {
            return;
        }
        let address = event.address;
        match event.kind {
            EventKind::Connected { commands } => self.replicas.connected(&address, commands),
            EventKind::Welcome { replica, replicas } => {
                self.replicas.welcomed(&address, replica, replicas);
                if self.withheld.is_none() {
                    self.installer.state().send_modify(|state| state.problem = None);
                }
            }
            EventKind::Commit { transaction, nonce } => {
                self.commit(&address, transaction, nonce).await;
            }
            EventKind::Ended { problem } => {
                self.replicas.ended(&address);
                self.problem(problem);
            }
        }
    }

    async fn commit(&mut self, address: &str, transaction: Transaction, nonce: String) {
        if self.replicas.source() != Some(address) {
            return;
        }
        let transaction = match self.withheld.take() {
            None => transaction,
            Some(mut withheld) => {
                withheld.transaction.append(transaction);
                withheld.transaction
            }
        };
        let replica = self.replicas.replica(address).unwrap_or(address).to_owned();
        let current = self.installer.watermark();
        match self.regression.judge(&replica, &transaction.watermark, &current, Instant::now()) {
            Verdict::Take => self.install(address, &transaction, nonce, false).await,
            Verdict::Wait(until) => {
                self.problem(format!(
                    "{address} sends a configuration older than the one in use; it is not taken yet"
                ));
                self.withheld = Some(Withheld { transaction, nonce, until });
            }
            Verdict::Regress => self.install(address, &transaction, nonce, true).await,
        }
    }

    async fn take_withheld(&mut self) {
        if let Some(withheld) = self.withheld.take()
            && let Some(address) = self.replicas.source().map(str::to_owned)
        {
            self.install(&address, &withheld.transaction, withheld.nonce, true).await;
        }
    }

    async fn install(
        &mut self,
        address: &str,
        transaction: &Transaction,
        nonce: String,
        regressed: bool,
    ) {
        self.installer.install(transaction, Source::Server(address.to_owned())).await;
        self.regression.taken(self.replicas.replica(address).unwrap_or(address));
        self.installer.state().send_modify(|state| {
            state.watermark_regressed = regressed;
            state.problem = None;
        });
        self.tell(Some((address.to_owned(), nonce)));
    }

    /// Lets every stream report, and the copy on disk follow.
    fn tell(&self, commit: Option<(String, String)>) {
        let state = self.installer.state().borrow().clone();
        let served = self.installer.served();
        let resources = served.iter().map(|(_, entry)| Arc::clone(&entry.resource)).collect();
        if state.source != Source::Disk {
            self.saver.save(resources, state.watermark);
        }
        self.held.send_replace(Arc::new(Held {
            outcomes: state.outcomes,
            ready: state.ready,
            regressed: state.watermark_regressed,
            commit,
        }));
    }

    /// Chooses a replica when there is none, and asks it for what differs from the configuration in use.
    fn subscribe(&mut self) {
        let Some(commands) = self.replicas.choose() else { return };
        // What another one sent and was not taken comes again, as a difference.
        self.withheld = None;
        let versions = self.installer.ledger().wanted_versions();
        let messages: Vec<Subscribe> = subscribes(versions, self.installer.watermark());
        // A stream that cannot take a command ends, and another one is chosen then.
        let _ = commands.try_send(Command::Subscribe(messages));
    }

    fn show_connected(&self) {
        let connected = self.replicas.live();
        self.installer.state().send_if_modified(|state| {
            let changed = state.connected != connected;
            state.connected = connected;
            changed
        });
    }

    /// Says it once, however often an attempt fails for the same reason.
    fn problem(&self, problem: String) {
        self.installer.state().send_if_modified(|state| {
            let new = state.problem.as_ref() != Some(&problem);
            if new {
                tracing::warn!(problem, "configuration channel");
                state.problem = Some(problem);
            }
            new
        });
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
