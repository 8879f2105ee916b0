//! HTTP/1.1 that two servers may read differently: nothing of it reaches a backend, and nothing valid is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "support/strict.rs"]
mod strict;
mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use support::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What reached the backend, per connection.
type Recorded = Arc<Mutex<Vec<Vec<u8>>>>;

/// Records every byte, and answers as many requests as a strict reader sees complete.
fn recorder(recorded: &Recorded) -> Endpoint {
    let recorded = Arc::clone(recorded);
    Endpoint(Some(Arc::new(move |mut io, _| {
        let recorded = Arc::clone(&recorded);
        Box::pin(async move {
            let index = {
                let mut all = recorded.lock().unwrap();
                all.push(Vec::new());
                all.len() - 1
            };
            let (mut piece, mut answered) = (vec![0; 65536], 0);
            while let Ok(count) = io.read(&mut piece).await {
                if count == 0 {
                    return;
                }
                let bytes = {
                    let mut all = recorded.lock().unwrap();
                    all[index].extend_from_slice(&piece[..count]);
                    all[index].clone()
                };
                let complete = strict::check(&bytes)
                    .map_or(0, |messages| messages.iter().filter(|m| m.complete).count());
                for _ in answered..complete {
                    let _ = io.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                answered = complete.max(answered);
            }
        })
    })))
}

/// Sends a payload; returns the client's bytes and what each backend connection got.
async fn send(payload: &[u8]) -> (String, Vec<Vec<u8>>) {
    let recorded = Recorded::default();
    let backends = Backends::default().with("b", vec![recorder(&recorded)]).pooled();
    let harness = Harness::new(&[catch_all()], backends);
    let mut client = harness.connect();
    client.write_all(payload).await.unwrap();
    let quiet = Duration::from_millis(60);
    let answer = read_quiet_bytes(&mut client, quiet).await;
    let recorded = recorded.lock().unwrap().clone();
    (String::from_utf8_lossy(&answer).into_owned(), recorded)
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /a HTTP/1.1\r\nHost: a\r\n{headers}\r\n{body}").into_bytes()
}

fn get(headers: &str) -> Vec<u8> {
    format!("GET /a HTTP/1.1\r\nHost: a\r\n{headers}\r\n").into_bytes()
}

const CHUNKS: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Transfer-Encoding in disguise: the whole field line.
fn transfer_encodings() -> Vec<Vec<u8>> {
    [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "\tTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding:",
        "Transfer-Encoding: ",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: chun\0ked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding:\n chunked",
        "Transfer-Encoding: chunked\r\n ",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\r\n\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunk\u{e9}d",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer-Encoding: ch\r\n unked",
        "Transfer-Encoding= chunked",
        "Transfer-Encoding chunked",
        "Transfer\r\n-Encoding: chunked",
        "Transfer-Encoding\0: chunked",
        "Transfer-Encoding\u{7f}: chunked",
        "Transfer-Encoding: cow",
        "Transfer-Encoding: chunked cow",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\ntRANSFER-eNCODING: chunked",
    ]
    .iter()
    .map(|line| post(&format!("{line}\r\n"), CHUNKS))
    .collect()
}

fn content_lengths() -> Vec<Vec<u8>> {
    [
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: 5,5",
        "Content-Length: 5, 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length:",
        "Content-Length:",
        "Content-Length: ",
        "Content-Length: abc",
        "Content-Length: 5abc",
        "Content-Length: 5.0",
        "Content-Length: 1e1",
        "Content-Length: \"5\"",
        "Content-Length: 5;",
        "Content-Length: 5\u{b}",
        "Content-Length: 5\0",
        "Content-Length: \u{660}",
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "Content-Length:\r\n 5",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: 5\nX: y",
        "Content-Length: 5\rX: y",
        "Content Length: 5",
        "Content-Length: 5_0",
    ]
    .iter()
    .map(|line| post(&format!("{line}\r\n"), "helloGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
    .collect()
}

fn chunk_bodies() -> Vec<Vec<u8>> {
    [
        "g\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\t\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhell\r\n0\r\n\r\n",
        "5;\nx\r\nhello\r\n0\r\n\r\n",
        "5;\rx\r\nhello\r\n0\r\n\r\n",
        "5;a=\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\u{7f}\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5 ;a\r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        "5.0\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "8000000000000005\r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\n\r\r\n",
        "5\r\nhello\r\n0\r\nBad Name: x\r\n\r\n",
        "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
        "5\r\nhello\r\n0\r\n X: y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX\r\n\r\n",
        "\u{665}\r\nhello\r\n0\r\n\r\n",
    ]
    .iter()
    .map(|body| post("Transfer-Encoding: chunked\r\n", body))
    .collect()
}

const LINES_AND_FIELDS: &[&str] = &[
    "GET /a HTTP/1.1\nHost: a\n\n",
    "GET /a HTTP/1.1\r\nHost: a\n\r\n",
    "GET /a HTTP/1.1\nHost: a\r\n\r\n",
    "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\n\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    " GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1 \r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\rHost: a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\u{b}b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\u{7f} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\r\n\r\n",
    "GET /a HTTP/0.9\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET /a HTTP/2.0\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.10\r\nHost: a\r\n\r\n",
    "GET /a HTTP/01.1\r\nHost: a\r\n\r\n",
    "GET /a http/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1x\r\nHost: a\r\n\r\n",
    "GET /a HTTPS/1.1\r\nHost: a\r\n\r\n",
    "G@T /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "G\0T /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
    "CONNECT /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://u:p@a/ HTTP/1.1\r\nHost: u:p@a\r\n\r\n",
    "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a HTTP/1.1\r\n\r\n",
    "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //a\\b@c:d HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /../a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /b/%2e%2e/%2E./a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /b/..;/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a%00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /a HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a?b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: u@a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a:80:80\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a:99999\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\\b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a%62\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET /a HTTP/1.1\r\n Host: a\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\n\tz\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\u{7f}z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\u{1}z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\u{8}z\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nX\u{e9}: y\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: a b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: a b\r\n\r\n",
    "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TRACE /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 5\r\n\r\nhello",
    "POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, x\r\nContent-Length: 5\r\n\r\nhello",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    "PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
];

fn lines_and_fields() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> =
        LINES_AND_FIELDS.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push([b"GET /".as_slice(), &vec![b'a'; 40_000], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    all.push(get(&format!("X: {}\r\n", "y".repeat(40_000))));
    all.push(get(&"X: y\r\n".repeat(150)));
    all.push(get(&"X: y\r\n".repeat(400)));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_ambiguous_reaches_a_backend() {
    let payloads =
        [transfer_encodings(), content_lengths(), chunk_bodies(), lines_and_fields()].concat();
    assert!(payloads.len() >= 200, "{}", payloads.len());
    let sent = payloads.into_iter().map(|payload| {
        tokio::spawn(async move {
            let outcome = send(&payload).await;
            (payload, outcome)
        })
    });
    for task in sent.collect::<Vec<_>>() {
        let (payload, (answer, recorded)) = task.await.unwrap();
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
        assert!(!answer.contains(" 200 OK"), "served: {shown:?}\n{answer}");
        assert!(answer.is_empty() || answer.contains("connection: close"), "{shown:?}: {answer}");
        for bytes in recorded {
            let messages = strict::check(&bytes).unwrap_or_else(|error| {
                panic!("dirty ({error}): {shown:?} became {:?}", String::from_utf8_lossy(&bytes))
            });
            assert!(messages.iter().all(|message| !message.complete), "{shown:?}: {messages:?}");
        }
    }
}

/// Requests that look odd and are valid: all are served, and what the backend gets is strict.
const ODD_BUT_VALID: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nhost:a\r\n\r\n",
    "GET / HTTP/1.1\r\nHOST: \t a \t\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: A.B-C_D.example.\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET HTTPS://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "PROPFIND /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "M-SEARCH /x HTTP/1.1\r\nHost: a\r\n\r\n",
    "get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /? HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?? HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?x=/../../y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET //x//y HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /x/./y/../z HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /.well-known/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /x/... HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a%2Fb%20c HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a;b=c;d,e@f:g!$&'()*+= HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /|^`{}\"<> HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\u{e4}\u{4e2d} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\tb\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \u{e4}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: \"a, b\"; c=d\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX_Y: z\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~: x\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\nx: 3\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=\"d\"\r\nCookie: e\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: , close ,\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\nConnection: X\r\nX: y\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE\r\nTE: trailers, deflate;q=0.5\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nTE:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: TLS/1.0, foo/2\r\nConnection: upgrade\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:5\t\r\n\r\nhello",
    "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a;b=c;d=\"e f\"\r\nhello\r\n0;x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 3\r\nHost: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello",
    "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nProxy: x\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\nIf-None-Match: *\r\n\r\n",
];

fn odd_but_valid() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = ODD_BUT_VALID.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.push([b"GET /".as_slice(), &vec![b'a'; 30_000], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    all.push(get(&format!("X: {}\r\n", "y".repeat(30_000))));
    all.push(get(&"X: y\r\n".repeat(99)));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_valid_is_refused() {
    let payloads = odd_but_valid();
    assert!(payloads.len() >= 60, "{}", payloads.len());
    let sent = payloads.into_iter().map(|payload| {
        tokio::spawn(async move {
            let outcome = send(&payload).await;
            (payload, outcome)
        })
    });
    for task in sent.collect::<Vec<_>>() {
        let (payload, (answer, recorded)) = task.await.unwrap();
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned();
        assert!(answer.contains("HTTP/1.1 200 OK"), "refused: {shown:?}\n{answer}");
        let bytes = recorded.concat();
        let messages = strict::check(&bytes).unwrap_or_else(|error| {
            panic!("dirty ({error}): {shown:?} became {:?}", String::from_utf8_lossy(&bytes))
        });
        assert_eq!(messages.len(), 1, "{shown:?}");
        assert!(messages[0].complete, "{shown:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let recorded = Recorded::default();
    let backends = Backends::default().with("b", vec![echo()]).pooled();
    let harness = Harness::new(&[catch_all()], backends);
    let mut client = harness.connect();
    let mut all = Vec::new();
    for number in 0..20 {
        all.extend_from_slice(
            format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").as_bytes(),
        );
    }
    client.write_all(&all).await.unwrap();
    let answer = read_quiet(&mut client).await;
    let order: Vec<&str> = answer.lines().filter(|line| line.starts_with("POST /")).collect();
    let expected: Vec<String> = (0..20).map(|n| format!("POST /{n} HTTP/1.1")).collect();
    assert_eq!(order, expected);
    assert!(recorded.lock().unwrap().is_empty());
}

/// Backend answers that two readers may understand differently become 502.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_answers_become_502() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: y\r\n z\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "SSH-2.0-OpenSSH_9\r\n\r\n",
    ] {
        let endpoint = answering(move |_| answer.to_owned());
        let harness = Harness::new(&[catch_all()], Backends::default().with("b", vec![endpoint]));
        let got = harness.talk(&get("Connection: close\r\n")).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{answer:?}\n{got}");
        assert!(got.contains("reason: UpstreamMalformed"), "{answer:?}\n{got}");
    }
}
