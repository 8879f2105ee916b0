//! One pod: its volumes, its containers, its status, its end.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::container::{ContainerPhase, ContainerState, RestartPolicy, Runner, Stop};
use super::image::Programs;
use super::pod_status::{self, Facts};
use super::process::Launcher;
use super::volumes::Volumes;
use crate::events::Events;

/// How long a missing volume source is left before the next look.
const RETRY: Duration = Duration::from_millis(500);

/// What every pod's task shares.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) client: Client,
    /// The address of the one node.
    pub(crate) host: Ipv4Addr,
    pub(crate) programs: Arc<Programs>,
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) events: Events,
}

/// A pod that runs here.
#[derive(Debug)]
pub(crate) struct RunningPod {
    pub(crate) address: Ipv4Addr,
    /// Its containers' states, in the order of its spec.
    pub(crate) containers: Vec<(String, watch::Receiver<ContainerState>)>,
    stop: watch::Sender<Option<Duration>>,
    refresh: Arc<Notify>,
    task: JoinHandle<()>,
}

impl RunningPod {
    /// Starts a pod at an address, with its files below `directory`.
    pub(crate) fn start(
        machine: &Machine,
        pod: Pod,
        address: Ipv4Addr,
        directory: PathBuf,
    ) -> Self {
        let (stop, stopping) = watch::channel(None);
        let refresh = Arc::new(Notify::new());
        let senders: Vec<_> = containers_of(&pod)
            .map(|name| (name, watch::Sender::new(ContainerState::new())))
            .collect();
        let containers =
            senders.iter().map(|(name, state)| (name.clone(), state.subscribe())).collect();
        let task = PodTask {
            machine: machine.clone(),
            volumes: Volumes::new(directory.clone()),
            directory,
            address,
            pod: Arc::new(pod),
            states: senders.into_iter().map(|(_, state)| state).collect(),
            stop: stopping,
            refresh: Arc::clone(&refresh),
            since: Timestamp::now(),
        };
        Self { address, containers, stop, refresh, task: tokio::spawn(task.run()) }
    }

    /// Ends the pod's processes within this long; a shorter time later on shortens it.
    pub(crate) fn stop(&self, grace: Duration) {
        self.stop.send_if_modified(|current| {
            let shorter = current.is_none_or(|current| grace < current);
            if shorter {
                *current = Some(grace);
            }
            shorter
        });
    }

    /// Has the pod look at the sources of its volumes again.
    pub(crate) fn refresh(&self) {
        self.refresh.notify_one();
    }

    /// Whether nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until nothing of it is left.
    pub(crate) async fn join(self) {
        // A task that panicked has dropped its children, which kills them.
        let _ = self.task.await;
    }
}

fn containers_of(pod: &Pod) -> impl Iterator<Item = String> {
    pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.clone())
}

struct PodTask {
    machine: Machine,
    pod: Arc<Pod>,
    address: Ipv4Addr,
    directory: PathBuf,
    volumes: Volumes,
    states: Vec<watch::Sender<ContainerState>>,
    stop: Stop,
    refresh: Arc<Notify>,
    since: Timestamp,
}

impl PodTask {
    async fn run(mut self) {
        let mut status = Reporter::new(&self);
        status.report(&self.states).await;
        if self.prepare(&mut status).await {
            self.attend(&mut status).await;
        }
        // What cannot be removed now goes with the whole runtime directory.
        let _ = tokio::fs::remove_dir_all(&self.directory).await;
        self.finalize().await;
    }

