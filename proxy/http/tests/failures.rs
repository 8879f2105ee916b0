//! Retries, timeouts, limits, early answers, clients that go away.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gatefleet_http::{Failure, Limits, Settings, Timeouts};
use gatefleet_snapshot::v1;
use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const POST: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

fn script<F>(run: impl Fn(tokio::io::DuplexStream, usize) -> F + Send + Sync + 'static) -> Endpoint
where
    F: Future<Output = ()> + Send + 'static,
{
    Endpoint(Some(Arc::new(move |io, number| Box::pin(run(io, number)))))
}

/// Answers one request per connection, then closes when the next one arrives, as a server does whose idle
/// timeout and the next request cross.
fn closes_when_reused() -> Endpoint {
    script(|mut io, _| async move {
        let mut held = Vec::new();
        if let Some(request) = read_message(&mut io, &mut held).await {
            io.write_all(ok(&request).as_bytes()).await.unwrap();
            let _ = io.read(&mut [0; 1]).await;
        }
    })
}

fn retrying(retry: v1::Retry) -> v1::VirtualHost {
    let mut rule = forward_rule("all", "b");
    rule.retry = Some(retry);
    any_host(vec![rule], vec![prefix(0, "/")])
}

#[tokio::test]
async fn a_stale_pooled_connection_is_replaced_when_that_is_safe() {
    for (request, status, attempts) in [
        (&b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"[..], 200, 2),
        (b"PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 200, 2),
        (b"PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, 2),
        (b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 502, 1),
    ] {
        let backends = Backends::default().with("b", vec![closes_when_reused()]).pooled();
        let harness = Harness::new(&[catch_all()], backends);
        let mut client = harness.connect();
        client.write_all(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_to(&mut client, "GET /1").await;
        client.write_all(request).await.unwrap();
        let answer = read_quiet(&mut client).await;
        assert!(answer.contains(&format!("HTTP/1.1 {status} ")), "{answer}");
        if status == 200 && !request.starts_with(b"GET") {
            assert!(answer.contains("hello"), "{answer}");
        }
        assert_eq!(harness.seen().pop().unwrap().attempts, attempts);
        assert_eq!(harness.backends.asks.lock().unwrap().last().unwrap().1.fresh, attempts == 2);
    }
}

#[tokio::test]
async fn a_failed_connect_goes_to_another_endpoint() {
    for request in [GET, POST] {
        let backends = Backends::default().with("b", vec![Endpoint(None), echo()]);
        let harness = Harness::new(&[catch_all()], backends);
        let answer = harness.talk(request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let asks = harness.backends.asks.lock().unwrap().clone();
        assert_eq!(asks.len(), 2);
        assert!(asks[1].1.avoid.is_last(Backends::address(0)));
    }
}

#[tokio::test]
async fn statuses_and_resets_are_retried_as_the_rule_says() {
    let failing = |times: usize| {
        let left = Arc::new(AtomicUsize::new(times));
        script(move |mut io, _| {
            let left = Arc::clone(&left);
            async move {
                let mut held = Vec::new();
                while let Some(request) = read_message(&mut io, &mut held).await {
                    let fails =
                        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
                    let answer = match (fails.is_ok(), request.contains("/reset")) {
                        (false, _) => ok(&request),
                        (true, true) => return,
                        (true, false) => "HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno".into(),
                    };
                    io.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
    };
    let retry = v1::Retry { attempts: 2, statuses: vec![503], reset: true, ..Default::default() };
    let bold = v1::Retry { non_idempotent: true, ..retry.clone() };
    let none = v1::Retry::default();
    for (retry, failures, method, path, status, attempts) in [
        (&retry, 2, "GET", "/", 200, 3),
        (&retry, 3, "GET", "/", 503, 3),
        (&retry, 2, "GET", "/reset", 200, 3),
        (&retry, 3, "GET", "/reset", 502, 3),
        (&retry, 1, "POST", "/", 503, 1),
        (&retry, 1, "POST", "/reset", 502, 1),
        (&bold, 1, "POST", "/", 200, 2),
        (&bold, 1, "POST", "/reset", 200, 2),
        (&none, 1, "GET", "/", 503, 1),
        (&none, 1, "GET", "/reset", 502, 1),
    ] {
        let backends = Backends::default().with("b", vec![failing(failures)]);
        let harness = Harness::new(&[retrying(retry.clone())], backends);
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
        );
        let answer = harness.talk(request.as_bytes()).await;
        let context = format!("{method} {path} {failures} {retry:?}: {answer}");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{context}");
        assert_eq!(harness.seen().pop().unwrap().attempts, attempts, "{context}");
        assert_eq!(answer.contains("hello"), status == 200, "{context}");
        // What is not tried again is passed on.
        assert!(status != 503 || answer.ends_with("no"), "{context}");
    }
}

#[tokio::test]
async fn timeouts_and_nonsense_are_retried_where_the_rule_says_so() {
    let silent = || {
        script(
            |mut io, _| async move { while io.read(&mut [0; 999]).await.is_ok_and(|n| n > 0) {} },
        )
    };
    let nonsense = || {
        script(|mut io, _| async move {
            let mut held = Vec::new();
            read_message(&mut io, &mut held).await;
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").await.unwrap();
        })
    };
    let retry = |change: &dyn Fn(&mut v1::Retry)| {
        let mut retry = v1::Retry { attempts: 3, ..Default::default() };
        change(&mut retry);
        retry
    };
    let timeout = retry(&|retry| retry.timeout = true);
    let late = retry(&|retry| (retry.timeout, retry.total_ms) = (true, 1));
    let malformed = retry(&|retry| retry.malformed = true);
    let error = retry(&|retry| (retry.connect_failure, retry.reset) = (true, true));
    for (retry, bad, request, status, attempts) in [
        // Each try goes to an endpoint that was not asked yet.
        (&timeout, vec![silent(), silent(), silent()], GET, 200, 4),
        (&timeout, vec![silent()], POST, 504, 1),
        (&timeout, vec![Endpoint(None)], GET, 502, 1),
        (&late, vec![silent()], GET, 504, 1),
        (&malformed, vec![nonsense(), nonsense(), nonsense()], GET, 200, 4),
        (&malformed, vec![silent()], GET, 504, 1),
        (&error, vec![silent()], GET, 504, 1),
        (&error, vec![nonsense()], GET, 502, 1),
        (&error, vec![Endpoint(None), Endpoint(None), Endpoint(None)], POST, 200, 4),
    ] {
        let endpoints = bad.into_iter().chain([echo()]).collect();
        let backends = Backends::default().with("b", endpoints);
        let mut host = retrying(retry.clone());
        host.rules[0].timeouts =
            Some(v1::Timeouts { upstream_read_ms: 50, ..v1::Timeouts::default() });
        let harness = Harness::new(&[host], backends);
        let mut client = harness.connect();
        client.write_all(request).await.unwrap();
        let answer = read_quiet_bytes(&mut client, Duration::from_secs(5)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{retry:?}: {answer}");
        assert_eq!(harness.seen().pop().unwrap().attempts, attempts, "{retry:?}");
    }
}

/// A backend that takes a little of a long request and then nothing, and one that pauses within its answer.
#[tokio::test]
async fn a_rule_has_patience_of_its_own_with_its_backend() {
    let deaf = || {
        script(|mut io, _| async move {
            let _ = io.read(&mut [0; 16]).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        })
    };
    let pausing = || {
        script(|mut io, _| async move {
            let mut held = Vec::new();
            read_message(&mut io, &mut held).await;
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na").await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let _ = io.write_all(b"b").await;
        })
    };
    let long = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000\r\n\r\n{}",
        "x".repeat(400_000)
    );
    let read = |ms| v1::Timeouts { upstream_read_ms: ms, ..Default::default() };
    let send = |ms| v1::Timeouts { upstream_send_ms: ms, ..Default::default() };
    for (timeouts, endpoint, request, complete) in [
        (read(50), pausing(), GET, false),
        (read(3000), pausing(), GET, true),
        (send(50), pausing(), GET, true),
        (send(50), deaf(), long.as_bytes(), false),
    ] {
        let mut host = catch_all();
        host.rules[0].timeouts = Some(timeouts);
        let backends = Backends::default().with("b", vec![endpoint]);
        // The tier's patience is shorter where the rule's is long, and longer where it is short.
        let idle = if timeouts.upstream_read_ms > 100 { 100 } else { 4000 };
        let settings = self::timeouts(|t| t.idle = Duration::from_millis(idle));
        let harness = Harness::with(settings, &[host], backends, Default::default());
        let mut client = harness.connect();
        client.write_all(request).await.unwrap_or_default();
        let answer = read_quiet_bytes(&mut client, Duration::from_secs(1)).await;
        let text = String::from_utf8_lossy(&answer);
        assert_eq!(text.ends_with("ab"), complete, "{timeouts:?}: {text}");
        let failure = harness.seen().pop().unwrap().failure;
        assert_eq!(failure, (!complete).then_some(Failure::UpstreamTimeout), "{text}");
    }
}

fn timeouts(change: impl Fn(&mut Timeouts)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings.timeouts);
    settings
}

const SHORT: Duration = Duration::from_millis(60);

#[tokio::test]
async fn every_wait_ends() {
    let silent = || {
        script(
            |mut io, _| async move { while io.read(&mut [0; 999]).await.is_ok_and(|n| n > 0) {} },
        )
    };
    let half = || {
        script(|mut io, _| async move {
            let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await;
            while io.read(&mut [0; 999]).await.is_ok_and(|n| n > 0) {}
        })
    };
    let idle = |t: &mut Timeouts| t.idle = SHORT;
    let whole = |t: &mut Timeouts| t.request = Some(SHORT);
    let head = |t: &mut Timeouts| t.request_head = SHORT;
    let upload = &b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"[..];
    for (settings, endpoint, request, starts, failure) in [
        (timeouts(idle), silent(), GET, "HTTP/1.1 504 ", Some(Failure::UpstreamTimeout)),
        (timeouts(whole), silent(), GET, "HTTP/1.1 504 ", Some(Failure::UpstreamTimeout)),
        (timeouts(idle), half(), GET, "HTTP/1.1 200 ", Some(Failure::UpstreamTimeout)),
        (timeouts(idle), silent(), upload, "HTTP/1.1 408 ", Some(Failure::ClientTimeout)),
        (timeouts(head), silent(), b"GET / HT", "HTTP/1.1 408 ", Some(Failure::HeadTimeout)),
        (timeouts(head), silent(), b"", "", None),
    ] {
        let backends = Backends::default().with("b", vec![endpoint]);
        let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
        let mut client = harness.connect();
        client.write_all(request).await.unwrap();
        let answer = read_quiet_bytes(&mut client, Duration::from_secs(2)).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(starts), "{answer:?}");
        assert_eq!(harness.seen().pop().and_then(|seen| seen.failure), failure, "{answer:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_a_moving_one_is_not() {
    let settings = timeouts(|t| (t.keep_alive, t.idle) = (SHORT, SHORT));
    let slow = script(|mut io, _| async move {
        let mut held = Vec::new();
        read_message(&mut io, &mut held).await;
        io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.unwrap();
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            io.write_all(b"x").await.unwrap();
        }
    });
    let backends = Backends::default().with("b", vec![slow]);
    let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
    let mut client = harness.connect();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let all = read_quiet_bytes(&mut client, Duration::from_secs(2)).await;
    assert!(all.ends_with(b"\r\n\r\nxxxxxxxxxx"), "{}", String::from_utf8_lossy(&all));
    assert_eq!(harness.seen()[0].failure, None);
}

#[tokio::test]
async fn limits_are_answered_by_name() {
    let limits = Limits {
        header_bytes: 1024,
        header_count: 8,
        request_body_bytes: Some(10),
        requests_per_connection: Some(2),
    };
    let settings = Settings { limits, ..Settings::default() };
    let long = "x".repeat(2000);
    for (request, status, failure) in [
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, Failure::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431, Failure::HeadTooLarge),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(8)), 431, Failure::HeadTooLarge),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello hello".into(), 413, Failure::BodyTooLarge),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhellohel\r\n3\r\nloX\r\n0\r\n\r\n".into(), 413, Failure::BodyTooLarge),
    ] {
        let backends = Backends::default().with("b", vec![echo()]);
        let harness = Harness::with(settings.clone(), &[catch_all()], backends, Default::default());
        let answer = harness.talk(request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(status == 413 || answer.contains("connection: close"), "{answer}");
        assert_eq!(harness.seen()[0].failure, Some(failure));
    }
    let backends = Backends::default().with("b", vec![echo()]);
    let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
    let answer = harness.talk(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3)).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
}

#[tokio::test]
async fn what_is_refused_is_told_with_method_and_target() {
    for (request, method, target) in [
        ("GET /x?y HTTP/1.1\r\n\r\n", "GET", "/x?y"),
        ("HEAD /../x HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n", "HEAD", "/../x"),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "CONNECT", "a:1"),
        ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", "", ""),
    ] {
        let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]));
        // A refused request does not show what another one left behind in a lent head.
        let request = ["POST /old HTTP/1.1\r\nHost: a\r\n\r\n", request].concat();
        let answer = harness.talk(request.as_bytes()).await;
        assert!(!answer.contains("mine"), "{answer}");
        assert_eq!(answer.ends_with("\r\n\r\n"), method == "HEAD", "{answer}");
        let seen = harness.seen().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, target));
        assert_eq!(seen.failure, Some(Failure::BadRequest));
    }
}

