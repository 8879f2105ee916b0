//! Small HTTP servers for operations, on hyper.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};

/// Why a port of operations cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperationsError {
    #[error("open the {0} port: {1} is in use; stop what listens there or choose another with {2}")]
    InUse(&'static str, SocketAddr, &'static str),
    #[error("open the {0} port at {1}: {2}; choose another with {3} or --bind")]
    Other(&'static str, SocketAddr, io::Error, &'static str),
    #[error("ask the proxy at {0}: {1}; name the directory of its socket with --state-dir")]
    Socket(std::path::PathBuf, io::Error),
}

/// Connections wait this long for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause when accepting fails, say for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Opens a port; `[::]` becomes `0.0.0.0` where the kernel has no IPv6.
pub(crate) fn bind(
    name: &'static str,
    address: SocketAddr,
    flag: &'static str,
) -> Result<TcpListener, OperationsError> {
    let opened = match listen(address) {
        Err(error)
            if address.ip().is_unspecified() && error.raw_os_error() == Some(EAFNOSUPPORT) =>
        {
            listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
        }
        opened => opened,
    };
    let opened = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => OperationsError::InUse(name, address, flag),
        _ => OperationsError::Other(name, address, error, flag),
    })?;
    if let Ok(address) = opened.local_addr() {
        tracing::info!(%address, "{name} port is open");
    }
    Ok(opened)
}

/// `socket(2)`: the kernel does not know the address family.
const EAFNOSUPPORT: i32 = 97;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(128)?;
    TcpListener::from_std(socket.into())
}

/// Opens a socket file that only its owner may use. One that a former process left is replaced.
pub(crate) fn bind_socket(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// Serves connections of a port, for ever.
#[expect(clippy::infinite_loop, reason = "ends when its task is aborted")]
pub(crate) async fn tcp<A, F>(listener: TcpListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, answer.clone()))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Serves connections of a socket file, for ever.
#[expect(clippy::infinite_loop, reason = "ends when its task is aborted")]
pub(crate) async fn unix<A, F>(listener: UnixListener, answer: A)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, answer.clone()))),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn connection<S, A, F>(stream: S, answer: A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Answer>,
{
    let service = service_fn(move |request| {
        let answer = answer(request);
        async { Ok::<_, std::convert::Infallible>(answer.await.into_response()) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of operations ended early");
    }
}

/// What is answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
}

impl Answer {
    /// Plain text; a newline is added.
    pub(crate) fn text(status: StatusCode, text: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: format!("{text}\n") }
    }

    /// JSON for people and programs.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        let body = serde_json::to_string_pretty(value).unwrap_or_default();
        Self { status: StatusCode::OK, kind: "application/json", body: format!("{body}\n") }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        response
    }
}
