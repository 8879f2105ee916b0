//! Server-side apply: ownership, conflicts, release, status.

use serde_json::{Value, json};

use crate::context::{Context, cases, version};

cases![
    apply_creates_and_owns,
    the_same_apply_twice_is_no_write,
    what_is_applied_no_more_goes,
    conflicts_are_named_and_forced,
    shared_fields_stay_until_the_last_owner_leaves,
    updates_take_ownership,
    list_elements_have_owners,
    status_has_its_own_managers,
    apply_refuses,
];

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

/// The entry of a manager.
fn entry<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    object["metadata"]["managedFields"].as_array()?.iter().find(|e| e["manager"] == manager)
}

async fn apply_creates_and_owns(c: Context) {
    let answer = c.apply(&c.core("configmaps/a"), "one", &map(json!({"k": "1"}))).await;
    assert_eq!(answer.status, 201);
    let made = answer.ok();
    let one = entry(&made, "one").unwrap();
    assert_eq!((&one["operation"], &one["apiVersion"]), (&json!("Apply"), &json!("v1")));
    assert_eq!(one["fieldsV1"], json!({"f:data": {"f:k": {}}}));
    let answer = c.apply(&c.core("configmaps/a"), "one", &map(json!({"k": "2"}))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.ok()["data"]["k"], "2");
}

async fn the_same_apply_twice_is_no_write(c: Context) {
    let made = c.apply(&c.core("configmaps/a"), "one", &map(json!({"k": "1"}))).await.ok();
    let again = c.apply(&c.core("configmaps/a"), "one", &map(json!({"k": "1"}))).await.ok();
    assert_eq!(again, made);
    // Another manager that wants the same shares it: that is a write, but only once.
    let shared = c.apply(&c.core("configmaps/a"), "two", &map(json!({"k": "1"}))).await.ok();
    assert_ne!(version(&shared), version(&made));
    let again = c.apply(&c.core("configmaps/a"), "two", &map(json!({"k": "1"}))).await.ok();
    assert_eq!(version(&again), version(&shared));
}

async fn what_is_applied_no_more_goes(c: Context) {
    c.apply(&c.core("configmaps/a"), "one", &map(json!({"k": "1", "l": "2"}))).await.ok();
    let less = c.apply(&c.core("configmaps/a"), "one", &map(json!({"k": "1"}))).await.ok();
    assert_eq!(less["data"], json!({"k": "1"}));
    c.merge_patch(&c.core("configmaps/a"), &json!({"data": {"theirs": "3"}})).await.ok();
    let none = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let left = c.apply(&c.core("configmaps/a"), "one", &none).await.ok();
    assert_eq!(left["data"], json!({"theirs": "3"}));
    assert!(entry(&left, "one").is_none(), "{left}");
}

async fn conflicts_are_named_and_forced(c: Context) {
    let path = c.core("configmaps/a");
    c.apply(&path, "one", &map(json!({"k": "1", "l": "1"}))).await.ok();
    let refused = c.apply(&path, "two", &map(json!({"k": "2"}))).await;
    assert_eq!(
        refused.refused(409, "Conflict"),
        "Apply failed with 1 conflict: conflict with \"one\": .data.k"
    );
    assert_eq!(
        refused.body["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.k"}])
    );
    let both = c.apply(&path, "two", &map(json!({"k": "2", "l": "2"}))).await;
    assert_eq!(
        both.refused(409, "Conflict"),
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .data.k\n- .data.l"
    );
    let forced = c.apply(&format!("{path}?force=true"), "two", &map(json!({"k": "2"}))).await.ok();
    assert_eq!(forced["data"]["k"], "2");
    assert_eq!(entry(&forced, "one").unwrap()["fieldsV1"], json!({"f:data": {"f:l": {}}}));
    assert_eq!(entry(&forced, "two").unwrap()["fieldsV1"], json!({"f:data": {"f:k": {}}}));
}

async fn shared_fields_stay_until_the_last_owner_leaves(c: Context) {
    let path = c.core("configmaps/a");
    c.apply(&path, "one", &map(json!({"k": "1"}))).await.ok();
    c.apply(&path, "two", &map(json!({"k": "1", "l": "2"}))).await.ok();
    let left = c.apply(&path, "one", &map(json!({}))).await.ok();
    assert_eq!(left["data"], json!({"k": "1", "l": "2"}));
    let left = c.apply(&path, "two", &map(json!({"l": "2"}))).await.ok();
    assert_eq!(left["data"], json!({"l": "2"}));
}

