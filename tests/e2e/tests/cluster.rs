//! Our images on real nodes: kubelet, containerd, kube-proxy, two nodes (`make e2e-smoke`).
#![cfg(feature = "cluster")]
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    programs::{build_images, images},
    raw::{self, Counts, Load, Over, Plan},
    websocket::WebSocket,
};
use gatefleet_tests_e2e::{Cluster, eventually, on_real_nodes};
use serde_json::{Value, json};

/// An address that no one else has; nodes route it to their kube-proxy.
const BALANCER: &str = "172.30.1.5";
const NORTH_SOUTH: &str = "service/quickstart-north-south";
/// The host with a certificate.
const ENCRYPTED: &str = "secure.test.com";
const EAST_WEST: &str = "service/quickstart-east-west";
/// No kubelet admits an unsafe sysctl.
const NONE: [&str; 2] = ["", ""];

/// Where a Service is reached inside the cluster: its ClusterIP, the port of this name.
fn inside(cluster: &Cluster, service: &str, listener: &str) -> SocketAddr {
    let service = cluster.get(service);
    let ip: IpAddr = service["spec"]["clusterIP"].as_str().unwrap().parse().unwrap();
    SocketAddr::new(ip, port(&service, listener, "port"))
}

fn port(service: &Value, listener: &str, field: &str) -> u16 {
    let ports = service["spec"]["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["name"] == listener).unwrap();
    port[field].as_u64().and_then(|port| port.try_into().ok()).unwrap()
}

/// A tier's listener, as a client sees it: over plain TCP the quickstart's host, encrypted one with a certificate.
#[derive(Clone, Copy)]
struct Door {
    over: Over,
    address: SocketAddr,
}

impl Door {
    fn plain(address: SocketAddr) -> Self {
        Self { over: Over::Tcp, address }
    }

    fn encrypted(address: SocketAddr) -> Self {
        Self { over: Over::Tls, address }
    }

    fn host(self) -> &'static str {
        match self.over {
            Over::Tcp => "test.com",
            Over::Tls => ENCRYPTED,
        }
    }

    /// kube-proxy needs a moment after every change.
    async fn answers(self, headers: &[(&str, &str)], status: u16, text: &str) {
        let what = format!("{} answers {status} {text:?}", self.address);
        eventually(&what, 30, || async {
            let answer = raw::Connection::open_over(self.over, self.address, self.host())
                .and_then(|mut open| open.get(self.host(), "/version", headers))
                .map_err(|error| error.to_string())?;
            let right = answer.status == status && answer.text().starts_with(text);
            right.then_some(()).ok_or_else(|| format!("{}: {}", answer.status, answer.text()))
        })
        .await;
    }
}

#[test]
fn the_quickstart_is_served_by_every_kind_of_address() {
    on_real_nodes(NONE, async |cluster| {
        cluster.install_and_apply_the_quickstart();
        let service = cluster.get(NORTH_SOUTH);
        let address = inside(cluster, NORTH_SOUTH, "http");
        Door::plain(address).answers(&[], 200, "version: v1").await;
        Door::plain(address).answers(&[("stage", "gray")], 200, "version: v2").await;
        for node in cluster.node_addresses() {
            let address = SocketAddr::new(node, port(&service, "http", "nodePort"));
            Door::plain(address).answers(&[], 200, "version: v1").await;
        }
        // As a cloud's controller would.
        let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": BALANCER }] } } });
        let status = status.to_string();
        cluster.kubectl_with(&[
            "patch",
            NORTH_SOUTH,
            "--subresource=status",
            "--type=merge",
            "-p",
            &status,
        ]);
        let balancer = SocketAddr::new(BALANCER.parse().unwrap(), 80);
        Door::plain(balancer).answers(&[], 200, "version: v1").await;
        // It is published where users of the route look.
        let published = "{.status.loadBalancer.ingress[0].ip}=172.30.1.5";
        cluster.kubectl(&format!("wait ingress/version --for=jsonpath={published} --timeout=20s"));

        // The other tier has routes of its own, none so far.
        let address = inside(cluster, EAST_WEST, "http");
        Door::plain(address).answers(&[], 404, "404 Not Found").await;
        cluster.apply(&east_west_routes());
        Door::plain(address).answers(&[], 200, "version: v2").await;
    });
}

