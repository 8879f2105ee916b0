//! The real engine between an in-memory client and scripted backends.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "shared by several test binaries"
)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gatefleet_http::{
    Checkout, CompiledPolicy, ConnectError, ConnectionInfo, Drain, Engine, Failure, Lease,
    Observer, Report, RequestSummary, Resolve, Settings, TableBuilder, Upstream, Upstreams,
    compile, h1::Client, serve_connection,
};
use gatefleet_snapshot::v1;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

pub type Script =
    Arc<dyn Fn(DuplexStream, usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// One endpoint: what it does with each connection; `None`: it refuses.
#[derive(Clone, Default)]
pub struct Endpoint(pub Option<Script>);

/// Endpoints by backend name, and what was asked of them.
#[derive(Default)]
pub struct Backends {
    pub by_name: HashMap<String, Vec<Endpoint>>,
    pub connects: AtomicUsize,
    pub asks: Mutex<Vec<(String, Checkout)>>,
    pub reports: Mutex<Vec<Report>>,
    pub pooling: bool,
    pool: Mutex<Vec<(String, Lease<Client<DuplexStream>>)>>,
    turn: AtomicUsize,
}

impl Backends {
    pub fn with(mut self, name: &str, endpoints: Vec<Endpoint>) -> Self {
        self.by_name.insert(name.into(), endpoints);
        self
    }

    pub fn pooled(mut self) -> Self {
        self.pooling = true;
        self
    }

    pub fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], u16::try_from(1000 + index).unwrap()))
    }
}

impl Upstreams for Backends {
    type Backend = String;
    type Connection = Client<DuplexStream>;

    fn has_endpoints(&self, backend: &String) -> bool {
        self.by_name.get(backend).is_some_and(|endpoints| !endpoints.is_empty())
    }

    async fn checkout(
        &self,
        backend: &String,
        ask: &Checkout,
    ) -> Result<Lease<Client<DuplexStream>>, ConnectError> {
        self.asks.lock().unwrap().push((backend.clone(), *ask));
        if !ask.fresh {
            let mut pool = self.pool.lock().unwrap();
            if let Some(at) = pool.iter().position(|(name, _)| name == backend) {
                let (_, mut lease) = pool.remove(at);
                lease.reused = true;
                return Ok(lease);
            }
        }
        let endpoints = self.by_name.get(backend).ok_or(ConnectError::NoEndpoints)?;
        let mut candidates: Vec<usize> = (0..endpoints.len()).collect();
        let is_fresh = |index: &usize| !ask.avoid.contains(Self::address(*index));
        if candidates.iter().any(is_fresh) {
            candidates.retain(is_fresh);
        }
        if candidates.is_empty() {
            return Err(ConnectError::NoEndpoints);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let index = candidates[turn % candidates.len()];
        let endpoint = Self::address(index);
        let Some(script) = &endpoints[index].0 else {
            return Err(ConnectError::Failed { endpoint });
        };
        let number = self.connects.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = duplex(64 * 1024);
        tokio::spawn(script(theirs, number));
        Ok(Lease { connection: Client::new(ours), endpoint, reused: false })
    }

    fn checkin(&self, backend: &String, lease: Lease<Client<DuplexStream>>, report: &Report) {
        self.reports.lock().unwrap().push(*report);
        if self.pooling && lease.connection.is_reusable() {
            self.pool.lock().unwrap().push((backend.clone(), lease));
        }
    }
}

/// Names resolve to themselves; policies are compiled from `policies`.
pub struct Names(pub HashMap<String, Arc<CompiledPolicy>>);

impl Resolve<String> for Names {
    fn backend(&self, name: &str) -> Option<String> {
        (!name.starts_with("missing")).then(|| name.to_owned())
    }
    fn policy(&self, name: &str) -> Option<Arc<CompiledPolicy>> {
        self.0.get(name).cloned()
    }
}

/// One summary, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub rule: String,
    pub backend: String,
    pub status: u16,
    pub failure: Option<Failure>,
    pub reason: String,
    pub body_in: u64,
    pub body_out: u64,
    pub attempts: u32,
    pub method: String,
    pub target: String,
    pub host: String,
    pub client: String,
}

#[derive(Default)]
pub struct Log(pub Mutex<Vec<Seen>>);

impl Observer for Log {
    fn request_ended(&self, summary: &RequestSummary<'_>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.lock().unwrap().push(Seen {
            rule: summary.rule.into(),
            backend: summary.backend.into(),
            status: summary.status,
            failure: summary.failure,
            reason: summary.reason.into(),
            body_in: summary.body_in,
            body_out: summary.body_out,
            attempts: summary.attempts,
            method: text(summary.method),
            target: text(summary.target),
            host: text(summary.host),
            client: summary.client.to_string(),
        });
    }
}

/// The engine with everything around it.
pub struct Harness {
    pub engine: Arc<Engine<String>>,
    pub backends: Arc<Backends>,
    pub log: Arc<Log>,
    pub drain: Drain,
    pub info: ConnectionInfo,
}

pub fn info() -> ConnectionInfo {
    ConnectionInfo {
        peer: "192.0.2.7:4711".parse().unwrap(),
        local: "192.0.2.1:80".parse().unwrap(),
        scope: "tier".into(),
        listener: "listener/http".into(),
        advertised_port: 80,
        advertised: Default::default(),
        tls: None,
    }
}

/// Compiles virtual hosts (JSON or built by hand) into an engine.
pub fn engine(settings: Settings, hosts: &[v1::VirtualHost], names: &Names) -> Engine<String> {
    let mut builder = TableBuilder::new(settings);
    for host in hosts {
        let compiled = compile::compile_virtual_host(host).unwrap();
        builder.add(&Arc::new(compiled), names);
    }
    Engine::new(builder.build())
}

