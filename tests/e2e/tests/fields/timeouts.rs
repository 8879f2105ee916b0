//! `timeouts` and `drain`. The time that passes tells a setting from its default, which is ten seconds or more, and
//! from no wait at all.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use gatefleet_test_support::raw::{Answer, Connection};
use gatefleet_tests_e2e::{Alone, HOST};
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::backend::backend;

/// What the settings below say.
const SHORT: Duration = Duration::from_millis(400);
/// A machine may be busy; the defaults are longer than that.
const SOON: RangeInclusive<Duration> = Duration::from_millis(380)..=Duration::from_secs(4);

/// The result, which must come neither at once nor as late as the default.
fn soon<T>(what: &str, wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = wait();
    let passed = start.elapsed();
    assert!(SOON.contains(&passed), "{what}: after {passed:?}, not {SHORT:?}");
    result
}

fn is_closed(connection: &mut Connection) -> bool {
    connection.take(1).is_err_and(|error| {
        matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    })
}

#[test]
fn a_head_that_does_not_end_is_answered_with_408() {
    let proxy = Alone::tier(&json!({"timeouts": {"requestHead": "400ms"}}));
    let mut connection = proxy.connect();
    connection.send(b"GET / HTTP/1.1\r\nhost: ").unwrap();
    let answer = soon("the head", || connection.answer().unwrap());
    assert_eq!(answer.status, 408);
}

#[test]
fn connections_without_a_request_are_closed() {
    let proxy = Alone::tier(&json!({"timeouts": {"keepAlive": "400ms"}}));
    let mut connection = proxy.connect();
    assert_eq!(connection.get(HOST, "/", &[]).unwrap().status, 200);
    assert!(soon("keep-alive", || is_closed(&mut connection)));
}

#[test]
fn what_does_not_move_is_cut() {
    let proxy = Alone::tier(&json!({"timeouts": {"idle": "400ms"}}));
    let answer = soon("a backend that is silent", || proxy.get("/?wait_ms=8000", &[]));
    assert_eq!(answer.status, 504);

    let mut upgraded = proxy.connect();
    let wanted = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    assert_eq!(upgraded.get(HOST, "/", &wanted).unwrap().status, 101);
    assert!(soon("a WebSocket", || is_closed(&mut upgraded)));
}

#[test]
fn requests_end_in_time() {
    let proxy = Alone::tier(&json!({"timeouts": {"request": "400ms"}}));
    let answer = soon("no answer", || proxy.get("/?wait_ms=8000", &[]));
    assert_eq!(answer.status, 504);
    let cut: io::Result<Answer> =
        soon("half an answer", || proxy.connect().get(HOST, "/?bytes=10&delay_ms=8000", &[]));
    cut.unwrap_err();
    assert_eq!(proxy.get("/?wait_ms=100", &[]).status, 200, "in time");
}

/// Somebody whose queue of connections is full: nothing is refused and nothing is answered.
fn deaf() -> (SocketAddr, Vec<Socket>) {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let client = new();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&address.into());
        sockets.push(client);
    }
    (address, sockets)
}

#[test]
fn endpoints_that_do_not_accept_are_answered_with_504() {
    let (address, _sockets) = deaf();
    let proxy = Alone::before(address, &json!({"timeouts": {"upstreamConnect": "400ms"}}));
    assert_eq!(soon("connecting", || proxy.get("/", &[])).status, 504);
}

#[test]
fn waiting_for_a_free_connection_counts_as_connecting() {
    let (address, _seen) = backend(Duration::from_secs(6));
    let settings = json!({
        "timeouts": {"upstreamConnect": "400ms"}, "limits": {"maxConnectionsPerBackend": 1},
    });
    let proxy = Alone::before(address, &settings);
    let mut busy = proxy.connect();
    busy.send(format!("GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    // Not 504: the endpoint is not slow, the limit is reached.
    assert_eq!(soon("waiting", || proxy.get("/", &[])).status, 503);
}

#[test]
fn unused_connections_to_endpoints_are_closed() {
    let (address, seen) = backend(Duration::ZERO);
    let proxy = Alone::before(address, &json!({"timeouts": {"upstreamIdle": "400ms"}}));
    assert_eq!(proxy.get("/", &[]).status, 200);
    let end = Instant::now() + *SOON.end();
    let unused = loop {
        if let Some(unused) = seen.unused.lock().unwrap().first() {
            break *unused;
        }
        assert!(Instant::now() < end, "it stays open");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(SOON.contains(&unused), "{unused:?}");
}

#[test]
fn handshakes_end_in_time() {
    let proxy = Alone::tier(&json!({"timeouts": {"tlsHandshake": "400ms"}}));
    let mut silent = Connection::open(proxy.at(8443)).unwrap();
    assert!(soon("a silent client", || is_closed(&mut silent)));
}

#[test]
fn a_proxy_that_ends_accepts_for_the_delay_and_finishes_what_is_in_flight() {
    let mut proxy = Alone::tier(&json!({"drain": {"delay": "1s", "timeout": "10s"}}));
    let mut slow = proxy.connect();
    slow.send(format!("GET /?wait_ms=2000 HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));

    let start = Instant::now();
    proxy.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!proxy.is_ready());
    let answer = proxy.get("/", &[]);
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));

    while Connection::open(proxy.at(8080)).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(6), "it goes on accepting");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(start.elapsed() >= Duration::from_millis(980), "{:?}", start.elapsed());
    assert_eq!(slow.answer().unwrap().status, 200);
    assert!(proxy.wait().success());
    assert!(start.elapsed() < Duration::from_secs(8), "nobody is left to wait for");
}

#[test]
fn a_proxy_that_ends_cuts_what_takes_longer_than_its_timeout() {
    let mut proxy = Alone::tier(&json!({"drain": {"delay": "0s", "timeout": "400ms"}}));
    let mut slow = proxy.connect();
    slow.send(format!("GET /?wait_ms=9000 HTTP/1.1\r\nhost: {HOST}\r\n\r\n").as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    proxy.terminate();
    assert!(soon("drain", || proxy.wait()).success());
    slow.answer().unwrap_err();
}
