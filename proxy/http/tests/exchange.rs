//! Requests through the real engine: routing, answers, bodies, keep-alive, retries, timeouts, upgrades.

mod support;

use std::time::Duration;

use gatefleet_http::{Failure, Phase};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn forwards_a_request_and_says_who_asked() {
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]));
    let answer = harness
        .talk(b"GET /x?y=1 HTTP/1.1\r\nHost: A.example:80\r\nX-A: 1\r\nConnection: close, X-B\r\nX-B: 2\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n")
        .await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(head.ends_with("connection: close"), "{answer}");
    let lines: Vec<&str> =
        body.lines().filter(|line| !line.starts_with("x-request-id: ")).collect();
    assert_eq!(
        lines,
        [
            "GET /x?y=1 HTTP/1.1",
            "host: A.example:80",
            "x-a: 1",
            "x-forwarded-for: 192.0.2.7",
            "x-real-ip: 192.0.2.7",
            "x-forwarded-proto: http",
            "x-forwarded-host: A.example:80",
            "x-forwarded-port: 80",
            "",
        ]
    );
    let seen = harness.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].status, seen[0].rule.as_str(), seen[0].backend.as_str()),
        (200, "all", "b")
    );
    assert_eq!((seen[0].host.as_str(), seen[0].target.as_str()), ("a.example", "/x?y=1"));
    assert_eq!(seen[0].failure, None);
}

#[tokio::test]
async fn keeps_both_connections_for_the_next_request() {
    let backends = Backends::default().with("b", vec![echo()]).pooled();
    let harness = Harness::new(&[catch_all()], backends);
    let mut client = harness.connect();
    for number in 0..5 {
        let request =
            format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\nhello").await;
        assert!(answer.contains(&format!("POST /{number} ")), "{answer}");
    }
    assert_eq!(harness.backends.connects.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(harness.seen().iter().all(|seen| seen.body_in == 5 && seen.attempts == 1));
}

#[tokio::test]
async fn answers_what_no_rule_or_backend_serves() {
    let hosts = [any_host(
        vec![
            forward_rule("gone", "empty"),
            forward_rule("missing", "missing"),
            forward_rule("down", "down"),
        ],
        vec![prefix(0, "/empty"), prefix(1, "/missing"), prefix(2, "/down")],
    )];
    let backends = Backends::default()
        .with("empty", vec![])
        .with("down", vec![Endpoint(None), Endpoint(None)]);
    let harness = Harness::new(&hosts, backends);
    for (path, status, reason, failure) in [
        ("/", 404, "NoRoute", Failure::NoRoute),
        ("/empty", 503, "NoEndpoints", Failure::NoEndpoints),
        ("/missing", 503, "BackendMissing", Failure::BackendUnavailable),
        ("/down", 502, "ConnectFailed", Failure::ConnectFailed),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = harness.talk(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(&format!("reason: {reason}\n")), "{answer}");
        let id = answer.lines().find_map(|line| line.strip_prefix("request id: ")).unwrap();
        assert!(answer.contains(&format!("x-request-id: {id}")), "{answer}");
        let seen = harness.seen().pop().unwrap();
        assert_eq!(
            (seen.status, seen.failure, seen.reason.as_str()),
            (status, Some(failure), reason)
        );
    }
    assert_eq!(harness.seen().last().unwrap().attempts, 3);
}

#[tokio::test]
async fn draining_closes_after_the_answer_and_then_idle_connections() {
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]));
    let (mut busy, mut idle) = (harness.connect(), harness.connect());
    for client in [&mut busy, &mut idle] {
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = read_to(client, "GET / ").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
    harness.drain.advance(Phase::Closing);
    busy.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let answer = read_quiet(&mut busy).await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(busy.read(&mut [0; 1]).await.unwrap(), 0);
    harness.drain.advance(Phase::Stopping);
    let closed = tokio::time::timeout(Duration::from_secs(1), idle.read(&mut [0; 1000])).await;
    while idle.read(&mut [0; 1000]).await.unwrap() > 0 {}
    assert!(closed.is_ok());
}

