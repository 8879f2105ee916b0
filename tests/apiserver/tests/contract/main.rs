//! The contract suite: each case runs in a namespace of its own, against every server.
#![expect(
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    clippy::similar_names,
    clippy::unwrap_used,
    reason = "cases are tables of requests; they fail by panicking and say why"
)]

mod apply;
mod builtin;
mod collect;
mod context;
mod crud;
mod custom;
mod discovery;
mod fields;
mod networking;
mod patch;
mod table;
mod watch;

use context::{Case, Context, Server};
use gatefleet_apiserver::{ApiServer, Options};

fn cases() -> Vec<Case> {
    [
        crud::CASES,
        patch::CASES,
        apply::CASES,
        watch::CASES,
        custom::CASES,
        fields::CASES,
        builtin::CASES,
        networking::CASES,
        collect::CASES,
        table::CASES,
        discovery::CASES,
    ]
    .concat()
}

/// Runs all cases, each in a task, and tells all that fail.
async fn run(server: Server, client: kube::Client) {
    let only = std::env::var("CASE").unwrap_or_default();
    let mut failed = Vec::new();
    let mut running = Vec::new();
    for (name, case) in cases().into_iter().filter(|(name, _)| name.contains(&only)) {
        let context = Context::new(server, client.clone(), name).await;
        running.push((name, tokio::spawn(case(context))));
        // A few at a time: they wait more than they work.
        if running.len() >= 8 {
            finish(&mut running, &mut failed).await;
        }
    }
    finish(&mut running, &mut failed).await;
    assert!(failed.is_empty(), "{server:?}: {} cases failed: {failed:#?}", failed.len());
}

async fn finish(
    running: &mut Vec<(&'static str, tokio::task::JoinHandle<()>)>,
    failed: &mut Vec<&'static str>,
) {
    for (name, task) in running.drain(..) {
        if let Err(error) = task.await {
            eprintln!("case {name} failed: {error}");
            failed.push(name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_keeps_the_contract() {
    let server = ApiServer::new(Options::default());
    let client = server.client();
    run(Server::Embedded, client).await;
}

#[cfg(feature = "kube")]
#[tokio::test(flavor = "multi_thread")]
async fn the_real_server_keeps_the_contract() {
    let kube = gatefleet_test_support::kube::Kube::start().await;
    run(Server::Real, kube.client().await).await;
}
