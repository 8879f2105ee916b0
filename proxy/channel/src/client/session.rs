//! One stream to one replica, opened again whenever it ends.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use gatefleet_snapshot::{
    MAX_MESSAGE_BYTES, SCHEMA_VERSION,
    v1::{
        Hello, ProxyMessage, ServerMessage, Subscribe, configuration_client::ConfigurationClient,
        proxy_message, refusal, server_message,
    },
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time,
};
use tokio_rustls::TlsConnector;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{
    Streaming,
    transport::{Channel, Endpoint, Uri},
};

use super::{
    Timing,
    assembly::Assembly,
    backoff::Backoff,
    identity::read_identity,
    report::{Held, reports},
};
use crate::{PodIdentity, Transaction};

const CONNECT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Frames around a message of [`MAX_MESSAGE_BYTES`].
const FRAMING: usize = 4096;

pub(super) struct Event {
    pub(super) address: String,
    pub(super) task: u64,
    pub(super) kind: EventKind,
}

pub(super) enum EventKind {
    Connected { commands: mpsc::Sender<Command> },
    Welcome { replica: String, replicas: Vec<String> },
    Commit { transaction: Transaction, nonce: String },
    Ended { problem: String },
}

pub(super) enum Command {
    /// Asks for configuration.
    Subscribe(Vec<Subscribe>),
    /// The certificate changed.
    Reconnect,
}

/// What every stream needs.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) events: mpsc::Sender<Event>,
    pub(super) held: watch::Sender<Arc<Held>>,
    pub(super) timing: Timing,
    pub(super) pod: PodIdentity,
    pub(super) capabilities: Vec<String>,
    pub(super) server_name: String,
    pub(super) directory: PathBuf,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Connect(String),
    #[error("the stream ended: {0}")]
    Stream(String),
    #[error("the operator refuses the stream ({reason:?}): {message}")]
    Refused { reason: refusal::Reason, message: String },
    #[error("the channel certificate changed; connecting again")]
    Renewed,
    #[error("the client ends")]
    Obsolete,
}

impl Stream {
    /// Until it is aborted.
    pub(super) async fn run(self, address: String, task: u64) {
        let mut backoff = Backoff::new(self.timing.backoff_start, self.timing.backoff_limit);
        loop {
            let peer = Peer { stream: &self, address: &address, task };
            let end = peer.session(&mut backoff).await;
            let wait = match &end {
                End::Obsolete => return,
                End::Renewed => Duration::ZERO,
                End::Refused { .. } => self.timing.backoff_limit,
                End::Connect(_) | End::Stream(_) => backoff.next(),
            };
            let problem = format!("configuration server {address}: {end}");
            if !peer.tell(EventKind::Ended { problem }).await {
                return;
            }
            time::sleep(wait).await;
        }
    }
}

struct Peer<'a> {
    stream: &'a Stream,
    address: &'a str,
    task: u64,
}

impl Peer<'_> {
    async fn tell(&self, kind: EventKind) -> bool {
        let event = Event { address: self.address.to_owned(), task: self.task, kind };
        self.stream.events.send(event).await.is_ok()
    }

    async fn session(&self, backoff: &mut Backoff) -> End {
        let channel = match self.connect().await {
            Ok(channel) => channel,
            Err(problem) => return End::Connect(problem),
        };
        let mut held = self.stream.held.subscribe();
        let said = Arc::clone(&held.borrow_and_update());
        let (outbound, messages) = mpsc::channel(8);
        let greeting = tokio_stream::iter(self.hello(&said));
        let messages = greeting.chain(ReceiverStream::new(messages));
        let mut client = ConfigurationClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES + FRAMING);
        let inbound = match client.stream(messages).await {
            Ok(response) => response.into_inner(),
            Err(status) => return End::Stream(status.message().to_owned()),
        };
        let (commands, inbox) = mpsc::channel(4);
        if !self.tell(EventKind::Connected { commands }).await {
            return End::Obsolete;
        }
        let pump = Pump { peer: self, outbound, held, said, assembly: Assembly::default() };
        pump.run(inbound, inbox, backoff).await
    }

    fn hello(&self, held: &Held) -> Vec<ProxyMessage> {
        let mut reports = reports(&Held::default(), held, "").into_iter();
        let hello = Hello {
            schema_version: SCHEMA_VERSION,
            capabilities: self.stream.capabilities.clone(),
            pod_name: self.stream.pod.name.clone(),
            pod_uid: self.stream.pod.uid.clone(),
            proxy_version: env!("CARGO_PKG_VERSION").to_owned(),
            held: reports.next(),
        };
        let hello = proxy_message::Kind::Hello(hello);
        let kinds = std::iter::once(hello).chain(reports.map(proxy_message::Kind::Report));
        kinds.map(|kind| ProxyMessage { kind: Some(kind) }).collect()
    }

    async fn connect(&self) -> Result<Channel, String> {
        let identity = read_identity(&self.stream.directory).map_err(|error| error.to_string())?;
        let name: ServerName<'static> = ServerName::try_from(self.stream.server_name.clone())
            .map_err(|error| format!("serverName {:?}: {error}", self.stream.server_name))?;
        let address = self.address.to_owned();
        let connector = tower::service_fn(move |_: Uri| {
            let (identity, name, address) = (Arc::clone(&identity), name.clone(), address.clone());
            async move {
                let tcp = TcpStream::connect(&address).await?;
                tcp.set_nodelay(true)?;
                let tls = TlsConnector::from(identity).connect(name, tcp).await?;
                Ok::<_, io::Error>(TokioIo::new(tls))
            }
        });
        let endpoint = Endpoint::from_static("http://gatefleet.channel")
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(CONNECT)
            .keep_alive_while_idle(true);
        match time::timeout(CONNECT, endpoint.connect_with_connector(connector)).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(innermost(&error)),
            Err(_) => Err(format!("no answer within {} s", CONNECT.as_secs())),
        }
    }
}