#[tokio::test]
async fn a_larger_head_than_a_buffer_passes_when_it_is_allowed() {
    let limits = Limits { header_bytes: 128 * 1024, ..Limits::default() };
    let settings = Settings { limits, ..Settings::default() };
    let backends = Backends::default().with("b", vec![echo()]);
    let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
    let long = "x".repeat(100_000);
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX: {long}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    );
    let mut client = harness.connect();
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    let write = async { writer.write_all(request.as_bytes()).await.unwrap() };
    let read = async {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        String::from_utf8(all).unwrap()
    };
    let ((), answer) = tokio::join!(write, read);
    assert!(answer.contains(&long) && answer.ends_with("hello"));
}

#[tokio::test]
async fn a_response_that_breaks_off_is_cut_not_completed() {
    for (response, head) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "content-length: 10"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "transfer-encoding: chunked",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nXX\r\n",
            "transfer-encoding: chunked",
        ),
    ] {
        let endpoint = script(move |mut io, _| async move {
            let mut held = Vec::new();
            read_message(&mut io, &mut held).await;
            io.write_all(response.as_bytes()).await.unwrap();
        });
        let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
        let mut client = harness.connect();
        client.write_all(GET).await.unwrap();
        let mut all = String::new();
        client.read_to_string(&mut all).await.unwrap();
        assert!(all.contains(head) && all.contains("half"), "{all}");
        assert!(!all.contains("0\r\n\r\n"), "{all}");
        assert!(harness.seen()[0].failure.is_some());
    }
}

