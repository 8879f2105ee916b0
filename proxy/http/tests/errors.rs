//! Errors that another backend answers.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use gatefleet_http::Failure;
use gatefleet_snapshot::v1;
use serde_json::json;
use support::{Backends, Endpoint, Harness, answering, echo};
use tokio::io::AsyncWriteExt;

/// Answers 404 with a body.
fn not_found() -> Endpoint {
    answering(|_| "HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nlost".to_owned())
}

fn harness(primary: Vec<Endpoint>, pages: Vec<Endpoint>, errors: &serde_json::Value) -> Harness {
    let host: v1::VirtualHost = serde_json::from_value(json!({
        "scope": "tier",
        "rules": [{"name": "r", "errors": errors, "forward": {"backends": [{"weight": 1, "backend": "b"}]}}],
        "matches": [{"rule": 0, "path": {"prefix": "/"}}],
    }))
    .unwrap();
    Harness::new(&[host], Backends::default().with("b", primary).with("pages", pages))
}

fn errors(statuses: &[u16], no_endpoints: bool) -> serde_json::Value {
    json!({
        "backend": "pages", "statuses": statuses, "noEndpoints": no_endpoints,
        "headers": [{"name": "X-Service-Name", "value": "shop"}],
    })
}

const POST: &[u8] =
    b"POST /a?b HTTP/1.1\r\nHost: a\r\nAccept: text/x\r\nX-Code: 1\r\nX-Service-Name: mine\r\n\
                      Content-Type: text/y\r\nContent-Length: 5\r\n\r\nhello";

#[tokio::test]
async fn the_page_of_an_error_is_asked_for() {
    let harness = harness(vec![not_found()], vec![echo()], &errors(&[404, 502], false));
    let mut client = harness.connect();
    client.write_all(POST).await.unwrap();
    let answer = support::read_quiet(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for line in [
        "GET / HTTP/1.1",
        "x-code: 404",
        "x-format: text/x",
        "x-original-uri: /a?b",
        "x-service-name: shop",
        "x-request-id: ",
        "host: a",
    ] {
        assert!(answer.contains(&format!("\n{line}")) || answer.contains(line), "{line}: {answer}");
    }
    for gone in ["lost", "hello", "mine", "x-code: 1", "text/y"] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    let seen = harness.seen().pop().unwrap();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/a?b"));
    assert_eq!((seen.backend.as_str(), seen.status, seen.failure), ("pages", 200, None));
    // The connection goes on.
    client.write_all(b"HEAD /c HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let answer = support::read_quiet(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn what_the_rule_does_not_name_is_passed_on() {
    let get = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let refused = || vec![Endpoint(None)];
    let mut missing = errors(&[404], true);
    missing["backend"] = "missing".into();
    for (primary, pages, said, starts, contains) in [
        (vec![not_found()], vec![echo()], errors(&[500], true), "HTTP/1.1 404 ", "lost"),
        (refused(), vec![echo()], errors(&[502], false), "HTTP/1.1 200 ", "x-code: 502"),
        (refused(), vec![echo()], errors(&[404], true), "HTTP/1.1 502 ", "ConnectFailed"),
        (vec![], vec![echo()], errors(&[404], false), "HTTP/1.1 503 ", "NoEndpoints"),
        (vec![], vec![echo()], errors(&[], true), "HTTP/1.1 200 ", "x-code: 503"),
        // The error page of the error page is nobody's.
        (vec![not_found()], vec![not_found()], errors(&[404], true), "HTTP/1.1 404 ", "lost"),
        (vec![not_found()], vec![], errors(&[404], true), "HTTP/1.1 404 ", "ErrorWithoutPage"),
        (vec![not_found()], vec![echo()], missing.clone(), "HTTP/1.1 404 ", "lost"),
        (refused(), refused(), errors(&[502], true), "HTTP/1.1 502 ", "ConnectFailed"),
    ] {
        let harness = harness(primary, pages, &said);
        let answer = harness.talk(get).await;
        assert!(answer.starts_with(starts) && answer.contains(contains), "{said}: {answer}");
    }
}

#[tokio::test]
async fn without_endpoints_the_request_goes_elsewhere_as_it_is() {
    let harness = harness(vec![], vec![echo()], &errors(&[503], true));
    let answer = harness.talk(POST).await;
    for line in ["POST /a?b HTTP/1.1", "hello", "x-code: 503", "text/y", "x-service-name: shop"] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
    assert_ne!(harness.seen().pop().unwrap().failure, Some(Failure::NoEndpoints));
}
