//! One connection towards an endpoint.

use std::{
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use gatefleet_http::{ConnectError, Io};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_rustls::client::TlsStream;

use crate::backend::{Backend, BackendCounters, Busy, Endpoint, Health, PoolId, Security};

/// What carries HTTP towards an endpoint.
#[derive(Debug)]
pub(crate) struct UpstreamIo {
    stream: Stream,
    pub(crate) pool: PoolId,
    open: OpenCount,
    /// While it carries an exchange that its endpoint is counted busy for.
    pub(crate) busy: Option<Busy>,
    /// Of its endpoint.
    pub(crate) health: Arc<Health>,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    // Boxed, so that a plaintext connection stays small.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Counts an open connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct OpenCount {
    counters: Arc<BackendCounters>,
    is_limited: bool,
}

impl OpenCount {
    /// Counts one more, unless the limit (0: none) is reached.
    pub(crate) fn reserve(backend: &Backend) -> Option<Self> {
        let (open, limit) = (&backend.counters.open, backend.limits.connections);
        let before = open.fetch_add(1, Ordering::Relaxed);
        let count = Self { counters: Arc::clone(&backend.counters), is_limited: limit > 0 };
        (limit == 0 || before < limit).then_some(count)
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl UpstreamIo {
    /// Opens a connection within `limit`, TLS included; further addresses of the endpoint are tried
    /// when one refuses.
    pub(crate) async fn connect(
        backend: &Backend,
        endpoint: &Endpoint,
        open: OpenCount,
        limit: Duration,
    ) -> Result<Self, ConnectError> {
        let Some(known_as) = endpoint.address() else { return Err(ConnectError::NoEndpoints) };
        let deadline = Instant::now().checked_add(limit).unwrap_or_else(Instant::now);
        let counters = &backend.counters;
        counters.connects.fetch_add(1, Ordering::Relaxed);
        let tcp = match timeout_at(deadline, connect_any(endpoint)).await {
            Ok(Ok(tcp)) => tcp,
            Ok(Err(_)) => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                return Err(ConnectError::Failed { endpoint: known_as });
            }
            Err(_) => {
                counters.timed_out.fetch_add(1, Ordering::Relaxed);
                return Err(ConnectError::TimedOut { endpoint: known_as });
            }
        };
        let stream = match &backend.security {
            Security::Plaintext => Stream::Plain(tcp),
            Security::Unavailable => return Err(ConnectError::NoEndpoints),
            Security::Tls(tls) => {
                let left = deadline.saturating_duration_since(Instant::now());
                match tls.connect(tcp, known_as.ip(), left).await {
                    Ok(stream) => Stream::Tls(Box::new(stream)),
                    Err(error) => {
                        tracing::debug!(backend = &*backend.name, endpoint = %known_as, %error, "TLS towards the endpoint failed");
                        counters.tls_failed.fetch_add(1, Ordering::Relaxed);
                        return Err(ConnectError::Tls { endpoint: known_as });
                    }
                }
            }
        };
        Ok(Self {
            stream,
            pool: endpoint.pool,
            open,
            busy: None,
            health: Arc::clone(&endpoint.health),
        })
    }

    /// Whether requests wait, on some thread, for the limit that this connection counts towards.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.open.is_limited && self.open.counters.pending.load(Ordering::Relaxed) > 0
    }

    /// Whether the endpoint closed it, or sent something that nobody asked for. Costs no system call
    /// while nothing has arrived.
    pub(crate) fn is_stale(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut byte = [0; 1];
        match &mut self.stream {
            Stream::Plain(tcp) => {
                !matches!(tcp.try_read(&mut byte), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
            }
            // Session tickets may arrive between exchanges; they are no data.
            Stream::Tls(tls) => {
                Pin::new(tls).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_ready()
            }
        }
    }
}

async fn connect_any(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in &endpoint.addresses {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let opened = async {
            let socket = socket?;
            // Then its local port never keeps a listener from being bound later.
            socket.set_reuseaddr(true)?;
            socket.set_nodelay(true)?;
            socket.connect(*address).await
        };
        match opened.await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Io for UpstreamIo {
    fn socket(&self) -> Option<&TcpStream> {
        match &self.stream {
            Stream::Plain(tcp) => Some(tcp),
            Stream::Tls(_) => None,
        }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
