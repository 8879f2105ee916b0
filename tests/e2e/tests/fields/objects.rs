//! `replicas`, `resources`, `service`, `pod` and the names of listeners: what a cluster meets.

use gatefleet_tests_e2e::{Local, eventually};
use kube::api::ListParams;
use serde_json::{Value, json};

async fn local(tier: &Value) -> Local {
    let fleet = json!({
        "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
        "metadata": {"name": "fields", "namespace": "default"}, "spec": {"northSouth": tier},
    });
    let local = Local::start_with(&[fleet]).await;
    eventually("the fleet is ready", 30, || async {
        let fleets = local.fleets().await?;
        let status = fleets.first().map(|fleet| fleet["status"].clone()).unwrap_or_default();
        let ready = status["phase"] == "Running";
        ready.then_some(()).ok_or_else(|| format!("{status}\n{}", local.output.text()))
    })
    .await;
    local
}

/// Everything of a kind that a label selector finds.
async fn find(local: &Local, kind: &str, selector: &str) -> Vec<Value> {
    let api = local.api("v1", kind, None);
    let list = api.list(&ListParams::default().labels(selector)).await.unwrap();
    list.items.iter().map(|item| serde_json::to_value(item).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_proxies_run_as_declared_with_their_resources_labels_and_annotations() {
    let resources = json!({
        "requests": {"cpu": "300m", "memory": "96Mi"}, "limits": {"cpu": "2500m", "memory": "512Mi"},
    });
    let local = local(&json!({
        "replicas": 3, "resources": resources,
        "pod": {"labels": {"team": "edge"}, "annotations": {"example.com/note": "mind the gap"}},
    }))
    .await;

    let pods = find(&local, "Pod", "team=edge").await;
    assert_eq!(pods.len(), 3);
    for pod in &pods {
        assert_eq!(pod["metadata"]["annotations"]["example.com/note"], "mind the gap");
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["resources"], resources);
        let volumes = pod["spec"]["volumes"].as_array().unwrap();
        let memory: Vec<&Value> =
            volumes.iter().map(|volume| &volume["emptyDir"]["sizeLimit"]).collect();
        assert!(memory.contains(&&json!("134217728")), "a quarter of the limit: {memory:?}");
    }
    let processes = local.processes("gatefleet-proxy");
    assert_eq!(processes.len(), 3);
    for process in processes {
        let threads = process.command.iter().find(|argument| argument.starts_with("--threads="));
        assert_eq!(threads.map(String::as_str), Some("--threads=3"), "{process:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_of_a_size_get_what_it_names() {
    let local = local(&json!({"replicas": 1, "size": "2c4g"})).await;

    let pods = find(&local, "Pod", "gatefleet.dev/tier=north-south").await;
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"requests": {"cpu": "2", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}),
    );
    let processes = local.processes("gatefleet-proxy");
    let [process] = processes.as_slice() else { panic!("{processes:?}") };
    assert!(process.command.iter().any(|argument| argument == "--threads=2"), "{process:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_scheduled_as_declared() {
    let tolerations = json!([
        {"key": "dedicated", "operator": "Equal", "value": "gateways", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ]);
    let term = json!({"matchExpressions": [{"key": "disk", "operator": "Exists"}]});
    let affinity = json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
    }});
    let mut spread = json!({
        "topologyKey": "example.com/rack", "maxSkew": 2, "whenUnsatisfiable": "DoNotSchedule",
    });
    let patch = json!({"spec": {"runtimeClassName": "gvisor"}});
    let local = local(&json!({"replicas": 1, "pod": {
        "patch": patch, "nodeSelector": {"node-role": "edge"}, "tolerations": tolerations, "affinity": affinity,
        "topologySpreadConstraints": [spread], "priorityClassName": "system-cluster-critical",
    }}))
    .await;

    let pods = find(&local, "Pod", "gatefleet.dev/tier=north-south").await;
    let [pod] = pods.as_slice() else { panic!("{pods:?}") };
    let spec = &pod["spec"];
    assert_eq!(spec["nodeSelector"], json!({"node-role": "edge"}));
    assert_eq!(spec["tolerations"], tolerations);
    assert_eq!(spec["affinity"], affinity);
    assert_eq!(spec["priorityClassName"], "system-cluster-critical");
    assert_eq!(spec["runtimeClassName"], "gvisor");
    let selector = spec["topologySpreadConstraints"][0]["labelSelector"].clone();
    assert_eq!(selector["matchLabels"]["gatefleet.dev/tier"], "north-south");
    spread["labelSelector"] = selector;
    assert_eq!(spec["topologySpreadConstraints"], json!([spread]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_as_declared() {
    let local = local(&json!({
        "replicas": 1,
        "service": {
            "type": "LoadBalancer", "annotations": {"example.com/scheme": "internal"},
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "PreferDualStack",
        },
        "listeners": [
            {"name": "web", "port": 8090, "protocol": "HTTP"},
            {"name": "websafe", "port": 8490, "protocol": "HTTPS"},
        ],
    }))
    .await;

    let services = find(&local, "Service", "gatefleet.dev/tier=north-south").await;
    let [service] = services.as_slice() else { panic!("{services:?}") };
    assert_eq!(service["metadata"]["annotations"]["example.com/scheme"], "internal");
    let spec = &service["spec"];
    assert_eq!(spec["type"], "LoadBalancer");
    assert_eq!(spec["ipFamilies"], json!(["IPv4"]));
    assert_eq!(spec["ipFamilyPolicy"], "PreferDualStack");
    let ports: Vec<_> = spec["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["name"].as_str().unwrap(), port["port"].as_u64().unwrap()))
        .collect();
    assert_eq!(ports, [("web", 8090), ("websafe", 8490)]);
    let given = &service["status"]["loadBalancer"]["ingress"][0]["ip"];
    let fleet = &local.fleets().await.unwrap()[0]["status"];
    assert!(given.is_string(), "an address from the load balancer: {service}");
    assert_eq!(fleet["northSouth"]["addresses"][0], *given, "{fleet}");

    let address = local.port("north-south", Some("web")).await;
    assert_eq!(address.port(), 8090);
    let answer = gatefleet_test_support::raw::get(address, "any.test", "/", &[]).unwrap();
    assert_eq!(answer.status, 404, "a proxy answers there, which serves no route");
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_every_type_are_as_declared() {
    let listeners = json!([
        {"name": "web", "port": 8090, "protocol": "HTTP", "nodePort": 31080},
        {"name": "websafe", "port": 8490, "protocol": "HTTPS"},
    ]);
    let on_nodes = json!({
        "replicas": 1, "listeners": listeners,
        "service": {"type": "NodePort", "externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"},
    });
    let local = local(&on_nodes).await;
    let service = || async {
        let services = find(&local, "Service", "gatefleet.dev/tier=north-south").await;
        let [service] = services.as_slice() else { panic!("{services:?}") };
        service["spec"].clone()
    };
    let spec = service().await;
    assert_eq!(spec["ports"][0]["nodePort"], 31080, "{spec}");
    for policy in ["externalTrafficPolicy", "internalTrafficPolicy"] {
        assert_eq!(spec[policy], "Local", "{spec}");
    }
    let tier = &local.fleets().await.unwrap()[0]["status"]["northSouth"];
    assert_eq!(tier["listeners"][0]["nodePort"], 31080, "{tier}");
    assert_eq!(tier["listeners"][1]["nodePort"], spec["ports"][1]["nodePort"], "{tier}");
    let node: std::net::IpAddr = tier["addresses"][0].as_str().unwrap().parse().unwrap();
    let answer = gatefleet_test_support::raw::get((node, 31080).into(), "any.test", "/", &[]);
    assert_eq!(answer.unwrap().status, 404, "a proxy answers at the node");

    let balanced = json!({"type": "LoadBalancer", "loadBalancerClass": "example.com/internal",
        "loadBalancerSourceRanges": ["203.0.113.0/24"], "allocateLoadBalancerNodePorts": false});
    let listeners = json!([{"name": "web", "port": 8090, "protocol": "HTTP"}]);
    let fleet = json!({
        "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
        "metadata": {"name": "fields", "namespace": "default"},
        "spec": {"northSouth": {"replicas": 1, "listeners": listeners, "service": balanced}},
    });
    local.apply(&fleet).await.unwrap();
    eventually("the Service is a load balancer", 20, || async {
        let spec = service().await;
        let fits = balanced.as_object().unwrap().iter().all(|(field, value)| spec[field] == *value)
            && spec["ports"].as_array().unwrap().iter().all(|port| port["nodePort"].is_null());
        fits.then_some(()).ok_or_else(|| spec.to_string())
    })
    .await;
}