/// tonic's own text is "transport error"; the cause says more.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

struct Pump<'a> {
    peer: &'a Peer<'a>,
    outbound: mpsc::Sender<ProxyMessage>,
    held: watch::Receiver<Arc<Held>>,
    /// What the server was told.
    said: Arc<Held>,
    assembly: Assembly,
}

impl Pump<'_> {
    async fn run(
        mut self,
        mut inbound: Streaming<ServerMessage>,
        mut inbox: mpsc::Receiver<Command>,
        backoff: &mut Backoff,
    ) -> End {
        loop {
            let step = tokio::select! {
                message = inbound.message() => match message {
                    Ok(Some(message)) => self.take(message, backoff).await,
                    Ok(None) => Err(End::Stream("the operator closed it".to_owned())),
                    Err(status) => Err(End::Stream(status.message().to_owned())),
                },
                command = inbox.recv() => match command {
                    None => Err(End::Obsolete),
                    Some(Command::Reconnect) => Err(End::Renewed),
                    Some(Command::Subscribe(messages)) => self.subscribe(messages).await,
                },
                changed = self.held.changed() => match changed {
                    Ok(()) => self.report().await,
                    Err(_) => Err(End::Obsolete),
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn take(&mut self, message: ServerMessage, backoff: &mut Backoff) -> Result<(), End> {
        let broken = |error: super::assembly::AssemblyError| End::Stream(error.to_string());
        match message.kind {
            Some(server_message::Kind::Welcome(welcome)) => {
                if welcome.schema_version != SCHEMA_VERSION {
                    let theirs = welcome.schema_version;
                    return Err(End::Stream(format!(
                        "the operator speaks schema {theirs}, this proxy {SCHEMA_VERSION}"
                    )));
                }
                backoff.reset();
                let (replica, replicas) = (welcome.replica, welcome.replicas);
                self.tell(EventKind::Welcome { replica, replicas }).await
            }
            Some(server_message::Kind::Delta(delta)) => self.assembly.delta(delta).map_err(broken),
            Some(server_message::Kind::Fragment(fragment)) => {
                self.assembly.fragment(&fragment).map_err(broken)
            }
            Some(server_message::Kind::Commit(commit)) => {
                let (transaction, nonce) = self.assembly.commit(commit).map_err(broken)?;
                self.tell(EventKind::Commit { transaction, nonce }).await
            }
            Some(server_message::Kind::Refusal(refusal)) => {
                Err(End::Refused { reason: refusal.reason(), message: refusal.message })
            }
            // From a newer operator; what this build must understand stands behind a schema version.
            None => Ok(()),
        }
    }

    async fn tell(&self, kind: EventKind) -> Result<(), End> {
        if self.peer.tell(kind).await { Ok(()) } else { Err(End::Obsolete) }
    }

    async fn subscribe(&self, messages: Vec<Subscribe>) -> Result<(), End> {
        for message in messages {
            self.send(proxy_message::Kind::Subscribe(message)).await?;
        }
        Ok(())
    }

    async fn report(&mut self) -> Result<(), End> {
        let held = Arc::clone(&self.held.borrow_and_update());
        let commit = held.commit.as_ref().filter(|(address, _)| address == self.peer.address);
        let nonce = commit.map(|(_, nonce)| nonce.as_str()).unwrap_or_default();
        let flags = |held: &Held| (held.ready, held.regressed);
        let same_flags = flags(&self.said) == flags(&held);
        for report in reports(&self.said, &held, nonce) {
            let empty = report.outcomes.is_empty() && report.removed.is_empty();
            if empty && nonce.is_empty() && same_flags {
                continue;
            }
            self.send(proxy_message::Kind::Report(report)).await?;
        }
        self.said = held;
        Ok(())
    }

    async fn send(&self, kind: proxy_message::Kind) -> Result<(), End> {
        let sent = self.outbound.send(ProxyMessage { kind: Some(kind) }).await;
        sent.map_err(|_closed| End::Stream("the operator closed it".to_owned()))
    }
}
