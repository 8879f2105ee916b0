//! Proxies that hold and acknowledge, but serve nothing.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use gatefleet_channel::{
    Bootstrap, ChannelState, EffectiveSet, Engine, PodIdentity, Refusals, run_client,
};
use gatefleet_snapshot::v1::Resource;
use serde_json::Value;
use tokio::{sync::watch, task::AbortHandle};

/// What a story tells all proxies to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    /// Prefix of names of resources that are refused, and why.
    pub(crate) refuse: BTreeMap<String, String>,
    /// Whether installing takes for ever.
    pub(crate) stuck: bool,
    /// Whether no proxy reaches the operator.
    pub(crate) cut_off: bool,
}

/// An engine that keeps what it is given.
struct Keeper {
    behaviour: watch::Receiver<Behaviour>,
    held: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Engine for Keeper {
    type Compiled = ();

    fn capabilities(&self) -> &[&'static str] {
        &gatefleet_snapshot::capability::ALL
    }

    fn compile(&self, resource: &Resource) -> Result<(), String> {
        let behaviour = self.behaviour.borrow();
        let refused =
            behaviour.refuse.iter().find(|(prefix, _)| resource.name.starts_with(*prefix));
        refused.map_or(Ok(()), |(_, reason)| Err(reason.clone()))
    }

    async fn swap(&self, set: EffectiveSet<()>) -> Result<(), Refusals> {
        let mut behaviour = self.behaviour.clone();
        // A closed channel is the end of the story.
        drop(behaviour.wait_for(|behaviour| !behaviour.stuck).await);
        let held = set.iter().map(|(name, entry)| {
            (name.to_owned(), serde_json::to_value(&*entry.resource).unwrap())
        });
        *self.held.lock().unwrap() = held.collect();
        Ok(())
    }
}

/// One proxy of one pod, with its volumes in a directory.
pub(crate) struct Proxy {
    pub(crate) state: watch::Receiver<ChannelState>,
    pub(crate) held: Arc<Mutex<BTreeMap<String, Value>>>,
    task: AbortHandle,
    directory: tempfile::TempDir,
}

impl Proxy {
    /// Starts like the container: the bootstrap says where, the channel Secret says who.
    pub(crate) fn start(
        pod: PodIdentity,
        bootstrap: &str,
        channel: &BTreeMap<String, Vec<u8>>,
        behaviour: watch::Receiver<Behaviour>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bootstrap: Bootstrap = serde_json::from_str(bootstrap).unwrap();
        let bootstrap = bootstrap.below(directory.path());
        std::fs::create_dir_all(&bootstrap.channel_dir).unwrap();
        std::fs::create_dir_all(&bootstrap.state_dir).unwrap();
        write_channel(&bootstrap.channel_dir, channel);
        let (state_in, state) = watch::channel(ChannelState::default());
        let held = Arc::default();
        let mut reach = behaviour.clone();
        let engine = Arc::new(Keeper { behaviour, held: Arc::clone(&held) });
        let task = tokio::spawn(async move {
            // A closed channel is the end of the story.
            while reach.wait_for(|behaviour| !behaviour.cut_off).await.is_ok() {
                let (bootstrap, pod, engine) =
                    (bootstrap.clone(), pod.clone(), Arc::clone(&engine));
                tokio::select! {
                    never = run_client(bootstrap, pod, engine, state_in.clone()) => never,
                    _ = reach.wait_for(|behaviour| behaviour.cut_off) => {}
                }
            }
        });
        Self { state, held, task: task.abort_handle(), directory }
    }

    /// What the kubelet does when a mounted Secret changes.
    pub(crate) fn mount(&self, channel: &BTreeMap<String, Vec<u8>>) {
        write_channel(&self.directory.path().join("etc/gatefleet-channel"), channel);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn write_channel(directory: &Path, channel: &BTreeMap<String, Vec<u8>>) {
    for (key, bytes) in channel {
        let path = directory.join(key);
        if std::fs::read(&path).ok().as_ref() != Some(bytes) {
            let new = directory.join(format!(".{key}"));
            std::fs::write(&new, bytes).unwrap();
            std::fs::rename(new, path).unwrap();
        }
    }
}
