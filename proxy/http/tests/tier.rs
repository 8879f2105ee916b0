//! What each setting of a tier does to requests, from the snapshot's words to the client's.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{sync::Arc, time::Duration};

use gatefleet_http::{Settings, compile::compile_tier};
use gatefleet_snapshot::v1;
use serde_json::{Value, json};
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn settings(tier: Value) -> Settings {
    compile_tier(&serde_json::from_value::<v1::Tier>(tier).unwrap()).unwrap()
}

fn harness(tier: Value, endpoint: Endpoint) -> Harness {
    let backends = Backends::default().with("b", vec![endpoint]);
    Harness::with(settings(tier), &[catch_all()], backends, Default::default())
}

/// What the proxy answers at once, and what after its timeouts.
async fn talk(tier: Value, endpoint: Endpoint, request: &str) -> String {
    let harness = harness(tier, endpoint);
    let mut client = harness.connect();
    client.write_all(request.as_bytes()).await.unwrap();
    let answer = read_quiet_bytes(&mut client, Duration::from_millis(400)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn silent() -> Endpoint {
    Endpoint(Some(Arc::new(|mut io, _| {
        Box::pin(async move { while io.read(&mut [0; 999]).await.is_ok_and(|count| count > 0) {} })
    })))
}

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn limits_of_the_tier_bound_requests() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(2000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(10));
    let body = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world";
    for (limit, request, status) in [
        (json!({"maxHeaderBytes": 1024}), long.as_str(), 431),
        (json!({"maxHeaderCount": 8}), many.as_str(), 431),
        (json!({"maxRequestBodyBytes": "10"}), body, 413),
    ] {
        for (tier, status) in [(json!({"limits": limit}), status), (json!({}), 200)] {
            let answer = talk(tier, echo(), request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{limit}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_connection_takes_so_many_requests() {
    let tier = json!({"limits": {"maxRequestsPerConnection": 2}});
    let answer = talk(tier, echo(), &PLAIN.repeat(3)).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn timeouts_of_the_tier_end_waiting() {
    for (timeout, endpoint, request, starts) in [
        (json!({"requestHeadMs": 50}), silent(), "GET / HT", "HTTP/1.1 408 "),
        (json!({"idleMs": 50}), silent(), PLAIN, "HTTP/1.1 504 "),
        (json!({"requestMs": 50}), silent(), PLAIN, "HTTP/1.1 504 "),
    ] {
        let answer = talk(json!({"timeouts": timeout}), endpoint.clone(), request).await;
        assert!(answer.starts_with(starts), "{timeout}: {answer:?}");
        assert_eq!(talk(json!({}), endpoint, request).await, "", "{timeout}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_kept_so_long() {
    for (tier, closes) in [(json!({"timeouts": {"keepAliveMs": 50}}), true), (json!({}), false)] {
        let harness = harness(tier, echo());
        let mut client = harness.connect();
        client.write_all(PLAIN.as_bytes()).await.unwrap();
        read_to(&mut client, "x-forwarded-port: 80\r\n\r\n").await;
        let mut byte = [0; 1];
        let end = tokio::time::timeout(Duration::from_millis(300), client.read(&mut byte)).await;
        assert_eq!(end.is_ok_and(|read| read.is_ok_and(|count| count == 0)), closes);
    }
}

#[tokio::test]
async fn connecting_may_take_so_long() {
    let harness = harness(json!({"timeouts": {"upstreamConnectMs": 1234}}), echo());
    harness.talk(PLAIN.as_bytes()).await;
    let asked = harness.backends.asks.lock().unwrap()[0].1.connect_timeout;
    assert_eq!(asked, Duration::from_millis(1234));
}

#[tokio::test]
async fn trusted_proxies_say_who_the_client_is() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6, 9.9.9.9\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
    for (detection, client, scheme) in [
        (json!({}), "192.0.2.7", "http"),
        (json!({"trustedProxies": ["198.51.100.0/24"]}), "192.0.2.7", "http"),
        (json!({"trustedProxies": ["192.0.2.0/24"]}), "9.9.9.9", "https"),
        (json!({"trustedProxies": ["192.0.2.7", "9.9.9.9"]}), "6.6.6.6", "https"),
        (json!({"hops": 1}), "9.9.9.9", "https"),
        (json!({"hops": 2}), "6.6.6.6", "https"),
    ] {
        let harness = harness(json!({"clientIp": detection}), echo());
        let answer = harness.talk(request.as_bytes()).await;
        for line in [format!("x-real-ip: {client}\r\n"), format!("x-forwarded-proto: {scheme}\r\n")]
        {
            assert!(answer.contains(&line), "{detection}: {answer}");
        }
        assert_eq!(harness.seen()[0].client, client);
    }
}

#[test]
fn a_tier_that_cannot_be_served_says_why() {
    for (tier, field) in [
        (
            json!({"clientIp": {"trustedProxies": ["10.0.0.0/8", "x"]}}),
            "client_ip.trusted_proxies[1]",
        ),
        (json!({"limits": {"maxHeaderBytes": 10}}), "limits.max_header_bytes"),
        (json!({"limits": {"maxHeaderCount": 1000}}), "limits.max_header_count"),
    ] {
        let error = compile_tier(&serde_json::from_value::<v1::Tier>(tier).unwrap()).unwrap_err();
        assert_eq!(error.field, field);
        assert!(!error.remedy.is_empty(), "{error}");
    }
}