#[tokio::test]
async fn head_and_empty_answers_have_no_body() {
    for (status, request) in
        [("204 No Content", "GET"), ("304 Not Modified", "GET"), ("200 OK", "HEAD")]
    {
        let length = if status.starts_with("204") { "" } else { "content-length: 5\r\n" };
        let answer = format!("HTTP/1.1 {status}\r\n{length}x: y\r\n\r\n");
        let endpoint = answering(move |_| answer.clone());
        let harness =
            Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]).pooled());
        let mut client = harness.connect();
        for _ in 0..2 {
            client
                .write_all(format!("{request} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let answer = read_to(&mut client, "\r\n\r\n").await;
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
            assert_eq!(answer.contains("content-length: 5"), !length.is_empty(), "{answer}");
        }
    }
}

#[tokio::test]
async fn http_1_0_clients_get_what_they_understand() {
    let chunked = || {
        answering(|_| {
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".into()
        })
    };
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![chunked()]));
    let answer = harness.talk(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    assert!(answer.ends_with("connection: close\r\n\r\nabc"), "{answer}");
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]));
    let answer = harness
        .talk(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n")
        .await;
    assert_eq!(answer.matches("connection: keep-alive").count(), 1, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn chunks_and_trailers_pass() {
    let endpoint = answering(|request| {
        let upper = request.to_uppercase();
        assert!(upper.contains("X-SUM: 1"), "{request}");
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{upper}\r\n0\r\nx-t: 2\r\ncontent-length: 9\r\n\r\n",
            upper.len()
        )
    });
    let harness =
        Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]).pooled());
    let answer = harness
        .talk(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nHost: evil\r\n\r\n")
        .await;
    assert!(answer.contains("3\r\nABC\r\n2\r\nDE\r\n0\r\nX-SUM: 1\r\n\r\n"), "{answer}");
    assert!(!answer.contains("EVIL"), "{answer}");
    assert!(answer.ends_with("0\r\nx-t: 2\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn plain_get_closes() {
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]));
    let answer = harness.talk(GET).await;
    assert!(answer.contains("GET /x HTTP/1.1"), "{answer}");
}

/// A table whose catch-all rule adds the response header `x-table: NUMBER`.
fn numbered(number: usize) -> gatefleet_snapshot::v1::VirtualHost {
    use gatefleet_snapshot::v1::{Filter, Header, HeaderEdit, filter};
    let mut host = catch_all();
    let set = vec![Header { name: "x-table".into(), value: number.to_string() }];
    let edit = HeaderEdit { set, ..HeaderEdit::default() };
    host.rules[0].filters = vec![Filter { kind: Some(filter::Kind::ResponseHeaders(edit)) }];
    host
}

#[tokio::test]
async fn a_hundred_tables_lose_no_request_and_close_no_connection() {
    let endpoint = echo();
    let harness =
        Harness::new(&[numbered(0)], Backends::default().with("b", vec![endpoint]).pooled());
    let mut idle = harness.connect();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_to(&mut idle, "x-table: 0").await;
    let clients = (0..8).map(|_| {
        let mut client = harness.connect();
        tokio::spawn(async move {
            let mut tables = std::collections::BTreeSet::new();
            for _ in 0..300 {
                client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
                let answer = read_to(&mut client, "x-forwarded-port: 80\r\n\r\n").await;
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                let table = answer.lines().find_map(|line| line.strip_prefix("x-table: "));
                tables.insert(table.unwrap().parse::<usize>().unwrap());
                tokio::task::yield_now().await;
            }
            tables.len()
        })
    });
    let clients: Vec<_> = clients.collect();
    for number in 1..=100 {
        let hosts = [numbered(number)];
        let mut builder = gatefleet_http::TableBuilder::new(gatefleet_http::Settings::default());
        let compiled = gatefleet_http::compile::compile_virtual_host(&hosts[0]).unwrap();
        builder.add(&std::sync::Arc::new(compiled), &Names(Default::default()));
        harness.engine.install(builder.build());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut seen = 0;
    for client in clients {
        seen += client.await.unwrap();
    }
    assert!(seen > 8, "the tables changed under the requests: {seen}");
    // Whoever was idle all the time gets the last one, on the same connection.
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_to(&mut idle, "x-table: 100").await;
    assert!(harness.seen().iter().all(|seen| seen.failure.is_none()));
}
