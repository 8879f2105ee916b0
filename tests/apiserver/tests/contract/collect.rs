//! Garbage collection and the end of namespaces.

use serde_json::{Value, json};

use crate::context::{Context, cases};

cases![
    dependents_go_with_their_owner,
    one_of_two_owners_is_not_enough,
    orphans_stay,
    foreground_waits_for_dependents,
    an_absent_owner_is_no_owner,
    owners_in_other_namespaces_are_absent,
    namespaces_end_with_their_content,
];

/// Makes a `ConfigMap` that others own.
async fn child(c: &Context, name: &str, owners: &[&Value], block: bool) {
    let references: Vec<Value> = owners
        .iter()
        .map(|o| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"], "blockOwnerDeletion": block}))
        .collect();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "ownerReferences": references}});
    c.post(&c.core("configmaps"), &map).await.ok();
}

async fn dependents_go_with_their_owner(c: Context) {
    let owner = c.config_map("owner", &json!({})).await;
    child(&c, "child", &[&owner], false).await;
    let parent = c.get(&c.core("configmaps/child")).await.ok();
    child(&c, "grandchild", &[&parent], false).await;
    c.delete(&c.core("configmaps/owner"), &json!({"propagationPolicy": "Background"})).await.ok();
    c.eventually(&c.core("configmaps/child"), 404).await;
    c.eventually(&c.core("configmaps/grandchild"), 404).await;
}

async fn one_of_two_owners_is_not_enough(c: Context) {
    let (one, two) = (c.config_map("one", &json!({})).await, c.config_map("two", &json!({})).await);
    child(&c, "child", &[&one, &two], false).await;
    c.delete(&c.core("configmaps/one"), &json!({})).await.ok();
    let start = std::time::Instant::now();
    loop {
        let child = c.get(&c.core("configmaps/child")).await.ok();
        if child["metadata"]["ownerReferences"].as_array().unwrap().len() == 1 {
            assert_eq!(child["metadata"]["ownerReferences"][0]["name"], "two");
            break;
        }
        assert!(start.elapsed().as_secs() < 30, "the dangling reference stays: {child}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    c.delete(&c.core("configmaps/two"), &json!({})).await.ok();
    c.eventually(&c.core("configmaps/child"), 404).await;
}

async fn orphans_stay(c: Context) {
    let owner = c.config_map("owner", &json!({})).await;
    child(&c, "child", &[&owner], false).await;
    c.delete(&c.core("configmaps/owner"), &json!({"propagationPolicy": "Orphan"})).await.ok();
    c.eventually(&c.core("configmaps/owner"), 404).await;
    let child = c.get(&c.core("configmaps/child")).await.ok();
    assert!(child["metadata"].get("ownerReferences").is_none(), "{child}");
}

async fn foreground_waits_for_dependents(c: Context) {
    let owner = c.config_map("owner", &json!({})).await;
    child(&c, "child", &[&owner], true).await;
    c.merge_patch(
        &c.core("configmaps/child"),
        &json!({"metadata": {"finalizers": ["example.com/hold"]}}),
    )
    .await
    .ok();
    // The real collector must have seen the child first.
    tokio::time::sleep(std::time::Duration::from_millis(
        if c.server == crate::context::Server::Real { 2000 } else { 0 },
    ))
    .await;
    let held = c
        .delete(&c.core("configmaps/owner"), &json!({"propagationPolicy": "Foreground"}))
        .await
        .ok();
    assert_eq!(held["metadata"]["finalizers"], json!(["foregroundDeletion"]));
    let start = std::time::Instant::now();
    while c.get(&c.core("configmaps/child")).await.ok()["metadata"]
        .get("deletionTimestamp")
        .is_none()
    {
        assert!(start.elapsed().as_secs() < 30, "the child is not deleted");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    c.get(&c.core("configmaps/owner")).await.ok();
    c.merge_patch(&c.core("configmaps/child"), &json!({"metadata": {"finalizers": null}}))
        .await
        .ok();
    c.eventually(&c.core("configmaps/owner"), 404).await;
}

async fn an_absent_owner_is_no_owner(c: Context) {
    let owner = c.config_map("owner", &json!({})).await;
    let mut impostor = owner.clone();
    impostor["metadata"]["uid"] = json!("00000000-0000-4000-8000-000000000000");
    child(&c, "child", &[&impostor], false).await;
    c.eventually(&c.core("configmaps/child"), 404).await;
    c.get(&c.core("configmaps/owner")).await.ok();
}

async fn owners_in_other_namespaces_are_absent(c: Context) {
    let there = Context::new(c.server, c.client.clone(), "elsewhere").await;
    let owner = there.config_map("owner", &json!({})).await;
    child(&c, "child", &[&owner], false).await;
    c.eventually(&c.core("configmaps/child"), 404).await;
}

async fn namespaces_end_with_their_content(c: Context) {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "finalizers": ["example.com/hold"]}});
    c.post(&c.core("configmaps"), &map).await.ok();
    c.config_map("b", &json!({})).await;
    let path = format!("/api/v1/namespaces/{}", c.namespace);
    let ending = c.delete(&path, &json!({})).await.ok();
    assert_eq!(ending["status"]["phase"], "Terminating");
    c.eventually(&c.core("configmaps/b"), 404).await;
    let late = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}});
    let refused = c.post(&c.core("configmaps"), &late).await;
    assert!(
        refused.refused(403, "Forbidden").contains("because it is being terminated"),
        "{refused:?}"
    );
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "NamespaceTerminating");
    c.get(&path).await.ok();
    c.merge_patch(&c.core("configmaps/a"), &json!({"metadata": {"finalizers": null}})).await.ok();
    c.eventually(&path, 404).await;
}
