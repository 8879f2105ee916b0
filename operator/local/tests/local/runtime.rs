//! The process runtime against the embedded API server: real processes, real sockets, no operator.

use std::time::Duration;

use crate::support::{Load, Session};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use serde_json::{Value, json};

/// A Deployment of echoes with a readiness probe.
fn echo(name: &str, replicas: u32, text: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{
                    "name": "echo", "image": "gatefleet-echo:dev",
                    "args": ["--port=3000", format!("--text={text}"), "--drain-ms=300"],
                    "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "ports": [{"name": "http", "containerPort": 3000}],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
                }]},
            },
        },
    })
}

fn service(session: &Session, name: &str) -> Value {
    let address = session.local.network().service(300);
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "LoadBalancer", "clusterIP": address, "selector": {"app": name}, "ports": [{"name": "web", "port": 3000, "targetPort": "http"}]},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_update_under_load_loses_nothing() {
    let session = Session::start().await;
    session.apply(&echo("echo", 2, "v1")).await;
    session.apply(&service(&session, "echo")).await;
    session.rolled_out("echo").await;
    let address = session.address("echo").await;
    session.answers(address, "v1").await;

    let load = Load::start(address);
    session.apply(&echo("echo", 2, "v2")).await;
    session.rolled_out("echo").await;
    session.apply(&echo("echo", 4, "v2")).await;
    session.rolled_out("echo").await;
    session.apply(&echo("echo", 1, "v3")).await;
    session.rolled_out("echo").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let counts = load.stop().await;
    assert_eq!(counts.failures, Vec::<String>::new());
    assert!(counts.served > 100, "{counts:?}");
    assert_eq!(counts.texts, ["v1", "v2", "v3"].map(str::to_owned).into());
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_back_within_two_seconds_and_its_logs_are_kept() {
    let session = Session::start().await;
    session.apply(&echo("echo", 1, "hello")).await;
    session.apply(&service(&session, "echo")).await;
    session.rolled_out("echo").await;
    let address = session.address("echo").await;
    session.answers(address, "hello").await;

    let pod = session.pods("echo").await.pop().unwrap();
    let name = pod.metadata.name.clone().unwrap();
    session.kill_process_of(&name);
    let killed = std::time::Instant::now();
    session
        .until("the container was restarted", 5, || async {
            let pod = session.pods("echo").await.pop()?;
            let container = pod.status?.container_statuses?.pop()?;
            (container.restart_count == 1 && container.ready).then_some(())
        })
        .await;
    session.answers(address, "hello").await;
    assert!(killed.elapsed() < Duration::from_secs(2), "{:?}", killed.elapsed());

    let pods: Api<Pod> = Api::namespaced(session.client(), "default");
    for previous in [false, true] {
        let parameters = LogParams { previous, ..LogParams::default() };
        let log = pods.logs(&name, &parameters).await.unwrap();
        assert!(log.contains("listening on 127."), "previous: {previous}: {log:?}");
    }
    let last = session
        .pods("echo")
        .await
        .pop()
        .unwrap()
        .status
        .unwrap()
        .container_statuses
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(last.last_state.unwrap().terminated.unwrap().signal, Some(9));
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_follow_their_sources() {
    let session = Session::start().await;
    let source = |kind: &str, text: &str| {
        json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "settings", "namespace": "default"},
            "data": {"text": text}})
    };
    session.apply(&source("ConfigMap", "one")).await;
    let mut deployment = echo("echo", 1, "x");
    let spec = &mut deployment["spec"]["template"]["spec"];
    spec["volumes"] = json!([
        {"name": "config", "configMap": {"name": "settings"}},
        {"name": "secret", "secret": {"secretName": "settings"}},
        {"name": "scratch", "emptyDir": {}},
    ]);
    spec["containers"][0]["volumeMounts"] = json!([
        {"name": "config", "mountPath": "/etc/config"},
        {"name": "secret", "mountPath": "/etc/secret"},
        {"name": "scratch", "mountPath": "/var/scratch"},
    ]);
    session.apply(&deployment).await;
    session
        .until("the pod says what it waits for", 5, || async {
            let pod = session.pods("echo").await.pop()?;
            let waiting = pod.status?.container_statuses?.pop()?.state?.waiting?;
            waiting.message?.contains("Secret settings not found").then_some(())
        })
        .await;
    session.apply(&source("Secret", "aGlkZGVu")).await;
    session.rolled_out("echo").await;

    let root = session.runtime_directory().join("pods/1/root");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    assert_eq!(
        (read("etc/config/text"), read("etc/secret/text")),
        ("one".to_owned(), "hidden".to_owned())
    );
    assert!(root.join("var/scratch").is_dir());
    let config_maps: Api<ConfigMap> = Api::namespaced(session.client(), "default");
    let secrets: Api<Secret> = Api::namespaced(session.client(), "default");
    let patch = Patch::Merge(json!({"data": {"text": "two", "more": "x"}}));
    config_maps.patch("settings", &PatchParams::default(), &patch).await.unwrap();
    let patch = Patch::Merge(json!({"data": {"text": "c2hvd24="}}));
    secrets.patch("settings", &PatchParams::default(), &patch).await.unwrap();
    session
        .until("the files follow", 5, || async {
            (read("etc/config/text") == "two" && read("etc/secret/text") == "shown").then_some(())
        })
        .await;
    assert_eq!(read("etc/config/more"), "x");
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_ours_waits_and_says_why() {
    let session = Session::start().await;
    let mut deployment = echo("web", 1, "x");
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.29");
    deployment["spec"]["template"]["spec"]["securityContext"] = json!({"runAsUser": 1000});
    session.apply(&deployment).await;
    let waiting = session
        .until("it waits", 5, || async {
            let pod = session.pods("web").await.pop()?;
            let waiting = pod.status?.container_statuses?.pop()?.state?.waiting?;
            (waiting.reason.as_deref() == Some("ErrImageNeverPull")).then_some(waiting)
        })
        .await;
    assert!(waiting.message.unwrap().starts_with("image nginx:1.29 cannot run in local mode"));
    let events: Api<Event> = Api::namespaced(session.client(), "default");
    let ignored = session
        .until("an event lists what is left out", 5, || async {
            let events = events.list(&ListParams::default()).await.ok()?;
            events
                .items
                .into_iter()
                .find(|event| event.reason.as_deref() == Some("IgnoredInLocalMode"))
        })
        .await;
    assert!(ignored.note.unwrap().contains("securityContext"));
    session
        .until("an event says why", 5, || async {
            let events = events.list(&ListParams::default()).await.ok()?;
            events
                .items
                .into_iter()
                .find(|event| event.reason.as_deref() == Some("ErrImageNeverPull"))
        })
        .await;
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_hold_traffic_back_and_restart_what_does_not_live() {
    let session = Session::start().await;
    let mut deployment = echo("echo", 1, "slow");
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["args"].as_array_mut().unwrap().push(json!("--start-ms=700"));
    container["startupProbe"] =
        json!({"tcpSocket": {"port": 3000}, "periodSeconds": 1, "failureThreshold": 10});
    container["livenessProbe"] = json!({"httpGet": {"path": "/x?status=500", "port": 3000}, "periodSeconds": 1, "failureThreshold": 2});
    session.apply(&deployment).await;
    let container = || async {
        let pod = session.pods("echo").await.pop()?;
        pod.status?.container_statuses?.pop()
    };
    let early = session
        .until("it runs", 5, || async {
            container().await.filter(|container| {
                container.state.as_ref().is_some_and(|state| state.running.is_some())
            })
        })
        .await;
    assert!(!early.ready && early.started == Some(false), "{early:?}");
    session
        .until("it is ready", 5, || async { container().await.filter(|container| container.ready) })
        .await;
    session
        .until("liveness restarted it", 10, || async {
            container().await.filter(|container| container.restart_count > 0)
        })
        .await;
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_deployment_ends_its_processes() {
    let session = Session::start().await;
    session.apply(&echo("echo", 2, "x")).await;
    session.apply(&service(&session, "echo")).await;
    session.rolled_out("echo").await;
    assert_eq!(session.processes().len(), 2);
    session.delete("apps/v1", "Deployment", "echo").await;
    session
        .until("nothing runs", 10, || async {
            (session.processes().is_empty() && session.pods("echo").await.is_empty()).then_some(())
        })
        .await;
    session.end().await;
}
