//! hyper as the other opinion: what the engine forwards, hyper accepts, and both see the same request; answers that
//! hyper gives arrive as hyper's own client would read them.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::{collection::vec, prelude::*, sample::select};
use support::*;
use tokio::io::{AsyncWriteExt, DuplexStream};

/// A request as hyper's server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Understood {
    method: String,
    target: String,
    body: Vec<u8>,
    marks: Vec<String>,
}

type Log = Arc<Mutex<Vec<Understood>>>;

async fn understand(
    request: Request<Incoming>,
    log: Log,
) -> Result<Response<Full<&'static [u8]>>, Infallible> {
    let (head, body) = request.into_parts();
    let marks = head.headers.get_all("x-mark").iter();
    let marks = marks.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let Ok(body) = body.collect().await else {
        return Ok(Response::new(Full::new(&b"broken"[..])));
    };
    log.lock().unwrap().push(Understood {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        body: body.to_bytes().to_vec(),
        marks,
    });
    Ok(Response::new(Full::new(&b"fine"[..])))
}

async fn serve_hyper(io: DuplexStream, log: Log, errors: Arc<Mutex<Vec<String>>>) {
    let service = service_fn(move |request| understand(request, Arc::clone(&log)));
    let served = hyper::server::conn::http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(io), service)
        .await;
    if let Err(error) = served {
        errors.lock().unwrap().push(format!("{error:?}"));
    }
}

/// What hyper understood, and whether it complained, behind the engine.
async fn behind_the_engine(payload: &[u8]) -> (Vec<Understood>, Vec<String>, String) {
    let (log, errors) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
    let (l, e) = (Arc::clone(&log), Arc::clone(&errors));
    let endpoint = Endpoint(Some(Arc::new(move |io, _| {
        Box::pin(serve_hyper(io, Arc::clone(&l), Arc::clone(&e)))
    })));
    let harness =
        Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]).pooled());
    let mut client = harness.connect();
    client.write_all(payload).await.unwrap();
    client.shutdown().await.unwrap();
    let answer = read_quiet(&mut client).await;
    let understood = log.lock().unwrap().clone();
    let errors = errors.lock().unwrap().clone();
    (understood, errors, answer)
}

async fn by_hyper_alone(payload: &[u8]) -> Vec<Understood> {
    let (log, errors) = (Log::default(), Arc::new(Mutex::new(Vec::new())));
    let (mut client, server) = tokio::io::duplex(65536);
    let task = tokio::spawn(serve_hyper(server, Arc::clone(&log), errors));
    client.write_all(payload).await.unwrap();
    client.shutdown().await.unwrap();
    read_quiet(&mut client).await;
    drop(client);
    let _ = task.await;
    log.lock().unwrap().clone()
}

/// Requests from pieces: most are nearly right, some are wrong in a place that matters.
fn payloads() -> impl Strategy<Value = Vec<u8>> {
    let line = (
        select(vec!["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]),
        select(vec!["/", "/a?b=c", "/a//b", "/%41", "/a/./b", "http://a/x", "*"]),
        select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
    );
    let fields = vec(
        select(vec![
            "X-Mark: one",
            "X-Mark: two, three",
            "x-mark:",
            "X-Mark:\ttab",
            "Content-Length: 5",
            "Content-Length: 05",
            "Content-Length: 5, 5",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding : chunked",
            "Connection: close",
            "Connection: x-mark",
            "Expect: 100-continue",
            "Host: b",
            "X-Mark: a\u{e4}",
        ]),
        0..4,
    );
    let body = select(vec![
        "",
        "hello",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x\r\nhello\r\n0\r\nx-mark: t\r\n\r\n",
        "5\nhello\n0\n\n",
        "6\r\nhello\r\n0\r\n\r\n",
    ]);
    (line, fields, body).prop_map(|((method, target, version), fields, body)| {
        let fields: String = fields.iter().map(|field| [field, "\r\n"].concat()).collect();
        format!("{method} {target} {version}\r\nHost: a\r\n{fields}\r\n{body}").into_bytes()
    })
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(160, |number| number.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn hyper_never_disagrees_with_what_was_forwarded(payload in payloads()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (behind, errors, answer) = behind_the_engine(&payload).await;
            let shown = String::from_utf8_lossy(&payload).into_owned();
            if answer.contains("HTTP/1.1 200") {
                let alone = by_hyper_alone(&payload).await;
                let (ours, theirs) = (&behind[0], &alone[0]);
                assert_eq!(ours.method, theirs.method, "{shown}");
                assert_eq!(ours.body, theirs.body, "{shown}");
                // Fields that Connection names end at a proxy.
                if !shown.contains("Connection: x-mark") {
                    assert_eq!(ours.marks, theirs.marks, "{shown}");
                }
                assert!(errors.is_empty(), "{shown}: {errors:?}");
            } else {
                assert!(behind.is_empty(), "{shown}: {behind:?}\n{answer}");
            }
            assert_eq!(behind.len(), answer.matches("HTTP/1.1 200").count(), "{shown}");
        });
    }
}

#[tokio::test]
async fn hypers_client_talks_through_the_engine() {
    let harness =
        Harness::new(&[catch_all()], Backends::default().with("b", vec![echo()]).pooled());
    let io = TokioIo::new(harness.connect());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
    tokio::spawn(connection);
    for number in 0..20_usize {
        let body = "x".repeat(number * 1000);
        let request = Request::post(format!("/{number}"))
            .header("host", "a")
            .body(Full::new(bytes::Bytes::from(body.clone())))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let echoed = response.into_body().collect().await.unwrap().to_bytes();
        assert!(echoed.ends_with(body.as_bytes()));
        sender.ready().await.unwrap();
    }
}
