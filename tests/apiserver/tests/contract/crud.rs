//! Create, read, replace, list, delete: system metadata, concurrency, pages, selectors, names.

use serde_json::{Value, json};

use crate::context::{Context, cases, version};

cases![
    create_fills_in_system_metadata,
    create_refuses,
    generated_names,
    replace_checks_the_version,
    no_op_writes_leave_no_trace,
    dry_run_writes_nothing,
    lists_come_in_pages,
    selectors_choose,
    deletion_has_preconditions,
    finalizers_hold,
    collections_are_deleted,
    statuses_name_what_is_missing,
];

async fn create_fills_in_system_metadata(c: Context) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "uid": "mine", "creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"l": "1"}},
        "data": {"k": "v"}});
    let made = c.post(&c.core("configmaps"), &map).await.ok();
    let meta = &made["metadata"];
    assert_eq!(meta["namespace"], c.namespace);
    assert_eq!(meta["uid"].as_str().unwrap().len(), 36);
    assert_ne!(meta["creationTimestamp"], "2001-01-01T00:00:00Z");
    assert!(meta.get("generation").is_none(), "{made}");
    assert_eq!(meta["managedFields"][0]["manager"], "contract");
    assert_eq!(meta["managedFields"][0]["operation"], "Update");
    assert_eq!(meta["managedFields"][0]["fieldsV1"]["f:data"], json!({".": {}, "f:k": {}}));
    assert_eq!(c.get(&c.core("configmaps/a")).await.ok(), made);
}

async fn create_refuses(c: Context) {
    c.config_map("a", &json!({})).await;
    let map = |meta: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta});
    let path = c.core("configmaps");
    let answer = c.post(&path, &map(json!({"name": "a"}))).await;
    assert_eq!(answer.refused(409, "AlreadyExists"), "configmaps \"a\" already exists");
    let answer = c.post(&path, &map(json!({}))).await;
    assert!(
        answer
            .refused(422, "Invalid")
            .contains("metadata.name: Required value: name or generateName is required")
    );
    let answer = c.post(&path, &map(json!({"name": "B_"}))).await;
    assert!(
        answer
            .refused(422, "Invalid")
            .contains("metadata.name: Invalid value: \"B_\": a lowercase RFC 1123 subdomain")
    );
    assert_eq!(answer.body["details"]["causes"][0]["field"], "metadata.name");
    let answer = c.post(&path, &map(json!({"name": "b", "namespace": "other"}))).await;
    assert!(
        answer
            .refused(400, "BadRequest")
            .starts_with("the namespace of the provided object does not match")
    );
    let answer = c.post(&path, &map(json!({"name": "b", "resourceVersion": "5"}))).await;
    assert!(!answer.status.is_success(), "{answer:?}");
    let answer = c.post("/api/v1/namespaces/absent/configmaps", &map(json!({"name": "b"}))).await;
    assert_eq!(answer.refused(404, "NotFound"), "namespaces \"absent\" not found");
    let answer = c
        .post(&path, &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "b"}}))
        .await;
    answer.refused(400, "BadRequest");
    let labels = c.post(&path, &map(json!({"name": "b", "labels": {"a b": "c"}}))).await;
    assert!(labels.refused(422, "Invalid").contains("metadata.labels: Invalid value: \"a b\""));
}

async fn generated_names(c: Context) {
    let map =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}});
    let (a, b) = (
        c.post(&c.core("configmaps"), &map).await.ok(),
        c.post(&c.core("configmaps"), &map).await.ok(),
    );
    let name = a["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("gen-") && name.len() == 9, "{name}");
    assert_eq!(a["metadata"]["generateName"], "gen-");
    assert_ne!(a["metadata"]["name"], b["metadata"]["name"]);
}

