//! Connections towards backends: reused, bounded, replaced when they fail.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use gatefleet_test_support::raw::{Connection, get};
use serde_json::json;
use support::{
    Authority, Backend, Manners, Proxy, backend, blocking, eventually, free_port, http, local,
    route, simple,
};

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_reused_and_kept_when_other_endpoints_change() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    proxy.serve(&simple(port, &[a.address])).await;
    let mut client = Connection::open(local(port)).unwrap();
    for _ in 0..50 {
        client.get("a.example", "/", &[]).unwrap();
    }
    assert_eq!((a.connections(), a.requests()), (1, 50));

    let b = Backend::start("b");
    proxy.serve(&simple(port, &[a.address, b.address])).await;
    for _ in 0..50 {
        client.get("a.example", "/", &[]).unwrap();
    }
    assert_eq!((a.connections(), b.connections()), (1, 1), "the pool of a is untouched");
    assert_eq!((a.requests(), b.requests()), (75, 25), "turns go round");

    proxy.serve(&simple(port, &[b.address])).await;
    client.get("a.example", "/", &[]).unwrap();
    assert_eq!((a.requests(), b.connections()), (75, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_opens_a_bounded_number_at_once() {
    let manners = Manners { delay: Duration::from_millis(5), ..Manners::default() };
    let (proxy, a, port) = (Proxy::start(), Backend::start_with("a", manners), free_port());
    proxy.serve(&simple(port, &[a.address])).await;
    let clients: Vec<_> = (0..200)
        .map(|_| {
            blocking(move || get(local(port), "a.example", "/", &[]).map(|a| a.status).unwrap())
        })
        .collect();
    for client in clients {
        assert_eq!(client.await, 200);
    }
    assert_eq!(a.requests(), 200);
    assert!(a.connections() < 200, "waiters take returned connections: {}", a.connections());
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_towards_a_backend_are_kept_over_all_threads() {
    let manners = Manners { delay: Duration::from_millis(20), ..Manners::default() };
    let (proxy, a, port) = (Proxy::start(), Backend::start_with("a", manners), free_port());
    let mut resources = simple(port, &[a.address]);
    resources
        .push(json!({ "name": "tier", "tier": { "limits": { "maxConnectionsPerBackend": 3 } } }));
    proxy.serve(&resources).await;
    let clients: Vec<_> = (0..40)
        .map(|_| blocking(move || get(local(port), "a.example", "/", &[]).unwrap().status))
        .collect();
    for client in clients {
        assert_eq!(client.await, 200);
    }
    assert!(a.connections() >= 1);
    let open = proxy.path.backends().await[0].open;
    assert!(open <= 3, "{open} connections are open");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_pending_limit_are_turned_away() {
    let manners = Manners { delay: Duration::from_millis(200), ..Manners::default() };
    let (proxy, a, port) = (Proxy::start(), Backend::start_with("a", manners), free_port());
    let mut resources = simple(port, &[a.address]);
    let limits = json!({ "maxConnectionsPerBackend": 1, "maxPendingPerBackend": 2 });
    resources.push(json!({ "name": "tier", "tier": { "limits": limits } }));
    proxy.serve(&resources).await;
    let clients: Vec<_> = (0..20)
        .map(|_| blocking(move || get(local(port), "a.example", "/", &[]).unwrap().status))
        .collect();
    let mut turned_away = 0;
    for client in clients {
        let status = client.await;
        assert!(status == 200 || status == 503, "{status}");
        turned_away += usize::from(status == 503);
    }
    assert!(turned_away >= 10, "{turned_away}");
    assert!(proxy.path.backends().await[0].overflowed >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backend_costs_no_request() {
    let (proxy, port) = (Proxy::start(), free_port());
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    proxy.serve(&simple(port, &[a.address, b.address])).await;
    let mut client = Connection::open(local(port)).unwrap();
    for _ in 0..10 {
        assert_eq!(client.get("a.example", "/", &[]).unwrap().status, 200);
    }
    a.kill();
    for round in 0..50 {
        let answer = client.get("a.example", "/", &[]).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "b"), "round {round}");
    }
    let view = &proxy.path.backends().await[0];
    assert!(view.refused >= 1, "{view:?}");
    assert!(view.refused < 10, "a failed endpoint is avoided: {view:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_the_backend_closed_is_not_used() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    proxy.serve(&simple(port, &[a.address])).await;
    let mut client = Connection::open(local(port)).unwrap();
    for round in 0..20 {
        assert_eq!(client.get("a.example", "/", &[]).unwrap().status, 200, "round {round}");
        a.hang_up();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(a.connections(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_connections_are_closed_after_the_idle_limit() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let mut resources = simple(port, &[a.address]);
    resources.push(json!({ "name": "tier", "tier": { "timeouts": { "upstreamIdleMs": 300 } } }));
    proxy.serve(&resources).await;
    get(local(port), "a.example", "/", &[]).unwrap();
    let open = || async { proxy.path.backends().await[0].open };
    assert_eq!(open().await, 1);
    for _ in 0..200 {
        if open().await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_terminate_serve_only_when_alone() {
    let (proxy, port) = (Proxy::start(), free_port());
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let endpoint = |backend: &Backend, terminating| json!({ "addresses": ["127.0.0.1"], "port": backend.address.port(), "terminating": terminating });
    for (endpoints, expected) in [
        (json!([endpoint(&a, true), endpoint(&b, false)]), "b"),
        (json!([endpoint(&a, true)]), "a"),
    ] {
        let mut resources = vec![http(port), route("all", "", "b")];
        resources.extend(backend("b", &[]));
        resources[3] = json!({ "name": "endpoints/b", "endpoints": { "endpoints": endpoints } });
        proxy.serve(&resources).await;
        for _ in 0..6 {
            assert_eq!(get(local(port), "a.example", "/", &[]).unwrap().text(), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subsets_take_only_endpoints_with_their_labels() {
    let (proxy, port) = (Proxy::start(), free_port());
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let endpoint = |backend: &Backend, version| json!({ "addresses": ["127.0.0.1"], "port": backend.address.port(), "labels": { "version": version } });
    let endpoints = json!({ "endpoints": [endpoint(&a, "v1"), endpoint(&b, "v2")] });
    proxy
        .serve(&[
            http(port),
            route("all", "", "b"),
            json!({ "name": "backend/b", "backend": { "endpoints": "endpoints/b", "subset": { "version": "v2" } } }),
            json!({ "name": "endpoints/b", "endpoints": endpoints }),
        ])
        .await;
    for _ in 0..6 {
        assert_eq!(get(local(port), "a.example", "/", &[]).unwrap().text(), "b");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_resolved_and_followed() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    let dns = format!("localhost:{}", a.address.port());
    proxy
        .serve(&[
            http(port),
            route("all", "", "b"),
            json!({ "name": "backend/b", "backend": { "dns": dns } }),
        ])
        .await;
    eventually("the name is resolved", || {
        get(local(port), "a.example", "/", &[]).is_ok_and(|answer| answer.text() == "a")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_are_verified_as_they_are_told() {
    let (proxy, port) = (Proxy::start(), free_port());
    let (ca, other) = (Authority::new(), Authority::new());
    let address = tls_backend(ca.issue(&["b.example"])).await;
    let bundle = |name: &str, pem: &str| json!({ "name": format!("trust-bundle/{name}"), "trustBundle": { "certificates": pem } });
    for (tls, expected) in [
        (json!({ "serverName": "b.example", "trustBundles": ["trust-bundle/ca"] }), 200),
        (json!({ "serverName": "c.example", "trustBundles": ["trust-bundle/ca"] }), 502),
        (json!({ "serverName": "b.example", "trustBundles": ["trust-bundle/other"] }), 502),
        (json!({ "serverName": "b.example", "trustBundles": ["trust-bundle/missing"] }), 503),
        (json!({ "serverName": "c.example", "insecureSkipVerify": true }), 200),
        (json!({ "trustBundles": ["trust-bundle/ca"] }), 200),
        (
            json!({ "serverName": "x", "trustBundles": ["trust-bundle/ca"], "subjectAltNames": ["b.example"] }),
            200,
        ),
        (
            json!({ "serverName": "b.example", "trustBundles": ["trust-bundle/ca"], "subjectAltNames": ["z"] }),
            502,
        ),
        (json!({ "insecureSkipVerify": true, "clientCertificate": "certificate/missing" }), 503),
    ] {
        let [_, endpoints] = backend("b", &[address]);
        let told =
            json!({ "name": "backend/b", "backend": { "endpoints": "endpoints/b", "tls": tls } });
        proxy
            .serve(&[
                http(port),
                route("all", "", "b"),
                told,
                endpoints,
                bundle("ca", &ca.pem),
                bundle("other", &other.pem),
            ])
            .await;
        let answer = blocking(move || get(local(port), "a.example", "/", &[])).await.unwrap();
        assert_eq!(answer.status, expected, "{tls}: {}", answer.text());
    }
}

/// An HTTPS backend that answers everything with 200.
async fn tls_backend((chain, key): (String, String)) -> std::net::SocketAddr {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind(local(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut tls) = acceptor.accept(tcp).await else { return };
                let mut bytes = [0; 4096];
                while tls.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if tls.write_all(answer).await.is_err() || tls.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_gets_nothing_while_another_is_free() {
    let slow = Manners { delay: Duration::from_secs(5), ..Manners::default() };
    let (proxy, port) = (Proxy::start(), free_port());
    let (a, b) = (Backend::start_with("a", slow), Backend::start("b"));
    let mut resources = simple(port, &[a.address, b.address]);
    let named = resources.iter_mut().find(|one| one["backend"].is_object()).unwrap();
    named["backend"]["balance"] = json!("LEAST_REQUEST");
    proxy.serve(&resources).await;

    // One after the other: the first that meets the slow one waits there.
    while a.requests() == 0 {
        drop(blocking(move || get(local(port), "a.example", "/", &[])));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (busy, before) = (a.requests(), b.requests());
    let mut client = Connection::open(local(port)).unwrap();
    for _ in 0..40 {
        assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "b");
    }
    assert_eq!((a.requests(), b.requests()), (busy, before + 40));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_never_answers_is_left_out_for_a_while() {
    let hangs = Manners { delay: Duration::from_mins(1), ..Manners::default() };
    let (proxy, port) = (Proxy::start(), free_port());
    let (a, b) = (Backend::start_with("a", hangs), Backend::start("b"));
    let mut resources = simple(port, &[a.address, b.address]);
    let host = resources.iter_mut().find(|one| one["virtualHost"].is_object()).unwrap();
    host["virtualHost"]["rules"][0]["timeouts"] = json!({ "upstreamReadMs": 50 });
    proxy.serve(&resources).await;

    let status = || get(local(port), "a.example", "/", &[]).unwrap().status;
    let mut failed = 0;
    while failed < 5 {
        failed += usize::from(status() == 504);
    }
    let mut client = Connection::open(local(port)).unwrap();
    for _ in 0..20 {
        assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "b");
    }
    assert_eq!(a.requests(), 5);
    // Later it is asked again.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!([status(), status(), status()].iter().filter(|status| **status == 504).count(), 1);
}
