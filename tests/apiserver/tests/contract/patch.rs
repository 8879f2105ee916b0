//! The kinds of patches.

use serde_json::{Value, json};

use crate::context::{Context, cases, version};

cases![
    json_patches,
    merge_patches,
    strategic_merge_patches,
    strategic_merge_of_plain_lists,
    patches_check_versions
];

async fn json_patches(c: Context) {
    c.config_map("a", &json!({"k": "1"})).await;
    let path = c.core("configmaps/a");
    let patched = c
        .json_patch(&path, &json!([{"op": "test", "path": "/data/k", "value": "1"}, {"op": "add", "path": "/data/l", "value": "2"}]))
        .await
        .ok();
    assert_eq!(patched["data"], json!({"k": "1", "l": "2"}));
    let refused = c.json_patch(&path, &json!([{"op": "test", "path": "/data/k", "value": "x"}, {"op": "remove", "path": "/data/k"}])).await;
    refused.refused(422, "Invalid");
    c.json_patch(&path, &json!([{"op": "remove", "path": "/data/absent"}]))
        .await
        .refused(422, "Invalid");
    c.json_patch(&path, &json!({"op": "remove"})).await.refused(400, "BadRequest");
    let moved = c
        .json_patch(&path, &json!([{"op": "move", "from": "/data/l", "path": "/data/m"}, {"op": "copy", "from": "/data/k", "path": "/data/n"}]))
        .await
        .ok();
    assert_eq!(moved["data"], json!({"k": "1", "m": "2", "n": "1"}));
}

async fn merge_patches(c: Context) {
    c.config_map("a", &json!({"k": "1", "l": "2"})).await;
    let path = c.core("configmaps/a");
    let patched = c
        .merge_patch(
            &path,
            &json!({"data": {"k": null, "m": "3"}, "metadata": {"labels": {"x": "y"}}}),
        )
        .await
        .ok();
    assert_eq!(patched["data"], json!({"l": "2", "m": "3"}));
    assert_eq!(patched["metadata"]["labels"]["x"], "y");
    c.merge_patch(&c.core("configmaps/absent"), &json!({})).await.refused(404, "NotFound");
    c.merge_patch(&path, &json!({"metadata": {"name": "b"}})).await.refused(400, "BadRequest");
}

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {
        "selector": {"matchLabels": {"app": "a"}},
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [
            {"name": "x", "image": "x:1", "env": [{"name": "A", "value": "1"}]}, {"name": "y", "image": "y:1"}]}}}})
}

async fn strategic_merge_patches(c: Context) {
    c.post(&c.group("apps/v1", "deployments"), &deployment()).await.ok();
    let path = c.group("apps/v1", "deployments/a");
    let pod = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    let patched = c
        .strategic_patch(
            &path,
            &pod(json!({"containers": [{"name": "x", "env": [{"name": "B", "value": "2"}]}]})),
        )
        .await
        .ok();
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["image"], "x:1");
    // A new element stands before the old ones.
    assert_eq!(
        containers[0]["env"],
        json!([{"name": "B", "value": "2"}, {"name": "A", "value": "1"}])
    );
    assert_eq!(containers[1]["name"], "y");
    let patched = c
        .strategic_patch(&path, &pod(json!({"$setElementOrder/containers": [{"name": "x"}], "containers": [{"name": "y", "$patch": "delete"}]})))
        .await
        .ok();
    assert_eq!(patched["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    let patched = c
        .strategic_patch(
            &path,
            &json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
        )
        .await
        .ok();
    assert_eq!(patched["spec"]["strategy"], json!({"type": "Recreate"}));
}

async fn strategic_merge_of_plain_lists(c: Context) {
    c.config_map("a", &json!({})).await;
    let path = c.core("configmaps/a");
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    c.strategic_patch(&path, &finalizers(&["example.com/a", "example.com/b"])).await.ok();
    let mut patch = finalizers(&["example.com/c"]);
    patch["metadata"]["$deleteFromPrimitiveList/finalizers"] = json!(["example.com/a"]);
    let patched = c.strategic_patch(&path, &patch).await.ok();
    assert_eq!(patched["metadata"]["finalizers"], json!(["example.com/c", "example.com/b"]));
    let mut patch = finalizers(&["example.com/d"]);
    patch["metadata"]["$setElementOrder/finalizers"] =
        json!(["example.com/b", "example.com/d", "example.com/c"]);
    let patched = c.strategic_patch(&path, &patch).await.ok();
    assert_eq!(
        patched["metadata"]["finalizers"],
        json!(["example.com/b", "example.com/d", "example.com/c"])
    );
    c.merge_patch(&path, &json!({"metadata": {"finalizers": null}})).await.ok();
}

async fn patches_check_versions(c: Context) {
    let made = c.config_map("a", &json!({"k": "1"})).await;
    let path = c.core("configmaps/a");
    let good = c
        .merge_patch(
            &path,
            &json!({"metadata": {"resourceVersion": version(&made)}, "data": {"k": "2"}}),
        )
        .await
        .ok();
    assert_eq!(good["data"]["k"], "2");
    let stale = c
        .merge_patch(
            &path,
            &json!({"metadata": {"resourceVersion": version(&made)}, "data": {"k": "3"}}),
        )
        .await;
    stale.refused(409, "Conflict");
    let uid = c.merge_patch(&path, &json!({"metadata": {"uid": "x"}})).await;
    assert!(
        uid.refused(422, "Invalid")
            .ends_with("metadata.uid: Invalid value: \"x\": field is immutable")
    );
}