/// Everybody inside gets version 2.
fn east_west_routes() -> [Value; 2] {
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "inside" },
        "spec": { "controller": "gatefleet.dev/east-west", "parameters": {
            "apiGroup": "gatefleet.dev", "kind": "GatewayConfig", "name": "quickstart",
            "namespace": "default", "scope": "Namespace",
        } },
    });
    [class, ingress("inside", "inside", "test.com", "echo-v2")]
}

fn ingress(name: &str, class: &str, host: &str, service: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": name, "namespace": "default" },
        "spec": { "ingressClassName": class, "rules": [{
            "host": host,
            "http": { "paths": [{
                "path": "/version", "pathType": "Exact",
                "backend": { "service": { "name": service, "port": { "number": 3000 } } },
            }] },
        }] },
    })
}

/// A host with a certificate.
fn encrypted() -> [Value; 2] {
    let signed = rcgen::generate_simple_self_signed(vec![ENCRYPTED.to_owned()]).unwrap();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": { "name": "secure-test-com", "namespace": "default" },
        "stringData": { "tls.crt": signed.cert.pem(), "tls.key": signed.signing_key.serialize_pem() },
    });
    let mut ingress = ingress("encrypted", "quickstart", ENCRYPTED, "echo-v1");
    ingress["spec"]["tls"] = json!([{ "hosts": [ENCRYPTED], "secretName": "secure-test-com" }]);
    [secret, ingress]
}

/// Clients of one tier: keep-alive connections, plain and encrypted, and WebSockets.
struct Clients {
    plain: Load,
    encrypted: Option<Load>,
    sockets: Sockets,
}

impl Clients {
    fn start(plain: SocketAddr, encrypted: Option<SocketAddr>) -> Self {
        let load = |door: Door| {
            Load::start(Plan {
                address: door.address,
                over: door.over,
                host: door.host().into(),
                path: "/version".into(),
                connections: 4,
                pause: Duration::from_millis(5),
                good: |answer| answer.status == 200 && answer.text().starts_with("version: v"),
            })
        };
        Self {
            plain: load(Door::plain(plain)),
            encrypted: encrypted.map(|address| load(Door::encrypted(address))),
            sockets: Sockets::start(plain),
        }
    }

    /// Stops all of them: each made progress, and none noticed more than an announced end of its connection.
    fn lost_nothing(self) {
        let well = |counts: &Counts| {
            let dropped = counts.dropped.load(Ordering::SeqCst);
            assert_eq!((counts.failed(), dropped), (0, 0), "{counts:?}");
            assert!(counts.good.load(Ordering::SeqCst) > 300, "{counts:?}");
        };
        well(&self.plain.stop());
        if let Some(encrypted) = self.encrypted {
            well(&encrypted.stop());
        }
        let sessions = self.sockets.stop();
        assert!(sessions > 5, "{sessions} WebSocket sessions");
    }
}

/// WebSockets that live for a second each, one after the other: longer than a proxy that drains waits for nobody.
struct Sockets {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<u64>>,
}

impl Sockets {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut sessions = 0;
            while !told.load(Ordering::SeqCst) {
                session(address)?;
                sessions += 1;
            }
            Ok(sessions)
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap().expect("no WebSocket is cut")
    }
}

