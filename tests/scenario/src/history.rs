//! What a watch saw of one object.

use std::sync::{Arc, Mutex};

use futures::StreamExt;
use kube::{
    Client,
    api::{ListParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::objects::Name;

/// Every state of an object since the watch began. Dropping it ends the watch.
pub(crate) struct History {
    states: Arc<Mutex<Vec<Value>>>,
    watch: JoinHandle<()>,
}

impl Drop for History {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl History {
    /// Begins with the object as it is now.
    pub(crate) async fn begin(client: &Client, name: &Name) -> Self {
        let api = name.api(client);
        let field = format!("metadata.name={}", name.name);
        let list = api.list(&ListParams::default().fields(&field)).await.unwrap();
        let version = list.metadata.resource_version.unwrap_or_default();
        let states: Vec<Value> = list.items.into_iter().map(|object| json!(object)).collect();
        let states = Arc::new(Mutex::new(states));
        let seen = Arc::clone(&states);
        let watch = tokio::spawn(async move {
            let params = WatchParams::default().fields(&field);
            let mut events = api.watch(&params, &version).await.unwrap().boxed();
            while let Some(event) = events.next().await {
                let state = match event.unwrap() {
                    WatchEvent::Added(object) | WatchEvent::Modified(object) => json!(object),
                    WatchEvent::Deleted(_) => Value::Null,
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(error) => panic!("the watch ended: {error:?}"),
                };
                seen.lock().unwrap().push(state);
            }
        });
        Self { states, watch }
    }

    /// The values that were seen at `path`, one after the other, without repetition.
    pub(crate) fn values(&self, path: &str) -> Vec<Value> {
        let states = self.states.lock().unwrap();
        let mut values: Vec<Value> =
            states.iter().map(|state| state.pointer(path).cloned().unwrap_or_default()).collect();
        values.dedup();
        values
    }
}
