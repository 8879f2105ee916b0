//! `limits`.

use std::{sync::atomic::Ordering, time::Duration};

use gatefleet_test_support::raw::Connection;
use gatefleet_tests_e2e::{Alone, HOST};
use serde_json::{Value, json};

use crate::backend::backend;

/// Bytes of one header, number of others, and the status of the answer.
type Asked = (usize, usize, u16);

#[test]
fn larger_heads_are_answered_with_431() {
    let small = json!({"limits": {"maxHeaderBytes": 2048, "maxHeaderCount": 12}});
    let large = json!({"limits": {"maxHeaderBytes": 100_000, "maxHeaderCount": 200}});
    let cases: [(Value, &[Asked]); 3] = [
        (small, &[(1800, 0, 200), (2100, 0, 431), (1, 8, 200), (1, 14, 431)]),
        (json!({}), &[(60_000, 0, 200), (66_000, 0, 431), (1, 90, 200), (1, 110, 431)]),
        (large, &[(90_000, 0, 200), (110_000, 0, 431), (1, 190, 200), (1, 210, 431)]),
    ];
    // One without limits of its own.
    let (endpoint, _seen) = backend(Duration::ZERO);
    for (tier, asked) in cases {
        let proxy = Alone::before(endpoint, &tier);
        for &(bytes, others, status) in asked {
            let filler = "x".repeat(bytes);
            let mut headers = vec![("x-filler", filler.as_str())];
            headers.extend(std::iter::repeat_n(("x-other", "1"), others));
            let answer = proxy.get("/", &headers);
            assert_eq!(answer.status, status, "{tier}: {bytes} bytes, {others} headers");
        }
    }
}

#[test]
fn larger_bodies_are_answered_with_413() {
    for (most, size, status) in [(1000, 1000, 200), (1000, 1001, 413), (0, 100_000, 200)] {
        let proxy = Alone::tier(&json!({"limits": {"maxRequestBodyBytes": most}}));
        let body = "x".repeat(size);
        for framed in [
            format!("content-length: {size}\r\n\r\n{body}"),
            format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
        ] {
            let mut connection = proxy.connect();
            let head = format!("POST / HTTP/1.1\r\nhost: {HOST}\r\n");
            connection.send((head + &framed).as_bytes()).unwrap();
            let answer = connection.answer().unwrap();
            assert_eq!(answer.status, status, "{size} bytes where {most} are allowed");
        }
    }
}

#[test]
fn the_last_request_of_a_connection_closes_it() {
    let proxy = Alone::tier(&json!({"limits": {"maxRequestsPerConnection": 3}}));
    let mut connection = proxy.connect();
    for expected in [None, None, Some("close")] {
        let answer = connection.get(HOST, "/", &[]).unwrap();
        assert_eq!((answer.status, answer.header("connection")), (200, expected));
    }
    assert_eq!(connection.take(1).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

/// Whether a new connection is answered within 300 ms.
fn is_answered(proxy: &Alone) -> bool {
    let address = proxy.at(8080);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let answer = Connection::open(address).and_then(|mut new| new.get(HOST, "/", &[]));
        let _ = tell.send(answer.is_ok_and(|answer| answer.status == 200));
    });
    told.recv_timeout(Duration::from_millis(300)).unwrap_or(false)
}

#[test]
fn further_connections_wait_until_one_ends() {
    let proxy = Alone::tier(&json!({"limits": {"maxConnections": 2}}));
    let open = || {
        let mut connection = proxy.connect();
        assert_eq!(connection.get(HOST, "/", &[]).unwrap().status, 200);
        connection
    };
    let first = open();
    assert!(is_answered(&proxy), "the second is allowed");
    let second = open();
    assert!(!is_answered(&proxy), "the third waits");
    drop((first, second));
    assert!(is_answered(&proxy), "there is room again");
}

/// What `count` requests at the same time are answered, sorted.
fn at_once(proxy: &Alone, count: usize) -> Vec<u16> {
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..count).map(|_| scope.spawn(|| proxy.get("/", &[]).status)).collect();
        started.into_iter().map(|request| request.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    statuses
}

#[test]
fn backends_get_as_many_connections_as_allowed() {
    for (most, expected) in [(0, 4), (2, 2), (1, 1)] {
        let (address, seen) = backend(Duration::from_millis(400));
        let proxy = Alone::before(address, &json!({"limits": {"maxConnectionsPerBackend": most}}));
        assert_eq!(at_once(&proxy, 4), [200; 4], "those that wait are served in the end");
        assert_eq!(seen.most.load(Ordering::SeqCst), expected, "at most {most}");
    }
}

#[test]
fn requests_beyond_those_that_may_wait_are_answered_with_503() {
    let (address, _seen) = backend(Duration::from_millis(600));
    let limits = json!({"maxConnectionsPerBackend": 1, "maxPendingPerBackend": 2});
    let proxy = Alone::before(address, &json!({"limits": limits}));
    std::thread::scope(|scope| {
        let served = scope.spawn(|| proxy.get("/", &[]).status);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(at_once(&proxy, 4), [200, 200, 503, 503], "two may wait");
        assert_eq!(served.join().unwrap(), 200);
    });
}
