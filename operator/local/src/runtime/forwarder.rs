//! One Service port: a listener whose connections go to the ready endpoints in turn.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// How long one endpoint may take to accept.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a connection waits for an endpoint when none accepts: one that has just become ready is a step behind its status.
const PATIENCE: Duration = Duration::from_secs(1);
/// When to try endpoints again that refused.
const AGAIN: Duration = Duration::from_millis(50);
/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;

/// Where connections go at the moment.
type Endpoints = watch::Receiver<Arc<[SocketAddr]>>;

/// Forwards TCP connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Forwarder {
    endpoints: watch::Sender<Arc<[SocketAddr]>>,
    task: AbortHandle,
}

impl Forwarder {
    /// Listens on `address`.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(crate) fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        let (endpoints, current) = watch::channel(Arc::from([]));
        let task = tokio::spawn(accept(listener, current)).abort_handle();
        Ok(Self { endpoints, task })
    }

    /// Where connections go from now on; those that are open stay where they are.
    pub(crate) fn point_at(&self, endpoints: Vec<SocketAddr>) {
        self.endpoints.send_if_modified(|current| {
            let changed = **current != *endpoints;
            if changed {
                *current = Arc::from(endpoints);
            }
            changed
        });
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, endpoints: Endpoints) {
    let turn = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(forward(client, endpoints.clone(), Arc::clone(&turn)));
                }
                // Out of descriptors, or the peer left early: neither ends the forwarder.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(mut client: TcpStream, endpoints: Endpoints, turn: Arc<AtomicUsize>) {
    let turn = turn.fetch_add(1, Ordering::Relaxed);
    let Ok(mut server) = timeout(PATIENCE, find(endpoints, turn)).await else {
        // Nobody is there: the client is to see a reset, as from a Service without endpoints, not a clean end.
        reset(&client);
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    if tokio::io::copy_bidirectional(&mut client, &mut server).await.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Waits for an endpoint that accepts.
async fn find(mut endpoints: Endpoints, turn: usize) -> TcpStream {
    loop {
        let current = Arc::clone(&endpoints.borrow_and_update());
        if let Some(stream) = connect(&current, turn).await {
            return stream;
        }
        // The sender lives as long as the forwarder: the pause bounds the wait either way.
        let _ = timeout(AGAIN, endpoints.changed()).await;
    }
}

/// The first endpoint from `turn` on that accepts.
async fn connect(endpoints: &[SocketAddr], turn: usize) -> Option<TcpStream> {
    let start = turn.checked_rem(endpoints.len())?;
    let (later, first) = endpoints.split_at(start);
    for endpoint in first.iter().chain(later) {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(endpoint)).await {
            return Some(stream);
        }
    }
    None
}

fn reset(stream: &TcpStream) {
    // Without it the peer sees an orderly end instead; nothing else to do about it.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// A server that says its letter to everybody.
    async fn server(letter: u8) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                stream.write_all(&[letter]).await.unwrap();
            }
        });
        address
    }

    async fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
    }

    async fn ask(address: SocketAddr) -> Result<u8, io::ErrorKind> {
        let mut stream = TcpStream::connect(address).await.map_err(|error| error.kind())?;
        stream.read_u8().await.map_err(|error| error.kind())
    }

    #[tokio::test]
    async fn takes_turns_and_skips_the_dead() {
        let (a, b, dead) = (server(b'a').await, server(b'b').await, free().await);
        let address = free().await;
        let forwarder = Forwarder::start(address).unwrap();
        assert_eq!(ask(address).await, Err(io::ErrorKind::ConnectionReset), "nobody is there");
        forwarder.point_at(vec![a, dead, b]);
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(ask(address).await.unwrap());
        }
        answers.sort_unstable();
        assert!(answers == b"aabbbb" || answers == b"aaabbb", "{answers:?}");
        forwarder.point_at(vec![a]);
        assert_eq!(ask(address).await, Ok(b'a'));
        forwarder.point_at(vec![dead]);
        let waiting = tokio::spawn(ask(address));
        tokio::time::sleep(Duration::from_millis(100)).await;
        forwarder.point_at(vec![b]);
        assert_eq!(waiting.await.unwrap(), Ok(b'b'), "a connection waits for an endpoint to come");
        drop(forwarder);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(ask(address).await, Err(io::ErrorKind::ConnectionRefused));
    }
}
