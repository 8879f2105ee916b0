//! HTTP/2 in front, by a real client over the real framing: what reaches an HTTP/1.1 backend, what comes back,
//! and what is refused, bounded or ended.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use gatefleet_http::{Failure, Limits, Phase, Settings, Timeouts};
use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response};
use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::timeout,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SOON: Duration = Duration::from_secs(5);

type Connection = tokio::task::JoinHandle<Result<(), h2::Error>>;

async fn connect(harness: &Harness) -> (SendRequest<Bytes>, Connection) {
    let (send, connection) = h2::client::handshake(harness.connect()).await.unwrap();
    (send, tokio::spawn(connection))
}

fn get(uri: &str) -> Request<()> {
    Request::builder().uri(uri).body(()).unwrap()
}

fn echoing() -> Harness {
    Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]).pooled())
}

/// The whole response.
async fn collect(response: ResponseFuture) -> Result<(Response<()>, String, HeaderMap), h2::Error> {
    let (parts, mut body) = timeout(SOON, response).await.expect("a response")?.into_parts();
    let mut text = Vec::new();
    while let Some(chunk) = timeout(SOON, body.data()).await.expect("a body") {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        text.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    Ok((Response::from_parts(parts, ()), String::from_utf8(text).unwrap(), trailers))
}

async fn ask(send: &mut SendRequest<Bytes>, request: Request<()>) -> (u16, String) {
    let (response, _) = send.send_request(request, true).unwrap();
    let (head, body, _) = collect(response).await.unwrap();
    (head.status().as_u16(), body)
}

#[tokio::test]
async fn a_backend_of_http1_gets_what_http1_would_have_sent() {
    let harness = echoing();
    let (mut send, _connection) = connect(&harness).await;
    let request = Request::builder()
        .uri("http://A.example:80/x/../y?q=1")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .header("x-forwarded-for", "6.6.6.6")
        .body(())
        .unwrap();
    let (status, body) = ask(&mut send, request).await;
    assert_eq!(status, 200);
    let lines: Vec<&str> =
        body.lines().filter(|line| !line.starts_with("x-request-id: ")).collect();
    assert_eq!(
        lines,
        [
            "GET /y?q=1 HTTP/1.1",
            "host: A.example:80",
            "cookie: a=1; b=2",
            "x-forwarded-for: 192.0.2.7",
            "x-real-ip: 192.0.2.7",
            "x-forwarded-proto: http",
            "x-forwarded-host: A.example:80",
            "x-forwarded-port: 80",
            "te: trailers",
            "connection: te",
            "",
        ]
    );
    let seen = harness.seen();
    assert_eq!((seen[0].status, seen[0].target.as_str()), (200, "/x/../y?q=1"));
}

#[tokio::test]
async fn a_preface_may_come_in_pieces() {
    let harness = echoing();
    let mut client = harness.connect();
    for byte in PREFACE {
        client.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    client.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut head = [0; 9];
    timeout(SOON, client.read_exact(&mut head)).await.unwrap().unwrap();
    assert_eq!(head[3], 4, "SETTINGS");
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let reply = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let backend = answering(move |request| {
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        format!(
            "{reply}{:x}\r\n{body}\r\n0\r\nx-checksum: 7\r\ncontent-length: 9\r\n\r\n",
            body.len()
        )
    });
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![backend]));
    let (mut send, _connection) = connect(&harness).await;
    let request = Request::post("http://a/").body(()).unwrap();
    let (response, mut body) = send.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-mine", "1".parse().unwrap());
    trailers.insert("host", "evil".parse().unwrap());
    body.send_trailers(trailers).unwrap();
    let (_, text, trailers) = collect(response).await.unwrap();
    assert_eq!(text, "5\r\nhello\r\n0\r\nx-mine: 1\r\n\r\n");
    assert_eq!(trailers.get("x-checksum").unwrap(), "7");
    assert_eq!(trailers.get("content-length"), None);
}

