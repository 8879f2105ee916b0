//! The watches against the embedded API server, and against one that fails.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use gatefleet_apiserver::ApiServer;
use gatefleet_crds::GatewayConfig;
use gatefleet_watch::{Debounce, View, Watches, watches};
use k8s_openapi::{
    api::core::v1::{Secret, Service},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    client::Body,
};
use serde_json::json;
use tokio::sync::watch;

const PATIENCE: Duration = Duration::from_secs(20);

/// Watches that end with the test.
struct Watching {
    watches: Watches,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watching {
    fn start(client: Client) -> Self {
        let pace = Debounce { quiet: Duration::from_millis(5), longest: Duration::from_millis(50) };
        let (watches, hub) = watches(client, pace, gatefleet_state::Watched::All);
        Self { watches, task: tokio::spawn(gatefleet_watch::run(hub)) }
    }

    /// The first view of which this is true.
    async fn until(&self, what: &str, holds: impl Fn(&View) -> bool) -> Arc<View> {
        let mut views: watch::Receiver<Option<Arc<View>>> = self.watches.views.clone();
        let wait = views.wait_for(|view| view.as_ref().is_some_and(|view| holds(view)));
        let found = tokio::time::timeout(PATIENCE, wait).await;
        found.unwrap_or_else(|_| panic!("never seen: {what}")).unwrap().clone().unwrap()
    }
}

async fn cluster() -> (ApiServer, Client) {
    let server = ApiServer::new(Default::default());
    let client = server.client();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &gatefleet_crds::manifest()).await.unwrap();
    let fleets: Api<GatewayConfig> = Api::all(client.clone());
    while fleets.list(&Default::default()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (server, client)
}

async fn put(client: &Client, name: &str, labels: serde_json::Value) {
    let api: Api<Service> = Api::default_namespaced(client.clone());
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "labels": labels },
        "spec": { "ports": [{ "port": 80 }] },
    });
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(service)).await.unwrap();
}

async fn remove(client: &Client, name: &str) {
    let api: Api<Service> = Api::default_namespaced(client.clone());
    api.delete(name, &DeleteParams::default()).await.unwrap();
}

fn has(view: &View, name: &str) -> bool {
    view.state.services.get("default", name).is_some()
}

#[tokio::test]
async fn views_follow_the_cluster_and_carry_its_watermark() {
    let (_server, client) = cluster().await;
    put(&client, "before", json!({})).await;
    let watching = Watching::start(client.clone());
    let first = watching.until("what was there", |view| has(view, "before")).await;
    put(&client, "after", json!({ "app.kubernetes.io/managed-by": "gatefleet" })).await;
    let second = watching.until("what came", |view| has(view, "after")).await;
    let version = |view: &View| view.watermark["Service"].parse::<u64>().unwrap();
    assert!(version(&second) > version(&first), "the watermark moves with events");
    assert!(first.state.services.get("default", "after").is_none(), "a view never changes");
    let fields = |name| {
        second.state.services.get("default", name).unwrap().metadata.managed_fields.is_some()
    };
    assert!(fields("after") && !fields("before"), "only own objects keep their managed fields");
    remove(&client, "before").await;
    watching.until("what went", |view| !has(view, "before")).await;
}

#[tokio::test]
async fn only_named_secrets_are_watched_and_absence_is_an_answer() {
    let (_server, client) = cluster().await;
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let secret =
        |name: &str| serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap();
    secrets.create(&PostParams::default(), &secret("wanted")).await.unwrap();
    secrets.create(&PostParams::default(), &secret("unwanted")).await.unwrap();
    let watching = Watching::start(client.clone());
    let key = |name: &str| ("default".to_owned(), name.to_owned());
    watching.watches.need_secrets([key("wanted"), key("absent")].into());
    let view = watching.until("both answers", |view| view.answered.len() == 2).await;
    assert_eq!(view.state.secrets.len(), 1, "one of two exists, and the third is not asked for");
    secrets.create(&PostParams::default(), &secret("absent")).await.unwrap();
    watching.until("the late one", |view| view.state.secrets.len() == 2).await;
    watching.watches.need_secrets([key("absent")].into());
    let view = watching.until("the forgotten one", |view| view.state.secrets.len() == 1).await;
    assert_eq!(view.answered.len(), 1);
}

#[tokio::test]
async fn what_happened_behind_closed_doors_is_seen_when_they_open() {
    let (server, client) = cluster().await;
    put(&client, "stays", json!({})).await;
    put(&client, "goes", json!({})).await;
    let doors = Doors::default();
    let watching = Watching::start(doors.client(client.clone()));
    watching.until("both", |view| has(view, "stays") && has(view, "goes")).await;
    doors.close();
    remove(&client, "goes").await;
    put(&client, "comes", json!({})).await;
    // The history is gone: whoever asks from where he was gets 410 and must list again.
    server.compact();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let view = watching.watches.views.borrow().clone().unwrap();
    assert!(has(&view, "stays") && has(&view, "goes"), "what was known stays known meanwhile");
    doors.open();
    let view = watching.until("the new list", |view| has(view, "comes")).await;
    assert!(!has(&view, "goes") && has(&view, "stays"));
    assert!(doors.refused.load(Ordering::Relaxed) > 0);
}

/// A way to the API server that can be closed: streams end, requests fail.
#[derive(Clone, Default)]
struct Doors {
    closed: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    epoch: Arc<watch::Sender<u64>>,
}

impl Doors {
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.epoch.send_modify(|epoch| *epoch += 1);
    }

    fn open(&self) {
        self.closed.store(false, Ordering::Relaxed);
    }

    fn client(&self, client: Client) -> Client {
        let doors = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let (client, doors) = (client.clone(), doors.clone());
            async move {
                if doors.closed.load(Ordering::Relaxed) {
                    doors.refused.fetch_add(1, Ordering::Relaxed);
                    return Err(std::io::Error::other("connection refused").into());
                }
                let answer = client.send(request).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                    answer.map(|body| doors.cut(body)),
                )
            }
        });
        Client::new(service, "default")
    }

    /// The body, until the doors close.
    fn cut(&self, body: Body) -> Cut {
        let mut epoch = self.epoch.subscribe();
        epoch.mark_unchanged();
        Cut { body, closed: Box::pin(async move { drop(epoch.changed().await) }) }
    }
}

struct Cut {
    body: Body,
    closed: std::pin::Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
}

impl hyper::body::Body for Cut {
    type Data = bytes::Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        if self.closed.as_mut().poll(context).is_ready() {
            return std::task::Poll::Ready(Some(Err(
                std::io::Error::other("connection reset").into()
            )));
        }
        std::pin::Pin::new(&mut self.body).poll_frame(context).map_err(Into::into)
    }
}
