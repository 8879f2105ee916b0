//! Built-in kinds: defaults, immutability, admission.

use serde_json::{Value, json};

use crate::context::{Context, cases};

cases![
    deployments,
    secrets,
    config_maps,
    pods,
    namespaces,
    events_are_one_store,
    leases,
    access_reviews,
];

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
            "containers": [{"name": "x", "image": "x:1", "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"port": 80}}, "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}, {"name": "w"}], "serviceAccountName": "sa"}}}})
}

async fn deployments(c: Context) {
    let path = c.group("apps/v1", "deployments");
    let made = c.post(&path, &deployment()).await.ok();
    let mut spec = made["spec"].clone();
    spec["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    assert_eq!(
        spec,
        json!({
            "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "a"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {
                "containers": [{"name": "x", "image": "x:1", "imagePullPolicy": "IfNotPresent", "resources": {},
                    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                    "readinessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
                    "env": [{"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                    "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "v", "configMap": {"name": "m", "defaultMode": 420}}, {"name": "w", "emptyDir": {}}],
                "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
                "serviceAccount": "sa", "serviceAccountName": "sa", "terminationGracePeriodSeconds": 30}},
        })
    );
    assert_eq!(made["metadata"]["generation"], 1);
    let item = format!("{path}/a");
    let refused = c
        .merge_patch(&item, &json!({"spec": {"selector": {"matchLabels": {"app": "b"}}}}))
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("spec.selector: Invalid value") && refused.contains("field is immutable"),
        "{refused}"
    );
    let mut other = deployment();
    other["metadata"]["name"] = json!("b");
    other["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let refused = c.post(&path, &other).await.refused(422, "Invalid");
    assert!(refused.contains("`selector` does not match template `labels`"), "{refused}");
    other["spec"]["template"]["spec"]["containers"] = json!([]);
    let refused = c.post(&path, &other).await.refused(422, "Invalid");
    assert!(refused.contains("spec.template.spec.containers: Required value"), "{refused}");
    let scaled =
        c.merge_patch(&format!("{item}/scale"), &json!({"spec": {"replicas": 3}})).await.ok();
    assert_eq!(
        (&scaled["spec"]["replicas"], &scaled["status"]["selector"]),
        (&json!(3), &json!("app=a"))
    );
    assert_eq!(c.get(&item).await.ok()["metadata"]["generation"], 2);
}

async fn secrets(c: Context) {
    let path = c.core("secrets");
    let secret = |name: &str, more: Value| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        secret.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        secret
    };
    let made = c
        .post(&path, &secret("a", json!({"stringData": {"k": "v"}, "data": {"l": "bA=="}})))
        .await
        .ok();
    assert_eq!(
        (&made["type"], &made["data"]),
        (&json!("Opaque"), &json!({"k": "dg==", "l": "bA=="}))
    );
    assert!(made.get("stringData").is_none());
    let refused = c
        .merge_patch(&c.core("secrets/a"), &json!({"type": "other"}))
        .await
        .refused(422, "Invalid");
    assert!(refused.contains("type: Invalid value: \"other\": field is immutable"), "{refused}");
    let refused = c
        .post(&path, &secret("t", json!({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}})))
        .await
        .refused(422, "Invalid");
    assert!(refused.contains("data[tls.key]: Required value"), "{refused}");
    c.post(&path, &secret("b", json!({"data": {"k": "no base64!"}})))
        .await
        .refused(400, "BadRequest");
    let refused =
        c.post(&path, &secret("b", json!({"data": {"a b": ""}}))).await.refused(422, "Invalid");
    assert!(
        refused.contains("data[a b]: Invalid value: \"a b\": a valid config key must consist of"),
        "{refused}"
    );
    c.merge_patch(&c.core("secrets/a"), &json!({"immutable": true})).await.ok();
    let refused = c
        .merge_patch(&c.core("secrets/a"), &json!({"data": {"k": "eA=="}}))
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("data: Forbidden: field is immutable when `immutable` is set"),
        "{refused}"
    );
    let list = c.get(&format!("{path}?fieldSelector=type%3DOpaque")).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
}

async fn config_maps(c: Context) {
    c.config_map("a", &json!({"k": "v"})).await;
    c.merge_patch(&c.core("configmaps/a"), &json!({"immutable": true})).await.ok();
    let refused = c
        .merge_patch(&c.core("configmaps/a"), &json!({"data": {"k": "w"}}))
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("data: Forbidden: field is immutable when `immutable` is set"),
        "{refused}"
    );
    let big = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"k": "x".repeat(1024 * 1024 + 1)}});
    let refused = c.post(&c.core("configmaps"), &big).await.refused(422, "Invalid");
    assert!(refused.contains("Too long: may not be more than 1048576 bytes"), "{refused}");
}