#[tokio::test]
async fn many_streams_share_a_connection_and_bodies_keep_their_length() {
    let harness = echoing();
    let (send, _connection) = connect(&harness).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..100_usize {
        let mut send = send.clone().ready().await.unwrap();
        asking.spawn(async move {
            let payload = vec![b'x'; number * 1500];
            let request = Request::post(format!("http://a/{number}"))
                .header("content-length", payload.len())
                .body(())
                .unwrap();
            let (response, mut body) = send.send_request(request, false).unwrap();
            let mut rest = Bytes::from(payload);
            loop {
                body.reserve_capacity(rest.len());
                let room = body.capacity().min(rest.len());
                body.send_data(rest.split_to(room), rest.is_empty()).unwrap();
                if rest.is_empty() {
                    break;
                }
                std::future::poll_fn(|cx| body.poll_capacity(cx)).await.unwrap().unwrap();
            }
            let (_, text, _) = collect(response).await.unwrap();
            assert!(text.starts_with(&format!("POST /{number} ")));
            text.bytes().rev().take_while(|byte| *byte == b'x').count() == number * 1500
        });
    }
    while let Some(whole) = asking.join_next().await {
        assert!(whole.unwrap());
    }
}

#[tokio::test]
async fn heads_without_bodies_end_their_streams() {
    let backend = answering(|request| match request.split(' ').nth(1).unwrap() {
        "/204" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        "/early" => {
            "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n".into()
        }
        _ => "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n".into(),
    });
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![backend]));
    let (mut send, _connection) = connect(&harness).await;
    for (method, path, status, length) in
        [("GET", "/204", 204, None), ("GET", "/early", 304, None), ("HEAD", "/", 200, Some("5"))]
    {
        let request =
            Request::builder().method(method).uri(format!("http://a{path}")).body(()).unwrap();
        let (response, _) = send.send_request(request, true).unwrap();
        let (head, body, _) = collect(response).await.unwrap();
        assert_eq!((head.status().as_u16(), body.as_str()), (status, ""), "{path}");
        let told = head.headers().get("content-length").map(|value| value.to_str().unwrap());
        assert_eq!(told, length, "{path}");
    }
}

#[tokio::test]
async fn refuses_by_the_grammar_of_http1_and_goes_on() {
    let settings = Settings {
        limits: Limits { request_body_bytes: Some(3), ..Limits::default() },
        ..Settings::default()
    };
    let backends = Backends::default().with("b", vec![echo()]);
    let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
    let (mut send, _connection) = connect(&harness).await;
    for (method, uri, field, status) in [
        ("GET", "http://a/%00", ("x", "1"), 400),
        ("GET", "http://a/a/../..", ("x", "1"), 400),
        ("GET", "http://a/", ("host", "b"), 400),
        ("GET", "http://u@a/", ("x", "1"), 400),
        ("GET", "ftp://a/", ("x", "1"), 400),
        ("GET", "http://a/", ("x", " 1"), 400),
        ("PUT", "http://a/", ("content-length", "4"), 413),
        ("PUT", "http://a/", ("expect", "magic"), 417),
    ] {
        let request =
            Request::builder().method(method).uri(uri).header(field.0, field.1).body(()).unwrap();
        let (response, mut body) = send.send_request(request, method == "GET").unwrap();
        let head = timeout(SOON, response).await.unwrap().unwrap();
        assert_eq!(head.status(), status, "{uri} {field:?}");
        body.send_reset(Reason::CANCEL);
    }
    assert_eq!(harness.backends.asks.lock().unwrap().len(), 0, "nothing reached a backend");
    assert_eq!(ask(&mut send, get("http://a/")).await.0, 200);
}

#[tokio::test]
async fn a_body_that_breaks_its_length_never_looks_complete() {
    let harness = echoing();
    let (mut send, _connection) = connect(&harness).await;
    let request = Request::post("http://a/").header("content-length", "9").body(()).unwrap();
    let (response, mut body) = send.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"short"), true).unwrap();
    let error = collect(response).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    assert_eq!(ask(&mut send, get("http://a/")).await.0, 200, "other streams go on");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_reset() {
    let backend = Endpoint(Some(std::sync::Arc::new(|mut io: DuplexStream, _| {
        Box::pin(async move {
            let mut held = Vec::new();
            let _ = read_message(&mut io, &mut held).await;
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await.unwrap();
        })
    })));
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![backend]));
    let (mut send, _connection) = connect(&harness).await;
    let (response, _) = send.send_request(get("http://a/"), true).unwrap();
    let error = collect(response).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(harness.seen()[0].failure, Some(Failure::UpstreamReset));
}

