//! What a cluster's controllers and kubelets would do, in one loop: Deployments become pods, pods become processes, Services become endpoints and forwarders.
//!
//! The loop looks at everything again after any change, and acts on what it sees then; nothing depends on having seen an event.

mod container;
mod deployments;
mod endpoints;
mod environment;
mod forwarder;
mod ignored;
mod image;
mod log;
mod logs;
mod pod;
mod pod_status;
mod pods;
mod probe;
mod process;
mod rollout;
mod services;
mod volumes;
mod watches;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

pub(crate) use image::Programs;
pub(crate) use logs::Logs;
pub use services::OFFERED_PORTS;

use crate::Error;
use crate::events::Events;
use crate::network::{Network, Ports};
use pod::Machine;
use pods::Pods;
use process::Launcher;
use services::Forwarders;
use watches::{Change, Watches};

/// The field manager of everything that is written here.
const MANAGER: &str = "gatefleet-local-runtime";
/// The name of the one node.
pub(crate) const NODE: &str = "local";
/// How long changes are gathered before a look, at least.
const QUIET: Duration = Duration::from_millis(3);
/// When to look again after something failed.
const RETRY: Duration = Duration::from_millis(500);

/// What the runtime works with.
pub(crate) struct Settings {
    pub(crate) client: Client,
    pub(crate) network: Network,
    pub(crate) ports: Ports,
    pub(crate) programs: Programs,
    /// Where pods' files go.
    pub(crate) directory: PathBuf,
    pub(crate) logs: Logs,
}

/// The running loop.
#[derive(Debug)]
pub(crate) struct Runtime {
    stop: Option<oneshot::Sender<Duration>>,
    task: tokio::task::JoinHandle<()>,
}

impl Runtime {
    /// Starts it.
    ///
    /// # Errors
    /// [`Error::Launcher`] when no process could be started.
    pub(crate) fn start(settings: Settings) -> Result<Self, Error> {
        let events = Events::new(settings.client.clone());
        let machine = Machine {
            client: settings.client.clone(),
            host: settings.network.node(),
            programs: Arc::new(settings.programs),
            launcher: Arc::new(Launcher::start().map_err(Error::Launcher)?),
            events: events.clone(),
        };
        let pods = Pods::new(machine, settings.network, settings.directory, settings.logs);
        let forwarders = Forwarders::new(settings.ports, settings.network.node());
        let (stop, stopping) = oneshot::channel();
        let controller = Controller {
            watches: Watches::start(&settings.client),
            client: settings.client,
            ports: settings.ports,
            pods,
            forwarders,
            events,
        };
        Ok(Self { stop: Some(stop), task: tokio::spawn(controller.run(stopping)) })
    }

    /// Ends all processes within `grace`, and waits for them.
    pub(crate) async fn stop(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            // The loop may have ended by itself; then its pods are gone too.
            let _ = stop.send(grace);
        }
        let _ = (&mut self.task).await;
    }
}

struct Controller {
    client: Client,
    ports: Ports,
    watches: Watches,
    pods: Pods,
    forwarders: Forwarders,
    events: Events,
}

/// Everything that one look sees.
struct Scene {
    deployments: Vec<Deployment>,
    pods: Vec<Pod>,
    services: Vec<Service>,
    slices: Vec<EndpointSlice>,
}

impl Controller {
    async fn run(mut self, mut stopping: oneshot::Receiver<Duration>) {
        let mut again = Some(Duration::ZERO);
        let mut quiet = QUIET;
        loop {
            let timer = async {
                match again {
                    Some(after) => sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                grace = &mut stopping => {
                    self.pods.stop_all(grace.unwrap_or_default()).await;
                    return;
                }
                change = self.watches.next() => {
                    if change == Change::VolumeSource {
                        self.pods.refresh();
                    }
                    sleep(quiet).await;
                    if self.watches.drain() == Change::VolumeSource {
                        self.pods.refresh();
                    }
                }
                () = timer => {}
            }
            let begun = Instant::now();
            let looked = self.look().await;
            // In a crowded cluster a look takes longer: then half of the time goes to others.
            quiet = QUIET.max(begun.elapsed());
            again = match looked {
                Ok(again) => again,
                Err(error) => {
                    tracing::debug!(%error, "looking again");
                    Some(RETRY)
                }
            };
        }
    }

    /// Looks at everything and takes each thing one step further. Traffic leaves a pod before the pod is told to end.
    async fn look(&mut self) -> Result<Option<Duration>, kube::Error> {
        let scene = self.scene().await?;
        let mut again = None;
        let mut first_error = None;
        for service in &scene.services {
            let done = endpoints::advance(&self.client, service, &scene.pods, &scene.slices).await;
            first_error = first_error.or(done.err());
            let done = services::advance(&self.client, service, self.ports).await;
            first_error = first_error.or(done.err());
        }
        let slices = list(&self.client).await?;
        if self.forwarders.advance(&scene.services, &slices, &self.events).await {
            again = Some(RETRY);
        }
        self.pods.advance(&scene.pods).await;
        for deployment in &scene.deployments {
            match deployments::advance(&self.client, deployment, &scene.pods).await {
                Ok(later) => again = again.or(later.map(jiff::SignedDuration::unsigned_abs)),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(again), Err)
    }

    async fn scene(&self) -> Result<Scene, kube::Error> {
        Ok(Scene {
            deployments: list(&self.client).await?,
            pods: list(&self.client).await?,
            services: list(&self.client).await?,
            slices: list(&self.client).await?,
        })
    }
}

async fn list<K>(client: &Client) -> Result<Vec<K>, kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    Ok(Api::all(client.clone()).list(&ListParams::default()).await?.items)
}
