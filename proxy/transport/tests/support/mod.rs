//! A data path with real sockets around it: backends that count, snapshots as text, certificates.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot be set up has failed"
)]
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use gatefleet_channel::{EffectiveSet, Engine, Entry, Refusals};
use gatefleet_snapshot::{read_snapshot, v1::Resource};
use gatefleet_transport::{DataPath, Options, compile::Compiled};
use serde_json::{Value, json};

/// A data path with two threads that is told resources as JSON, keeping what did not change, as the ledger does.
pub(crate) struct Proxy {
    pub(crate) path: DataPath,
    entries: Mutex<Vec<(Arc<Resource>, Arc<Compiled>)>>,
}

impl Proxy {
    pub(crate) fn start() -> Self {
        Self::start_with(Box::new(io::sink()))
    }

    pub(crate) fn start_with(log: Box<dyn Write + Send>) -> Self {
        let threads = NonZeroUsize::new(2).unwrap();
        let bind = Some(Ipv4Addr::LOCALHOST.into());
        let path = DataPath::start(Options { threads, bind }, log).unwrap();
        Self { path, entries: Mutex::default() }
    }

    /// Serves these resources and nothing else.
    pub(crate) async fn try_serve(&self, resources: &[Value]) -> Result<(), Refusals> {
        let snapshot = json!({ "schemaVersion": 1, "resources": resources }).to_string();
        let snapshot = read_snapshot(snapshot.as_bytes()).expect("a snapshot");
        let mut entries = Vec::new();
        for resource in snapshot.resources {
            let before = self.entries.lock().unwrap();
            let known = before.iter().find(|(r, _)| **r == resource).cloned();
            drop(before);
            let entry = if let Some(known) = known {
                known
            } else {
                let refusal = |problem| Refusals::from([(resource.name.clone(), problem)]);
                let compiled = self.path.compile(&resource).map_err(refusal)?;
                (Arc::new(resource), Arc::new(compiled))
            };
            entries.push(entry);
        }
        let set: EffectiveSet<Compiled> = entries
            .iter()
            .map(|(resource, compiled)| {
                let (resource, compiled) = (Arc::clone(resource), Arc::clone(compiled));
                (Arc::from(&*resource.name), Entry { resource, compiled })
            })
            .collect();
        self.path.swap(set).await?;
        *self.entries.lock().unwrap() = entries;
        Ok(())
    }

    pub(crate) async fn serve(&self, resources: &[Value]) {
        self.try_serve(resources).await.expect("resources are served");
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (IpAddr::from(Ipv4Addr::LOCALHOST), port).into()
}

pub(crate) fn http(port: u16) -> Value {
    json!({ "name": format!("listener/http-{port}"),
        "listener": { "owner": "Tier", "scope": "tier", "bindPort": port, "protocol": "HTTP" } })
}

pub(crate) fn https(port: u16, tls: &Value) -> Value {
    json!({ "name": format!("listener/https-{port}"), "listener": { "owner": "Tier", "scope": "tier",
        "bindPort": port, "protocol": "HTTPS", "tls": tls } })
}

/// Everything below `prefix` of every host goes to `backend`.
pub(crate) fn route(name: &str, host: &str, backend: &str) -> Value {
    let hostname = if host.is_empty() {
        json!({ "kind": "ANY" })
    } else {
        json!({ "kind": "EXACT", "name": host })
    };
    json!({ "name": format!("virtual-host/tier/{name}"), "virtualHost": {
        "scope": "tier", "hostname": hostname,
        "rules": [{ "name": format!("Ingress/test/{name}/0"),
            "forward": { "backends": [{ "weight": 1, "backend": format!("backend/{backend}") }] },
            "retry": { "attempts": 2, "connectFailure": true, "reset": true } }],
        "matches": [{ "rule": 0, "path": { "prefix": "/" } }] } })
}

/// A backend and its endpoints.
pub(crate) fn backend(name: &str, endpoints: &[SocketAddr]) -> [Value; 2] {
    let endpoints: Vec<Value> = endpoints
        .iter()
        .map(|address| json!({ "addresses": [address.ip()], "port": address.port() }))
        .collect();
    [
        json!({ "name": format!("backend/{name}"),
            "backend": { "endpoints": format!("endpoints/{name}") } }),
        json!({ "name": format!("endpoints/{name}"), "endpoints": { "endpoints": endpoints } }),
    ]
}

/// What one port serves from these endpoints.
pub(crate) fn simple(port: u16, endpoints: &[SocketAddr]) -> Vec<Value> {
    let mut resources = vec![http(port), route("all", "", "b")];
    resources.extend(backend("b", endpoints));
    resources
}

/// A backend of plain threads that counts; its answer is its name.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
}

