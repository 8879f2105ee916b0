//! Servers, proxies and raw peers on loopback with real certificates.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use gatefleet_channel::{
    Bootstrap, ChannelState, EffectiveSet, Engine, Outcome, PodIdentity, Refusals, Timing,
    run_client_with,
};
use gatefleet_distribute::{
    ChannelAuthority, Holdings, IssuedLeaf, ProxyHoldings, Publisher, Replica, TierConfiguration,
    serve,
};
use gatefleet_names::{FleetKey, Tier, TierKey};
use gatefleet_snapshot::{
    ResourceKind, SCHEMA_VERSION, seal,
    v1::{
        Backend, BackendTls, Endpoint, Endpoints, Hello, ProxyMessage, Resource, ServerMessage,
        TrustBundle, Watermark, configuration_client::ConfigurationClient, proxy_message,
        resource::Body, server_message,
    },
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{AbortHandle, JoinHandle},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Endpoint as Peer};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn tier(name: &str) -> TierKey {
    FleetKey::new("edge", name).tier(Tier::NorthSouth)
}

/// A backend that is refused by [`TestEngine`] when its address starts with `bad`.
pub fn backend(name: &str, address: &str) -> Resource {
    let body = Backend { dns: address.to_owned(), ..Backend::default() };
    seal(format!("backend/{name}"), Body::Backend(body))
}

/// A backend that names a trust bundle.
pub fn trusting(name: &str, address: &str, bundle: &str) -> Resource {
    let tls = BackendTls { trust_bundles: vec![bundle.to_owned()], ..BackendTls::default() };
    let body = Backend { dns: address.to_owned(), tls: Some(tls), ..Backend::default() };
    seal(format!("backend/{name}"), Body::Backend(body))
}

pub fn bundle(name: &str, content: &str) -> Resource {
    let body = TrustBundle { certificates: content.to_owned() };
    seal(format!("trust-bundle/{name}"), Body::TrustBundle(body))
}

pub fn endpoints(name: &str, count: usize) -> Resource {
    let endpoint = |index: usize| Endpoint {
        addresses: vec![format!("10.0.{}.{}", index / 256, index % 256)],
        port: 8080,
        ..Endpoint::default()
    };
    let body = Endpoints { endpoints: (0..count).map(endpoint).collect() };
    seal(format!("endpoints/{name}"), Body::Endpoints(body))
}

pub fn configuration(resources: Vec<Resource>, version: u64) -> TierConfiguration {
    TierConfiguration::new(resources.into_iter().map(Arc::new), mark(version))
}

pub fn mark(version: u64) -> Vec<Watermark> {
    let kind = "Ingress.networking.k8s.io".to_owned();
    vec![Watermark { kind, resource_version: version.to_string() }]
}

/// Refuses what says `bad`, cannot install what says `busy` while told so, remembers what it serves.
#[derive(Debug, Default)]
pub struct TestEngine {
    pub served: Mutex<BTreeMap<String, String>>,
    pub compiled: AtomicUsize,
    pub swaps: AtomicUsize,
    pub busy: Mutex<BTreeSet<String>>,
}

impl TestEngine {
    /// Name to version of all that is served.
    pub fn serves(&self) -> BTreeMap<String, String> {
        self.served.lock().unwrap().clone()
    }
}

const CAPABILITIES: [&str; 1] = [gatefleet_snapshot::capability::BACKEND_DNS];

impl Engine for TestEngine {
    type Compiled = ();

    fn capabilities(&self) -> &[&'static str] {
        &CAPABILITIES
    }

    fn compile(&self, resource: &Resource) -> Result<(), String> {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let text = match resource.body.as_ref().unwrap() {
            Body::Backend(backend) => &backend.dns,
            Body::TrustBundle(bundle) => &bundle.certificates,
            _ => "",
        };
        assert!(!text.starts_with("panic"), "a defect of the engine");
        if text.starts_with("bad") { Err(format!("{text:?} is no address")) } else { Ok(()) }
    }

    async fn swap(&self, set: EffectiveSet<()>) -> Result<(), Refusals> {
        self.swaps.fetch_add(1, Ordering::Relaxed);
        let busy = self.busy.lock().unwrap().clone();
        let refusals: Refusals = set
            .of_kind(ResourceKind::Backend)
            .filter(|(_, entry)| busy.contains(&entry.resource.version))
            .map(|(name, _)| (name.to_owned(), "the port is in use".to_owned()))
            .collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
        let served = set.iter().map(|(name, e)| (name.to_owned(), e.resource.version.clone()));
        *self.served.lock().unwrap() = served.collect();
        Ok(())
    }
}

