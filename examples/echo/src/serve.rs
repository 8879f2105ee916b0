//! Accepting connections, and the end of it.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::reply::{self, Identity};

/// How long requests in flight may take after the last connection was accepted.
const FINISH: Duration = Duration::from_secs(10);

/// Why the server could not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The port is taken or not allowed.
    #[error("cannot listen on {address}: {source}; choose another with --port or PORT")]
    Bind {
        /// Where it should have listened.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The process cannot be told to stop.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn serve(
    address: SocketAddr,
    identity: Arc<Identity>,
    drain: Duration,
) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;
    let listener = listen(address).await?;
    say(&format!("listening on {address}: {}", identity.text));
    let draining = Arc::new(AtomicBool::new(false));
    let (finish, finishing) = watch::channel(());
    let mut deadline: Option<Instant> = None;
    loop {
        let stop_accepting = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => converse(stream, &identity, &draining, &finishing),
                // Out of descriptors: the connection stays in the queue until one is free.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            _ = terminate.recv() => {
                draining.store(true, Ordering::Relaxed);
                deadline = Some(Instant::now() + drain);
            }
            _ = interrupt.recv() => break,
            () = stop_accepting => break,
        }
    }
    drop(listener);
    drop(finishing);
    finish.send_replace(());
    // What is still open after the grace is cut by the end of the process.
    let _ = tokio::time::timeout(FINISH, finish.closed()).await;
    Ok(())
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() && no_ipv6(&error) => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
        }
        bound => bound.map_err(|source| Error::Bind { address, source }),
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::AddrNotAvailable)
}

fn converse(
    stream: TcpStream,
    identity: &Arc<Identity>,
    draining: &Arc<AtomicBool>,
    finishing: &watch::Receiver<()>,
) {
    let _ = stream.set_nodelay(true);
    let (identity, draining) = (Arc::clone(identity), Arc::clone(draining));
    let service = service_fn(move |request: Request<Incoming>| {
        let (identity, draining) = (Arc::clone(&identity), Arc::clone(&draining));
        async move {
            let mut response = reply::reply(identity, request).await?;
            let upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            if draining.load(Ordering::Relaxed) && !upgrade {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut finishing = finishing.clone();
    tokio::spawn(async move {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection.with_upgrades());
        // A broken connection concerns its peer alone.
        tokio::select! {
            _ = connection.as_mut() => {}
            _ = finishing.changed() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    });
}

/// Writes one line to standard output; a reader who went away is no reason to stop.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}
