//! How long a user waits: start to `Listening`, and a change to its first served request. Figures, no verdicts;
//! `make bench` prints them.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use gatefleet_test_support::raw::Connection;
use gatefleet_tests_e2e::Local;
use serde_json::json;

const STARTS: usize = 5;
const CHANGES: usize = 200;

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn print(what: &str, mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let (p50, p99) = (percentile(&samples, 50), percentile(&samples, 99));
    println!(
        "{what}: P50 {p50:.1?}, P99 {p99:.1?}, max {:.1?} ({} runs)",
        samples[samples.len() - 1],
        samples.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a benchmark: run it with `make bench`"]
async fn start_to_listening_and_change_to_served() {
    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let start = Instant::now();
        let local = Local::start("quickstart").await;
        local.listening().await;
        starts.push(start.elapsed());
        local.stop().await;
    }
    print("start to Listening (quickstart, 3 proxies)", starts);

    let local = Local::start("quickstart").await;
    local.listening().await;
    let address = local.address("north-south").await;
    let mut connection = Connection::open(address).unwrap();
    let mut changes = Vec::new();
    for round in 0..CHANGES {
        let path = format!("/round-{round}");
        let change = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": { "name": "bench", "namespace": "default" },
            "spec": { "ingressClassName": "quickstart", "rules": [{ "host": "bench.com", "http": { "paths": [{
                "path": path, "pathType": "Exact",
                "backend": { "service": { "name": "echo-v1", "port": { "number": 3000 } } },
            }] } }] },
        });
        let start = Instant::now();
        local.apply(&change).await.unwrap();
        while connection.get("bench.com", &path, &[]).unwrap().status != 200 {
            assert!(start.elapsed() < Duration::from_secs(10), "{path} is not served");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        changes.push(start.elapsed());
    }
    print("apply to first served request", changes);
}