/// A loopback address that nobody else uses: no outgoing connection takes the port of a server that restarts.
fn own_address() -> IpAddr {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [low, high, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, high | 0x80, low, COUNT.fetch_add(1, Ordering::Relaxed)).into()
}

/// One operator's keys and directories.
pub struct World {
    pub directory: TempDir,
    server_authority: (String, String),
    authorities: BTreeMap<TierKey, ChannelAuthority>,
}

impl World {
    pub fn new(tiers: &[&TierKey]) -> Self {
        let now = SystemTime::now();
        let server = ChannelAuthority::generate("gatefleet servers", now).unwrap();
        let authority = |key: &&TierKey| {
            ((*key).clone(), ChannelAuthority::generate(&key.to_string(), now).unwrap())
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            server_authority: (server.certificate_pem().into(), server.key_pem().into()),
            authorities: tiers.iter().map(authority).collect(),
        }
    }

    pub fn authority(&self, tier: &TierKey) -> &ChannelAuthority {
        &self.authorities[tier]
    }

    pub fn leaf(&self, signer: &TierKey, subject: &TierKey) -> IssuedLeaf {
        self.authorities[signer].issue_client(subject, SystemTime::now()).unwrap()
    }

    /// Puts a tier's certificate where its proxies look for it.
    pub fn write_identity(&self, directory: &str, leaf: &IssuedLeaf) -> PathBuf {
        let directory = self.directory.path().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("tls.crt"), &leaf.certificate_pem).unwrap();
        std::fs::write(directory.join("tls.key"), &leaf.key_pem).unwrap();
        std::fs::write(directory.join("ca.crt"), &self.server_authority.0).unwrap();
        directory
    }

    pub async fn server(&self, name: &str) -> Server {
        self.server_at(name, SocketAddr::new(own_address(), 0), Publisher::default()).await
    }

    pub async fn server_at(&self, name: &str, at: SocketAddr, publisher: Publisher) -> Server {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        for (tier, authority) in &self.authorities {
            publisher.trust(tier, authority.certificate_pem()).unwrap();
        }
        let (certificate, key) = &self.server_authority;
        let authority = ChannelAuthority::from_pem(certificate, key).unwrap();
        let (replicas, receiver) = watch::channel(Vec::new());
        let replica = Replica { name: name.to_owned(), replicas: receiver };
        let task = tokio::spawn({
            let publisher = publisher.clone();
            async move { serve(listener, authority, publisher, replica).await.unwrap() }
        });
        Server { address, publisher, replicas, task }
    }

    pub fn proxy(&self, tier: &TierKey, uid: &str, servers: &[&Server]) -> Proxy {
        let addresses = servers.iter().map(|server| server.address.to_string()).collect();
        self.proxy_with(tier, uid, addresses, timing())
    }

    pub fn proxy_with(
        &self,
        tier: &TierKey,
        uid: &str,
        servers: Vec<String>,
        timing: Timing,
    ) -> Proxy {
        let bootstrap = Bootstrap {
            servers,
            server_name: gatefleet_distribute::SERVER_NAME.to_owned(),
            namespace: tier.fleet.namespace.clone(),
            fleet: tier.fleet.name.clone(),
            tier: tier.tier.to_string(),
            channel_dir: self.write_identity(uid, &self.leaf(tier, tier)),
            state_dir: self.directory.path().join(format!("state-{uid}")),
            state_bytes: 64 << 20,
        };
        let pod = PodIdentity { name: format!("pod-{uid}"), uid: uid.to_owned() };
        let engine = Arc::new(TestEngine::default());
        let (sender, state) = watch::channel(ChannelState::default());
        let client = run_client_with(bootstrap, pod, Arc::clone(&engine), sender, timing);
        let task = tokio::spawn(client).abort_handle();
        Proxy { engine, state, task }
    }

    /// A peer that speaks the protocol word by word, with any certificate.
    pub async fn raw(&self, server: &Server, leaf: &IssuedLeaf, uid: &str) -> Result<Raw, String> {
        let pem = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(pem(&self.server_authority.0)).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap();
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![pem(&leaf.certificate_pem)], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let (tls, address) = (Arc::new(tls), server.address);
        let connector = tower::service_fn(move |_: http::Uri| {
            let tls = tokio_rustls::TlsConnector::from(Arc::clone(&tls));
            async move {
                let name = ServerName::try_from(gatefleet_distribute::SERVER_NAME).unwrap();
                let tcp = TcpStream::connect(address).await?;
                Ok::<_, io::Error>(TokioIo::new(tls.connect(name, tcp).await?))
            }
        });
        let endpoint = Peer::from_static("http://gatefleet.channel");
        let channel =
            endpoint.connect_with_connector(connector).await.map_err(|e| format!("{e:?}"))?;
        let (outbound, messages) = mpsc::channel(8);
        let hello = Hello {
            schema_version: SCHEMA_VERSION,
            pod_name: format!("pod-{uid}"),
            pod_uid: uid.to_owned(),
            ..Hello::default()
        };
        let say = |kind| ProxyMessage { kind: Some(kind) };
        outbound.send(say(proxy_message::Kind::Hello(hello))).await.unwrap();
        let mut client = ConfigurationClient::new(channel).max_decoding_message_size(1 << 20);
        let inbound = client.stream(ReceiverStream::new(messages)).await;
        let inbound = inbound.map_err(|status| format!("{status:?}"))?.into_inner();
        Ok(Raw { outbound, inbound })
    }
}