/// A backend that answers nothing, and tells when its connection is closed.
fn silent() -> (Endpoint, tokio::sync::mpsc::UnboundedReceiver<()>) {
    let (closed, told) = tokio::sync::mpsc::unbounded_channel();
    let script = move |mut io: DuplexStream, _| {
        let closed = closed.clone();
        Box::pin(async move {
            let mut bytes = [0; 1024];
            while io.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
            let _ = closed.send(());
        }) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
    };
    (Endpoint(Some(std::sync::Arc::new(script))), told)
}

#[tokio::test]
async fn whoever_leaves_is_not_served() {
    let (backend, mut closed) = silent();
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![backend]));
    let (mut send, connection) = connect(&harness).await;
    let (_response, mut first) = send.send_request(get("http://a/1"), true).unwrap();
    let (_other, _second) = send.send_request(get("http://a/2"), true).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.send_reset(Reason::CANCEL);
    timeout(SOON, closed.recv()).await.expect("the reset stream's backend").unwrap();
    connection.abort();
    timeout(SOON, closed.recv()).await.expect("the backend of a lost connection").unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let failures: Vec<_> = harness.seen().into_iter().map(|seen| seen.failure).collect();
    assert_eq!(failures, [Some(Failure::ClientGone), Some(Failure::ClientGone)]);
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_backend_back() {
    let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&taken);
    let backend = Endpoint(Some(std::sync::Arc::new(move |mut io: DuplexStream, _| {
        let counted = std::sync::Arc::clone(&counted);
        Box::pin(async move {
            let mut held = Vec::new();
            let _ = read_message(&mut io, &mut held).await;
            io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n").await.unwrap();
            let piece = [0; 16 * 1024];
            while io.write_all(&piece).await.is_ok() {
                counted.fetch_add(piece.len(), std::sync::atomic::Ordering::Relaxed);
            }
        })
    })));
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![backend]));
    let (mut send, _connection) = connect(&harness).await;
    let (response, _) = send.send_request(get("http://a/"), true).unwrap();
    let _unread = timeout(SOON, response).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!((1..512 * 1024).contains(&taken), "{taken} bytes were taken from the backend");
}

#[tokio::test]
async fn a_drain_says_goaway_and_finishes_what_runs() {
    let backend = Endpoint(Some(std::sync::Arc::new(|mut io: DuplexStream, _| {
        Box::pin(async move {
            let mut held = Vec::new();
            let _ = read_message(&mut io, &mut held).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            io.write_all(ok("late").as_bytes()).await.unwrap();
        })
    })));
    let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![backend]));
    let (mut send, connection) = connect(&harness).await;
    let (response, _) = send.send_request(get("http://a/"), true).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    harness.drain.advance(Phase::Closing);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(send.clone().ready().await.is_err(), "no further stream");
    let (_, body, _) = collect(response).await.unwrap();
    assert_eq!(body, "late");
    timeout(SOON, connection).await.expect("the connection ends").unwrap().unwrap();
}

#[tokio::test]
async fn idle_connections_and_used_up_ones_end_with_goaway() {
    for (keep_alive, limit) in [(200, None), (60_000, Some(2))] {
        let timeouts =
            Timeouts { keep_alive: Duration::from_millis(keep_alive), ..Timeouts::default() };
        let limits = Limits { requests_per_connection: limit, ..Limits::default() };
        let settings = Settings { timeouts, limits, ..Settings::default() };
        let backends = Backends::default().with("b", vec![echo()]);
        let harness = Harness::with(settings, &[catch_all()], backends, Default::default());
        let (mut send, connection) = connect(&harness).await;
        for _ in 0..2 {
            assert_eq!(ask(&mut send, get("http://a/")).await.0, 200);
        }
        timeout(SOON, connection).await.expect("it ends").unwrap().unwrap();
    }
}