#[tokio::test]
async fn a_response_until_close_ends_with_the_connection() {
    let endpoint = script(|mut io, _| async move {
        let mut held = Vec::new();
        read_message(&mut io, &mut held).await;
        io.write_all(b"HTTP/1.0 200 OK\r\n\r\nall of it").await.unwrap();
    });
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
    let answer = harness.talk(GET).await;
    assert!(answer.ends_with("9\r\nall of it\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(harness.seen()[0].failure, None);
}

#[tokio::test]
async fn an_early_answer_reaches_the_client_and_ends_both_connections() {
    let endpoint = script(|mut io, _| async move {
        io.read_exact(&mut [0; 20]).await.unwrap();
        io.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig").await.unwrap();
        while io.read(&mut [0; 9999]).await.is_ok_and(|n| n > 0) {}
    });
    let harness =
        Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]).pooled());
    let answer =
        harness.talk(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin").await;
    assert!(answer.starts_with("HTTP/1.1 413 Too Large"), "{answer}");
    assert!(answer.contains("connection: close") && answer.ends_with("big"), "{answer}");
}

#[tokio::test]
async fn one_hundred_continue_is_the_backends_to_say() {
    for says in [true, false] {
        let endpoint = script(move |mut io, _| async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(io.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.contains("expect: 100-continue\r\n"), "{head}");
            if !says {
                io.write_all(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                return;
            }
            io.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            io.write_all(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n").await.unwrap();
            let mut body = [0; 5];
            io.read_exact(&mut body).await.unwrap();
            io.write_all(ok(std::str::from_utf8(&body).unwrap()).as_bytes()).await.unwrap();
        });
        let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
        let mut client = harness.connect();
        let head =
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        client.write_all(head).await.unwrap();
        if says {
            let interim = read_to(&mut client, "link: x\r\n\r\n").await;
            assert!(interim.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 "), "{interim}");
            client.write_all(b"hello").await.unwrap();
            read_to(&mut client, "hello").await;
        } else {
            let answer = read_quiet(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 401 No\r\n"), "{answer}");
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test]
async fn large_bodies_stream_with_back_pressure() {
    let size = 3_000_000_usize;
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]));
    let mut client = harness.connect();
    let (mut reader, mut writer) = tokio::io::split(&mut client);
    let write = async {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).await.unwrap();
        for piece in 0..30_u8 {
            writer.write_all(&vec![b'a' + piece % 26; size / 30]).await.unwrap();
        }
    };
    let read = async {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).await.unwrap();
        all
    };
    let ((), all) = tokio::join!(write, read);
    let body = all.windows(4).enumerate().filter(|(_, w)| *w == b"\r\n\r\n").nth(1).unwrap().0 + 4;
    assert_eq!(all.len() - body, size);
    assert!(all.ends_with(b"ddd"));
    assert_eq!(harness.seen()[0].body_in, size as u64);
}

