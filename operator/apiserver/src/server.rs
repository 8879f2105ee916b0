//! The server as a whole: its state, its lock, and the way from a request to a verb.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use http::{Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use serde_json::json;

use crate::{
    body::{self, Reply},
    error::{Answer, Failure},
    registry::Registry,
    request::{Form, Params, Route, parse_accept, parse_route},
    store::Store,
    verbs,
};

/// Largest request body, as in Kubernetes.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// How an [`ApiServer`] behaves.
#[derive(Clone)]
pub struct Options {
    /// IPv4 network, as (address, prefix length), from which Services get their `clusterIP`.
    /// Default: 10.96.0.0/16. Local mode gives a loopback network.
    pub service_network: (std::net::Ipv4Addr, u8),
    /// First and last port for `nodePort`. Default: 30000 to 32767.
    pub node_ports: (u16, u16),
    /// How many changes of each resource a watch can catch up with. Default: 4096.
    pub history: usize,
    /// How often a watch that asked for bookmarks gets one. Default: one minute.
    pub bookmark_interval: Duration,
    /// Where `pods/log` comes from. Default: nowhere, every pod's log is empty.
    pub pod_logs: Option<Arc<dyn PodLogs>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service_network: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
            node_ports: (30000, 32767),
            history: 4096,
            bookmark_interval: Duration::from_mins(1),
            pod_logs: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("service_network", &self.service_network)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// What `kubectl logs` asks for (`core/v1` `PodLogOptions`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Container; the only one, or the first, if absent.
    pub container: Option<String>,
    /// Go on after the last line?
    pub follow: bool,
    /// The container before the last restart?
    pub previous: bool,
    /// Put the time before each line?
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail_lines: Option<u64>,
    /// Only lines of the last so many seconds.
    pub since_seconds: Option<u64>,
    /// Only so many bytes.
    pub limit_bytes: Option<u64>,
}

/// Gives the logs of containers.
pub trait PodLogs: Send + Sync + 'static {
    /// Opens a log. The text of an error is shown to the user.
    fn open(
        &self,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Bytes>, String>>;
}

/// The embedded API server. Clones share everything.
#[derive(Clone)]
pub struct ApiServer {
    shared: Arc<Shared>,
}

/// What all clones, connections and watches share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Told after each write; carries the store's revision.
    pub(crate) revision: tokio::sync::watch::Sender<u64>,
    pub(crate) options: Options,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) options: Options,
}

impl Shared {
    /// Takes the lock. A panic in another request must not end the server.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write and tells the watches.
    pub(crate) fn write<T>(&self, write: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = write(&mut state);
        let revision = state.store.revision();
        drop(state);
        self.revision.send_if_modified(|told| {
            let newer = *told < revision;
            *told = revision.max(*told);
            newer
        });
        result
    }
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("revision", &*self.shared.revision.borrow()).finish()
    }
}

impl ApiServer {
    /// A server with the namespaces and objects that every cluster has, and nothing else.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let mut state = State {
            store: Store::new(options.history),
            registry: Registry::new(),
            options: options.clone(),
        };
        verbs::seed(&mut state);
        let revision = tokio::sync::watch::Sender::new(state.store.revision());
        Self { shared: Arc::new(Shared { state: Mutex::new(state), revision, options }) }
    }

    /// A client that calls the server without a socket. Its default namespace is `default`.
    #[must_use]
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// Forgets all history, as etcd's compaction does: watches and lists from older revisions get 410 `Expired`.
    pub fn compact(&self) {
        self.shared.lock().store.compact();
    }
}

impl<B> tower::Service<Request<B>> for ApiServer
where
    B: hyper::body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Reply;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Reply, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let answer = match collect(body).await {
                Ok(bytes) => answer(&shared, &parts, &bytes).await,
                Err(failure) => Err(failure),
            };
            Ok(answer.unwrap_or_else(|failure| body::failure(&failure)))
        })
    }
}

async fn collect<B>(body: B) -> Answer<Bytes>
where
    B: hyper::body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Failure::too_large(MAX_BODY))
        }
        Err(error) => Err(Failure::bad_request(format!("unable to read the request: {error}"))),
    }
}

async fn answer(shared: &Arc<Shared>, parts: &Parts, bytes: &Bytes) -> Answer<Reply> {
    let route = parse_route(parts.uri.path());
    let form = parse_accept(header_text(parts, &header::ACCEPT));
    if let Route::Target(target) = &route {
        let call = verbs::Call {
            method: parts.method.clone(),
            target: target.clone(),
            params: Params::parse(parts.uri.query().unwrap_or_default()),
            form,
            media: header_text(parts, &header::CONTENT_TYPE).to_owned(),
            agent: header_text(parts, &header::USER_AGENT).to_owned(),
            bytes: bytes.clone(),
        };
        return verbs::run(shared, call).await;
    }
    if parts.method != Method::GET && parts.method != Method::HEAD {
        return Err(Failure::method_not_allowed());
    }
    match route {
        Route::Health => Ok(body::text("ok")),
        Route::Version => Ok(body::json(StatusCode::OK, &version())),
        _ => discovery(shared, &route, form),
    }
}

fn discovery(shared: &Shared, route: &Route, form: Form) -> Answer<Reply> {
    let state = shared.lock();
    crate::discovery::answer(&state.registry, route, form)
}

/// The text of a header, empty if absent or not text.
fn header_text<'a>(parts: &'a Parts, name: &header::HeaderName) -> &'a str {
    parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

fn version() -> serde_json::Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": concat!("v1.36.3-gatefleet.", env!("CARGO_PKG_VERSION")),
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none", "compiler": "rustc", "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}