#[tokio::test]
async fn half_a_preface_is_not_waited_for() {
    let timeouts = Timeouts { request_head: Duration::from_millis(100), ..Timeouts::default() };
    let settings = Settings { timeouts, ..Settings::default() };
    let harness = Harness::with(settings, &[catch_all()], Backends::default(), Default::default());
    for start in [&PREFACE[..10], PREFACE] {
        let mut client = harness.connect();
        client.write_all(start).await.unwrap();
        let mut rest = Vec::new();
        timeout(SOON, client.read_to_end(&mut rest)).await.expect("it ends").unwrap();
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Sends `flood` again and again; the code of the GOAWAY that ends it.
async fn drown(harness: &Harness, mut flood: impl FnMut(u32) -> Vec<u8>) -> u32 {
    let mut client = harness.connect();
    client.write_all(PREFACE).await.unwrap();
    client.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    let (mut read, mut write) = tokio::io::split(client);
    let flooding = tokio::spawn({
        let bytes: Vec<u8> = (0..5000).flat_map(&mut flood).collect();
        async move {
            let _ = write.write_all(&bytes).await;
        }
    });
    let mut all = Vec::new();
    let _ = timeout(SOON, read.read_to_end(&mut all)).await.expect("the connection is closed");
    flooding.abort();
    let mut rest = &all[..];
    while let [a, b, c, kind, _, _, _, _, _, tail @ ..] = rest {
        let length = u32::from_be_bytes([0, *a, *b, *c]).try_into().unwrap();
        let (payload, next) = tail.split_at(length);
        if *kind == 7 {
            return u32::from_be_bytes(payload[4..8].try_into().unwrap());
        }
        rest = next;
    }
    panic!("no GOAWAY in {} bytes", all.len());
}

/// GET of `http://a/`, without the dynamic table.
const HEAD: &[u8] = &[0x82, 0x86, 0x84, 0x01, 0x01, b'a'];

#[tokio::test]
async fn floods_end_with_a_reason() {
    const CALM: u32 = 11;
    let floods: &[(&str, &[u8])] = &[
        ("ping", &frame(6, 0, 0, &[0; 8])),
        ("settings", &frame(4, 0, 0, &[])),
        ("priority", &frame(2, 0, 3, &[0, 0, 0, 1, 1])),
        ("window", &frame(8, 0, 0, &[0, 0, 0, 1])),
        ("unknown", &frame(99, 0, 0, &[])),
    ];
    for (name, flood) in floods {
        let harness = echoing();
        assert_eq!(drown(&harness, |_| flood.to_vec()).await, CALM, "{name}");
    }
    let harness = echoing();
    let empty = |n: u32| match n {
        0 => frame(1, 4, 1, &[0x83, 0x86, 0x84, 0x01, 0x01, b'a']),
        _ => frame(0, 0, 1, &[]),
    };
    assert_eq!(drown(&harness, empty).await, CALM, "empty data");
}

#[tokio::test]
async fn rapid_reset_reaches_hardly_a_backend() {
    let harness = echoing();
    let flood = |n: u32| {
        let stream = 2 * n + 1;
        [frame(1, 5, stream, HEAD), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
    };
    assert_eq!(drown(&harness, flood).await, 11);
    let asked = harness.backends.asks.lock().unwrap().len();
    assert!(asked <= 50, "{asked} of 5000 reached a backend");
}

#[tokio::test]
async fn a_head_is_bounded() {
    let harness = echoing();
    let (mut send, _connection) = connect(&harness).await;
    for (count, length, status) in [(90, 10, 200), (101, 1, 431), (4, 9000, 431)] {
        let mut request = get("http://a/");
        for index in 0..count {
            let name: http::HeaderName = format!("x-{index}").parse().unwrap();
            request.headers_mut().insert(name, "y".repeat(length).parse().unwrap());
        }
        let (response, _) = send.send_request(request, true).unwrap();
        let head = timeout(SOON, response).await.unwrap().unwrap();
        assert_eq!(head.status(), status, "{count} fields of {length}");
    }
}
