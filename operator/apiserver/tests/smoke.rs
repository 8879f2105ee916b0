//! The server through its own client, with nothing else around. The contract suite in `tests/apiserver` goes further.

use futures::{StreamExt, TryStreamExt};
use gatefleet_apiserver::{ApiServer, Options};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

#[tokio::test]
async fn an_object_is_made_seen_and_gone() {
    let server = ApiServer::new(Options::default());
    let maps: Api<ConfigMap> = Api::default_namespaced(server.client());
    let map: ConfigMap =
        serde_json::from_value(json!({"metadata": {"name": "a"}, "data": {"k": "v"}})).unwrap();
    let made = maps.create(&PostParams::default(), &map).await.unwrap();
    let version = made.metadata.resource_version.clone().unwrap();
    let events = maps.watch(&WatchParams::default(), &version).await.unwrap();
    let mut changed = made.clone();
    changed.data.as_mut().unwrap().insert("k".into(), "w".into());
    let changed = maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(changed.metadata.resource_version, Some(version));
    let again = maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_eq!(again.metadata.resource_version, changed.metadata.resource_version, "no-op");
    assert!(
        maps.replace("a", &PostParams::default(), &made)
            .await
            .unwrap_err()
            .to_string()
            .contains("modified")
    );
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    let seen: Vec<WatchEvent<ConfigMap>> = events.take(2).try_collect().await.unwrap();
    match seen.as_slice() {
        [WatchEvent::Modified(m), WatchEvent::Deleted(_)] => assert_eq!(m.data, changed.data),
        other => panic!("{other:?}"),
    }
}

fn widgets() -> serde_json::Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {
                        "size": {"type": "integer", "minimum": 1, "default": 3},
                        "color": {"type": "string", "x-kubernetes-validations": [
                            {"rule": "self == oldSelf", "message": "color cannot change"}]},
                    }},
                    "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
                }}},
            }],
        },
    })
}

#[tokio::test]
async fn a_custom_resource_is_declared_applied_and_owned() {
    use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
    let client = ApiServer::new(Options::default()).client();
    let definitions: Api<DynamicObject> = Api::all_with(
        client.clone(),
        &ApiResource {
            group: "apiextensions.k8s.io".into(),
            version: "v1".into(),
            api_version: "apiextensions.k8s.io/v1".into(),
            kind: "CustomResourceDefinition".into(),
            plural: "customresourcedefinitions".into(),
        },
    );
    definitions
        .create(&PostParams::default(), &serde_json::from_value(widgets()).unwrap())
        .await
        .unwrap();
    let kind = ApiResource {
        group: "example.com".into(),
        version: "v1".into(),
        api_version: "example.com/v1".into(),
        kind: "Widget".into(),
        plural: "widgets".into(),
    };
    let widgets: Api<DynamicObject> = Api::default_namespaced_with(client, &kind);
    let widget = |spec: serde_json::Value| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec});
    let mine = PatchParams::apply("mine");
    let made =
        widgets.patch("w", &mine, &Patch::Apply(widget(json!({"color": "red"})))).await.unwrap();
    assert_eq!(made.data["spec"], json!({"color": "red", "size": 3}));
    let again =
        widgets.patch("w", &mine, &Patch::Apply(widget(json!({"color": "red"})))).await.unwrap();
    assert_eq!(again.metadata.resource_version, made.metadata.resource_version);
    let theirs = PatchParams::apply("theirs");
    let conflict = widgets
        .patch("w", &theirs, &Patch::Apply(widget(json!({"color": "blue"}))))
        .await
        .unwrap_err();
    assert!(conflict.to_string().contains("conflict with \"mine\": .spec.color"), "{conflict}");
    let refused = widgets
        .patch("w", &theirs.clone().force(), &Patch::Apply(widget(json!({"color": "blue"}))))
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("spec.color: Invalid value: \"blue\": color cannot change"),
        "{refused}"
    );
    widgets.patch("w", &theirs, &Patch::Apply(widget(json!({"size": 5})))).await.unwrap();
    let released = widgets.patch("w", &theirs, &Patch::Apply(widget(json!({})))).await.unwrap();
    assert_eq!(released.data["spec"], json!({"color": "red", "size": 3}));
    definitions.delete("widgets.example.com", &DeleteParams::default()).await.unwrap();
    assert!(widgets.get_opt("w").await.unwrap().is_none());
}