    /// Writes the volumes, however long their sources take to appear; false when the pod is to stop instead.
    async fn prepare(&mut self, status: &mut Reporter) -> bool {
        let mut told = String::new();
        loop {
            let Err(error) = self.volumes.refresh(&self.machine.client, &self.pod).await else {
                return true;
            };
            let message = error.to_string();
            if message != told {
                self.machine.events.warn(&*self.pod, "FailedMount", &message).await;
                told.clone_from(&message);
            }
            for state in &self.states {
                state.send_modify(|state| {
                    let message = message.clone();
                    state.phase = ContainerPhase::Waiting { reason: "ContainerCreating", message };
                });
            }
            status.report(&self.states).await;
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = self.refresh.notified() => {}
                _ = self.stop.changed() => return false,
            }
        }
    }

    async fn attend(&mut self, status: &mut Reporter) {
        let mut containers = self.start_containers();
        let mut changes: Vec<_> = self.states.iter().map(watch::Sender::subscribe).collect();
        loop {
            status.report(&self.states).await;
            let any_change = futures::future::select_all(
                changes.iter_mut().map(|change| Box::pin(change.changed())),
            );
            tokio::select! {
                _ = any_change => {}
                ended = containers.join_next() => if ended.is_none() { break },
                () = self.refresh.notified() => {
                    if let Err(error) = self.volumes.refresh(&self.machine.client, &self.pod).await {
                        self.machine.events.warn(&*self.pod, "FailedMount", &error.to_string()).await;
                    }
                }
            }
        }
        status.report(&self.states).await;
        // An ended pod stays in the API until somebody deletes it.
        while self.stop.borrow().is_none() && self.stop.changed().await.is_ok() {}
    }

    fn start_containers(&self) -> JoinSet<()> {
        let spec = self.pod.spec.as_ref();
        let policy = RestartPolicy::parse(spec.and_then(|spec| spec.restart_policy.as_deref()));
        let mut tasks = JoinSet::new();
        for (container, state) in spec.iter().flat_map(|spec| &spec.containers).zip(&self.states) {
            let runner = Runner {
                pod: Arc::clone(&self.pod),
                container: container.clone(),
                address: self.address,
                root: self.volumes.root(),
                programs: Arc::clone(&self.machine.programs),
                launcher: Arc::clone(&self.machine.launcher),
                policy,
                state: state.clone(),
                stop: self.stop.clone(),
            };
            tasks.spawn(runner.run());
        }
        tasks
    }

    /// Removes the object, which waits for this when it was deleted gracefully.
    async fn finalize(&self) {
        let (Some(name), Some(namespace)) = (&self.pod.metadata.name, &self.pod.metadata.namespace)
        else {
            return;
        };
        let api: Api<Pod> = Api::namespaced(self.machine.client.clone(), namespace);
        let same = Preconditions { uid: self.pod.metadata.uid.clone(), resource_version: None };
        let now = DeleteParams::default().grace_period(0).preconditions(same);
        // It is usually gone already, or another of the same name has taken its place.
        let _ = api.delete(name, &now).await;
    }
}

/// Writes the pod's status when it changes, and an event for each new reason to wait.
struct Reporter {
    api: Api<Pod>,
    events: Events,
    told: BTreeSet<(String, &'static str)>,
    pod: Arc<Pod>,
    facts: Facts,
    written: Option<serde_json::Value>,
}

impl Reporter {
    fn new(task: &PodTask) -> Self {
        let namespace = task.pod.metadata.namespace.as_deref().unwrap_or("default");
        Self {
            api: Api::namespaced(task.machine.client.clone(), namespace),
            events: task.machine.events.clone(),
            told: BTreeSet::new(),
            pod: Arc::clone(&task.pod),
            facts: Facts::new(task.machine.host, task.address, task.since),
            written: None,
        }
    }

    async fn report(&mut self, states: &[watch::Sender<ContainerState>]) {
        let containers: Vec<_> = states.iter().map(|state| state.borrow().clone()).collect();
        let desired = pod_status::desired_status(&self.pod, &mut self.facts, &containers);
        if self.written.as_ref() == Some(&desired) {
            return;
        }
        self.tell(&containers).await;
        let name = self.pod.metadata.name.as_deref().unwrap_or_default();
        // The uid makes it fail when another pod of the name has taken the place.
        let patch =
            serde_json::json!({"metadata": {"uid": self.pod.metadata.uid}, "status": desired});
        let parameters = PatchParams {
            field_manager: Some(super::MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match self.api.patch_status(name, &parameters, &Patch::Merge(&patch)).await {
            Ok(_) => self.written = Some(desired),
            Err(error) => tracing::debug!(pod = name, %error, "status not written"),
        }
    }

    /// Each reason is told once until the container runs again.
    async fn tell(&mut self, states: &[ContainerState]) {
        for (name, state) in containers_of(&Arc::clone(&self.pod)).zip(states) {
            match &state.phase {
                // What keeps a container from being created has its own event.
                ContainerPhase::Waiting { reason: "ContainerCreating", .. } => {}
                ContainerPhase::Waiting { reason, message }
                    if self.told.insert((name.clone(), reason)) =>
                {
                    let note = format!("container {name}: {message}");
                    self.events.warn(&*self.pod, reason, &note).await;
                }
                ContainerPhase::Running { .. } if state.ready => {
                    self.told.retain(|(told, _)| *told != name);
                }
                _ => {}
            }
        }
    }
}
