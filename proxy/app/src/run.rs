//! The life of a proxy: start, serve, drain, end.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use gatefleet_channel::{
    Bootstrap, BootstrapError, ChannelState, Outcome, PodIdentity, follow_file, run_client,
};
use gatefleet_snapshot::{SnapshotError, read_snapshot};
use gatefleet_transport::{DataPath, Options, StartError};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::{
    cli::Cli,
    logging,
    operations::{self, OperationsError, Readiness},
    threads,
};

/// Why the proxy could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("nothing to serve: give --bootstrap FILE (an operator's proxy) or --snapshot FILE")]
    NoSource,
    #[error("read snapshot {0}: {1}; give the file that `gatefleet translate` wrote")]
    ReadSnapshot(PathBuf, io::Error),
    #[error("read snapshot {0}: {1}")]
    Snapshot(PathBuf, SnapshotError),
    #[error("{0}")]
    Bootstrap(#[from] BootstrapError),
    #[error("serve {0}: {1}")]
    Listener(String, String),
    #[error("{0}")]
    Threads(#[from] StartError),
    #[error("start the control runtime: {0}; raise the limit of open files or processes")]
    Runtime(io::Error),
    #[error("{0}")]
    Operations(#[from] OperationsError),
}

/// Where configuration comes from.
enum Source {
    Operator(Bootstrap),
    File(PathBuf),
}

impl Source {
    fn of(cli: &Cli) -> Result<Self, Error> {
        if let Some(path) = &cli.bootstrap {
            let bootstrap = Bootstrap::read(&cli.rooted(path))?;
            let mut bootstrap = match &cli.root {
                Some(root) => bootstrap.below(root),
                None => bootstrap,
            };
            if let Some(dir) = &cli.state_dir {
                bootstrap.state_dir = cli.rooted(dir);
            }
            return Ok(Self::Operator(bootstrap));
        }
        let path = cli.snapshot.clone().ok_or(Error::NoSource)?;
        check(&path)?;
        Ok(Self::File(path))
    }

    fn state_dir(&self, cli: &Cli) -> Option<PathBuf> {
        match self {
            Self::Operator(bootstrap) => Some(bootstrap.state_dir.clone()),
            Self::File(_) => cli.state_dir.as_deref().map(|dir| cli.rooted(dir)),
        }
    }
}

/// A file that is wrong from the start is the user's mistake and ends the program; later it only keeps the last
/// good one serving.
fn check(path: &Path) -> Result<(), Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::ReadSnapshot(path.to_owned(), error))?;
    read_snapshot(&bytes).map_err(|error| Error::Snapshot(path.to_owned(), error))?;
    Ok(())
}

/// Serves until a signal ends it.
pub(crate) fn run(cli: &Cli) -> Result<ExitCode, Error> {
    let source = Source::of(cli)?;
    let filter = logging::start(cli.log_format);
    let options = Options { threads: cli.threads.unwrap_or_else(threads::default), bind: cli.bind };
    let data_path = Arc::new(DataPath::start(options, Box::new(io::stdout()))?);
    // Compiling a large snapshot keeps one of them busy: readiness and signals need the other.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        threads = options.threads.get(),
        "starting"
    );
    runtime.block_on(serve(cli, source, filter, data_path))
}

async fn serve(
    cli: &Cli,
    source: Source,
    filter: logging::Filter,
    data_path: Arc<DataPath>,
) -> Result<ExitCode, Error> {
    let mut signals = Signals::new().map_err(Error::Runtime)?;
    let (state, follow) = watch::channel(ChannelState::default());
    let readiness = Arc::new(Readiness::new(follow.clone()));
    let operations = operations::Sources {
        data_path: Arc::clone(&data_path),
        channel: follow.clone(),
        readiness: Arc::clone(&readiness),
        filter,
    };
    let _servers = operations::start(cli, operations, source.state_dir(cli).as_deref())?;
    tokio::spawn(report(follow.clone()));
    let engine = Arc::clone(&data_path);
    // It goes on during the drain: endpoints change then too.
    match source {
        Source::Operator(bootstrap) => {
            tokio::spawn(run_client(bootstrap, pod(), engine, state));
        }
        Source::File(path) => {
            tokio::spawn(follow_file(path, engine, state));
            if let Some((name, problem)) = no_listener_served(follow).await {
                return Err(Error::Listener(name, problem));
            }
        }
    }
    let first = signals.next().await;
    readiness.end();
    drain(&data_path, &mut signals, first).await;
    Ok(ExitCode::SUCCESS)
}

fn pod() -> PodIdentity {
    let variable = |name| std::env::var(name).unwrap_or_default();
    PodIdentity { name: variable("POD_NAME"), uid: variable("POD_UID") }
}

/// Waits for the first configuration of a file. When none of its listeners can be served, that is the user's
/// mistake; one that others outlive is reported and stays unbound.
async fn no_listener_served(
    mut channel: watch::Receiver<ChannelState>,
) -> Option<(String, String)> {
    let installed = |state: &ChannelState| state.installs > 0 || !state.outcomes.is_empty();
    let state = channel.wait_for(installed).await.ok()?.clone();
    let mut refused = None;
    for (name, outcome) in state.outcomes.iter().filter(|(name, _)| name.starts_with("listener/")) {
        match outcome {
            Outcome::Refused { message, .. } => {
                refused = Some((name.to_string(), message.to_string()));
            }
            _ => return None,
        }
    }
    refused
}

/// Says in the log what became of each configuration.
async fn report(mut channel: watch::Receiver<ChannelState>) {
    let mut before = ChannelState::default();
    while channel.changed().await.is_ok() {
        let now = channel.borrow_and_update().clone();
        let (source, resources, installs) = (&now.source, now.outcomes.len(), now.installs);
        // Endpoints change all the time: later ones are for who asks.
        if before.installs == 0 && installs > 0 {
            tracing::info!(%source, resources, "serving a first configuration on every thread");
        } else if installs != before.installs {
            tracing::debug!(%source, resources, installs, "serving a configuration on every thread");
        }
        for (name, outcome) in now.outcomes.iter() {
            if let Outcome::Refused { message, .. } = outcome
                && before.outcomes.get(name) != Some(outcome)
            {
                tracing::warn!(resource = &**name, problem = &**message, "refused");
            }
        }
        before = now;
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// SIGTERM: in peace.
    Drain,
    /// SIGINT: somebody sits and waits.
    Hurry,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Drain,
            _ = self.interrupt.recv() => Wish::Hurry,
        }
    }
}

/// What is in flight gets this long when somebody waits.
const HURRY: Duration = Duration::from_secs(1);

/// Ends in peace: first nothing is refused while the cluster still sends (endpoints and load balancers learn late),
/// then nothing new is taken, then what is in flight ends. Each further signal ends the present part.
async fn drain(data_path: &DataPath, signals: &mut Signals, first: Wish) {
    let settings = data_path.drain_settings().await;
    let mut hurried = first == Wish::Hurry;
    if !hurried {
        tracing::info!(delay = ?settings.delay, "draining: not ready, every answer ends its connection");
        data_path.close_after_answers().await;
        tokio::select! {
            () = tokio::time::sleep(settings.delay) => {}
            _ = signals.next() => hurried = true,
        }
    }
    let timeout = if hurried { HURRY.min(settings.timeout) } else { settings.timeout };
    let left = tokio::select! {
        left = data_path.stop(timeout) => left,
        _ = signals.next() => data_path.connections(),
    };
    tracing::info!(connections_cut = left, "ended");
}
