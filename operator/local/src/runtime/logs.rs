//! Where `kubectl logs` gets its text.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use gatefleet_apiserver::{LogRequest, PodLogs};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use tokio::sync::watch;

use super::container::ContainerState;
use super::log::Selection;
use super::pod::RunningPod;

type Containers = Vec<(String, watch::Receiver<ContainerState>)>;

/// The containers of all pods by namespace and name. Cloning it gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logs {
    pods: Arc<Mutex<BTreeMap<(String, String), Containers>>>,
}

impl Logs {
    /// Says which pods run.
    pub(crate) fn publish(&self, pods: &[Pod], running: &BTreeMap<String, RunningPod>) {
        let current = pods.iter().filter_map(|pod| {
            let containers = running.get(&pod.uid()?)?.containers.clone();
            Some(((pod.namespace()?, pod.name_any()), containers))
        });
        *self.pods.lock().unwrap_or_else(PoisonError::into_inner) = current.collect();
    }

    fn find(&self, request: &LogRequest) -> Result<BoxStream<'static, Bytes>, String> {
        let pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (request.namespace.clone(), request.pod.clone());
        let containers =
            pods.get(&key).ok_or_else(|| format!("pod {} does not run here", request.pod))?;
        let (_, state) = containers
            .iter()
            .find(|(name, _)| request.container.as_ref().is_none_or(|wanted| wanted == name))
            .ok_or_else(|| format!("pod {} has no such container", request.pod))?;
        let state = state.borrow();
        let log = match (request.previous, &state.previous_log) {
            (false, _) => &state.log,
            (true, Some(log)) => log,
            (true, None) => return Err("the container has not been restarted".to_owned()),
        };
        let age = request.since_seconds.and_then(|seconds| i64::try_from(seconds).ok());
        let selection = Selection {
            follow: request.follow,
            tail: request.tail_lines,
            since: age.map(|seconds| Timestamp::now() - SignedDuration::from_secs(seconds)),
            timestamps: request.timestamps,
        };
        Ok(limit(log.read(selection).boxed(), request.limit_bytes))
    }
}

impl PodLogs for Logs {
    fn open(
        &self,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<BoxStream<'static, Bytes>, String>> {
        std::future::ready(self.find(&request)).boxed()
    }
}

fn limit(stream: BoxStream<'static, Bytes>, bytes: Option<u64>) -> BoxStream<'static, Bytes> {
    let Some(bytes) = bytes.and_then(|bytes| usize::try_from(bytes).ok()) else { return stream };
    let cut = |left: &mut usize, mut chunk: Bytes| {
        chunk.truncate(*left);
        *left -= chunk.len();
        std::future::ready((!chunk.is_empty()).then_some(chunk))
    };
    stream.scan(bytes, cut).boxed()
}