async fn replace_checks_the_version(c: Context) {
    let made = c.config_map("a", &json!({"k": "1"})).await;
    let mut next = made.clone();
    next["data"]["k"] = json!("2");
    let stored = c.put(&c.core("configmaps/a"), &next).await.ok();
    assert_ne!(version(&stored), version(&made));
    let stale = c.put(&c.core("configmaps/a"), &next).await;
    assert_eq!(
        stale.refused(409, "Conflict"),
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again"
    );
    next["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    next["data"]["k"] = json!("3");
    assert_eq!(
        c.put(&c.core("configmaps/a"), &next).await.ok()["data"]["k"],
        "3",
        "without a version: last writer wins"
    );
    next["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    assert!(
        c.put(&c.core("configmaps/a"), &next)
            .await
            .refused(409, "Conflict")
            .contains("Precondition failed: UID")
    );
    let other = c.put(&c.core("configmaps/b"), &made).await;
    other.refused(400, "BadRequest");
}

async fn no_op_writes_leave_no_trace(c: Context) {
    let made = c.config_map("a", &json!({"k": "1"})).await;
    let again = c.put(&c.core("configmaps/a"), &made).await.ok();
    assert_eq!(again, made);
    let patched = c.merge_patch(&c.core("configmaps/a"), &json!({"data": {"k": "1"}})).await.ok();
    assert_eq!(version(&patched), version(&made));
    let patched = c
        .json_patch(
            &c.core("configmaps/a"),
            &json!([{"op": "replace", "path": "/data/k", "value": "1"}]),
        )
        .await
        .ok();
    assert_eq!(version(&patched), version(&made));
}

async fn dry_run_writes_nothing(c: Context) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let shown = c.post(&format!("{}?dryRun=All", c.core("configmaps")), &map).await.ok();
    assert!(shown["metadata"]["uid"].is_string());
    c.get(&c.core("configmaps/a")).await.refused(404, "NotFound");
    let made = c.config_map("a", &json!({})).await;
    c.delete(&c.core("configmaps/a"), &json!({"dryRun": ["All"]})).await.ok();
    let patched = c
        .merge_patch(
            &format!("{}?dryRun=All", c.core("configmaps/a")),
            &json!({"data": {"x": "y"}}),
        )
        .await
        .ok();
    assert_eq!(patched["data"]["x"], "y");
    assert_eq!(c.get(&c.core("configmaps/a")).await.ok(), made);
    c.post(&format!("{}?dryRun=Some", c.core("configmaps")), &map).await;
}

async fn lists_come_in_pages(c: Context) {
    for name in ["a", "b", "c", "d", "e"] {
        c.config_map(name, &json!({})).await;
    }
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|i| i["metadata"]["name"].as_str().unwrap().to_owned())
            .filter(|n| n.len() == 1)
            .collect()
    };
    let first = c
        .get(&format!(
            "{}?limit=2&fieldSelector=metadata.namespace={}",
            c.core("configmaps"),
            c.namespace
        ))
        .await
        .ok();
    assert_eq!(first["kind"], "ConfigMapList");
    assert_eq!(names(&first), ["a", "b"]);
    let first = c.get(&format!("{}?limit=2", c.core("configmaps"))).await.ok();
    // A write in between does not change what the pages show.
    c.config_map("aa", &json!({})).await;
    c.delete(&c.core("configmaps/d"), &json!({})).await.ok();
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let second = c.get(&format!("{}?limit=2&continue={token}", c.core("configmaps"))).await.ok();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
    let token = second["metadata"]["continue"].as_str().unwrap().to_owned();
    let last = c.get(&format!("{}?limit=2&continue={token}", c.core("configmaps"))).await.ok();
    assert_eq!(names(&last), ["e"]);
    assert!(last["metadata"]["continue"].as_str().is_none_or(str::is_empty));
    c.get(&format!("{}?limit=2&continue=broken", c.core("configmaps")))
        .await
        .refused(400, "BadRequest");
}

