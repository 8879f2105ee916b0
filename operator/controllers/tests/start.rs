//! How the operator starts, or says in one sentence why it cannot.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use gatefleet_apiserver::ApiServer;
use gatefleet_controllers::{Error, Options, run};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, api::PostParams};

fn options() -> Options {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Options { channel_address: loopback, ..Options::default() }
}

async fn with_definitions() -> ApiServer {
    let server = ApiServer::new(Default::default());
    let api: Api<CustomResourceDefinition> = Api::all(server.client());
    api.create(&PostParams::default(), &gatefleet_crds::manifest()).await.unwrap();
    server
}

/// Status and body; 0 while nobody listens.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn without_the_definitions_it_says_how_to_install_them() {
    let server = ApiServer::new(Default::default());
    let error = Box::pin(run(server.client(), options())).await.unwrap_err();
    assert!(matches!(error, Error::DefinitionMissing));
    assert!(error.to_string().contains("gatefleet crds | kubectl apply"), "{error}");
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let server = with_definitions().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let occupied = Options { channel_address: address, ..options() };
    let error = Box::pin(run(server.client(), occupied)).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("channel"), "{error}");
}

/// The reference, from what the operator itself says about its metrics.
fn metrics_page(exposition: &str) -> String {
    let mut page = String::from(
        "<!-- Generated from a running operator; written by `UPDATE_EXPECT=1 cargo test -p gatefleet-controllers`. -->\n\
         # Metrics of the operator\n\n\
         Its status port (9701) serves them at `/metrics` in the Prometheus text format. Those of a proxy: [metrics](metrics.md).\n\n\
         | metric | type | meaning |\n|---|---|---|\n",
    );
    let mut help = "";
    for line in exposition.lines() {
        if let Some((_, text)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' '))
        {
            help = text;
        }
        if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let row = format!("| `{name}` | {kind} | {help} |\n");
            page.push_str(&row);
        }
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_after_the_first_translation_and_counts_what_it_does() {
    let server = with_definitions().await;
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let running = Options { status_address: Some(free), ..options() };
    let operator = tokio::spawn(run(server.client(), running));
    let mut ready = get(free, "/readyz").0;
    for _ in 0..200 {
        if ready == 200 {
            break;
        }
        assert!(!operator.is_finished(), "it stopped");
        tokio::time::sleep(Duration::from_millis(50)).await;
        ready = get(free, "/readyz").0;
    }
    assert_eq!(ready, 200);
    assert_eq!(get(free, "/healthz").0, 200);
    assert_eq!(get(free, "/elsewhere").0, 404);
    let (_, metrics) = get(free, "/metrics");
    assert!(metrics.contains("\ngatefleet_fleets 0\n"), "{metrics}");
    let page = expect_test::expect_file!["../../../docs/reference/operator-metrics.md"];
    page.assert_eq(&metrics_page(&metrics));
    operator.abort();
}
