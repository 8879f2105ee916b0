//! Services, Ingresses, EndpointSlices and policies: addresses, ports, classes.

use serde_json::{Value, json};

use crate::context::{Context, cases};

cases![
    services_get_addresses,
    services_keep_what_they_got,
    fields_go_with_the_type_of_a_service,
    a_former_load_balancer_loses_its_fields,
    node_ports,
    node_ports_follow_the_names_of_ports,
    ingresses,
    ingress_classes,
    endpoint_slices,
    network_policies,
];

fn service(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

async fn services_get_addresses(c: Context) {
    let path = c.core("services");
    let made = c.post(&path, &service("a", json!({"ports": [{"port": 80}]}))).await.ok();
    let address = made["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(
        made["spec"],
        json!({
        "type": "ClusterIP", "sessionAffinity": "None", "internalTrafficPolicy": "Cluster", "clusterIP": address, "clusterIPs": [address],
        "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]})
    );
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
    let headless = c
        .post(&path, &service("b", json!({"clusterIP": "None", "ports": [{"port": 80}]})))
        .await
        .ok();
    assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    let external = c
        .post(&path, &service("c", json!({"type": "ExternalName", "externalName": "example.com"})))
        .await
        .ok();
    assert!(external["spec"].get("clusterIP").is_none(), "{external}");
    let taken = c
        .post(&path, &service("d", json!({"clusterIP": address, "ports": [{"port": 80}]})))
        .await
        .refused(422, "Invalid");
    assert!(taken.contains("provided IP is already allocated"), "{taken}");
    for (spec, expected) in [
        (json!({}), "spec.ports: Required value"),
        (
            json!({"ports": [{"port": 0}]}),
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
        ),
        (json!({"ports": [{"port": 80}, {"port": 81}]}), "spec.ports[0].name: Required value"),
        (
            json!({"clusterIP": "192.0.2.1", "ports": [{"port": 80}]}),
            "failed to allocate IP 192.0.2.1: the provided network does not match the current range",
        ),
        (
            json!({"type": "Magic", "ports": [{"port": 80}]}),
            "spec.type: Unsupported value: \"Magic\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"",
        ),
    ] {
        let refused = c.post(&path, &service("x", spec.clone())).await.refused(422, "Invalid");
        assert!(refused.contains(expected), "{spec}: {refused}");
    }
}

async fn fields_go_with_the_type_of_a_service(c: Context) {
    let path = c.core("services");
    let one = json!([{"port": 80}]);
    for (spec, expected) in [
        (
            json!({"loadBalancerClass": "a/b"}),
            "spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            json!({"allocateLoadBalancerNodePorts": false}),
            "spec.allocateLoadBalancerNodePorts: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            json!({"loadBalancerSourceRanges": ["10.0.0.0/8"]}),
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'",
        ),
        (
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8", "x"]}),
            "spec.LoadBalancerSourceRanges[1]: Invalid value: \"x\": must be a valid CIDR value",
        ),
        (
            json!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]}),
            "must not have bits set beyond the prefix length",
        ),
        (
            json!({"externalTrafficPolicy": "Local"}),
            "spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services",
        ),
        (
            json!({"type": "NodePort", "externalTrafficPolicy": "Near"}),
            "spec.externalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Cluster\", \"Local\"",
        ),
        (
            json!({"internalTrafficPolicy": "Near"}),
            "spec.internalTrafficPolicy: Unsupported value: \"Near\": supported values: \"Cluster\", \"Local\"",
        ),
    ] {
        let mut spec = spec;
        spec["ports"] = one.clone();
        let refused = c.post(&path, &service("x", spec.clone())).await.refused(422, "Invalid");
        assert!(refused.contains(expected), "{spec}: {refused}");
    }
}

