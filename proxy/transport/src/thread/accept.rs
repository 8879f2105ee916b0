//! Accepting. The loop ends only when its door closes: no error of one connection, and no lack of
//! descriptors or memory, may end it.

use std::{io, net::SocketAddr, rc::Rc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::{
    serve,
    worker::{Opening, Worker},
};

/// Pause when the process can take no more connections.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) async fn run(
    worker: Rc<Worker>,
    listener: TcpListener,
    opening: Rc<Opening>,
    mut closed: oneshot::Receiver<()>,
) {
    loop {
        if worker.is_full() {
            worker.observer.shard().limited();
            tokio::select! {
                biased;
                _ = &mut closed => break,
                () = tokio::time::sleep(PAUSE) => continue,
            }
        }
        tokio::select! {
            biased;
            _ = &mut closed => break,
            accepted = listener.accept() => match accepted {
                Ok((tcp, peer)) => start(&worker, &opening, tcp, peer),
                Err(error) => {
                    worker.observer.shard().accept_failed();
                    if !concerns_one(&error) {
                        tracing::warn!(%error, "cannot accept; trying again");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            },
        }
    }
    // Closing a socket resets what waits in its queue, so that is taken first. Asked of the socket
    // itself: the runtime may not know yet of what has just arrived.
    let Ok(listener) = listener.into_std() else { return };
    loop {
        match listener.accept() {
            Ok((tcp, peer)) => {
                let tcp = tcp.set_nonblocking(true).and_then(|()| TcpStream::from_std(tcp));
                if let Ok(tcp) = tcp {
                    start(&worker, &opening, tcp, peer);
                }
            }
            Err(error) if concerns_one(&error) => {}
            Err(_) => return,
        }
    }
}

/// Errors of the connection that would have been accepted (accept(2)), not of the socket or process.
fn concerns_one(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | HostUnreachable
    )
}

fn start(worker: &Rc<Worker>, opening: &Rc<Opening>, tcp: TcpStream, peer: SocketAddr) {
    let counted = serve::Counted::new(worker);
    let (worker, opening) = (Rc::clone(worker), Rc::clone(opening));
    tokio::task::spawn_local(async move {
        serve::connection(&worker, &opening, tcp, peer).await;
        drop(counted);
    });
}
