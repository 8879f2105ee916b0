//! A backend that watches its connections.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// What the backend saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    open: AtomicUsize,
    /// The most connections that were open at one time.
    pub(crate) most: AtomicUsize,
    /// For how long each closed connection had been unused before the proxy closed it.
    pub(crate) unused: Mutex<Vec<Duration>>,
}

/// Answers every request with 200 after `pause`, until the test ends.
pub(crate) fn backend(pause: Duration) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let watch = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let watch = Arc::clone(&watch);
            std::thread::spawn(move || converse(stream, pause, &watch));
        }
    });
    (address, seen)
}

fn converse(mut stream: TcpStream, pause: Duration, seen: &Seen) {
    let open = seen.open.fetch_add(1, Ordering::SeqCst) + 1;
    seen.most.fetch_max(open, Ordering::SeqCst);
    let (mut head, mut last) = (Vec::new(), Instant::now());
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        head.extend_from_slice(&bytes[..count]);
        // The requests of these tests have no body, and come one after the other.
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        head.clear();
        std::thread::sleep(pause);
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").is_err() {
            break;
        }
        last = Instant::now();
    }
    seen.unused.lock().unwrap().push(last.elapsed());
    seen.open.fetch_sub(1, Ordering::SeqCst);
}