impl Harness {
    pub fn new(hosts: &[v1::VirtualHost], backends: Backends) -> Self {
        Self::with(Settings::default(), hosts, backends, HashMap::new())
    }

    pub fn with(
        settings: Settings,
        hosts: &[v1::VirtualHost],
        backends: Backends,
        policies: HashMap<String, Arc<CompiledPolicy>>,
    ) -> Self {
        Self {
            engine: Arc::new(engine(settings, hosts, &Names(policies))),
            backends: Arc::new(backends),
            log: Arc::default(),
            drain: Drain::new(),
            info: info(),
        }
    }

    /// A client's end of a new connection.
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = duplex(64 * 1024);
        let (engine, backends) = (Arc::clone(&self.engine), Arc::clone(&self.backends));
        let (log, drain, info) = (Arc::clone(&self.log), self.drain.clone(), self.info.clone());
        tokio::spawn(async move {
            serve_connection(server, &info, &engine, &*backends, &*log, &drain).await;
        });
        client
    }

    /// Sends bytes on a new connection and reads until the proxy closes or is silent for a while.
    pub async fn talk(&self, request: &[u8]) -> String {
        let mut client = self.connect();
        client.write_all(request).await.unwrap();
        read_quiet(&mut client).await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.log.0.lock().unwrap().clone()
    }
}

/// Reads until the end, or until nothing came for 150 ms.
pub async fn read_quiet(client: &mut DuplexStream) -> String {
    String::from_utf8_lossy(&read_quiet_bytes(client, Duration::from_millis(150)).await)
        .into_owned()
}

pub async fn read_quiet_bytes(client: &mut DuplexStream, quiet: Duration) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(Ok(count)) = timeout(quiet, client.read(&mut piece)).await {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&piece[..count]);
    }
    all
}

/// Reads until the text has arrived.
pub async fn read_to(client: &mut DuplexStream, text: &str) -> String {
    let mut all = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while !String::from_utf8_lossy(&all).contains(text) {
        let read = timeout(Duration::from_secs(5), client.read(&mut piece)).await;
        let count = read
            .unwrap_or_else(|_| {
                panic!("waiting for {text:?}, got {:?}", String::from_utf8_lossy(&all))
            })
            .unwrap();
        assert!(count > 0, "closed before {text:?}: {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(all).unwrap()
}

/// An endpoint that reads one head and body at a time and answers with `answer(request)`.
pub fn answering(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Endpoint {
    let answer = Arc::new(answer);
    Endpoint(Some(Arc::new(move |mut io, _| {
        let answer = Arc::clone(&answer);
        Box::pin(async move {
            let mut held = Vec::new();
            while let Some(request) = read_message(&mut io, &mut held).await {
                if io.write_all(answer(&request).as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    })))
}

/// An endpoint that answers 200 with the head and body that it got.
pub fn echo() -> Endpoint {
    answering(ok)
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One request by naive framing; `None`: closed.
pub async fn read_message(io: &mut DuplexStream, held: &mut Vec<u8>) -> Option<String> {
    let mut piece = vec![0; 64 * 1024];
    loop {
        if let Some(length) = message_length(held) {
            let rest = held.split_off(length);
            let message = std::mem::replace(held, rest);
            return Some(String::from_utf8_lossy(&message).into_owned());
        }
        let count = io.read(&mut piece).await.ok()?;
        if count == 0 {
            return None;
        }
        held.extend_from_slice(&piece[..count]);
    }
}

fn message_length(held: &[u8]) -> Option<usize> {
    let body = held.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&held[..body]).to_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let end = held[body..].windows(5).position(|w| w == b"0\r\n\r\n");
        let with_trailers = held[body..].windows(4).rposition(|w| w == b"\r\n\r\n");
        return end.map(|at| body + at + 5).or_else(|| {
            let at = with_trailers?;
            held[body..body + at].windows(3).any(|w| w == b"0\r\n").then_some(body + at + 4)
        });
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |value| value.trim().parse::<usize>().unwrap());
    (held.len() >= body + length).then_some(body + length)
}

// ---- snapshot pieces --------------------------------------------------------------------------------

pub fn any_host(rules: Vec<v1::Rule>, matches: Vec<v1::Match>) -> v1::VirtualHost {
    v1::VirtualHost {
        scope: "tier".into(),
        hostname: Some(v1::HostPattern::default()),
        rules,
        matches,
    }
}

/// Everything goes to backend "b".
pub fn catch_all() -> v1::VirtualHost {
    any_host(vec![forward_rule("all", "b")], vec![prefix(0, "/")])
}

pub fn forward_rule(name: &str, backend: &str) -> v1::Rule {
    v1::Rule {
        name: name.into(),
        action: Some(v1::rule::Action::Forward(v1::Forward {
            backends: vec![weighted(backend, 1)],
            alternatives: vec![],
        })),
        ..v1::Rule::default()
    }
}

pub fn weighted(backend: &str, weight: u32) -> v1::WeightedBackend {
    v1::WeightedBackend {
        weight,
        target: Some(v1::weighted_backend::Target::Backend(backend.into())),
        filters: vec![],
    }
}

pub fn prefix(rule: u32, path: &str) -> v1::Match {
    v1::Match {
        rule,
        path: Some(v1::PathMatch { kind: Some(v1::path_match::Kind::Prefix(path.into())) }),
        ..v1::Match::default()
    }
}
