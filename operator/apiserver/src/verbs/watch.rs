//! `watch`: initial events, changes, bookmarks, and the end of history.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Call, partial,
    read::{in_scope, selector},
};
use crate::{
    body::{self, Reply},
    error::{Answer, Failure},
    object,
    request::Form,
    resource::Resource,
    selector::Selector,
    server::Shared,
    store::Change,
};

/// Longest watch without `timeoutSeconds`, as long as kube-apiserver's shortest.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// Where a watch begins.
struct Start {
    /// Send what exists first?
    initial: bool,
    /// Mark the end of what exists with a bookmark?
    marked: bool,
    /// Follow changes after this revision.
    revision: u64,
}

/// A running watch.
struct Watch {
    shared: Arc<Shared>,
    resource: Arc<Resource>,
    call: Call,
    selector: Selector,
    cursor: u64,
    ready: VecDeque<Bytes>,
    told: tokio::sync::watch::Receiver<u64>,
    bookmarks: bool,
    next_bookmark: Instant,
    end: Instant,
    ended: bool,
    headed: bool,
}

/// Opens a watch.
pub(super) fn watch(shared: &Arc<Shared>, resource: &Arc<Resource>, call: &Call) -> Answer<Reply> {
    let selector = selector(resource, call)?;
    let timeout = call.params.number("timeoutSeconds")?;
    let told = shared.revision.subscribe();
    let now = Instant::now();
    let mut watch = Watch {
        shared: Arc::clone(shared),
        resource: Arc::clone(resource),
        call: call.clone(),
        selector,
        cursor: 0,
        ready: VecDeque::new(),
        told,
        bookmarks: call.params.flag("allowWatchBookmarks"),
        next_bookmark: now + shared.options.bookmark_interval,
        end: now + timeout.filter(|t| *t > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs),
        ended: false,
        headed: false,
    };
    watch.begin()?;
    let events = stream::unfold(watch, |mut watch| async move {
        let bytes = watch.next().await?;
        Some((bytes, watch))
    });
    Ok(body::stream("application/json", events.boxed()))
}

/// Parses the parameters that say where to begin, and checks them as kube-apiserver does.
fn start(call: &Call, now: u64) -> Answer<Start> {
    let asked = call.params.number("resourceVersion")?;
    let matching = call.params.get("resourceVersionMatch");
    if call.params.has("sendInitialEvents") {
        if matching != "NotOlderThan" {
            return Err(Failure::bad_request(
                "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
            ));
        }
        if call.params.flag("sendInitialEvents") {
            if asked.is_some_and(|asked| asked > now) {
                return Err(Failure::too_large_version(asked.unwrap_or_default(), now));
            }
            let marked = call.params.flag("allowWatchBookmarks");
            return Ok(Start { initial: true, marked, revision: now });
        }
        let revision = asked.filter(|r| *r > 0).unwrap_or(now);
        return Ok(Start { initial: false, marked: false, revision });
    }
    if !matching.is_empty() {
        return Err(Failure::bad_request(
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ));
    }
    match asked {
        None | Some(0) => Ok(Start { initial: true, marked: false, revision: now }),
        Some(asked) if asked > now => Err(Failure::too_large_version(asked, now)),
        Some(revision) => Ok(Start { initial: false, marked: false, revision }),
    }
}

impl Watch {
    /// Reads what the watch begins with, under one lock.
    fn begin(&mut self) -> Answer<()> {
        let shared = Arc::clone(&self.shared);
        let state = shared.lock();
        let now = state.store.revision();
        let start = start(&self.call, now)?;
        self.cursor = start.revision;
        if start.initial {
            let collection = state.store.collection(&self.resource.collection());
            let objects: Vec<Arc<Value>> = collection
                .objects
                .iter()
                .filter(|(key, object)| in_scope(&self.call, key) && self.selector.matches(object))
                .map(|(_, object)| Arc::clone(object))
                .collect();
            for object in objects {
                self.push("ADDED", &object);
            }
        }
        if start.marked {
            self.push_bookmark(true);
        }
        Ok(())
    }

    /// The next event, or the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.ended {
                return None;
            }
            self.told.borrow_and_update();
            self.advance();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.told.changed() => if changed.is_err() { return None },
                () = tokio::time::sleep_until(self.end) => return None,
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.advance();
                    self.push_bookmark(false);
                    self.next_bookmark = Instant::now() + self.shared.options.bookmark_interval;
                }
            }
        }
    }

    /// Takes over what was written since the cursor.
    fn advance(&mut self) {
        let shared = Arc::clone(&self.shared);
        let state = shared.lock();
        let now = state.store.revision();
        let collection = state.store.collection(&self.resource.collection());
        let Ok(changes) = collection.since(self.cursor) else {
            let cursor = self.cursor;
            drop(state);
            let gone = Failure::expired(format!("too old resource version: {cursor} ({now})"));
            self.push_raw("ERROR", &gone.status());
            self.ended = true;
            return;
        };
        let changes: Vec<Change> = changes.cloned().collect();
        drop(state);
        for change in &changes {
            self.push_change(change);
        }
        self.cursor = now;
    }

    /// What a change is to this watch depends on whether its selector chose the object before and after.
    fn push_change(&mut self, change: &Change) {
        let key = object::key(&change.after);
        if !in_scope(&self.call, &key) {
            return;
        }
        let before = change.before.as_ref().is_some_and(|o| self.selector.matches(o));
        let after = !change.deleted && self.selector.matches(&change.after);
        match (before, after) {
            (false, true) => self.push("ADDED", &change.after),
            (true, true) => self.push("MODIFIED", &change.after),
            (true, false) if change.deleted => self.push("DELETED", &change.after),
            (true, false) => {
                // The last state that it chose, under the revision of the change that took it away.
                let mut last = change.before.as_deref().cloned().unwrap_or_default();
                object::meta_mut(&mut last)
                    .insert("resourceVersion".into(), json!(change.revision.to_string()));
                self.push("DELETED", &last);
            }
            (false, false) => {}
        }
    }

    fn push(&mut self, event: &str, object: &Value) {
        let value = match self.call.form {
            Form::Table => {
                let mut table = crate::table::render(&self.resource, &[object], &self.call.params);
                // The columns come once.
                if self.headed {
                    table["columnDefinitions"] = Value::Null;
                }
                self.headed = true;
                table
            }
            Form::Metadata => partial(object),
            Form::Object | Form::Discovery => self.resource.to_served(object),
        };
        self.push_raw(event, &value);
    }

    fn push_bookmark(&mut self, end_of_initial: bool) {
        let mut metadata =
            json!({"resourceVersion": self.cursor.to_string(), "creationTimestamp": null});
        if end_of_initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = match self.call.form {
            Form::Metadata => ("PartialObjectMetadata".into(), "meta.k8s.io/v1".into()),
            _ => (self.resource.kind.clone(), self.resource.api_version()),
        };
        let object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        let object = if self.call.form == Form::Table {
            let mut table = crate::table::render(&self.resource, &[&object], &self.call.params);
            table["columnDefinitions"] = Value::Null;
            table
        } else {
            object
        };
        self.push_raw("BOOKMARK", &object);
    }

    fn push_raw(&mut self, event: &str, object: &Value) {
        let mut bytes =
            serde_json::to_vec(&json!({"type": event, "object": object})).unwrap_or_default();
        bytes.push(b'\n');
        self.ready.push_back(Bytes::from(bytes));
    }
}