pub fn timing() -> Timing {
    Timing {
        backoff_start: Duration::from_millis(20),
        backoff_limit: Duration::from_millis(100),
        look: Duration::from_millis(200),
        retry: Duration::from_millis(100),
        save: Duration::from_millis(10),
        ..Timing::default()
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub publisher: Publisher,
    pub replicas: watch::Sender<Vec<String>>,
    task: JoinHandle<()>,
}

impl Server {
    /// When it returns, its address is free.
    pub async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }

    /// Waits until what one proxy holds is so.
    pub async fn until_held(
        &self,
        tier: &TierKey,
        uid: &str,
        so: impl Fn(&ProxyHoldings) -> bool,
    ) -> Arc<ProxyHoldings> {
        let find = |holdings: &Holdings| holdings.tiers.get(tier)?.get(uid).cloned();
        let mut holdings = self.publisher.holdings();
        let fits = |holdings: &Arc<Holdings>| find(holdings).is_some_and(|proxy| so(&proxy));
        let found = timeout(PATIENCE, holdings.wait_for(fits)).await;
        let found = found.unwrap_or_else(|_| panic!("{:?}", self.publisher.holdings().borrow()));
        find(&found.unwrap()).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub struct Proxy {
    pub engine: Arc<TestEngine>,
    pub state: watch::Receiver<ChannelState>,
    task: AbortHandle,
}

impl Proxy {
    pub async fn until(&mut self, so: impl Fn(&ChannelState) -> bool) -> ChannelState {
        let found = timeout(PATIENCE, self.state.wait_for(|state| so(state))).await.map(|_| ());
        assert!(found.is_ok(), "{:?}", self.state.borrow());
        self.state.borrow().clone()
    }

    /// Waits until exactly these resources are served.
    pub async fn until_serves(&mut self, wanted: &[&Resource]) {
        let engine = Arc::clone(&self.engine);
        let wanted: BTreeMap<String, String> =
            wanted.iter().map(|r| (r.name.clone(), r.version.clone())).collect();
        self.until(|state| state.ready && engine.serves() == wanted).await;
    }

    pub fn outcome(&self, name: &str) -> Option<Outcome> {
        self.state.borrow().outcomes.get(name).cloned()
    }

    pub async fn stop(self) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub struct Raw {
    pub outbound: mpsc::Sender<ProxyMessage>,
    pub inbound: Streaming<ServerMessage>,
}

impl Raw {
    pub async fn say(&self, kind: proxy_message::Kind) {
        self.outbound.send(ProxyMessage { kind: Some(kind) }).await.unwrap();
    }

    /// The next message; `None` when the stream is over.
    pub async fn hear(&mut self) -> Option<server_message::Kind> {
        let message = timeout(PATIENCE, self.inbound.message()).await.unwrap();
        message.ok().flatten().and_then(|message| message.kind)
    }
}