fn session(address: SocketAddr) -> std::io::Result<()> {
    let (mut socket, start) = (WebSocket::open(address, "test.com", "/version")?, Instant::now());
    while start.elapsed() < Duration::from_secs(1) {
        assert_eq!(socket.exchange("message")?, "message");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Until the tier has so many pods, all live: those that were asked to end have ended.
async fn settled(cluster: &Cluster, tier: &str, pods: usize) {
    eventually("ended pods are gone", 90, || async {
        let list = cluster.get(&format!("pods -l gatefleet.dev/tier={tier}"));
        let list = list["items"].as_array().unwrap();
        let live = list.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).count();
        let settled = (list.len(), live) == (pods, pods);
        settled.then_some(()).ok_or_else(|| format!("{live} live of {}", list.len()))
    })
    .await;
    let deployment = format!("deployment/quickstart-{tier}");
    cluster.kubectl(&format!("rollout status {deployment} --timeout=90s"));
}

#[test]
fn a_rolling_restart_a_drained_node_and_a_scale_down_lose_no_request() {
    on_real_nodes(NONE, async |cluster| {
        cluster.install_and_apply_the_quickstart();
        // So that draining a node leaves a backend.
        cluster.kubectl("scale deployment/echo-v1 --replicas=2");
        cluster.kubectl("rollout status deployment/echo-v1 --timeout=60s");
        cluster.apply(&encrypted());
        let plain = inside(cluster, NORTH_SOUTH, "http");
        let secure = inside(cluster, NORTH_SOUTH, "https");
        Door::plain(plain).answers(&[], 200, "version: v1").await;
        Door::encrypted(secure).answers(&[], 200, "version: v1").await;

        let clients = Clients::start(plain, Some(secure));
        cluster.kubectl("rollout restart deployment/quickstart-north-south");
        settled(cluster, "north-south", 2).await;
        clients.lost_nothing();

        let clients = Clients::start(plain, Some(secure));
        cluster.kubectl("drain node2 --ignore-daemonsets --delete-emptydir-data --timeout=90s");
        settled(cluster, "north-south", 2).await;
        clients.lost_nothing();
        let nodes =
            cluster.kubectl("get pods -l gatefleet.dev/tier -o jsonpath={.items[*].spec.nodeName}");
        assert_eq!(nodes, "node1 node1 node1");
        cluster.kubectl("uncordon node2");

        let clients = Clients::start(plain, Some(secure));
        let spec = r#"{"spec":{"northSouth":{"replicas":1}}}"#;
        cluster.kubectl_with(&["patch", "gwc/quickstart", "--type=merge", "-p", spec]);
        settled(cluster, "north-south", 1).await;
        clients.lost_nothing();
    });
}

#[test]
fn every_pod_of_one_tier_is_killed_and_the_other_tier_notices_nothing() {
    on_real_nodes(NONE, async |cluster| {
        cluster.install_and_apply_the_quickstart();
        cluster.apply(&east_west_routes());
        let tiers = [
            ("east-west", inside(cluster, EAST_WEST, "http"), NORTH_SOUTH),
            ("north-south", inside(cluster, NORTH_SOUTH, "http"), EAST_WEST),
        ];
        for (killed, own, other) in tiers {
            let other = inside(cluster, other, "http");
            for address in [own, other] {
                let expected = if address == tiers[0].1 { "version: v2" } else { "version: v1" };
                Door::plain(address).answers(&[], 200, expected).await;
            }
            let clients = Clients::start(other, None);
            let selector = format!("gatefleet.dev/tier={killed}");
            cluster.kubectl(&format!("delete pods -l {selector} --grace-period=0 --force"));
            // Long enough for the other tier's clients to notice, had they cause to.
            tokio::time::sleep(Duration::from_secs(8)).await;
            clients.lost_nothing();
            cluster
                .kubectl(&format!("rollout status deployment/quickstart-{killed} --timeout=90s"));
        }
    });
}

#[test]
fn images_hold_one_program_each_run_by_nobody_and_are_the_same_whenever_they_are_made() {
    let again = build_images("images-again");
    for (first, second) in images().iter().zip(&again) {
        let bytes = std::fs::read(first).unwrap();
        assert!(bytes == std::fs::read(second).unwrap(), "{} differs", first.display());
        assert_eq!(contents(first).len(), 1, "{:?}", contents(first));
        let config = blob(first, "config");
        assert_eq!(config["config"]["User"], "65532:65532");
    }
    assert_eq!(again.len(), 3);
}

fn tar(archive: &std::path::Path, arguments: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("tar").arg("-f").arg(archive).args(arguments).output();
    output.unwrap().stdout
}

/// A document of an image archive, found as runtimes find it: index, manifest, and what that names.
fn document(archive: &std::path::Path, name: &str) -> Value {
    serde_json::from_slice(&tar(archive, &["-xO", name])).unwrap()
}

fn path_of(descriptor: &Value) -> String {
    format!("blobs/{}", descriptor["digest"].as_str().unwrap().replace(':', "/"))
}

fn blob(archive: &std::path::Path, field: &str) -> Value {
    let index = document(archive, "index.json");
    let manifest = document(archive, &path_of(&index["manifests"][0]));
    document(archive, &path_of(&manifest[field]))
}

/// The files of the image's only layer.
fn contents(archive: &std::path::Path) -> Vec<String> {
    let index = document(archive, "index.json");
    let manifest = document(archive, &path_of(&index["manifests"][0]));
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
    let layer = archive.with_extension("layer");
    std::fs::write(&layer, tar(archive, &["-xO", &path_of(&manifest["layers"][0])])).unwrap();
    let names = String::from_utf8(tar(&layer, &["-t"])).unwrap();
    std::fs::remove_file(layer).unwrap();
    names.lines().map(str::to_owned).collect()
}
