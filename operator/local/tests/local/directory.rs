//! The directory: applied, followed, and what a mistake in it changes (nothing else).

use std::fs;
use std::path::Path;

use crate::support::Session;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::ListParams;
use tokio::sync::mpsc::UnboundedReceiver;

fn config_map(name: &str, value: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: shop}}\ndata: {{value: \"{value}\"}}\n"
    )
}

/// `name=value` of every `ConfigMap` in the namespace that the directory uses.
async fn declared(session: &Session) -> String {
    let api: Api<ConfigMap> = Api::namespaced(session.client(), "shop");
    let maps = api.list(&ListParams::default()).await.unwrap().items.into_iter();
    let maps = maps.filter(|map| map.metadata.name.as_deref() != Some("kube-root-ca.crt"));
    let pairs =
        maps.map(|map| format!("{}={}", map.metadata.name.unwrap(), map.data.unwrap()["value"]));
    pairs.collect::<Vec<_>>().join(" ")
}

async fn becomes(session: &Session, expected: &str) {
    session
        .until(expected, 5, || async { (declared(session).await == expected).then_some(()) })
        .await;
}

async fn says(sentences: &mut UnboundedReceiver<String>, part: &str) -> String {
    let next = async {
        loop {
            let sentence = sentences.recv().await.unwrap();
            if sentence.contains(part) {
                return sentence;
            }
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(5), next)
        .await
        .unwrap_or_else(|_| panic!("nobody said {part:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_declare_and_mistakes_change_nothing_else() {
    let session = Session::start().await;
    let input = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(input.path().join(name), text).unwrap();
    write("a.yaml", &(config_map("one", "1") + &config_map("two", "1")));
    write("b.yml", &config_map("three", "1"));
    write("notes.txt", "not a manifest");
    let (follower, mut sentences) = session.local.follow(input.path()).await.unwrap();
    assert_eq!(
        declared(&session).await,
        "one=1 three=1 two=1",
        "applied before `follow` returns, missing namespace included"
    );

    write("b.yml", &config_map("three", "2"));
    becomes(&session, "one=1 three=2 two=1").await;

    write("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n");
    write("b.yml", &config_map("three", "3"));
    let wrong = says(&mut sentences, "a.yaml: line 3: ").await;
    assert!(wrong.ends_with("what it declared before stays"), "{wrong}");
    becomes(&session, "one=1 three=3 two=1").await;

    write("a.yaml", &config_map("one", "4"));
    becomes(&session, "one=4 three=3").await;

    fs::remove_file(input.path().join("b.yml")).unwrap();
    becomes(&session, "one=4").await;

    fs::create_dir(input.path().join("more")).unwrap();
    write(
        "more/c.json",
        r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "five", "namespace": "shop"}, "data": {"value": "5"}}"#,
    );
    becomes(&session, "five=5 one=4").await;
    drop(follower);
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_and_stops_nothing_else() {
    let session = Session::start().await;
    let input = tempfile::tempdir().unwrap();
    let unknown = "---\napiVersion: example.com/v1\nkind: Unheard\nmetadata: {name: x}\n";
    let invalid = "---\napiVersion: gatefleet.dev/v1alpha1\nkind: GatewayConfig\nmetadata: {name: bad, namespace: shop}\nspec: {northSouth: {replicas: -1}}\n";
    fs::write(input.path().join("a.yaml"), format!("{unknown}{invalid}{}", config_map("one", "1")))
        .unwrap();
    let (follower, mut sentences) = session.local.follow(input.path()).await.unwrap();
    assert_eq!(declared(&session).await, "one=1");
    let mut said = String::new();
    while let Ok(sentence) = sentences.try_recv() {
        said.push_str(&sentence);
        said.push('\n');
    }
    if said.is_empty() {
        said = says(&mut sentences, "bad").await + &says(&mut sentences, "Unheard").await;
    }
    for part in [
        "a.yaml: line 1: Unheard x: the API has no kind Unheard in example.com/v1",
        "a.yaml: line 5: GatewayConfig shop/bad: ",
        "replicas",
    ] {
        assert!(said.contains(part), "{part:?} not in {said}");
    }
    drop(follower);
    session.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_are_accepted() {
    for example in ["quickstart", "own-app"] {
        let session = Session::start().await;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(example);
        let (follower, mut sentences) = session.local.follow(&path).await.unwrap();
        let first = says(&mut sentences, "").await;
        assert!(first.starts_with("applied "), "{first}");
        assert!(sentences.try_recv().is_err(), "{example}: nothing is refused");
        drop(follower);
        session.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_of_ones_own_can_be_declared_too() {
    let session = Session::start().await;
    let input = tempfile::tempdir().unwrap();
    let namespace =
        "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n";
    fs::write(input.path().join("z.yaml"), config_map("one", "1") + namespace).unwrap();
    let (follower, _sentences) = session.local.follow(input.path()).await.unwrap();
    let shop = Api::<Namespace>::all(session.client()).get("shop").await.unwrap();
    assert_eq!(shop.metadata.labels.unwrap()["team"], "a");
    drop(follower);
    session.end().await;
}
