//! Configuration changes under traffic: nothing is lost, nothing is closed, nothing is half done.

mod support;

use std::time::Duration;

use gatefleet_test_support::raw::{Answer, Connection, Load, Over, Plan, get};
use serde_json::json;
use support::{Backend, Proxy, backend, blocking, free_port, http, local, route, simple};

fn load(port: u16, good: fn(&Answer) -> bool) -> Load {
    Load::start(Plan {
        address: local(port),
        over: Over::Tcp,
        host: "a.example".into(),
        path: "/".into(),
        connections: 8,
        pause: Duration::from_millis(1),
        good,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_swaps_close_no_connection_and_lose_no_request() {
    let (proxy, a, b, port) =
        (Proxy::start(), Backend::start("a"), Backend::start("b"), free_port());
    proxy.serve(&simple(port, &[a.address])).await;
    let load = load(port, |answer| answer.status == 200);
    for round in 0..100 {
        let mut resources = vec![http(port), route("all", "", "b")];
        let endpoints = [a.address, b.address];
        resources.extend(backend("b", &endpoints[..=usize::from(round % 2 == 0)]));
        resources.push(route("more", &format!("r{round}.example"), "b"));
        proxy.serve(&resources).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let counts = blocking(move || load.stop()).await;
    assert_eq!((counts.noticed(), counts.failed()), (0, 0), "{counts:?}");
    assert!(counts.good.load(std::sync::atomic::Ordering::SeqCst) > 100, "{counts:?}");
    assert!(a.requests() > 0 && b.requests() > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_swap_returns_every_thread_serves_it() {
    let (proxy, port) = (Proxy::start(), free_port());
    let backends = [Backend::start("a"), Backend::start("b")];
    for round in 0..20 {
        let (name, one) = if round % 2 == 0 { ("a", &backends[0]) } else { ("b", &backends[1]) };
        proxy.serve(&simple(port, &[one.address])).await;
        // Sixteen connections reach both threads.
        for _ in 0..16 {
            let answer = get(local(port), "a.example", "/", &[]).unwrap();
            assert_eq!(answer.text(), name, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_come_and_go_without_touching_others() {
    let (proxy, a) = (Proxy::start(), Backend::start("a"));
    let (stays, goes) = (free_port(), free_port());
    let mut both = simple(stays, &[a.address]);
    both.push(http(goes));
    proxy.serve(&both).await;
    let mut kept = Connection::open(local(stays)).unwrap();
    let mut left = Connection::open(local(goes)).unwrap();
    assert_eq!(kept.get("a.example", "/", &[]).unwrap().text(), "a");
    assert_eq!(left.get("a.example", "/", &[]).unwrap().text(), "a");

    proxy.serve(&simple(stays, &[a.address])).await;
    assert!(Connection::open(local(goes)).is_err(), "the port is closed when the swap returns");
    assert_eq!(kept.get("a.example", "/", &[]).unwrap().text(), "a");
    // It is told to go, or was closed already.
    let last = left.get("a.example", "/", &[]);
    assert!(last.is_err() || last.unwrap().header("connection") == Some("close"));

    proxy.serve(&both).await;
    assert_eq!(get(local(goes), "a.example", "/", &[]).unwrap().text(), "a");
    assert_eq!(kept.get("a.example", "/", &[]).unwrap().text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_refused_by_name_and_changes_nothing() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    proxy.serve(&simple(port, &[a.address])).await;
    let mut client = Connection::open(local(port)).unwrap();
    client.get("a.example", "/", &[]).unwrap();
    let taken = std::net::TcpListener::bind(local(0)).unwrap();
    let taken_port = taken.local_addr().unwrap().port();

    let mut next = simple(port, &[]);
    next.push(http(taken_port));
    let refusals = proxy.try_serve(&next).await.unwrap_err();
    let message = &refusals[&format!("listener/http-{taken_port}")];
    assert!(message.contains(&format!("port {taken_port} is in use")), "{message}");
    assert!(message.contains("choose another port"), "{message}");
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "a", "endpoints did not change");

    drop(taken);
    proxy.serve(&next).await;
    assert_eq!(client.get("a.example", "/", &[]).unwrap().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_that_cannot_share_a_port_are_refused() {
    let (proxy, port) = (Proxy::start(), free_port());
    proxy.serve(&[http(port)]).await;
    for (name, listener, expected) in [
        (
            "listener/a",
            json!({ "scope": "tier", "bindPort": port, "protocol": "HTTPS" }),
            "HTTP and HTTPS",
        ),
        (
            "listener/b",
            json!({ "scope": "other", "bindPort": port, "protocol": "HTTP" }),
            "different scopes",
        ),
    ] {
        let next = [http(port), json!({ "name": name, "listener": listener })];
        let refusals = proxy.try_serve(&next).await.unwrap_err();
        assert!(refusals[name].contains(expected), "{refusals:?}");
        assert!(refusals[name].contains("give one of them another port"), "{refusals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_by_name() {
    let proxy = Proxy::start();
    let listener = |body| json!({ "name": "listener/x", "listener": body });
    let backend = |body| json!({ "name": "backend/x", "backend": body });
    for (resource, expected) in [
        (listener(json!({ "bindPort": 1, "protocol": "TCP" })), "protocol TCP is not served"),
        (listener(json!({ "bindPort": 1, "protocol": "UDP" })), "protocol UDP is not served"),
        (listener(json!({ "bindPort": 1, "protocol": "TLS" })), "protocol TLS is not served"),
        (listener(json!({ "bindPort": 0, "protocol": "HTTP" })), "bindPort: \"0\" is no port"),
        (listener(json!({ "bindPort": 70000, "protocol": "HTTP" })), "\"70000\" is no port"),
        (
            listener(json!({ "bindPort": 1, "protocol": "HTTP", "bindAddresses": ["x"] })),
            "\"x\" is no IP address",
        ),
        (
            listener(json!({ "bindPort": 1, "protocol": "HTTP", "tls": {} })),
            "protocol HTTP\" has no TLS",
        ),
        (
            listener(
                json!({ "bindPort": 1, "protocol": "HTTPS", "tls": { "mode": "PASSTHROUGH" } }),
            ),
            "TLS passthrough",
        ),
        (
            listener(
                json!({ "bindPort": 1, "protocol": "HTTPS", "tls": { "clientValidation": { "mode": "OPTIONAL" } } }),
            ),
            "lets unverified clients in",
        ),
        (backend(json!({ "appProtocol": "H2C" })), "HTTP/2 without TLS"),
        (backend(json!({ "dns": "name-without-port" })), "is not NAME:PORT"),
        (
            backend(json!({ "tls": { "serverName": "no name" } })),
            "neither a DNS name nor an address",
        ),
        (
            json!({ "name": "endpoints/x", "endpoints": { "endpoints": [{ "addresses": ["1.2.3.4"], "port": 0 }] } }),
            "endpoints[0].port",
        ),
    ] {
        let refusals = proxy.try_serve(std::slice::from_ref(&resource)).await.unwrap_err();
        let message = refusals.values().next().unwrap();
        assert!(message.contains(expected), "{resource}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_proxy_protocol_the_client_is_who_the_header_says() {
    let log = support::Log::default();
    let proxy = Proxy::start_with(Box::new(log.clone()));
    let (a, port) = (Backend::start("a"), free_port());
    let mut resources = simple(port, &[a.address]);
    resources.push(json!({ "name": "tier", "tier": { "clientIp": { "proxyProtocol": true } } }));
    proxy.serve(&resources).await;
    let mut client = Connection::open(local(port)).unwrap();
    client.send(b"PROXY TCP4 192.0.2.9 10.0.0.1 4660 80\r\n").unwrap();
    assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "a");
    assert!(get(local(port), "a.example", "/", &[]).is_err(), "without a header it is closed");
    let is_logged = || log.text().contains("\"client\":\"192.0.2.9\"");
    support::eventually("the address is logged", is_logged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_wait_to_be_accepted_are_served_when_their_listener_goes() {
    let (proxy, a, port) = (Proxy::start(), Backend::start("a"), free_port());
    for round in 0..10 {
        proxy.serve(&simple(port, &[a.address])).await;
        let mut waiting: Vec<_> = (0..32).map(|_| Connection::open(local(port)).unwrap()).collect();
        proxy.serve(&[]).await;
        for connection in &mut waiting {
            let answer = connection.get("a.example", "/", &[]);
            let status = answer.map(|answer| answer.status).map_err(|error| error.kind());
            // Without any route left: the answer counts, not which.
            assert_eq!(status, Ok(404), "round {round}");
        }
    }
}
