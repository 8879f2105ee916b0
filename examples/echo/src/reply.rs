//! What is answered to one request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::body::Paced;
use crate::frames;

/// What distinguishes one echo from another.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The answer to every path.
    pub(crate) text: String,
    /// The pod's name, or nothing.
    pub(crate) pod: String,
}

/// Answers one request as the table at the crate's root says.
///
/// # Errors
/// Never: a request body that breaks off shows in the answer.
pub(crate) async fn reply(
    identity: Arc<Identity>,
    request: Request<Incoming>,
) -> Result<Response<Paced>, Infallible> {
    if let Some(key) = websocket_key(&request) {
        return Ok(upgrade(request, &key));
    }
    let wishes = Wishes::parse(request.uri().query().unwrap_or(""));
    tokio::time::sleep(wishes.wait).await;
    let (kind, content) = match request.uri().path() {
        "/healthz" => ("text/plain", Bytes::from_static(b"ok\n")),
        "/echo" => ("application/json", describe(&identity, request).await),
        _ => {
            // A body that nobody reads would cost the connection its next request.
            let _ = request.into_body().collect().await;
            ("text/plain", Bytes::from(format!("{}\n", identity.text)))
        }
    };
    let content = match wishes.bytes {
        Some(size) => Bytes::from(vec![b'x'; size]),
        None => content,
    };
    let mut response = Response::new(Paced::new(content, wishes.delay, !wishes.chunked));
    *response.status_mut() = wishes.status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(pod) = HeaderValue::from_str(&identity.pod) {
        response.headers_mut().insert("x-pod", pod);
    }
    Ok(response)
}

/// What the query asks for.
struct Wishes {
    bytes: Option<usize>,
    delay: Duration,
    wait: Duration,
    status: StatusCode,
    chunked: bool,
}

impl Wishes {
    fn parse(query: &str) -> Self {
        let pairs: BTreeMap<&str, &str> =
            query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
        let number = |name: &str| pairs.get(name).and_then(|value| value.parse::<u64>().ok());
        Self {
            bytes: number("bytes").and_then(|size| usize::try_from(size).ok()),
            delay: Duration::from_millis(number("delay_ms").unwrap_or(0)),
            wait: Duration::from_millis(number("wait_ms").unwrap_or(0)),
            status: pairs.get("status").and_then(|code| code.parse().ok()).unwrap_or_default(),
            chunked: pairs.contains_key("chunked"),
        }
    }
}

async fn describe(identity: &Identity, request: Request<Incoming>) -> Bytes {
    let (head, body) = request.into_parts();
    let mut headers: BTreeMap<String, Value> = BTreeMap::new();
    for name in head.headers.keys() {
        let values: Vec<_> = head
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        headers.insert(name.to_string(), json!(values.join(", ")));
    }
    let body = body.collect().await.map(http_body_util::Collected::to_bytes);
    let answer = json!({
        "text": identity.text,
        "pod": identity.pod,
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query().unwrap_or(""),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "bodyBytes": body.as_ref().map_or(Value::Null, |body| json!(body.len())),
        "body": body.as_ref().map_or(Value::Null, |body| json!(String::from_utf8_lossy(body))),
    });
    Bytes::from(format!("{answer:#}\n"))
}

fn websocket_key(request: &Request<Incoming>) -> Option<String> {
    let upgrade = request.headers().get(UPGRADE)?.to_str().ok()?;
    let key = request.headers().get("sec-websocket-key")?.to_str().ok()?;
    upgrade.eq_ignore_ascii_case("websocket").then(|| key.to_owned())
}

fn upgrade(request: Request<Incoming>, key: &str) -> Response<Paced> {
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            // A broken connection ends the conversation; nobody is left to tell.
            let _ = frames::echo(TokioIo::new(upgraded)).await;
        }
    });
    let mut response = Response::new(Paced::new(Bytes::new(), Duration::ZERO, true));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Ok(accept) = HeaderValue::from_str(&frames::accept_key(key)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
