//! Every case of h2spec against the program, before a backend that takes requests apart by itself (hyper).
//! `make test-h2spec` builds h2spec and runs this; it needs Go.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "a run prints its figures")]

mod support;

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use http_body_util::{BodyExt, Collected, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use support::{PROGRAM, Proxy, free_port};

/// Answers what it got.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    Ok(Response::new(Full::new(if body.is_empty() { Bytes::from_static(b"empty") } else { body })))
}

/// A backend of its own thread; it ends with the test program.
fn backend() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(echo)));
            }
        });
    });
    address
}

fn tls(port: u16) -> Vec<Value> {
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let chain = chain.self_signed(&key).unwrap().pem();
    vec![
        json!({ "name": "listener/https", "listener": { "owner": "Tier", "scope": "tier",
            "bindPort": port, "protocol": "HTTPS", "tls": { "defaultCertificates": ["certificate/a"] } } }),
        json!({ "name": "certificate/a",
            "certificate": { "chain": chain, "privateKey": key.serialize_pem() } }),
    ]
}

/// The last line of a run, which must tell of every case.
fn conform(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let failures = text.split_once("Failures:").map_or("", |(_, failures)| failures);
    let summary = text.lines().rev().find(|line| line.contains("tests, ")).unwrap_or("no summary");
    println!("h2spec {}: {summary}", arguments.join(" "));
    assert_eq!(summary, "145 tests, 145 passed, 0 skipped, 0 failed", "{failures}");
    assert!(output.status.success());
}

#[test]
#[ignore = "needs Go; run it by `make test-h2spec`"]
fn every_case_passes_over_tls_and_cleartext() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/h2spec/build");
    let built = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    assert!(built.status.success(), "tests/h2spec/build failed");
    let program = String::from_utf8(built.stdout).unwrap();
    let program = Path::new(program.trim());
    let secure = free_port();
    let proxy = Proxy::start_with(backend(), 2, &tls(secure), &mut Command::new(PROGRAM));
    conform(program, &["-p", &proxy.port.to_string()]);
    conform(program, &["-t", "-k", "-p", &secure.to_string()]);
}
