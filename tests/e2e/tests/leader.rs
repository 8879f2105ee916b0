//! Two replicas of the operator against a real kube-apiserver: one writes, and when it dies or stands still, the other one.
#![cfg(feature = "kube")]
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    kube::Kube,
    programs::{checkout, program},
    raw,
};
use gatefleet_tests_e2e::{eventually, processes};
use k8s_openapi::{
    api::{apps::v1::Deployment, coordination::v1::Lease},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::json;

/// Seconds; the default is 15.
const LEASE: u64 = 6;

struct Replica {
    process: Child,
    status: SocketAddr,
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Replica {
    fn start(kube: &Kube, name: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let status = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(program("gatefleet"))
            .args(["operator", "--channel-address=127.0.0.1:0", "--replica", name])
            .arg(format!("--status-address={status}"))
            .arg(format!("--lease-seconds={LEASE}"))
            .env("KUBECONFIG", kube.kubeconfig_path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, status }
    }

    fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    fn metric(&self, name: &str) -> Result<u64, String> {
        let answer = raw::get(self.status, "operator", "/metrics", &[]);
        let text = answer.map_err(|error| error.to_string())?.text();
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines.next().and_then(|value| value.parse().ok()).ok_or(text)
    }

    fn writes(&self) -> u64 {
        ["gatefleet_object_writes_total", "gatefleet_status_writes_total"]
            .map(|name| self.metric(name).unwrap())
            .iter()
            .sum()
    }

    async fn leads(&self) {
        eventually("the replica leads", 30, || async {
            match self.metric("gatefleet_leader")? {
                1 => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await;
    }
}

struct Story {
    client: Client,
    /// The leader first.
    replicas: Vec<Replica>,
    kube: Kube,
}

impl Story {
    async fn start() -> Self {
        let kube = Kube::start().await;
        let client = kube.client().await;
        let text = std::fs::read_to_string(checkout().join("crds/gatewayconfigs.yaml")).unwrap();
        let definition: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        definitions.create(&PostParams::default(), &definition).await.unwrap();
        eventually("GatewayConfig is served", 20, || async {
            fleets(&client).list(&Default::default()).await.map(drop).map_err(|e| e.to_string())
        })
        .await;
        let first = Replica::start(&kube, "one");
        first.leads().await;
        let second = Replica::start(&kube, "two");
        eventually("the second replica is ready", 30, || async {
            let answer = raw::get(second.status, "operator", "/readyz", &[]);
            let status = answer.map_err(|error| error.to_string())?.status;
            (status == 200).then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
        Self { client, replicas: vec![first, second], kube }
    }

    /// Declares so many proxies, and waits until somebody made it so.
    async fn scaled(&self, replicas: i32) {
        let fleet = json!({
            "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
            "metadata": { "name": "prod", "namespace": "default" },
            "spec": { "northSouth": { "replicas": replicas } },
        });
        let params = PatchParams::apply("story").force();
        fleets(&self.client).patch("prod", &params, &Patch::Apply(&fleet)).await.unwrap();
        let deployments: Api<Deployment> = Api::default_namespaced(self.client.clone());
        eventually(&format!("the Deployment has {replicas} replicas"), 30, || async {
            let found = deployments.get("prod-north-south").await.map_err(|e| e.to_string())?;
            let found = found.spec.and_then(|spec| spec.replicas);
            (found == Some(replicas)).then_some(()).ok_or_else(|| format!("{found:?}"))
        })
        .await;
    }

    async fn lease(&self) -> (String, i32) {
        let leases: Api<Lease> = Api::default_namespaced(self.client.clone());
        let spec = leases.get("gatefleet-leader").await.unwrap().spec.unwrap();
        (spec.holder_identity.unwrap(), spec.lease_transitions.unwrap())
    }
}

fn fleets(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("gatefleet.dev", "v1alpha1", "GatewayConfig");
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&kind))
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_leader_is_killed_the_other_replica_writes_within_the_lease() {
    let mut story = Story::start().await;
    story.scaled(2).await;
    assert_eq!(story.replicas[1].writes(), 0, "the second replica wrote");
    assert!(story.lease().await.0.starts_with("one_"));

    processes::signal(story.replicas[0].pid(), libc::SIGKILL);
    let killed = Instant::now();
    story.replicas[1].leads().await;
    let took = killed.elapsed();
    // The Lease, one attempt, and a slow machine.
    assert!(took < Duration::from_secs(LEASE + 4), "{took:?}");
    story.scaled(3).await;
    let (holder, transitions) = story.lease().await;
    assert!(holder.starts_with("two_") && transitions == 1, "{holder} {transitions}");

    // One that ends in order waits for nobody: its successor does not sit the Lease out.
    let successor = Replica::start(&story.kube, "three");
    let second = story.replicas.remove(1);
    processes::signal(second.pid(), libc::SIGTERM);
    successor.leads().await;
    story.replicas.push(successor);
    story.scaled(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stood_still_writes_nothing_when_it_wakes() {
    let story = Story::start().await;
    story.scaled(2).await;
    let [first, second] = &story.replicas[..] else { unreachable!("two replicas") };
    let before = first.writes();
    assert!(before > 0);

    processes::signal(first.pid(), libc::SIGSTOP);
    second.leads().await;
    story.scaled(3).await;
    processes::signal(first.pid(), libc::SIGCONT);
    // It sees what changed, and more changes; all of it is the other one's to write.
    for replicas in [4, 5, 6] {
        story.scaled(replicas).await;
    }
    assert_eq!(first.metric("gatefleet_leader"), Ok(0));
    assert_eq!(first.writes(), before, "two replicas wrote");
    let (holder, transitions) = story.lease().await;
    assert!(holder.starts_with("two_") && transitions == 1, "{holder} {transitions}");
}