async fn a_former_load_balancer_loses_its_fields(c: Context) {
    let path = c.core("services");
    let one = json!([{"port": 80}]);
    let made = c
        .post(&path, &service("a", json!({"type": "LoadBalancer", "loadBalancerClass": "a/b", "externalTrafficPolicy": "Local", "ports": one})))
        .await
        .ok();
    let check = made["spec"]["healthCheckNodePort"].as_u64().unwrap();
    assert!((30000..=32767).contains(&check), "{made}");
    let item = format!("{path}/a");
    let kept = c.merge_patch(&item, &json!({"spec": {"healthCheckNodePort": null}})).await.ok();
    assert_eq!(kept["spec"]["healthCheckNodePort"], check);
    let refused = c
        .merge_patch(&item, &json!({"spec": {"loadBalancerClass": "a/c"}}))
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("spec.loadBalancerClass: Invalid value: \"a/c\": may not change once set"),
        "{refused}"
    );
    let ingress = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    c.merge_patch(&c.core("services/a/status"), &ingress).await.ok();
    let node_port = made["spec"]["ports"][0]["nodePort"].clone();
    let lower = c.merge_patch(&item, &json!({"spec": {"type": "NodePort"}})).await.ok();
    let spec = &lower["spec"];
    assert_eq!(spec["ports"][0]["nodePort"], node_port, "{lower}");
    assert_eq!(spec["externalTrafficPolicy"], "Local");
    for gone in ["loadBalancerClass", "healthCheckNodePort", "allocateLoadBalancerNodePorts"] {
        assert!(spec.get(gone).is_none(), "{gone}: {lower}");
    }
    assert_eq!(lower["status"], json!({"loadBalancer": {}}));
}

async fn node_ports_follow_the_names_of_ports(c: Context) {
    let path = c.core("services");
    let spec = |ports: Value| service("a", json!({"type": "NodePort", "ports": ports}));
    let made = c
        .post(&path, &spec(json!([{"name": "x", "port": 80}, {"name": "y", "port": 81}])))
        .await
        .ok();
    let version = made["metadata"]["resourceVersion"].clone();
    let before = made["spec"]["ports"].clone();
    let mut swapped = spec(json!([{"name": "y", "port": 80}, {"name": "x", "port": 82}]));
    swapped["metadata"]["resourceVersion"] = version;
    let swapped = c.put(&format!("{path}/a"), &swapped).await.ok();
    let after = &swapped["spec"]["ports"];
    assert_eq!(after[0]["nodePort"], before[1]["nodePort"], "{swapped}");
    assert_eq!(after[1]["nodePort"], before[0]["nodePort"], "{swapped}");
}