async fn selectors_choose(c: Context) {
    for (name, labels) in
        [("a", json!({"app": "x", "tier": "1"})), ("b", json!({"app": "y"})), ("c", json!({}))]
    {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels}});
        c.post(&c.core("configmaps"), &map).await.ok();
    }
    for (query, expected) in [
        ("labelSelector=app%3Dx", "a"),
        ("labelSelector=app", "ab"),
        ("labelSelector=app%20in%20(x,y),tier", "a"),
        ("labelSelector=app%20notin%20(x)", "bc"),
        ("labelSelector=!app", "c"),
        ("labelSelector=app!%3Dx", "bc"),
        ("fieldSelector=metadata.name%3Db", "b"),
        ("fieldSelector=metadata.name!%3Db", "ac"),
        ("fieldSelector=metadata.name%3Db&labelSelector=app%3Dx", ""),
    ] {
        let list = c.get(&format!("{}?{query}", c.core("configmaps"))).await.ok();
        let items = list["items"].as_array().unwrap().iter();
        let names: String = items.map(|i| i["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, expected, "{query}");
    }
    for query in ["fieldSelector=data.k%3Dv", "labelSelector=a%20b", "fieldSelector=x"] {
        c.get(&format!("{}?{query}", c.core("configmaps"))).await.refused(400, "BadRequest");
    }
}

async fn deletion_has_preconditions(c: Context) {
    let made = c.config_map("a", &json!({})).await;
    let path = c.core("configmaps/a");
    let wrong = c.delete(&path, &json!({"preconditions": {"uid": "x"}})).await;
    let message = wrong.refused(409, "Conflict");
    assert!(
        message.contains("the UID in the precondition (x) does not match the UID in record ("),
        "{message}"
    );
    let wrong = c.delete(&path, &json!({"preconditions": {"resourceVersion": "1"}})).await;
    wrong.refused(409, "Conflict");
    let status = c.delete(&path, &json!({"preconditions": {"uid": made["metadata"]["uid"], "resourceVersion": version(&made)}})).await.ok();
    assert_eq!(
        (&status["status"], &status["details"]["uid"]),
        (&json!("Success"), &made["metadata"]["uid"])
    );
    assert_eq!(
        c.delete(&path, &json!({})).await.refused(404, "NotFound"),
        "configmaps \"a\" not found"
    );
}

async fn finalizers_hold(c: Context) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
    c.post(&c.core("configmaps"), &map).await.ok();
    let path = c.core("configmaps/a");
    let held = c.delete(&path, &json!({})).await.ok();
    assert_eq!(held["kind"], "ConfigMap");
    assert!(held["metadata"]["deletionTimestamp"].is_string());
    let again = c.delete(&path, &json!({})).await.ok();
    assert_eq!(version(&again), version(&held), "a second deletion changes nothing");
    // What goes away can be changed still, but gets no new finalizers.
    let more = c
        .merge_patch(
            &path,
            &json!({"metadata": {"finalizers": ["example.com/hold", "example.com/new"]}}),
        )
        .await;
    assert!(
        more.refused(422, "Invalid")
            .contains("no new finalizers can be added if the object is being deleted")
    );
    c.merge_patch(&path, &json!({"data": {"k": "v"}})).await.ok();
    c.merge_patch(&path, &json!({"metadata": {"finalizers": null}})).await.ok();
    c.get(&path).await.refused(404, "NotFound");
}

async fn collections_are_deleted(c: Context) {
    for (name, app) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"app": app}}});
        c.post(&c.core("configmaps"), &map).await.ok();
    }
    c.delete(&format!("{}?labelSelector=app%3Dx", c.core("configmaps")), &json!({})).await.ok();
    c.get(&c.core("configmaps/a")).await.refused(404, "NotFound");
    c.get(&c.core("configmaps/c")).await.ok();
}

async fn statuses_name_what_is_missing(c: Context) {
    let answer = c.get(&c.group("apps/v1", "deployments/x")).await;
    assert_eq!(answer.refused(404, "NotFound"), "deployments.apps \"x\" not found");
    assert_eq!(
        answer.body["details"],
        json!({"name": "x", "group": "apps", "kind": "deployments"})
    );
    let status = &answer.body;
    assert_eq!(
        (&status["kind"], &status["apiVersion"], &status["status"]),
        (&json!("Status"), &json!("v1"), &json!("Failure"))
    );
    assert_eq!(c.get("/apis/absent.example.com/v1/things").await.status, 404);
    assert_eq!(c.post(&c.core("configmaps/x"), &json!({})).await.status, 405);
    let answer = c
        .send(
            http::Method::POST,
            &c.core("configmaps"),
            "text/plain",
            "application/json",
            b"x".to_vec(),
        )
        .await;
    assert_eq!(answer.status, 415, "{}", answer.body);
}
