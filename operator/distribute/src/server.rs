//! The listener: TLS 1.3 with client certificates, HTTP/2, one service.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use gatefleet_names::TierKey;
use gatefleet_snapshot::v1::{
    ProxyMessage, ServerMessage,
    configuration_server::{Configuration, ConfigurationServer},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
    version::TLS13,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{AuthorityError, ChannelAuthority, Publisher, needs_renewal, session, trust::tier_of};

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Handshakes at a time; further connections wait in the kernel.
const HANDSHAKES: usize = 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Largest message from a proxy: reports come in parts of 1 MiB, with frames around them.
const MAX_FROM_PROXY: usize = 2 << 20;
/// Messages that wait for one proxy.
const QUEUE: usize = 2;

/// This replica of the operator.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its identity (its pod's name).
    pub name: String,
    /// `IP:PORT` of the channel of every replica, in ascending order; proxies open one stream to each. Empty:
    /// unknown, proxies stay with the addresses of their bootstrap.
    pub replicas: watch::Receiver<Vec<String>>,
}

/// Serves configuration until it is dropped; then every stream ends.
///
/// `authority` signs this replica's server certificates, which live in memory and are renewed in time; its
/// certificate is the `ca.crt` of every tier's channel Secret.
///
/// # Errors
///
/// When no server certificate can be made. A failing accept never ends it.
pub async fn serve(
    listener: TcpListener,
    authority: ChannelAuthority,
    publisher: Publisher,
    replica: Replica,
) -> Result<(), AuthorityError> {
    let acceptor = TlsAcceptor::from(server_config(authority, &publisher)?);
    let service = Service { publisher, replica };
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let mut connections = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else { return Ok(()) };
        let tcp = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (acceptor, service) = (acceptor.clone(), service.clone());
        match tcp {
            Ok((tcp, peer)) => {
                connections.spawn(async move {
                    let tls = shake_hands(&acceptor, tcp).await;
                    drop(permit);
                    match tls {
                        Ok((tls, tier)) => serve_connection(tls, tier, service).await,
                        Err(error) => tracing::debug!(%peer, error, "refuse channel connection"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept channel connection");
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

type Tls = tokio_rustls::server::TlsStream<TcpStream>;

async fn shake_hands(acceptor: &TlsAcceptor, tcp: TcpStream) -> Result<(Tls, TierKey), String> {
    tcp.set_nodelay(true).map_err(|error| error.to_string())?;
    let tls = time::timeout(HANDSHAKE, acceptor.accept(tcp)).await;
    let tls = tls.map_err(|_elapsed| "no handshake in time".to_owned())?;
    let tls = tls.map_err(|error| error.to_string())?;
    let certificates = tls.get_ref().1.peer_certificates();
    let tier = certificates.and_then(|chain| chain.first()).and_then(tier_of);
    let tier = tier.ok_or_else(|| "its certificate names no tier".to_owned())?;
    Ok((tls, tier))
}

async fn serve_connection(tls: Tls, tier: TierKey, service: Service) {
    let service = ConfigurationServer::new(service).max_decoding_message_size(MAX_FROM_PROXY);
    let service = tower::ServiceExt::map_request(
        service,
        move |mut request: http::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(tier.clone());
            request
        },
    );
    let mut http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(HANDSHAKE)
        .max_concurrent_streams(4);
    let served = http2.serve_connection(TokioIo::new(tls), TowerToHyperService::new(service)).await;
    if let Err(error) = served {
        tracing::debug!(%error, "channel connection ended");
    }
}

#[derive(Clone)]
struct Service {
    publisher: Publisher,
    replica: Replica,
}

#[tonic::async_trait]
impl Configuration for Service {
    type StreamStream = ReceiverStream<Result<ServerMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ProxyMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let tier = request.extensions().get::<TierKey>().cloned();
        let tier = tier.ok_or_else(|| Status::unauthenticated("no tier in the certificate"))?;
        let (outbound, messages) = mpsc::channel(QUEUE);
        let (publisher, replica) = (self.publisher.clone(), self.replica.clone());
        tokio::spawn(session::run(publisher, replica, tier, request.into_inner(), outbound));
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

fn server_config(
    authority: ChannelAuthority,
    publisher: &Publisher,
) -> Result<Arc<ServerConfig>, AuthorityError> {
    let wrong = |error: rustls::Error| AuthorityError::Read(error.to_string());
    let certificate = ServerCertificate::new(authority, SystemTime::now())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(wrong)?
        .with_client_cert_verifier(publisher.verifier())
        .with_cert_resolver(Arc::new(certificate));
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A resumed session would skip the look at who vouches for the peer today.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// This replica's certificate, made anew in memory when it gets old.
#[derive(Debug)]
struct ServerCertificate {
    authority: ChannelAuthority,
    current: Mutex<(String, Arc<CertifiedKey>)>,
}

impl ServerCertificate {
    fn new(authority: ChannelAuthority, now: SystemTime) -> Result<Self, AuthorityError> {
        let current = issue(&authority, now)?;
        Ok(Self { authority, current: Mutex::new(current) })
    }
}

fn issue(
    authority: &ChannelAuthority,
    now: SystemTime,
) -> Result<(String, Arc<CertifiedKey>), AuthorityError> {
    let wrong = |problem: String| AuthorityError::Read(problem);
    let leaf = authority.issue_server(now)?;
    let chain = CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes())
        .map_err(|error| wrong(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes())
        .map_err(|error| wrong(error.to_string()))?;
    let key = CertifiedKey::from_der(vec![chain], key, &aws_lc_rs::default_provider())
        .map_err(|error| wrong(error.to_string()))?;
    Ok((leaf.certificate_pem, Arc::new(key)))
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = SystemTime::now();
        if needs_renewal(&current.0, now) {
            match issue(&self.authority, now) {
                Ok(renewed) => *current = renewed,
                Err(error) => tracing::warn!(%error, "renew server certificate"),
            }
        }
        Some(Arc::clone(&current.1))
    }
}
