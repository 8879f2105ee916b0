//! What must go on while something breaks or changes, counted by a client that never retries.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    raw::{self, Answer, Load, Over, Plan},
    websocket::WebSocket,
};
use gatefleet_tests_e2e::{Local, eventually, processes};
use kube::api::ListParams;
use serde_json::json;

fn plan(address: SocketAddr, connections: usize) -> Plan {
    Plan {
        address,
        over: Over::Tcp,
        host: "test.com".into(),
        path: "/version".into(),
        connections,
        pause: Duration::from_millis(5),
        good: |answer| answer.status == 200 && answer.text().starts_with("version: v"),
    }
}

/// Exchanges messages over one WebSocket until it is told to stop; returns how many came back.
fn talk(address: SocketAddr, stop: &AtomicBool) -> std::io::Result<u64> {
    let mut socket = WebSocket::open(address, "test.com", "/version")?;
    let mut messages = 0;
    while !stop.load(Ordering::SeqCst) {
        let text = format!("message {messages}");
        assert_eq!(socket.exchange(&text)?, text);
        messages += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(messages)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_route_changes_lose_no_request_and_close_no_connection() {
    let local = Local::start("quickstart").await;
    local.listening().await;
    let address = local.address("north-south").await;

    let load = Load::start(plan(address, 8));
    let stop = Arc::new(AtomicBool::new(false));
    let socket = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || talk(address, &stop))
    };
    for round in 0..100 {
        let change = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": format!("change-{}", round % 13), "namespace": "default" },
            "spec": { "ingressClassName": "quickstart", "rules": [{
                "host": format!("host-{}.com", round % 7),
                "http": { "paths": [{
                    "path": format!("/path-{round}"), "pathType": "Prefix",
                    "backend": { "service": { "name": "echo-v2", "port": { "number": 3000 } } },
                }] },
            }] },
        });
        local.apply(&change).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    eventually("the last change is served", 5, || async {
        let answer = raw::get(address, "host-1.com", "/path-99", &[]);
        let status = answer.map_err(|error| error.to_string())?.status;
        (status == 200).then_some(()).ok_or_else(|| status.to_string())
    })
    .await;

    stop.store(true, Ordering::SeqCst);
    let counts = load.stop();
    let messages = socket.join().unwrap().expect("the WebSocket stays open");
    assert_eq!((counts.failed(), counts.noticed()), (0, 0), "{counts:?}");
    assert!(counts.good.load(Ordering::SeqCst) > 1000, "{counts:?}");
    assert!(messages > 200, "{messages} messages");
}

/// The proxies of the north-south tier: process, and address of the first listener.
async fn proxies(local: &Local, replicas: usize) -> Vec<(i32, SocketAddr)> {
    let scaled = json!({
        "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
        "metadata": { "name": "quickstart", "namespace": "default" },
        "spec": { "northSouth": { "replicas": replicas } },
    });
    local.apply(&scaled).await.unwrap();
    let port = tier_port(local).await;
    eventually("all replicas are acknowledged", 30, || async {
        let status = local.fleets().await?.remove(0)["status"]["northSouth"].take();
        let found: Vec<_> = local
            .processes("gatefleet-proxy")
            .into_iter()
            .filter_map(|process| {
                let environment = process.environment();
                let of = |name: &str| {
                    environment.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone())
                };
                let ip = of("GATEFLEET_BIND")?.parse().ok()?;
                of("POD_NAME")?
                    .contains("north-south")
                    .then_some((process.pid, SocketAddr::new(ip, port)))
            })
            .collect();
        let done = status["acknowledgedReplicas"] == replicas && found.len() == replicas;
        done.then_some(found).ok_or_else(|| format!("{status}"))
    })
    .await
}

/// The port that the tier's proxies bind for the first listener: the record is the Service's targetPort.
async fn tier_port(local: &Local) -> u16 {
    let selector = ListParams::default().labels("gatefleet.dev/tier=north-south");
    let service = local.api("v1", "Service", None).list(&selector).await.unwrap().items.remove(0);
    u16::try_from(service.data["spec"]["ports"][0]["targetPort"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_proxy_is_back_within_two_seconds_and_costs_no_other_replica_a_request() {
    let local = Local::start("quickstart").await;
    local.listening().await;
    let proxies = proxies(&local, 2).await;

    // Straight to the pods, so that no forwarder can hide anything.
    let (victim, survivor) =
        (Load::start(plan(proxies[0].1, 4)), Load::start(plan(proxies[1].1, 4)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    processes::signal(proxies[0].0, libc::SIGKILL);
    let killed = Instant::now();
    eventually("the killed pod serves again", 10, || async {
        let answer = raw::get(proxies[0].1, "test.com", "/version", &[]);
        let answer: Answer = answer.map_err(|error| error.to_string())?;
        (answer.status == 200).then_some(()).ok_or_else(|| answer.text())
    })
    .await;
    let back = killed.elapsed();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (victim, survivor) = (victim.stop(), survivor.stop());
    assert!(back < Duration::from_secs(2), "served again after {back:?}");
    assert_eq!(survivor.noticed(), 0, "{survivor:?}");
    assert!(survivor.good.load(Ordering::SeqCst) > 100, "{survivor:?}");
    assert!(victim.noticed() > 0, "the client must notice a killed proxy: {victim:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_restarts_without_operator_and_api_server_serves_the_last_good_configuration()
{
    let local = Local::start("quickstart").await;
    local.listening().await;
    let (pid, address) = proxies(&local, 1).await.remove(0);
    let family = local.processes("gatefleet-proxy");
    let proxy = family.iter().find(|process| process.pid == pid).unwrap();
    let (command, environment) = (proxy.command.clone(), proxy.environment());

    // Operator, API server and runtime are one process here: all three stand still. The backends run on.
    processes::signal(local.pid(), libc::SIGSTOP);
    processes::signal(pid, libc::SIGKILL);
    let mut restarted = Command::new(&command[0])
        .args(&command[1..])
        .env_clear()
        .envs(environment)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let answer = loop {
        match raw::get(address, "test.com", "/version", &[]) {
            Ok(answer) => break Some(answer),
            Err(_) if started.elapsed() < Duration::from_secs(5) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) => break None,
        }
    };
    let served = started.elapsed();
    restarted.kill().unwrap();
    restarted.wait().unwrap();
    processes::signal(local.pid(), libc::SIGCONT);
    let answer = answer.expect("the restarted proxy answers");
    assert_eq!((answer.status, answer.text().trim()), (200, "version: v1"));
    assert!(served < Duration::from_secs(2), "served after {served:?}");
}