async fn updates_take_ownership(c: Context) {
    let path = c.core("configmaps/a");
    c.apply(&path, "one", &map(json!({"k": "1", "l": "1"}))).await.ok();
    let changed = c.merge_patch(&path, &json!({"data": {"k": "2"}})).await.ok();
    assert_eq!(entry(&changed, "contract").unwrap()["fieldsV1"], json!({"f:data": {"f:k": {}}}));
    assert_eq!(entry(&changed, "one").unwrap()["fieldsV1"], json!({"f:data": {"f:l": {}}}));
    let refused =
        c.apply(&path, "one", &map(json!({"k": "1", "l": "1"}))).await.refused(409, "Conflict");
    assert_eq!(
        refused,
        "Apply failed with 1 conflict: conflict with \"contract\" using v1: .data.k"
    );
}

async fn list_elements_have_owners(c: Context) {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"ports": ports}});
    let path = c.core("services/a");
    c.apply(&path, "one", &service(json!([{"name": "a", "port": 80, "protocol": "TCP"}])))
        .await
        .ok();
    let both = c
        .apply(&path, "two", &service(json!([{"name": "b", "port": 81, "protocol": "TCP"}])))
        .await
        .ok();
    let ports: Vec<&Value> =
        both["spec"]["ports"].as_array().unwrap().iter().map(|p| &p["port"]).collect();
    assert_eq!(ports, [80, 81]);
    assert_eq!(
        entry(&both, "two").unwrap()["fieldsV1"],
        json!({"f:spec": {"f:ports": {"k:{\"port\":81,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}}}})
    );
    let refused = c
        .apply(&path, "two", &service(json!([{"name": "c", "port": 80, "protocol": "TCP"}])))
        .await;
    assert_eq!(
        refused.refused(409, "Conflict"),
        "Apply failed with 1 conflict: conflict with \"one\": .spec.ports[port=80,protocol=\"TCP\"].name"
    );
    let left = c
        .apply(
            &path,
            "one",
            &service(json!([{"name": "a2", "port": 80, "protocol": "TCP", "targetPort": 8080}])),
        )
        .await
        .ok();
    assert_eq!(left["spec"]["ports"].as_array().unwrap().len(), 2);
    let gone = c
        .apply(
            &path,
            "two",
            &json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}),
        )
        .await
        .ok();
    assert_eq!(gone["spec"]["ports"].as_array().unwrap().len(), 1);
}

async fn status_has_its_own_managers(c: Context) {
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"},
        "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}});
    let path = c.group("networking.k8s.io/v1", "ingresses/a");
    let made = c.apply(&path, "one", &ingress).await.ok();
    assert_eq!(made["metadata"]["generation"], 1);
    let status = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "a"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let shown = c.apply(&format!("{path}/status"), "two", &status).await.ok();
    assert_eq!(shown["status"], status["status"]);
    assert_eq!(shown["spec"], made["spec"]);
    assert_eq!(shown["metadata"]["generation"], 1);
    let two = entry(&shown, "two").unwrap();
    assert_eq!((&two["subresource"], &two["operation"]), (&json!("status"), &json!("Apply")));
    assert_eq!(two["fieldsV1"], json!({"f:status": {"f:loadBalancer": {"f:ingress": {}}}}));
    // The object itself can be applied again, and leaves the status alone.
    let again = c.apply(&path, "one", &ingress).await.ok();
    assert_eq!(version(&again), version(&shown));
}

async fn apply_refuses(c: Context) {
    let path = c.core("configmaps/a");
    let body = map(json!({}));
    let nameless = c
        .send(
            http::Method::PATCH,
            &path,
            "application/apply-patch+yaml",
            "application/json",
            body.to_string().into(),
        )
        .await;
    assert!(
        nameless
            .refused(422, "Invalid")
            .contains("fieldManager: Required value: is required for apply patch")
    );
    let mut managed = body.clone();
    managed["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {}}]);
    assert_eq!(
        c.apply(&path, "one", &managed).await.refused(400, "BadRequest"),
        "metadata.managedFields must be nil"
    );
    let mut named = body.clone();
    named["metadata"]["name"] = json!("b");
    c.apply(&path, "one", &named).await.refused(400, "BadRequest");
    let yaml = c
        .send(
            http::Method::PATCH,
            &format!("{path}?fieldManager=y"),
            "application/apply-patch+yaml",
            "application/json",
            b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: \"v\"\n".to_vec(),
        )
        .await
        .ok();
    assert_eq!(yaml["data"]["k"], "v");
    c.merge_patch(&format!("{path}?force=true"), &json!({})).await.refused(422, "Invalid");
}
