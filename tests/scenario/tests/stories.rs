//! Every story, each on an API server of its own. `STORY=name` tells only those whose file name contains it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{any::Any, path::PathBuf, sync::Arc, time::Instant};

use gatefleet_tests_scenario::{Faults, tell};
use kube::Client;
use tokio::{sync::Semaphore, task::JoinSet};

fn stories(fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    stories_in("stories", fits)
}

fn stories_in(directory: &str, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
    let wanted = std::env::var("STORY").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| {
            let name = path.file_stem().unwrap().to_string_lossy();
            name.contains(&wanted) && fits(&name)
        })
        .collect();
    all.sort();
    all
}

/// Lets every story happen, eight at a time, each on what `server` starts for it.
#[expect(clippy::print_stderr, reason = "whoever waits wants to know which story takes so long")]
async fn tell_all<S, F>(stories: Vec<PathBuf>, faults: Faults, places: usize, server: S)
where
    S: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = (Client, Box<dyn Any + Send>)> + Send,
{
    assert!(!stories.is_empty(), "no story");
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
    let (places, server) = (Arc::new(Semaphore::new(places)), Arc::new(server));
    let mut telling = JoinSet::new();
    for path in stories {
        let (places, server) = (Arc::clone(&places), Arc::clone(&server));
        telling.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let (client, _alive) = server().await;
            let start = Instant::now();
            let told = tell(&path, client, faults).await;
            let verdict = if told.is_ok() { "ok" } else { "FAILED" };
            eprintln!("{name}: {verdict} in {:?}", start.elapsed());
            told.map_err(|problem| format!("{name}: {problem}"))
        });
    }
    let told = telling.join_all().await;
    let wrong: Vec<String> = told.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} stories do not hold:\n{}", wrong.len(), wrong.join("\n"));
}

async fn embedded() -> (Client, Box<dyn Any + Send>) {
    (gatefleet_apiserver::ApiServer::new(Default::default()).client(), Box::new(()))
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_hold_on_the_embedded_api_server() {
    tell_all(stories(|_| true), Faults::None, 8, embedded).await;
}

/// What the stories say must hold in the end; how often something was tried, and what was said on the way, may differ.
#[tokio::test(flavor = "multi_thread")]
async fn stories_hold_when_requests_fail_before_and_after_they_took_effect() {
    let converging = [
        "comes-up",
        "drift",
        "tier-removed",
        "deleted",
        "deselected",
        "one-tier-at-a-time",
        "autoscaling",
    ];
    tell_all(stories(|name| converging.contains(&name)), Faults::Flaky, 6, embedded).await;
}

#[cfg(feature = "kube")]
#[tokio::test(flavor = "multi_thread")]
async fn stories_hold_on_a_real_api_server() {
    async fn real() -> (Client, Box<dyn Any + Send>) {
        let kube = gatefleet_test_support::kube::Kube::start().await;
        (kube.client().await, Box::new(kube))
    }
    tell_all(stories(|_| true), Faults::None, 2, real).await;
}

/// Stories about Kubernetes' own controllers, which only a real cluster has.
#[cfg(feature = "kube")]
#[tokio::test(flavor = "multi_thread")]
async fn stories_hold_with_the_controllers_of_kubernetes() {
    async fn real() -> (Client, Box<dyn Any + Send>) {
        let more = ["horizontal-pod-autoscaler-controller", "disruption-controller"];
        let kube = gatefleet_test_support::kube::Kube::start_with(&more).await;
        (kube.client().await, Box::new(kube))
    }
    tell_all(stories_in("stories/controllers", |_| true), Faults::None, 2, real).await;
}
