//! Backends that are DNS names: resolved again and again, for as long as somebody uses them.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use hickory_resolver::TokioResolver;
use tokio::{sync::watch, task::JoinHandle};

use crate::backend::{Backend, Target};

/// Answers are used at least this long.
const SHORTEST: Duration = Duration::from_secs(2);
/// And at most this long.
const LONGEST: Duration = Duration::from_mins(1);
/// Pause after a failure; the last addresses stay in use.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Keeps the endpoints of one backend equal to what its name resolves to. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    task: JoinHandle<()>,
    answered: watch::Receiver<bool>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    /// Begins to resolve, on the current runtime.
    pub(crate) fn start(name: &str, port: u16, backend: &Arc<Backend>) -> Self {
        let (tell, answered) = watch::channel(false);
        let task = tokio::spawn(follow(name.to_owned(), port, Arc::downgrade(backend), tell));
        Self { task, answered }
    }

    /// Returns when a first answer came, good or bad.
    pub(crate) async fn answered(&self) {
        let _ = self.answered.clone().wait_for(|answered| *answered).await;
    }
}

async fn follow(name: String, port: u16, backend: Weak<Backend>, tell: watch::Sender<bool>) {
    loop {
        let looked_up = lookup(&name).await;
        let Some(backend) = backend.upgrade() else { return };
        let pause = match looked_up {
            Ok((addresses, lifetime)) => {
                let target = |ip| Target {
                    addresses: [SocketAddr::new(ip, port)].into(),
                    terminating: false,
                };
                let targets: Vec<_> = addresses.into_iter().map(target).collect();
                if backend.targets() != targets {
                    backend.set_targets(&targets);
                }
                lifetime
            }
            Err(error) => {
                tracing::warn!(name, backend = &*backend.name, %error, "cannot resolve; the last addresses stay in use");
                AFTER_FAILURE
            }
        };
        drop(backend);
        let _ = tell.send(true);
        tokio::time::sleep(pause).await;
    }
}

async fn lookup(name: &str) -> Result<(Vec<std::net::IpAddr>, Duration), String> {
    let answer = resolver()?.lookup_ip(name).await.map_err(|e| e.to_string())?;
    let mut addresses: Vec<_> = answer.iter().collect();
    addresses.sort_unstable();
    let lifetime = answer.valid_until().saturating_duration_since(Instant::now());
    Ok((addresses, lifetime.clamp(SHORTEST, LONGEST)))
}

/// One resolver for the process, set up as /etc/resolv.conf and /etc/hosts say.
fn resolver() -> Result<&'static TokioResolver, String> {
    static RESOLVER: OnceLock<TokioResolver> = OnceLock::new();
    if let Some(resolver) = RESOLVER.get() {
        return Ok(resolver);
    }
    let built = TokioResolver::builder_tokio()
        .and_then(hickory_resolver::ResolverBuilder::build)
        .map_err(|e| e.to_string())?;
    Ok(RESOLVER.get_or_init(|| built))
}
