//! An API server, the operator, and the rest of a cluster around it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gatefleet_controllers::{Options, Pace, Watched};
use http::Method;
use kube::{Api, Client, CustomResourceExt, client::Body};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    kubelet::{Kubelet, Proxies},
    objects,
    permitted::Overreach,
    proxy::Behaviour,
};

/// Everything that a story happens in. Dropping it ends all of it.
pub(crate) struct World {
    /// For the story's people; the operator has one of its own.
    pub(crate) client: Client,
    pub(crate) behaviour: watch::Sender<Behaviour>,
    /// Whether the kubelet works.
    pub(crate) kubelet: watch::Sender<bool>,
    pub(crate) proxies: Proxies,
    /// Requests of the operator that may have changed something, in words.
    pub(crate) writes: Arc<Mutex<Vec<String>>>,
    /// What the operator asked for beyond its permissions, in words.
    pub(crate) overreach: Overreach,
    operator: Option<JoinHandle<()>>,
    watched: Watched,
    faults: Faults,
    /// The same after a restart, as in a cluster, where proxies know it by its Service.
    channel: SocketAddr,
}

impl World {
    /// Installs the definitions and starts everything.
    pub(crate) async fn start(client: Client, faults: Faults) -> Self {
        install(&client).await;
        let (behaviour, behaviour_out) = watch::channel(Behaviour::default());
        let (kubelet, running) = watch::channel(true);
        let proxies = Proxies::default();
        let node = Kubelet {
            client: client.clone(),
            behaviour: behaviour_out,
            running,
            proxies: Arc::clone(&proxies),
        };
        tokio::spawn(node.run());
        let mut world = Self {
            client,
            behaviour,
            kubelet,
            proxies,
            writes: Arc::default(),
            overreach: Overreach::default(),
            operator: None,
            watched: Watched::All,
            faults,
            channel: free_address(),
        };
        world.start_operator();
        world
    }

    pub(crate) fn start_operator(&mut self) {
        let options = Options {
            channel_address: self.channel,
            watched: self.watched.clone(),
            pace: Pace {
                quiet: Duration::from_millis(10),
                longest: Duration::from_millis(50),
                aggregate: Duration::from_millis(200),
                ..Pace::default()
            },
            ..Options::default()
        };
        let client = recorded(
            self.client.clone(),
            Arc::clone(&self.writes),
            self.overreach.clone(),
            self.faults,
        );
        self.operator = Some(tokio::spawn(async move {
            if let Err(error) = Box::pin(gatefleet_controllers::run(client, options)).await {
                panic!("the operator stopped: {error}");
            }
        }));
    }

    /// Lets another installation run until it ends, or for three seconds if it is not to end.
    pub(crate) async fn rival(
        &self,
        namespace: &str,
        watches: &[String],
        says: &str,
    ) -> Result<(), String> {
        let options = Options {
            channel_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            default_namespace: namespace.to_owned(),
            watched: watches.iter().cloned().collect(),
            ..Options::default()
        };
        let patience = Duration::from_secs(if says.is_empty() { 3 } else { 45 });
        let running = gatefleet_controllers::run(self.client.clone(), options);
        match tokio::time::timeout(patience, Box::pin(running)).await {
            Err(_) if says.is_empty() => Ok(()),
            Ok(Err(error)) if !says.is_empty() && error.to_string().contains(says) => Ok(()),
            ended => Err(format!("the Gatefleet in {namespace}: {ended:?}")),
        }
    }

    pub(crate) async fn restart_for(&mut self, namespaces: &[String]) {
        self.stop_operator().await;
        self.watched = namespaces.iter().cloned().collect();
        self.start_operator();
    }

    /// As `kill -9` would.
    pub(crate) async fn stop_operator(&mut self) {
        if let Some(operator) = self.operator.take() {
            operator.abort();
            drop(operator.await);
        }
    }

    /// Why the operator is not there although nobody stopped it.
    pub(crate) async fn failure(&mut self) -> Option<String> {
        if self.operator.as_ref()?.is_finished() {
            let ended = self.operator.take()?.await;
            return Some(format!("the operator stopped: {ended:?}"));
        }
        None
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(operator) = &self.operator {
            operator.abort();
        }
    }
}

/// A loopback address of its own for each world, below the range from which connections take their ports.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) + u64::from(std::process::id()) * 64;
        let port = u16::try_from(20_000 + number % 10_000).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

async fn install(client: &Client) {
    let mut definition = serde_json::to_value(gatefleet_crds::GatewayConfig::crd()).unwrap();
    definition["apiVersion"] = "apiextensions.k8s.io/v1".into();
    definition["kind"] = "CustomResourceDefinition".into();
    let api: Api<k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition> =
        Api::all(client.clone());
    let params = kube::api::PatchParams::apply("user").force();
    let name = definition["metadata"]["name"].as_str().unwrap().to_owned();
    api.patch(&name, &params, &kube::api::Patch::Apply(&definition)).await.unwrap();
    let fleets = objects::api(client, "GatewayConfig", "");
    for _ in 0..100 {
        if fleets.list(&kube::api::ListParams::default()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the API server does not serve GatewayConfigs");
}

/// What the way between the operator and the API server does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// Nothing.
    #[default]
    None,
    /// Of six requests one fails before it arrives, and one after it took effect; watches break off.
    Flaky,
}

/// A client that notes every request that is no read, and every one that the operator has no permission for.
fn recorded(
    client: Client,
    writes: Arc<Mutex<Vec<String>>>,
    overreach: Overreach,
    faults: Faults,
) -> Client {
    let count = Arc::new(AtomicU64::new(0));
    let service = tower::service_fn(move |request: http::Request<Body>| {
        overreach.note(request.method(), request.uri());
        // A claim is renewed now and then, whatever happens.
        let is_claim = request.uri().path().contains("/leases/");
        if request.method() != Method::GET && !is_claim {
            let what = format!("{} {}", request.method(), request.uri().path());
            writes.lock().unwrap().push(what);
        }
        let number = count.fetch_add(1, Ordering::Relaxed);
        let client = client.clone();
        async move {
            let fate = if faults == Faults::None { 5 } else { hash_of(number) % 6 };
            match fate {
                0 => Err(broken()),
                1 => {
                    let answer = client.send(request).await?;
                    if answer.status().is_success() && !is_watch(&answer) {
                        return Err(broken());
                    }
                    Ok(answer)
                }
                _ => Ok(client.send(request).await?),
            }
        }
    });
    Client::new(service, "default")
}

fn broken() -> Box<dyn std::error::Error + Send + Sync> {
    std::io::Error::other("connection reset by a story").into()
}

/// Neither chunk of an endless answer is the last.
fn is_watch(answer: &http::Response<Body>) -> bool {
    !answer.headers().contains_key(http::header::CONTENT_LENGTH)
}

fn hash_of(number: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

/// The value under `key` of every proxy of a Deployment.
pub(crate) fn held(proxies: &Proxies, deployment: &str) -> Vec<Value> {
    let proxies = proxies.lock().unwrap();
    let of_deployment = proxies.values().filter(|(place, _)| place == deployment);
    of_deployment
        .map(|(_, proxy)| {
            let held = proxy.held.lock().unwrap();
            Value::Object(
                held.iter().map(|(name, resource)| (name.clone(), resource.clone())).collect(),
            )
        })
        .collect()
}
