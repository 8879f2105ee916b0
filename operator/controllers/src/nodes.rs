//! The addresses of nodes. They are read when a tier that is reached through its nodes needs them: a watch of all
//! nodes would bring every heartbeat of every kubelet.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gatefleet_infra::node_addresses;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client};

/// Nodes keep their addresses; those of an external one may come late.
const FRESH: Duration = Duration::from_mins(5);
/// How soon a node that could not be read is asked for again.
const RETRY: Duration = Duration::from_secs(10);

/// Addresses of nodes by name, as last read. Clones share them.
#[derive(Clone)]
pub(crate) struct Nodes {
    api: Api<Node>,
    known: Arc<Mutex<BTreeMap<String, Known>>>,
}

#[derive(Clone)]
struct Known {
    addresses: Vec<String>,
    until: Instant,
}

impl Nodes {
    pub(crate) fn new(client: Client) -> Self {
        Self { api: Api::all(client), known: Arc::default() }
    }

    /// Reads the nodes of `pods` that are not known, or not for long any more.
    pub(crate) async fn learn(&self, pods: &[&Pod]) {
        let now = Instant::now();
        let names: BTreeSet<&str> = pods.iter().filter_map(|pod| node_of(pod)).collect();
        let missing: Vec<&str> = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|_, node| node.until > now);
            names.into_iter().filter(|name| !known.contains_key(*name)).collect()
        };
        for name in missing {
            let found = match self.api.get_opt(name).await {
                Ok(node) => Known {
                    addresses: node.as_ref().map(node_addresses).unwrap_or_default(),
                    until: now + if node.is_some() { FRESH } else { RETRY },
                },
                Err(error) => {
                    tracing::warn!(%error, "read Node {name}; its pods' status.hostIPs stand in");
                    Known { addresses: Vec::new(), until: now + RETRY }
                }
            };
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(name.to_owned(), found);
        }
    }

    /// The addresses of the node that `pod` runs on: as the node says, else as the pod says.
    pub(crate) fn addresses(&self, pod: &Pod) -> Vec<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let said = node_of(pod).and_then(|name| known.get(name));
        if let Some(said) = said.filter(|said| !said.addresses.is_empty()) {
            return said.addresses.clone();
        }
        let status = pod.status.as_ref();
        let ips = status.and_then(|status| status.host_ips.as_ref()).into_iter().flatten();
        ips.map(|host| host.ip.clone()).collect()
    }
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}
