//! The server through its own client, with nothing else around. The contract suite in `tests/apiserver` goes further.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

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
