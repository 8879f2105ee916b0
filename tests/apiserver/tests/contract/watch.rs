//! Watches: order, bookmarks, initial events, selectors, expired history.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, io::AsyncBufReadExt, stream::BoxStream};
use http::Request;
use serde_json::{Value, json};

use crate::context::{Context, Server, cases, version};

cases![
    changes_come_in_order,
    a_watch_without_version_begins_with_what_is_there,
    initial_events_end_with_a_bookmark,
    selectors_turn_changes_into_arrivals_and_departures,
    old_history_is_gone,
    a_watch_ends_in_time,
    typed_watches_work,
    parameters_are_checked,
];

type Events = BoxStream<'static, Value>;

/// Opens a watch, as raw as it can be.
async fn open(c: &Context, path: &str) -> Events {
    let request = Request::get(path).body(Vec::new()).unwrap();
    let stream = c.client.request_stream(request).await.unwrap();
    let lines = Box::pin(stream.lines().map_ok(|line| serde_json::from_str(&line).unwrap()));
    lines
        .take_while(|l: &Result<Value, _>| futures::future::ready(l.is_ok()))
        .map(Result::unwrap)
        .boxed()
}

async fn next(events: &mut Events) -> (String, Value) {
    let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    let event = event.expect("an event within 10 s").expect("the watch goes on");
    (event["type"].as_str().unwrap().to_owned(), event["object"].clone())
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

async fn changes_come_in_order(c: Context) {
    let made = c.config_map("a", &json!({"k": "1"})).await;
    let mut events = open(
        &c,
        &format!("{}?watch=true&resourceVersion={}", c.core("configmaps"), version(&made)),
    )
    .await;
    let changed = c.merge_patch(&c.core("configmaps/a"), &json!({"data": {"k": "2"}})).await.ok();
    c.put(&c.core("configmaps/a"), &changed).await.ok(); // changes nothing
    c.config_map("b", &json!({})).await;
    c.delete(&c.core("configmaps/a"), &json!({})).await.ok();
    assert_eq!(next(&mut events).await, ("MODIFIED".into(), changed.clone()));
    let (kind, object) = next(&mut events).await;
    assert_eq!((kind.as_str(), name(&object)), ("ADDED", "b"));
    let (kind, object) = next(&mut events).await;
    assert_eq!((kind.as_str(), name(&object)), ("DELETED", "a"));
    assert_ne!(version(&object), version(&changed), "the deletion has a version of its own");
}

async fn a_watch_without_version_begins_with_what_is_there(c: Context) {
    c.config_map("a", &json!({})).await;
    let mut events =
        open(&c, &format!("{}?watch=1&fieldSelector=metadata.name%3Da", c.core("configmaps")))
            .await;
    assert_eq!(next(&mut events).await.0, "ADDED");
    c.delete(&c.core("configmaps/a"), &json!({})).await.ok();
    assert_eq!(next(&mut events).await.0, "DELETED");
}

async fn initial_events_end_with_a_bookmark(c: Context) {
    c.config_map("a", &json!({})).await;
    c.config_map("b", &json!({})).await;
    let path = format!(
        "{}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true",
        c.core("configmaps")
    );
    let mut events = open(&c, &path).await;
    let mut names = Vec::new();
    let bookmark = loop {
        let (kind, object) = next(&mut events).await;
        match kind.as_str() {
            "ADDED" => names.push(name(&object).to_owned()),
            "BOOKMARK" => break object,
            other => panic!("{other}"),
        }
    };
    names.sort();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    assert_eq!((&bookmark["kind"], &bookmark["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    c.config_map("c", &json!({})).await;
    assert_eq!(name(&next(&mut events).await.1), "c");
    // The bookmark's version is a place to go on from.
    let mut later = open(
        &c,
        &format!("{}?watch=true&resourceVersion={}", c.core("configmaps"), version(&bookmark)),
    )
    .await;
    assert_eq!(name(&next(&mut later).await.1), "c");
}

async fn selectors_turn_changes_into_arrivals_and_departures(c: Context) {
    let made = c.config_map("a", &json!({})).await;
    let path = format!(
        "{}?watch=true&labelSelector=on&resourceVersion={}",
        c.core("configmaps"),
        version(&made)
    );
    let mut events = open(&c, &path).await;
    let label = |value: Value| json!({"metadata": {"labels": {"on": value}}});
    c.merge_patch(&c.core("configmaps/a"), &label(json!("1"))).await.ok();
    c.merge_patch(&c.core("configmaps/a"), &label(json!("2"))).await.ok();
    let left = c.merge_patch(&c.core("configmaps/a"), &label(Value::Null)).await.ok();
    assert_eq!(next(&mut events).await.0, "ADDED");
    assert_eq!(next(&mut events).await.0, "MODIFIED");
    let (kind, object) = next(&mut events).await;
    assert_eq!((kind.as_str(), &object["metadata"]["labels"]["on"]), ("DELETED", &json!("2")));
    assert_eq!(version(&object), version(&left));
}

/// Only the embedded server can be made to forget on demand.
async fn old_history_is_gone(c: Context) {
    if c.server == Server::Real {
        let answer = c
            .get(&format!("{}?resourceVersion=1&resourceVersionMatch=Exact", c.core("configmaps")))
            .await;
        assert!(answer.status.is_success() || answer.status == 410, "{answer:?}");
        return;
    }
    let server = gatefleet_apiserver::ApiServer::new(gatefleet_apiserver::Options {
        history: 4,
        ..Default::default()
    });
    let c = Context::new(Server::Embedded, server.client(), "small_history").await;
    let first = c.config_map("a", &json!({})).await;
    let mut lagging = open(
        &c,
        &format!("{}?watch=true&resourceVersion={}", c.core("configmaps"), version(&first)),
    )
    .await;
    for index in 0..6 {
        c.merge_patch(&c.core("configmaps/a"), &json!({"data": {"k": index.to_string()}}))
            .await
            .ok();
    }
    let mut late = open(
        &c,
        &format!("{}?watch=true&resourceVersion={}", c.core("configmaps"), version(&first)),
    )
    .await;
    for events in [&mut lagging, &mut late] {
        let (kind, status) = next(events).await;
        assert_eq!(
            (kind.as_str(), &status["code"], &status["reason"]),
            ("ERROR", &json!(410), &json!("Expired"))
        );
        assert!(status["message"].as_str().unwrap().starts_with("too old resource version: "));
    }
    let exact = format!(
        "{}?resourceVersionMatch=Exact&resourceVersion={}",
        c.core("configmaps"),
        version(&first)
    );
    c.get(&exact).await.refused(410, "Expired");
    let page = c.get(&format!("{}?limit=1", c.core("configmaps"))).await.ok();
    assert!(page["metadata"].get("continue").is_none());
    let future = c.get(&format!("{}?resourceVersion=99999999", c.core("configmaps"))).await;
    future.refused(504, "Timeout");
}

async fn a_watch_ends_in_time(c: Context) {
    let path =
        format!("{}?watch=true&timeoutSeconds=1&allowWatchBookmarks=true", c.core("secrets"));
    let events = open(&c, &path).await;
    let all = tokio::time::timeout(Duration::from_secs(20), events.collect::<Vec<_>>())
        .await
        .expect("the watch ends");
    assert!(all.iter().all(|e| e["type"] == "BOOKMARK"), "{all:?}");
}

async fn typed_watches_work(c: Context) {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        runtime::watcher::{self, Event},
    };
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let maps: Api<ConfigMap> = Api::namespaced(c.client.clone(), &c.namespace);
        c.config_map("a", &json!({})).await;
        let mut events = watcher::watcher(maps.clone(), config.fields("metadata.name=a")).boxed();
        let mut seen = Vec::new();
        while seen.last() != Some(&"delete") {
            let event = tokio::time::timeout(Duration::from_secs(10), events.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            seen.push(match event {
                Event::Init => "init",
                Event::InitApply(_) => "existing",
                Event::InitDone => {
                    c.delete(&c.core("configmaps/a"), &json!({})).await.ok();
                    "done"
                }
                Event::Apply(_) => "apply",
                Event::Delete(_) => "delete",
            });
        }
        assert_eq!(seen, ["init", "existing", "done", "delete"]);
    }
}

async fn parameters_are_checked(c: Context) {
    for query in [
        "watch=true&sendInitialEvents=true",
        "watch=true&resourceVersionMatch=NotOlderThan&resourceVersion=1",
    ] {
        let answer = c.get(&format!("{}?{query}", c.core("configmaps"))).await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{query}: {answer:?}");
    }
}
