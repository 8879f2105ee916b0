//! `gatefleet check`: what it says of a local fleet, and of real API servers on which something is wrong.
#![expect(clippy::unwrap_used, reason = "a story that cannot go on must fail")]

use std::path::Path;

use gatefleet_tests_e2e::{Local, eventually, run};
use serde_json::Value;

/// The findings as (check, verdict, object, message), and the exit status.
fn check(kubeconfig: &Path, arguments: &[&str]) -> (Vec<[String; 4]>, i32) {
    let fixed = ["check", "--output", "json"];
    let arguments: Vec<&str> = fixed.into_iter().chain(arguments.iter().copied()).collect();
    let told = run("gatefleet", &arguments, Some(kubeconfig));
    let document: Value = serde_json::from_str(&told.output)
        .unwrap_or_else(|error| panic!("{error}: {} {}", told.output, told.errors));
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let rows = document["checks"].as_array().unwrap().iter();
    let rows = rows.map(|row| ["check", "verdict", "object", "message"].map(|key| text(row, key)));
    assert_eq!(document["failed"], told.code == 3, "{document}");
    (rows.collect(), told.code)
}

/// The message of the finding with this check, verdict and object.
fn said<'a>(rows: &'a [[String; 4]], wanted: [&str; 3]) -> Option<&'a str> {
    let found = rows.iter().find(|row| row[..3] == wanted);
    found.map(|row| row[3].as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_wrong_with_the_quickstart() {
    let local = Local::start("quickstart").await;
    local.listening().await;
    let (rows, code) = check(&local.kubeconfig, &[]);
    assert_eq!(code, 0, "{rows:#?}");
    let wrong: Vec<_> = rows.iter().filter(|row| row[1] != "ok").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for tier in ["north-south", "east-west"] {
        let object = format!("GatewayConfig default/quickstart {tier}");
        assert!(said(&rows, ["pods", "ok", &object]).is_some(), "{rows:#?}");
    }
    let table = run("gatefleet", &["check"], Some(&local.kubeconfig)).output;
    assert!(table.starts_with("CHECK") && table.contains("rights"), "{table}");

    // An Ingress that is served, and one of another controller.
    let ingress = |name: &str, class: &str, annotation: &str| {
        let prefix = "nginx.ingress.kubernetes.io";
        serde_json::json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": "default",
                "annotations": {format!("{prefix}/{annotation}"): "x"}},
            "spec": {"ingressClassName": class,
                "defaultBackend": {"service": {"name": "echo-v1", "port": {"number": 3000}}}},
        })
    };
    local.apply(&ingress("guarded", "quickstart", "auth-url")).await.unwrap();
    local.apply(&ingress("old", "nginx", "limit-rps")).await.unwrap();
    eventually("both are told", 10, || async {
        let (rows, code) = check(&local.kubeconfig, &[]);
        let auth = ["annotations", "failed", "nginx.ingress.kubernetes.io/auth-url"];
        let limit = ["annotations", "warning", "nginx.ingress.kubernetes.io/limit-rps"];
        let told = code == 3
            && said(&rows, auth).is_some_and(|text| text.contains("Ingress default/guarded"))
            && said(&rows, limit).is_some_and(|text| text.contains("Ingress default/old"))
            && said(&rows, ["classes", "warning", "IngressClass nginx"]).is_some_and(|text| {
                text.contains("does not exist") && text.contains("default/old")
            });
        told.then_some(()).ok_or_else(|| format!("{code} {rows:#?}"))
    })
    .await;
}

#[cfg(feature = "kube")]
mod real {
    use gatefleet_test_support::kube::Kube;
    use kube::{
        Api, Client,
        api::{ApiResource, DynamicObject, Patch, PatchParams},
        core::GroupVersionKind,
    };
    use serde_json::json;

    use super::*;