#[tokio::test]
async fn a_slow_reader_stops_the_backend() {
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let endpoint = script(move |mut io, _| {
        let counter = Arc::clone(&counter);
        async move {
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
            while io.write_all(&[b'x'; 10_000]).await.is_ok() {
                counter.fetch_add(10_000, Ordering::SeqCst);
            }
        }
    });
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
    let mut client = harness.connect();
    client.write_all(GET).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(written.load(Ordering::SeqCst) < 400_000, "{}", written.load(Ordering::SeqCst));
    drop(client);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(harness.seen()[0].failure, Some(Failure::ClientGone));
}

#[tokio::test]
async fn a_client_that_stops_reading_is_the_one_to_blame() {
    let endpoint = script(|mut io, _| async move {
        io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
        while io.write_all(&[b'x'; 10_000]).await.is_ok() {}
    });
    let settings = timeouts(|t| t.idle = SHORT);
    let backends = Backends::default().with("b", vec![endpoint]);
    let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
    let mut client = harness.connect();
    client.write_all(GET).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(harness.seen()[0].failure, Some(Failure::ClientTimeout));
}

#[tokio::test]
async fn a_get_survives_a_backend_that_dies_before_it_answers() {
    let dying = || {
        script(|mut io, _| async move {
            let mut held = Vec::new();
            read_message(&mut io, &mut held).await;
        })
    };
    for (request, status) in [(GET, 200), (POST, 502)] {
        let backends = Backends::default().with("b", vec![dying(), echo()]);
        let harness = Harness::new(&[catch_all()], backends);
        let answer = harness.talk(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[tokio::test]
async fn endless_interim_answers_end() {
    let endpoint = answering(|_| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000));
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
    let answer = harness.talk(GET).await;
    assert!(answer.contains("HTTP/1.1 502 "), "{answer}");
    assert!(answer.matches("HTTP/1.1 103").count() <= 32, "{answer}");
}

#[tokio::test]
async fn nothing_is_forwarded_before_the_switch_and_everything_after() {
    let endpoint = script(|mut io, _| async move {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("upgrade: websocket\r\nconnection: upgrade\r\n"), "{head}");
        let early = tokio::time::timeout(Duration::from_millis(50), io.read_u8()).await;
        assert!(early.is_err(), "bytes before 101");
        io.write_all(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nfirst").await.unwrap();
        let mut piece = [0; 100];
        while let Ok(count @ 1..) = io.read(&mut piece).await {
            io.write_all(&piece[..count].to_ascii_uppercase()).await.unwrap();
        }
        io.write_all(b" bye").await.unwrap();
    });
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
    let mut client = harness.connect();
    client.write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly ").await.unwrap();
    let head = read_to(&mut client, "EARLY ").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"), "{head}");
    assert!(head.contains("first"), "{head}");
    client.write_all(b"ping").await.unwrap();
    read_to(&mut client, "PING").await;
    client.shutdown().await.unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, " bye");
    let seen = harness.seen();
    assert_eq!((seen[0].status, seen[0].failure, seen[0].body_in), (101, None, 10));
}

#[tokio::test]
async fn a_refused_upgrade_is_an_ordinary_answer() {
    let harness =
        Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]).pooled());
    let mut client = harness.connect();
    for number in 0..2 {
        let request = format!(
            "GET /{number} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        client.write_all(request.as_bytes()).await.unwrap();
        let answer = read_to(&mut client, "connection: upgrade").await;
        assert!(answer.contains(&format!("GET /{number} ")), "{answer}");
    }
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let endpoint = script(|mut io, _| async move {
        let mut held = Vec::new();
        let request = read_message(&mut io, &mut held).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        io.write_all(ok(&request).as_bytes()).await.unwrap();
    });
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
    let mut client = harness.connect();
    client.write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("GET /x "), "{answer}");
}
