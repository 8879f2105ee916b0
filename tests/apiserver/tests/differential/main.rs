//! Random request sequences, sent to the embedded server and to a real kube-apiserver: both must answer alike.
#![cfg(feature = "kube")]
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod requests;

use gatefleet_apiserver::{ApiServer, Options};
use gatefleet_test_support::kube::Kube;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use requests::{Draw, Op};

/// Sequences, and requests in each.
const SEQUENCES: u64 = 150;
const LENGTH: usize = 25;

/// One server, and the versions that its objects had.
struct Side {
    client: kube::Client,
    versions: std::collections::BTreeMap<String, String>,
}

impl Side {
    /// Sends a request; the answer without what differs between servers.
    async fn send(&mut self, op: &Op) -> Value {
        let mut body = op.body.clone();
        if op.stale {
            body["metadata"]["resourceVersion"] = json!("1");
        } else if op.versioned
            && let Some(version) = self.versions.get(&op.object)
        {
            body["metadata"]["resourceVersion"] = json!(version);
        }
        let request = Request::builder()
            .method(op.method.clone())
            .uri(&op.path)
            .header("content-type", op.media)
            .header("user-agent", "random/1")
            .body(body.to_string().into_bytes().into())
            .unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let mut answer: Value = serde_json::from_slice(&bytes).unwrap();
        let version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let moved = if answer["kind"] == "Status" || version.is_empty() {
            Value::Null
        } else {
            json!(self.versions.insert(op.object.clone(), version.clone()) != Some(version))
        };
        normalise(&mut answer);
        json!({"status": status, "moved": moved, "answer": answer})
    }
}

/// Takes out identities, times and addresses.
fn normalise(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for field in [
                "uid",
                "resourceVersion",
                "creationTimestamp",
                "deletionTimestamp",
                "time",
                "clusterIP",
                "clusterIPs",
                "nodePort",
            ] {
                if let Some(value) = map.get_mut(field).filter(|v| !v.is_object()) {
                    *value = json!("*");
                }
            }
            if let Some(list) = map.get_mut("managedFields").and_then(Value::as_array_mut) {
                list.sort_by_key(|e| {
                    format!("{}{}{}", e["manager"], e["operation"], e["subresource"])
                });
            }
            // Go's maps have no order.
            if let Some(list) = map.get_mut("causes").and_then(Value::as_array_mut) {
                list.sort_by_key(ToString::to_string);
            }
            map.values_mut().for_each(normalise);
        }
        Value::Array(list) => list.iter_mut().for_each(normalise),
        _ => {}
    }
}

/// What differs, path by path.
fn differences(path: &str, embedded: &Value, real: &Value, found: &mut Vec<String>) {
    match (embedded, real) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = Value::Null;
                let (a, b) = (a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null));
                differences(&format!("{path}/{key}"), a, b, found);
            }
        }
        (a, b) if a != b => found.push(format!("  {path}\n    embedded {a}\n    real     {b}")),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn random_sequences_are_answered_alike() {
    let kube = Kube::start().await;
    let server = ApiServer::new(Options::default());
    let mut sides = [server.client(), kube.client().await]
        .map(|client| Side { client, versions: std::collections::BTreeMap::new() });
    for op in requests::prepare() {
        for side in &mut sides {
            side.send(&op).await;
        }
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await; // the definition is established
    let first = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seeds = first.map_or(0..SEQUENCES, |seed: u64| seed..seed + 1);
    let mut wrong = Vec::new();
    let mut sent = 0_usize;
    for seed in seeds {
        let mut draw = Draw::new(seed);
        let namespace = format!("seed-{seed}");
        let mut history = Vec::new();
        let mut ops = vec![requests::namespace(&namespace)];
        ops.extend((0..LENGTH).map(|_| draw.op(&namespace)));
        for op in ops {
            let [embedded, real] = &mut sides;
            let (a, b) = (embedded.send(&op).await, real.send(&op).await);
            sent += 1;
            history.push(format!("{op}"));
            let mut found = Vec::new();
            differences("", &a, &b, &mut found);
            if !found.is_empty() {
                let past =
                    history.iter().rev().take(3).rev().cloned().collect::<Vec<_>>().join("\n  ");
                wrong.push(format!(
                    "seed {seed} request {}:\n  {past}\n{}",
                    history.len(),
                    found.join("\n")
                ));
                break;
            }
        }
    }
    let shown = wrong.iter().take(10).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(wrong.is_empty(), "{} of {SEQUENCES} sequences differ:\n{shown}", wrong.len());
    assert!(sent > LENGTH, "{sent} requests were sent");
}