async fn services_keep_what_they_got(c: Context) {
    let path = c.core("services");
    let made = c
        .post(&path, &service("a", json!({"type": "NodePort", "ports": [{"port": 80}]})))
        .await
        .ok();
    let item = format!("{path}/a");
    let mut bare = service("a", json!({"type": "NodePort", "ports": [{"port": 80}]}));
    bare["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let kept = c.put(&item, &bare).await.ok();
    assert_eq!(kept["spec"], made["spec"]);
    let moved = c
        .merge_patch(
            &item,
            &json!({"spec": {"clusterIP": "10.96.99.99", "clusterIPs": ["10.96.99.99"]}}),
        )
        .await
        .refused(422, "Invalid");
    assert!(moved.contains("may not change once set"), "{moved}");
    let inner = c.merge_patch(&item, &json!({"spec": {"type": "ClusterIP"}})).await.ok();
    assert!(inner["spec"]["ports"][0].get("nodePort").is_none(), "{inner}");
    assert!(inner["spec"].get("externalTrafficPolicy").is_none(), "{inner}");
    assert_eq!(inner["spec"]["clusterIP"], made["spec"]["clusterIP"]);
}

async fn node_ports(c: Context) {
    let path = c.core("services");
    let made = c.post(&path, &service("a", json!({"type": "LoadBalancer", "ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81}]}))).await.ok();
    let ports: Vec<u64> = made["spec"]["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["nodePort"].as_u64().unwrap())
        .collect();
    assert!(ports.iter().all(|p| (30000..=32767).contains(p)) && ports[0] != ports[1], "{ports:?}");
    assert_eq!(
        (&made["spec"]["externalTrafficPolicy"], &made["spec"]["allocateLoadBalancerNodePorts"]),
        (&json!("Cluster"), &json!(true))
    );
    let none = c.post(&path, &service("b", json!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": [{"port": 80}]}))).await.ok();
    assert!(none["spec"]["ports"][0].get("nodePort").is_none());
    let taken = c
        .post(
            &path,
            &service(
                "d",
                json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": ports[0]}]}),
            ),
        )
        .await
        .refused(422, "Invalid");
    assert!(
        taken.contains("spec.ports[0].nodePort: Invalid value")
            && taken.contains("provided port is already allocated"),
        "{taken}"
    );
    let outside = c
        .post(
            &path,
            &service("e", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]})),
        )
        .await
        .refused(422, "Invalid");
    assert!(
        outside.contains(
            "provided port is not in the valid range. The range of valid ports is 30000-32767"
        ),
        "{outside}"
    );
    let given = c
        .merge_patch(
            &c.core("services/a/status"),
            &json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}),
        )
        .await
        .ok();
    assert_eq!(given["status"]["loadBalancer"]["ingress"][0]["ip"], "192.0.2.1");
    let cleared =
        c.merge_patch(&c.core("services/a"), &json!({"spec": {"type": "ClusterIP"}})).await.ok();
    assert_eq!(cleared["spec"]["type"], "ClusterIP");
}

fn ingress(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name}, "spec": spec})
}

