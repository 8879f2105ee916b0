//! What the schema of `GatewayConfig` refuses is refused by both API servers, at the same field and in the same words:
//! every example of `crds/refused`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    time::{Duration, Instant},
};

use gatefleet_apiserver::{ApiServer, Options};
use gatefleet_test_support::programs::checkout;
use http_body_util::BodyExt as _;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};

const CONFIGS: &str = "/apis/gatefleet.dev/v1alpha1/namespaces/default/gatewayconfigs";
/// Nothing of it stays.
const TRIED: &str = "?dryRun=All&fieldValidation=Strict";

/// After these refusals rules are not checked, and the answer says so.
const HIDES_RULES: [&str; 4] = ["Required value", "Too long", "Too many", "Unsupported value"];
const UNCHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid";

/// An example: the spec, and the field and the words of the refusal.
#[derive(Deserialize)]
struct Refused {
    field: String,
    says: String,
    /// What is replaced, for rules about a change.
    before: Option<Value>,
    spec: Value,
}

fn examples() -> Vec<Refused> {
    let files = ["rules.yaml", "constraints.yaml"];
    let read = |file| fs::read_to_string(checkout().join("crds/refused").join(file)).unwrap();
    files
        .into_iter()
        .flat_map(|file| serde_saphyr::from_str::<Vec<Refused>>(&read(file)).unwrap())
        .collect()
}

async fn post(client: &Client, path: &str, object: &Value) -> (u16, Value) {
    send(client, http::Request::post(path), object).await
}

async fn send(client: &Client, request: http::request::Builder, object: &Value) -> (u16, Value) {
    let request = request
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes().into())
        .unwrap();
    let (parts, body) = client.send(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let text = || json!(String::from_utf8_lossy(&bytes));
    (parts.status.as_u16(), serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

fn config(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
        "metadata": {"name": name}, "spec": spec,
    })
}

async fn create(client: &Client, spec: &Value) -> (u16, Value) {
    post(client, &format!("{CONFIGS}{TRIED}"), &config("example", spec)).await
}

/// Creates a GatewayConfig with `before` and tries to replace it.
async fn replace(client: &Client, name: &str, before: &Value, spec: &Value) -> (u16, Value) {
    let (status, made) = post(client, CONFIGS, &config(name, before)).await;
    assert_eq!(status, 201, "{made}");
    let mut object = config(name, spec);
    object["metadata"]["resourceVersion"] = made["metadata"]["resourceVersion"].clone();
    let path = format!("{CONFIGS}/{name}{TRIED}");
    send(client, http::Request::put(path), &object).await
}

/// Installs the definition and waits until it is served.
async fn install(client: &Client) {
    let text = fs::read_to_string(checkout().join("crds/gatewayconfigs.yaml")).unwrap();
    let definition: Value = serde_saphyr::from_str(&text).unwrap();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (status, answer) = post(client, path, &definition).await;
    assert_eq!(status, 201, "{answer}");
    let start = Instant::now();
    loop {
        let (status, answer) = create(client, &json!({"northSouth": {}})).await;
        if status == 201 {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "not served: {status} {answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What is wrong with the answer to an example.
async fn judge(client: &Client, number: usize, example: &Refused) -> Option<String> {
    let (status, answer) = match &example.before {
        Some(before) => replace(client, &format!("example-{number}"), before, &example.spec).await,
        None => create(client, &example.spec).await,
    };
    let causes = answer["details"]["causes"].as_array().cloned().unwrap_or_default();
    let fits = causes.iter().any(|cause| {
        let message = cause["message"].as_str().unwrap_or_default();
        cause["field"] == example.field && message.contains(&example.says)
    });
    let message = answer["message"].as_str().unwrap_or_default();
    let says_unchecked = message.contains(UNCHECKED);
    let unchecked = HIDES_RULES.iter().any(|word| message.contains(word));
    let found: Vec<String> =
        causes.iter().map(|cause| format!("{}: {}", cause["field"], cause["message"])).collect();
    let expected = (&example.field, &example.says);
    (status != 422 || !fits || says_unchecked != unchecked)
        .then(|| format!("{expected:?}: {status} {message} {found:#?}"))
}

async fn refuse_all(client: Client) {
    install(&client).await;
    let mut wrong = Vec::new();
    let examples = examples();
    for (number, example) in examples.iter().enumerate() {
        wrong.extend(judge(&client, number, example).await);
    }
    assert!(examples.len() > 80, "{}", examples.len());
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), examples.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_refuses_every_example() {
    refuse_all(ApiServer::new(Options::default()).client()).await;
}

#[cfg(feature = "kube")]
#[tokio::test(flavor = "multi_thread")]
async fn the_real_server_refuses_every_example() {
    let kube = gatefleet_test_support::kube::Kube::start().await;
    refuse_all(kube.client().await).await;
}