async fn pods(c: Context) {
    let path = c.core("pods");
    let pod = |name: &str, node: Option<&str>| {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [{"name": "x", "image": "x"}]}});
        if let Some(node) = node {
            pod["spec"]["nodeName"] = json!(node);
        }
        pod
    };
    let made = c.post(&path, &pod("a", None)).await.ok();
    assert_eq!(
        (&made["status"]["phase"], &made["status"]["qosClass"]),
        (&json!("Pending"), &json!("BestEffort"))
    );
    assert_eq!(
        (&made["spec"]["enableServiceLinks"], &made["spec"]["containers"][0]["imagePullPolicy"]),
        (&json!(true), &json!("Always"))
    );
    let refused = c
        .merge_patch(&c.core("pods/a"), &json!({"spec": {"hostNetwork": true}}))
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("spec: Forbidden: pod updates may not change fields other than"),
        "{refused}"
    );
    let refused = c.post(&path, &json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "A"}]}})).await.refused(422, "Invalid");
    assert!(
        refused.contains("spec.containers[0].name: Invalid value: \"A\"")
            && refused.contains("spec.containers[0].image: Required value"),
        "{refused}"
    );
    // Nothing runs it, so nothing has to stop.
    c.delete(&c.core("pods/a"), &json!({})).await.ok();
    c.get(&c.core("pods/a")).await.refused(404, "NotFound");
    c.post(&path, &pod("b", Some("node"))).await.ok();
    let stopping = c.delete(&c.core("pods/b"), &json!({})).await.ok();
    assert_eq!(stopping["metadata"]["deletionGracePeriodSeconds"], 30);
    c.merge_patch(&c.core("pods/b/status"), &json!({"status": {"phase": "Running"}})).await.ok();
    let sooner = c.delete(&c.core("pods/b"), &json!({"gracePeriodSeconds": 5})).await.ok();
    assert_eq!(sooner["metadata"]["deletionGracePeriodSeconds"], 5);
    c.delete(&c.core("pods/b"), &json!({"gracePeriodSeconds": 0})).await.ok();
    c.get(&c.core("pods/b")).await.refused(404, "NotFound");
    c.post(&path, &pod("c", Some("n1"))).await.ok();
    let list = c.get(&format!("{path}?fieldSelector=spec.nodeName%3Dn1")).await.ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    c.delete(&c.core("pods/c"), &json!({"gracePeriodSeconds": 0})).await.ok();
}

async fn namespaces(c: Context) {
    let made = c.get(&format!("/api/v1/namespaces/{}", c.namespace)).await.ok();
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], c.namespace);
    assert_eq!(
        (&made["status"]["phase"], &made["spec"]["finalizers"]),
        (&json!("Active"), &json!(["kubernetes"]))
    );
    let refused = c
        .post(
            "/api/v1/namespaces",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a.b"}}),
        )
        .await
        .refused(422, "Invalid");
    assert!(
        refused.contains("metadata.name: Invalid value: \"a.b\": must not contain dots"),
        "{refused}"
    );
    for name in ["default", "kube-system"] {
        c.eventually(&format!("/api/v1/namespaces/{name}"), 200).await;
    }
    c.delete("/api/v1/namespaces/kube-system", &json!({})).await.refused(403, "Forbidden");
}

async fn events_are_one_store(c: Context) {
    let event = json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": c.namespace}, "note": "hello", "reason": "Because", "type": "Normal",
        "action": "Act", "reportingController": "example.com/c", "reportingInstance": "i"});
    c.post(&c.group("events.k8s.io/v1", "events"), &event).await.ok();
    let old = c.get(&c.core("events/a")).await.ok();
    assert_eq!(
        (&old["message"], &old["involvedObject"]["name"], &old["reportingComponent"]),
        (&json!("hello"), &json!("p"), &json!("example.com/c"))
    );
    let new = c.get(&c.group("events.k8s.io/v1", "events/a")).await.ok();
    assert_eq!((&new["note"], &new["regarding"]["name"]), (&json!("hello"), &json!("p")));
    let list = c
        .get(&format!(
            "{}?fieldSelector=involvedObject.name%3Dp,involvedObject.kind%3DPod",
            c.core("events")
        ))
        .await
        .ok();
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let series = c
        .merge_patch(
            &c.group("events.k8s.io/v1", "events/a"),
            &json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}}),
        )
        .await
        .ok();
    assert_eq!(series["series"]["count"], 2);
}

async fn leases(c: Context) {
    let path = c.group("coordination.k8s.io/v1", "leases");
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"},
        "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"}});
    let made = c.post(&path, &lease).await.ok();
    let mut next = made.clone();
    next["spec"]["holderIdentity"] = json!("y");
    c.put(&format!("{path}/a"), &next).await.ok();
    c.put(&format!("{path}/a"), &next).await.refused(409, "Conflict");
}

async fn access_reviews(c: Context) {
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let answer =
        c.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.ok();
    assert_eq!(answer["status"]["allowed"], true);
}
