//! Learns that something changed; what changed is looked up afterwards.

use std::fmt::Debug;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Something else, or nothing.
    Other,
    /// Something that pods may have mounted.
    VolumeSource,
}

/// The watches, until they are dropped.
#[derive(Debug)]
pub(crate) struct Watches {
    changes: mpsc::Receiver<Change>,
    _tasks: JoinSet<()>,
}

impl Watches {
    pub(crate) fn start(client: &Client) -> Self {
        let (sender, changes) = mpsc::channel(256);
        let mut tasks = JoinSet::new();
        tasks.spawn(watch::<Deployment>(client.clone(), Change::Other, sender.clone()));
        tasks.spawn(watch::<Pod>(client.clone(), Change::Other, sender.clone()));
        tasks.spawn(watch::<Service>(client.clone(), Change::Other, sender.clone()));
        tasks.spawn(watch::<EndpointSlice>(client.clone(), Change::Other, sender.clone()));
        tasks.spawn(watch::<ConfigMap>(client.clone(), Change::VolumeSource, sender.clone()));
        tasks.spawn(watch::<Secret>(client.clone(), Change::VolumeSource, sender));
        Self { changes, _tasks: tasks }
    }

    /// The next change.
    pub(crate) async fn next(&mut self) -> Change {
        match self.changes.recv().await {
            Some(change) => change,
            None => std::future::pending().await,
        }
    }

    /// All further changes so far, the most telling of them.
    pub(crate) fn drain(&mut self) -> Change {
        let mut most = Change::Other;
        while let Ok(change) = self.changes.try_recv() {
            most = most.max(change);
        }
        most
    }
}

async fn watch<K>(client: Client, change: Change, sender: mpsc::Sender<Change>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let events = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff();
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(_) => sender.send(change).await,
            Err(error) => {
                tracing::debug!(%error, "watching again");
                Ok(())
            }
        };
        if told.is_err() {
            return;
        }
    }
}
