//! How a proxy is watched and asked: status port, admin port, admin socket.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use gatefleet_channel::ChannelState;
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
        let channel = self.channel.borrow();
        (!channel.ready).then(|| match &channel.problem {
            Some(problem) => format!("no configuration yet: {problem}"),
            None => "no configuration yet".to_owned(),
        })
    }
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
