//! The story of the README: start, ask, change, delete, stop.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::{fs, time::Duration};

use gatefleet_test_support::raw;
use gatefleet_tests_e2e::{Local, eventually};
use kube::api::ListParams;
use serde_json::{Value, json};

/// The authority of the configuration server: it belongs to the operator, not to a fleet.
const OPERATORS_OWN: &str = "gatefleet-channel-ca";

async fn version(local: &Local, headers: &[(&str, &str)]) -> String {
    let address = local.address("north-south").await;
    raw::get(address, "test.com", "/version", headers).unwrap().text().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_from_start_to_ctrl_c() {
    let local = Local::start("quickstart").await;
    local.listening().await;

    assert_eq!(version(&local, &[]).await, "version: v1");
    assert_eq!(version(&local, &[("stage", "gray")]).await, "version: v2");
    assert_eq!(version(&local, &[("stage", "green")]).await, "version: v1");
    let address = local.address("north-south").await;
    assert_eq!(raw::get(address, "test.com", "/elsewhere", &[]).unwrap().status, 404);
    assert_eq!(raw::get(address, "other.com", "/version", &[]).unwrap().status, 404);

    for part in ["curl", "KUBECONFIG", "north-south", "east-west", "in memory", "Ctrl-C"] {
        let at = local.output.first(part);
        let soon = at.is_some_and(|at| at < Duration::from_secs(3));
        assert!(soon, "{part:?} at {at:?}:\n{}", local.output.text());
    }

    let (status, orphans, files) = local.stop().await;
    assert!(status.success(), "ended with {status}");
    assert!(orphans.is_empty(), "still running: {orphans:?}");
    assert!(files.is_empty(), "left behind: {files:?}");
}

fn later(path: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "later", "namespace": "default" },
        "spec": { "ingressClassName": "quickstart", "rules": [{ "host": "later.com", "http": { "paths": [{
            "path": path, "pathType": "Prefix",
            "backend": { "service": { "name": "echo-v1", "port": { "name": "http" } } },
        }] } }] },
    })
}

async fn served(local: &Local, host: &str, path: &str, wanted: u16) {
    let address = local.address("north-south").await;
    eventually("the change is served", 5, || async {
        let answer = raw::get(address, host, path, &[]).map_err(|error| error.to_string())?;
        let reached = answer.status == wanted;
        reached
            .then_some(())
            .ok_or_else(|| format!("{host}{path}: {}, not {wanted}", answer.status))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn editing_a_file_and_applying_take_effect_at_once() {
    let local = Local::start("quickstart").await;
    local.listening().await;

    let file = local.directory.join("later.yaml");
    served(&local, "later.com", "/one", 404).await;
    fs::write(&file, later("/one").to_string()).unwrap();
    served(&local, "later.com", "/one", 200).await;
    fs::write(&file, later("/two").to_string()).unwrap();
    served(&local, "later.com", "/two", 200).await;
    served(&local, "later.com", "/one", 404).await;
    fs::remove_file(&file).unwrap();
    served(&local, "later.com", "/two", 404).await;

    local.apply(&later("/three")).await.unwrap();
    served(&local, "later.com", "/three", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_applied_is_served_and_renewed_without_a_restart() {
    let local = Local::start("quickstart").await;
    local.listening().await;

    for round in ["first", "second"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["later.com".into()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, round);
        let certificate = params.self_signed(&key).unwrap();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": { "name": "later", "namespace": "default" },
            "stringData": { "tls.crt": certificate.pem(), "tls.key": key.serialize_pem() },
        });
        local.apply(&secret).await.unwrap();
        let mut ingress = later("/");
        ingress["spec"]["tls"] = json!([{ "hosts": ["later.com"], "secretName": "later" }]);
        local.apply(&ingress).await.unwrap();
        let address = local.port("north-south", Some("https")).await;
        eventually("the certificate is served", 5, || async {
            let served = gatefleet_test_support::tls::leaf(address, "later.com")
                .map_err(|error| error.to_string())?;
            (served == *certificate.der())
                .then_some(())
                .ok_or_else(|| format!("another than the {round}"))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_everything_leaves_nothing() {
    let local = Local::start("quickstart").await;
    local.listening().await;
    assert!(!local.processes("gatefleet-proxy").is_empty());

    for entry in fs::read_dir(&local.directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    eventually("every process of a pod ends", 45, || async {
        let left = [local.processes("gatefleet-proxy"), local.processes("gatefleet-echo")].concat();
        left.is_empty().then_some(()).ok_or_else(|| format!("{left:?}"))
    })
    .await;
    let kinds = [
        ("gatefleet.dev/v1alpha1", "GatewayConfig"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("v1", "Pod"),
        ("v1", "ConfigMap"),
        ("v1", "Secret"),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.k8s.io/v1", "IngressClass"),
    ];
    for (version, kind) in kinds {
        eventually("every object is gone", 20, || async {
            let api = local.api(version, kind, None);
            let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let names = list.items.into_iter().filter_map(|object| object.metadata.name);
            let names: Vec<_> = names.filter(|name| name != OPERATORS_OWN).collect();
            names.is_empty().then_some(()).ok_or_else(|| format!("{kind}: {names:?}"))
        })
        .await;
    }
}