async fn ingresses(c: Context) {
    let path = c.group("networking.k8s.io/v1", "ingresses");
    let backend = json!({"service": {"name": "s", "port": {"number": 80}}});
    let rule =
        |path: Value| json!({"rules": [{"host": "a.example.com", "http": {"paths": [path]}}]});
    let made = c
        .post(
            &path,
            &ingress("a", rule(json!({"path": "/", "pathType": "Prefix", "backend": backend}))),
        )
        .await
        .ok();
    assert_eq!(made["status"], json!({"loadBalancer": {}}));
    for (spec, expected) in [
        (json!({}), "either `defaultBackend` or `rules` must be specified"),
        (
            rule(json!({"path": "/", "backend": backend})),
            "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified",
        ),
        (
            rule(json!({"path": "x", "pathType": "Exact", "backend": backend})),
            "spec.rules[0].http.paths[0].path: Invalid value: \"x\": must be an absolute path",
        ),
        (
            rule(json!({"path": "/", "pathType": "Other", "backend": backend})),
            "pathType: Unsupported value: \"Other\": supported values: \"Exact\", \"ImplementationSpecific\", \"Prefix\"",
        ),
        (
            rule(
                json!({"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {}}}}),
            ),
            "port name or number is required",
        ),
        (
            json!({"rules": [{"host": "A_B", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]}),
            "spec.rules[0].host: Invalid value: \"A_B\"",
        ),
    ] {
        let refused = c.post(&path, &ingress("x", spec.clone())).await.refused(422, "Invalid");
        assert!(refused.contains(expected), "{spec}: {refused}");
    }
    let changed =
        c.merge_patch(&format!("{path}/a"), &json!({"spec": {"ingressClassName": "x"}})).await.ok();
    assert_eq!(changed["metadata"]["generation"], 2);
}

async fn ingress_classes(c: Context) {
    let classes = "/apis/networking.k8s.io/v1/ingressclasses";
    let name = c.namespace.clone();
    let class = |name: &str, parameters: Value| {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name, "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "gatefleet.dev/north-south", "parameters": parameters}})
    };
    let made = c
        .post(
            classes,
            &class(
                &name,
                json!({"apiGroup": "gatefleet.dev", "kind": "GatewayConfig", "name": "g"}),
            ),
        )
        .await
        .ok();
    assert_eq!(made["spec"]["parameters"]["scope"], "Cluster");
    for (parameters, expected) in [
        (
            json!({"kind": "K", "name": "n", "namespace": "x"}),
            "spec.parameters.namespace: Forbidden: `parameters.scope` is set to 'Cluster'",
        ),
        (
            json!({"kind": "K", "name": "n", "scope": "Namespace"}),
            "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'",
        ),
        (
            json!({"kind": "K", "name": "n", "scope": "X"}),
            "spec.parameters.scope: Unsupported value: \"X\": supported values: \"Cluster\", \"Namespace\"",
        ),
    ] {
        let refused =
            c.post(classes, &class("x", parameters.clone())).await.refused(422, "Invalid");
        assert!(refused.contains(expected), "{parameters}: {refused}");
    }
    let refused = c
        .merge_patch(&format!("{classes}/{name}"), &json!({"spec": {"controller": "a.b/c"}}))
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("spec.controller: Invalid value: \"a.b/c\": field is immutable"),
        "{refused}"
    );
    // The default class is chosen for who names none, and only then. The real server learns of classes a little later.
    let path = c.group("networking.k8s.io/v1", "ingresses");
    let plain = json!({"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}});
    let start = std::time::Instant::now();
    while c.post(&format!("{path}?dryRun=All"), &ingress("a", plain.clone())).await.ok()["spec"]["ingressClassName"]
        != json!(name)
    {
        assert!(start.elapsed().as_secs() < 20, "the default class is never chosen");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut old = ingress("b", plain);
    old["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "other"});
    assert!(c.post(&path, &old).await.ok()["spec"].get("ingressClassName").is_none());
    c.delete(&format!("{classes}/{name}"), &json!({})).await.ok();
}

async fn endpoint_slices(c: Context) {
    let path = c.group("discovery.k8s.io/v1", "endpointslices");
    let slice = |name: &str, kind: &str, address: &str| {
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name}, "addressType": kind, "endpoints": [{"addresses": [address]}], "ports": [{"port": 80}]})
    };
    let made = c.post(&path, &slice("a", "IPv4", "10.0.0.1")).await.ok();
    assert_eq!(made["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
    assert_eq!(made["metadata"]["generation"], 1);
    let refused = c.post(&path, &slice("b", "IPv4", "x")).await.refused(422, "Invalid");
    assert!(refused.contains("endpoints[0].addresses[0]: Invalid value: \"x\""), "{refused}");
    let refused = c.post(&path, &slice("b", "Other", "x")).await.refused(422, "Invalid");
    assert!(refused.contains("addressType: Unsupported value: \"Other\": supported values: \"FQDN\", \"IPv4\", \"IPv6\""), "{refused}");
    let loopback = c.post(&path, &slice("c", "IPv4", "127.0.0.1")).await;
    // The listed deviation: local mode exposes what runs on localhost.
    assert_eq!(
        loopback.status.is_success(),
        c.server == crate::context::Server::Embedded,
        "{loopback:?}"
    );
}

async fn network_policies(c: Context) {
    let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}]}]}});
    let made = c.post(&c.group("networking.k8s.io/v1", "networkpolicies"), &policy).await.ok();
    assert_eq!(made["spec"]["policyTypes"], json!(["Ingress"]));
    assert_eq!(made["spec"]["ingress"][0]["ports"][0]["protocol"], "TCP");
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "a"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"a": "b"}}}});
    c.post(&c.group("policy/v1", "poddisruptionbudgets"), &budget).await.ok();
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}});
    let made = c.post(&c.group("autoscaling/v2", "horizontalpodautoscalers"), &scaler).await.ok();
    assert_eq!(made["spec"]["minReplicas"], 1);
    assert_eq!(made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 80);
}
