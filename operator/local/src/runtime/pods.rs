//! All pods that run here: which start, which end, where they live.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;

use super::container::grace_of;
use super::ignored;
use super::logs::Logs;
use super::pod::{Machine, RunningPod};
use crate::network::Network;

/// The pods of this machine by UID.
pub(crate) struct Pods {
    machine: Machine,
    network: Network,
    directory: PathBuf,
    logs: Logs,
    running: BTreeMap<String, RunningPod>,
    /// The number of the next pod's address.
    next: u16,
    /// Owners whose ignored fields have been told.
    told: BTreeSet<String>,
}

impl Pods {
    pub(crate) fn new(machine: Machine, network: Network, directory: PathBuf, logs: Logs) -> Self {
        let (running, told) = (BTreeMap::new(), BTreeSet::new());
        Self { machine, network, directory, logs, running, next: 1, told }
    }

    /// Starts pods that are new, ends those that are deleted or gone, forgets those that are over.
    pub(crate) async fn advance(&mut self, pods: &[Pod]) {
        let present: BTreeMap<String, &Pod> =
            pods.iter().filter_map(|pod| Some((pod.uid()?, pod))).collect();
        self.running.retain(|uid, pod| !pod.is_over() || present.contains_key(uid));
        for (uid, running) in &self.running {
            match present.get(uid) {
                None => running.stop(Duration::from_secs(1)),
                Some(pod) if pod.metadata.deletion_timestamp.is_some() => {
                    running.stop(grace_of(pod));
                }
                Some(_) => {}
            }
        }
        for (uid, pod) in present {
            if !self.running.contains_key(&uid) && !is_over(pod) {
                self.start(uid, pod).await;
            }
        }
        self.logs.publish(pods, &self.running);
    }

    async fn start(&mut self, uid: String, pod: &Pod) {
        let owner = pod.metadata.owner_references.iter().flatten().next();
        let owner = owner.map_or_else(|| uid.clone(), |owner| owner.uid.clone());
        if self.told.insert(owner)
            && let Some(note) = ignored::note(pod)
        {
            self.machine.events.tell(pod, "IgnoredInLocalMode", &note).await;
        }
        let (number, address) = self.free_address();
        // Short, because the path of a unix socket below it may have 107 bytes (unix(7)).
        let directory = self.directory.join(number.to_string());
        let running = RunningPod::start(&self.machine, pod.clone(), address, directory);
        self.running.insert(uid, running);
    }

    /// The next address that no pod has: a freed one is not taken again soon.
    fn free_address(&mut self) -> (u16, Ipv4Addr) {
        let taken: BTreeSet<_> = self.running.values().map(|pod| pod.address).collect();
        loop {
            let (number, address) = (self.next, self.network.pod(self.next));
            self.next = self.next.checked_add(1).unwrap_or(1);
            if !taken.contains(&address) {
                return (number, address);
            }
        }
    }

    /// Has all pods look at the sources of their volumes.
    pub(crate) fn refresh(&self) {
        self.running.values().for_each(RunningPod::refresh);
    }

    /// Ends everything.
    pub(crate) async fn stop_all(&mut self, grace: Duration) {
        for pod in self.running.values() {
            pod.stop(grace);
        }
        while let Some((_, pod)) = self.running.pop_first() {
            pod.join().await;
        }
    }
}

/// Whether a pod has ended for good, or was deleted before it ever ran here.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