    async fn apply(client: &Client, object: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let version = text(&object["apiVersion"]);
        let (group, version) = version.split_once('/').unwrap_or(("", &version));
        let kind = GroupVersionKind::gvk(group, version, &text(&object["kind"]));
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams::apply("test").force();
        let name = text(&object["metadata"]["name"]);
        api.patch(&name, &params, &Patch::Apply(&object)).await.unwrap();
        if object["kind"] == "Node" {
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&object)).await.unwrap();
        }
    }

    fn definition() -> Value {
        let yaml = run("gatefleet", &["crds"], None).output;
        serde_saphyr::from_str(&yaml).unwrap()
    }

    fn rights(verbs: &[&str]) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": "operator"},
            "rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch", "create", "delete"]},
                {"apiGroups": ["gatefleet.dev", "coordination.k8s.io"], "resources": ["*"],
                    "verbs": ["update", "patch"]},
                {"apiGroups": ["", "apps", "networking.k8s.io", "policy", "autoscaling"],
                    "resources": ["*"], "verbs": verbs},
            ],
        })
    }

    fn binding() -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", "namespace": "gatefleet-system", "name": "operator"}],
        })
    }

    fn fleet(namespace: &str, priority: Option<&str>) -> Value {
        let pod = priority.map_or(json!({}), |name| json!({"priorityClassName": name}));
        json!({
            "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
            "metadata": {"name": "prod", "namespace": namespace},
            "spec": {"northSouth": {"pod": pod}},
        })
    }

    fn namespace(name: &str, level: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
            "labels": {"pod-security.kubernetes.io/enforce": level}}})
    }

    fn webhook() -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "ingress-nginx-admission"},
            "webhooks": [{
                "name": "validate.nginx.ingress.kubernetes.io", "sideEffects": "None",
                "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
                "clientConfig": {"service": {"namespace": "ingress-nginx",
                    "name": "ingress-nginx-controller-admission", "path": "/networking/v1/ingresses"}},
                "rules": [{"apiGroups": ["networking.k8s.io"], "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"], "resources": ["ingresses"]}],
            }],
        })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_wrong_with_a_real_cluster_is_said_with_the_remedy() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let kube = Kube::start().await;
        let (client, path) = (kube.client().await, kube.kubeconfig_path());
        let definition_of = "CustomResourceDefinition gatewayconfigs.gatefleet.dev";
        let account = ["--service-account", "gatefleet-system/operator"];
        let subject = "ServiceAccount gatefleet-system/operator";

        let (rows, code) = check(&path, &account);
        assert_eq!(code, 3);
        let missing = said(&rows, ["definition", "failed", definition_of]).unwrap();
        assert!(missing.contains("gatefleet crds | kubectl apply"), "{missing}");
        assert!(said(&rows, ["rights", "failed", subject]).is_some(), "{rows:#?}");

        apply(&client, definition()).await;
        apply(&client, binding()).await;
        apply(&client, rights(&["patch"])).await;
        eventually("all is well", 20, || async {
            let (rows, code) = check(&path, &account);
            (code == 0).then_some(()).ok_or_else(|| format!("{rows:#?}"))
        })
        .await;

        // The pods fit the strictest level; a priority class that does not exist keeps them out.
        apply(&client, namespace("strict", "restricted")).await;
        apply(&client, namespace("edge", "privileged")).await;
        apply(&client, fleet("strict", None)).await;
        apply(&client, fleet("edge", Some("nowhere"))).await;
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "old"},
            "status": {"nodeInfo": {"kubeletVersion": "v1.26.3", "architecture": "", "bootID": "",
                "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "",
                "operatingSystem": "", "osImage": "", "systemUUID": ""}}});
        apply(&client, node).await;
        apply(&client, webhook()).await;
        apply(&client, rights(&["get"])).await;
        eventually("everything is said", 20, || async {
            let (rows, code) = check(&path, &account);
            let strict = ["pods", "ok", "GatewayConfig strict/prod north-south"];
            let edge = ["pods", "failed", "GatewayConfig edge/prod north-south"];
            let node = ["sysctls", "failed", "Node old"];
            let hook =
                ["webhooks", "failed", "ValidatingWebhookConfiguration ingress-nginx-admission"];
            let contains =
                |wanted, part: &str| said(&rows, wanted).is_some_and(|text| text.contains(part));
            let all = code == 3
                && said(&rows, strict).is_some()
                && contains(edge, "no PriorityClass with name nowhere")
                && contains(node, "upgrade it to 1.27")
                && contains(hook, "kubectl delete validatingwebhookconfiguration")
                && contains(["rights", "failed", subject], "may not patch");
            all.then_some(()).ok_or_else(|| format!("{code} {rows:#?}"))
        })
        .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_without_rights_is_told_what_could_not_be_asked() {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let kube = Kube::start().await;
        let path = kube.stranger_kubeconfig_path();
        let (rows, code) = check(&path, &[]);
        assert_eq!(code, 3, "it has none of the operator's rights");
        let unasked = said(&rows, ["definition", "unknown", ""]).unwrap();
        assert!(
            unasked.contains("cannot get resource") && unasked.contains("ClusterRole"),
            "{unasked}"
        );

        let told = run("gatefleet", &["status"], Some(&path));
        assert!(
            told.code == 1 && told.errors.contains("User \"stranger\" cannot list"),
            "{told:?}"
        );
        let without = run("gatefleet", &["status"], Some(&kube.kubeconfig_path()));
        assert!(without.errors.contains("gatefleet crds | kubectl apply"), "{without:?}");
    }
}