#[derive(Default)]
pub(crate) struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
    open: Mutex<Vec<TcpStream>>,
}

/// How a backend behaves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Manners {
    /// Before each answer.
    pub(crate) delay: Duration,
    /// Before a connection is accepted.
    pub(crate) accept_delay: Duration,
}

impl Backend {
    pub(crate) fn start(name: &'static str) -> Self {
        Self::start_with(name, Manners::default())
    }

    pub(crate) fn start_with(name: &'static str, manners: Manners) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::new(Counts::default());
        let stop = Arc::new(AtomicBool::new(false));
        let (counted, stopped) = (Arc::clone(&counts), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                thread::sleep(manners.accept_delay);
                let stream = stream.unwrap();
                counted.connections.fetch_add(1, Ordering::SeqCst);
                counted.open.lock().unwrap().push(stream.try_clone().unwrap());
                let counts = Arc::clone(&counted);
                thread::spawn(move || answer(stream, name, manners, &counts));
            }
        });
        Self { address, counts, stop }
    }

    /// Connections ever accepted.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Closes all connections and listens no more.
    pub(crate) fn kill(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the accept, which then drops the listener.
        drop(TcpStream::connect(self.address));
        let deadline = Instant::now() + Duration::from_secs(5);
        while TcpStream::connect(self.address).is_ok() {
            assert!(Instant::now() < deadline, "the backend did not end");
        }
        self.hang_up();
    }

    /// Closes all connections that are open now.
    pub(crate) fn hang_up(&self) {
        for stream in self.counts.open.lock().unwrap().drain(..) {
            drop(stream.shutdown(std::net::Shutdown::Both));
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn answer(mut stream: TcpStream, name: &str, manners: Manners, counts: &Counts) {
    stream.set_nodelay(true).unwrap();
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    loop {
        while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&bytes[..read]),
            }
        }
        seen.clear();
        counts.requests.fetch_add(1, Ordering::SeqCst);
        thread::sleep(manners.delay);
        let mut head = String::from("HTTP/1.1 200 OK\r\n");
        write!(head, "content-length: {}\r\n\r\n{name}", name.len()).unwrap();
        if stream.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

/// A certificate authority and what it signed.
pub(crate) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: rcgen::Issuer::new(params, key), pem }
    }

    /// A leaf for these names: chain and key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, &rcgen::KeyPair::generate().unwrap())
    }

    pub(crate) fn issue_with(&self, names: &[&str], key: &rcgen::KeyPair) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let leaf = rcgen::CertificateParams::new(names).unwrap();
        let leaf = leaf.signed_by(key, &self.issuer).unwrap();
        (leaf.pem(), key.serialize_pem())
    }
}

pub(crate) fn certificate(name: &str, (chain, key): &(String, String)) -> Value {
    json!({ "name": format!("certificate/{name}"),
        "certificate": { "chain": chain, "privateKey": key } })
}

/// Waits for something that happens soon.
pub(crate) async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !happened() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Begins something blocking beside the runtime.
pub(crate) fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> {
    let begun = tokio::task::spawn_blocking(work);
    async { begun.await.unwrap() }
}

/// Keeps what is written.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
