//! One accepted connection: TLS if the door wants it, then HTTP.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
};

use gatefleet_http::{ConnectionInfo, Opaque, TlsInfo, serve_connection};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::worker::{Opening, Worker};
use crate::{
    observe::Handshake,
    plan::{Entrance, Front},
    proxy_header,
    tls::{Choice, TlsListener, choose_listener},
};

/// Counts an open connection for as long as it lives.
pub(super) struct Counted(Rc<Worker>);

impl Counted {
    pub(super) fn new(worker: &Rc<Worker>) -> Self {
        worker.shared.connections.fetch_add(1, Ordering::Relaxed);
        worker.observer.shard().accepted();
        Self(Rc::clone(worker))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.observer.shard().closed();
    }
}

impl Worker {
    /// Whether the limit of connections is reached: what comes waits in the kernel's queue.
    pub(super) fn is_full(&self) -> bool {
        let open = self.shared.connections.load(Ordering::Relaxed);
        self.max_connections
            .get()
            .is_some_and(|most| u64::try_from(open).is_ok_and(|open| open >= most))
    }
}

/// Serves a connection to its end.
pub(super) async fn connection(
    worker: &Worker,
    opening: &Opening,
    mut tcp: TcpStream,
    mut peer: SocketAddr,
) {
    let Ok(local) = tcp.local_addr() else { return };
    if worker.proxy_protocol.get() {
        let header = Box::pin(proxy_header::take(&mut tcp));
        match tokio::time::timeout(worker.tls_handshake.get(), header).await {
            Ok(Ok(told)) => peer = told.unwrap_or(peer),
            Ok(Err(error)) => return tracing::debug!(%peer, %error, "closed"),
            Err(_) => return tracing::debug!(%peer, "closed: no PROXY header in time"),
        }
    }
    let peer = unmapped(peer);
    let local = unmapped(local);
    let front = Arc::clone(&opening.front.borrow());
    match &*front {
        Front::Http(entrance) => {
            let info = info(entrance, peer, local, None);
            drop(front);
            let Worker { engine, pools, observer, .. } = worker;
            serve_connection(tcp, &info, engine, pools, observer, &opening.drain).await;
        }
        // Boxed, so that a plaintext connection does not carry the room for a TLS one.
        Front::Https(..) => Box::pin(https(worker, opening, front, tcp, peer, local)).await,
    }
}

/// The peer as it is known in logs and rules: IPv4 on a dual-stack socket is IPv4.
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn info(
    entrance: &Entrance,
    peer: SocketAddr,
    local: SocketAddr,
    tls: Option<TlsInfo>,
) -> ConnectionInfo {
    ConnectionInfo {
        peer,
        local,
        scope: Arc::clone(&entrance.scope),
        listener: Arc::clone(&entrance.listener),
        advertised_port: entrance.advertised_port,
        advertised: entrance.advertised,
        tls,
    }
}

async fn https(
    worker: &Worker,
    opening: &Opening,
    front: Arc<Front>,
    tcp: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
) {
    let Front::Https(listeners, entrances) = &*front else { return };
    // Boxed apart, so that what a handshake needs is gone when HTTP begins.
    let shaken = Box::pin(handshake(listeners, tcp));
    let shaken = tokio::time::timeout(worker.tls_handshake.get(), shaken).await;
    let (index, tls, stream) = match shaken {
        Ok(Ok(shaken)) => {
            worker.observer.shard().handshake(Handshake::Done);
            shaken
        }
        Ok(Err(outcome)) => return worker.observer.shard().handshake(outcome),
        Err(_) => return worker.observer.shard().handshake(Handshake::TimedOut),
    };
    let Some(entrance) = entrances.get(index) else { return };
    let info = info(entrance, peer, local, Some(tls));
    drop(front);
    let Worker { engine, pools, observer, .. } = worker;
    let stream = Opaque(stream);
    Box::pin(serve_connection(stream, &info, engine, pools, observer, &opening.drain)).await;
}

async fn handshake(
    listeners: &[TlsListener],
    tcp: TcpStream,
) -> Result<(usize, TlsInfo, TlsStream<TcpStream>), Handshake> {
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
    let mut start = acceptor.await.map_err(|_broken| Handshake::Failed)?;
    let server_name: Option<Arc<str>> =
        start.client_hello().server_name().map(|name| name.to_ascii_lowercase().into());
    let chosen = choose_listener(listeners, server_name.as_deref())
        .filter(|(_, listener)| listener.names.choose(server_name.as_deref()) != Choice::Unknown);
    let Some((index, listener)) = chosen else {
        // A fatal alert as a plaintext record: handshake keys do not exist yet (RFC 8446 6, RFC 6066 3).
        let _ = start.io.write_all(&[21, 3, 3, 0, 2, 2, 112]).await;
        let _ = start.io.shutdown().await;
        return Err(Handshake::UnknownName);
    };
    let stream = start.into_stream(Arc::clone(&listener.config)).await;
    let stream = stream.map_err(|_failed| Handshake::Failed)?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((index, TlsInfo { server_name, http2 }, stream))
}
