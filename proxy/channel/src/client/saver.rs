//! Keeps the copy on disk up to date without holding anybody up.

use std::{sync::Arc, time::Duration};

use gatefleet_snapshot::v1::{Resource, Watermark};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time,
};

use crate::{ChannelState, DiskCopy};

type Wanted = Option<Arc<(Vec<Arc<Resource>>, Vec<Watermark>)>>;

/// Writes the newest set; those between two writes are skipped.
pub(super) struct Saver {
    wanted: watch::Sender<Wanted>,
    task: JoinHandle<()>,
}

impl Saver {
    pub(super) fn start(
        copy: DiskCopy,
        pause: Duration,
        state: watch::Sender<ChannelState>,
    ) -> Self {
        let (wanted, mut changes) = watch::channel::<Wanted>(None);
        let task = tokio::spawn(async move {
            while changes.changed().await.is_ok() {
                let Some(set) = changes.borrow_and_update().clone() else { continue };
                let copy = copy.clone();
                let saved = spawn_blocking(move || copy.save(&set.0, &set.1)).await;
                if let Ok(Err(error)) = saved {
                    tracing::warn!(%error);
                    state.send_modify(|state| state.problem = Some(error.to_string()));
                }
                time::sleep(pause).await;
            }
        });
        Self { wanted, task }
    }

    pub(super) fn save(&self, resources: Vec<Arc<Resource>>, watermark: Vec<Watermark>) {
        self.wanted.send_replace(Some(Arc::new((resources, watermark))));
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.task.abort();
    }
}
