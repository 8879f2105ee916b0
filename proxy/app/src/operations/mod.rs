//! How a proxy is watched and asked: status port, admin port, admin socket.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gatefleet_channel::{ChannelState, Outcome};
use gatefleet_transport::DataPath;
use tokio::{sync::watch, task::JoinSet};

use crate::{cli::Cli, logging::Filter};

mod admin;
mod ask;
mod metrics;
mod serve;
mod status;

pub(crate) use ask::ask;
pub(crate) use serve::OperationsError;

/// What the answers are made of.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) data_path: Arc<DataPath>,
    pub(crate) channel: watch::Receiver<ChannelState>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) filter: Filter,
}

/// Ready: the first full snapshot is installed on every thread, and the end has not begun.
pub(crate) struct Readiness {
    channel: watch::Receiver<ChannelState>,
    ends: AtomicBool,
}

impl Readiness {
    pub(crate) fn new(channel: watch::Receiver<ChannelState>) -> Self {
        Self { channel, ends: AtomicBool::new(false) }
    }

    /// The end begins.
    pub(crate) fn end(&self) {
        self.ends.store(true, Ordering::Release);
    }

    /// Why it is not ready.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if self.ends.load(Ordering::Acquire) {
            return Some("draining".to_owned());
        }
        obstacle(&self.channel.borrow())
    }
}

fn obstacle(channel: &ChannelState) -> Option<String> {
    if !channel.ready {
        return Some(match &channel.problem {
            Some(problem) => format!("no configuration yet: {problem}"),
            None => "no configuration yet".to_owned(),
        });
    }
    // One broken listener does not take the others out of service; without any there is no service.
    let mut closed = None;
    for (name, outcome) in channel.outcomes.iter().filter(|(name, _)| name.starts_with("listener/"))
    {
        match outcome {
            Outcome::Refused { version: None, message, .. } => {
                closed.get_or_insert_with(|| format!("no listener is open: {name}: {message}"));
            }
            _ => return None,
        }
    }
    closed
}

/// Opens all of them. They end when the set is dropped.
pub(crate) fn start(
    cli: &Cli,
    sources: Sources,
    state_dir: Option<&Path>,
) -> Result<JoinSet<()>, OperationsError> {
    let mut servers = JoinSet::new();
    let everywhere = cli.bind.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let inside = cli.bind.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let status =
        serve::bind("status", SocketAddr::new(everywhere, cli.status_port), "--status-port")?;
    let admin = serve::bind("admin", SocketAddr::new(inside, cli.admin_port), "--admin-port")?;
    let answer = sources.clone();
    servers.spawn(serve::tcp(status, move |request| status::answer(answer.clone(), request)));
    let answer = sources.clone();
    servers.spawn(serve::tcp(admin, move |request| admin::answer(answer.clone(), request)));
    if let Some(dir) = state_dir {
        let path = dir.join("admin.sock");
        match serve::bind_socket(&path) {
            Ok(socket) => {
                let answer = move |request| admin::answer(sources.clone(), request);
                drop(servers.spawn(serve::unix(socket, answer)));
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "no admin socket; the admin port serves");
            }
        }
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_needs_a_configuration_and_an_open_listener() {
        let installed = || Outcome::Installed { version: "1".into() };
        let refused = |version: Option<&str>| Outcome::Refused {
            version: version.map(Into::into),
            refused_version: "2".into(),
            message: "port 80 is in use".into(),
        };
        let cases = [
            (false, vec![], Some("no configuration yet")),
            (true, vec![], None),
            (true, vec![("listener/a", installed())], None),
            (true, vec![("listener/a", refused(None))], Some("listener/a: port 80 is in use")),
            (true, vec![("listener/a", refused(Some("1")))], None),
            (true, vec![("listener/a", refused(None)), ("listener/b", installed())], None),
            (true, vec![("backend/a", refused(None))], None),
        ];
        for (ready, outcomes, expected) in cases {
            let outcomes = outcomes.into_iter().map(|(name, one)| (Arc::from(name), one)).collect();
            let state = ChannelState { ready, outcomes: Arc::new(outcomes), ..Default::default() };
            let found = obstacle(&state);
            match expected {
                None => assert_eq!(found, None),
                Some(part) => assert!(found.as_deref().unwrap().contains(part), "{found:?}"),
            }
        }
    }
}
