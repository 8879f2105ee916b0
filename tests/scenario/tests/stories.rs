//! Every story, each on an API server of its own. `STORY=name` tells only those whose file name contains it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{path::PathBuf, sync::Arc, time::Instant};

use gatefleet_tests_scenario::tell;
use tokio::{sync::Semaphore, task::JoinSet};

fn stories() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("stories");
    let wanted = std::env::var("STORY").unwrap_or_default();
    let mut all: Vec<PathBuf> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .filter(|path| path.file_stem().unwrap().to_string_lossy().contains(&wanted))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_hold_on_the_embedded_api_server() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().init();
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let stories = stories();
    assert!(!stories.is_empty(), "no story");
    let (places, mut telling) = (Arc::new(Semaphore::new(8)), JoinSet::new());
    for path in stories {
        let places = Arc::clone(&places);
        telling.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let start = Instant::now();
            let server = gatefleet_apiserver::ApiServer::new(Default::default());
            let told = tell(&path, server.client()).await;
            eprintln!(
                "{name}: {} in {:?}",
                if told.is_ok() { "ok" } else { "FAILED" },
                start.elapsed()
            );
            told.map_err(|problem| format!("{name}: {problem}"))
        });
    }
    let told = telling.join_all().await;
    let wrong: Vec<String> = told.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{} stories do not hold:\n{}", wrong.len(), wrong.join("\n"));
}
