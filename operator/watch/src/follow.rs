//! One watch, for ever.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};

use crate::{
    Backoff, MANAGED_BY,
    guard::Guarded,
    view::{Scope, Step, Watched},
};

/// Annotation of the bookmark that ends a streamed list (KEP-3157).
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";
const PAGE: u32 = 500;

/// Receives what a watch finds out, in order.
pub(crate) trait Sink<K>: Send {
    /// A step, and the resourceVersion after it.
    fn step(&mut self, step: Step<K>, version: String);
    /// The API server did not answer, or said no: the first time of each streak.
    fn failing(&mut self, error: &kube::Error);
    /// The same, every time.
    fn failed(&mut self, _error: &kube::Error) {}
    /// Whether somebody still wants to know.
    fn is_open(&self) -> bool;
}

/// How the next request begins.
enum Position {
    /// Nothing is known, or what was known is too old.
    Start,
    /// Everything up to this resourceVersion.
    At(String),
}

/// Why a stream ended.
enum End {
    /// As it always does after some minutes.
    Timeout,
    /// The resourceVersion is no longer kept (410), or the stream is broken: list again.
    Expired,
    Failed(kube::Error),
}

/// Follows all objects of the scope as long as somebody wants to know.
pub(crate) async fn follow<K: Watched>(api: Api<Guarded<K>>, scope: Scope, mut sink: impl Sink<K>) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
    let mut position = Position::Start;
    let mut streams_lists = true;
    while sink.is_open() {
        let mut run = Run { position, sink: &mut sink, listing: Vec::new() };
        let end = match (&run.position, streams_lists) {
            (Position::Start, false) => list(&api, &scope, &mut run).await,
            _ => stream(&api, &scope, &mut run).await,
        };
        let started = matches!(run.position, Position::Start);
        position = run.position;
        let pause = match end {
            End::Timeout => {
                backoff.succeeded();
                continue;
            }
            End::Expired => {
                position = Position::Start;
                backoff.failed()
            }
            End::Failed(error) if started && streams_lists && refuses_streamed_lists(&error) => {
                streams_lists = false;
                continue;
            }
            End::Failed(error) => {
                sink.failed(&error);
                if backoff.failures() == 0 {
                    sink.failing(&error);
                }
                backoff.failed()
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// API servers before 1.34, or with the feature off, call the parameter invalid.
fn refuses_streamed_lists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 422 || status.code == 400)
}

/// One request and what it changes.
struct Run<'a, K, S> {
    position: Position,
    sink: &'a mut S,
    /// What a streamed list has brought so far.
    listing: Vec<K>,
}

impl<K: Watched, S: Sink<K>> Run<'_, K, S> {
    fn listed(&mut self, version: &str) {
        self.sink.step(Step::Listed(std::mem::take(&mut self.listing)), version.to_owned());
        self.position = Position::At(version.to_owned());
    }

    /// Keeps an object that can be read. One that cannot leaves its last readable state in place.
    fn readable(guarded: Guarded<K>) -> Option<K> {
        guarded
            .object
            .map_err(|error| {
                let name = guarded.metadata.name.as_deref().unwrap_or_default();
                let namespace = guarded.metadata.namespace.as_deref().unwrap_or_default();
                let kind = K::kind(&());
                tracing::warn!(%kind, namespace, name, error, "read object: its last readable state stays");
            })
            .ok()
    }

    fn event(&mut self, event: WatchEvent<Guarded<K>>) -> Option<End> {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let version = object.metadata.resource_version.clone().unwrap_or_default();
                let object = Self::readable(object);
                match (&mut self.position, object) {
                    (Position::Start, object) => self.listing.extend(object),
                    (Position::At(at), object) => {
                        at.clone_from(&version);
                        let step = object.map_or(Step::Bookmark, |o| Step::Applied(Box::new(o)));
                        self.sink.step(step, version);
                    }
                }
            }
            WatchEvent::Deleted(object) => {
                let version = object.metadata.resource_version.clone().unwrap_or_default();
                if let Position::At(at) = &mut self.position {
                    at.clone_from(&version);
                    self.sink.step(Step::Deleted(Box::new(object.metadata)), version);
                }
            }
            WatchEvent::Bookmark(bookmark) => {
                let version = bookmark.metadata.resource_version;
                match &mut self.position {
                    Position::Start
                        if bookmark.metadata.annotations.contains_key(INITIAL_EVENTS_END) =>
                    {
                        self.listed(&version);
                    }
                    Position::Start => {}
                    Position::At(at) => {
                        at.clone_from(&version);
                        self.sink.step(Step::Bookmark, version);
                    }
                }
            }
            WatchEvent::Error(status) => {
                tracing::debug!(kind = %K::kind(&()), code = status.code, "watch expired");
                return Some(End::Expired);
            }
        }
        None
    }
}

async fn stream<K: Watched, S: Sink<K>>(
    api: &Api<Guarded<K>>,
    scope: &Scope,
    run: &mut Run<'_, K, S>,
) -> End {
    let mut params = WatchParams::default();
    match scope {
        Scope::All | Scope::AllIn(_) => {}
        Scope::Own | Scope::OwnIn(_) => params = params.labels(&own_selector()),
        Scope::Named(_, name) => params = params.fields(&format!("metadata.name={name}")),
    }
    let opened = match &run.position {
        Position::Start => api.watch(&params.initial_events(), "").await,
        Position::At(version) => api.watch(&params, version).await,
    };
    let mut events: BoxStream<'_, _> = match opened {
        Ok(events) => events.boxed(),
        Err(error) => return failure(error),
    };
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if let Some(end) = run.event(event) {
                    return end;
                }
            }
            Ok(None) if matches!(run.position, Position::Start) => return End::Expired,
            Ok(None) => return End::Timeout,
            Err(error) => return failure(error),
        }
    }
}

/// For API servers that do not stream lists.
async fn list<K: Watched, S: Sink<K>>(
    api: &Api<Guarded<K>>,
    scope: &Scope,
    run: &mut Run<'_, K, S>,
) -> End {
    let mut params = ListParams::default().limit(PAGE);
    match scope {
        Scope::All | Scope::AllIn(_) => {}
        Scope::Own | Scope::OwnIn(_) => params = params.labels(&own_selector()),
        Scope::Named(_, name) => params = params.fields(&format!("metadata.name={name}")),
    }
    loop {
        let page = match api.list(&params).await {
            Ok(page) => page,
            Err(error) => return failure(error),
        };
        run.listing.extend(page.items.into_iter().filter_map(Run::<K, S>::readable));
        let Some(token) = page.metadata.continue_.filter(|token| !token.is_empty()) else {
            run.listed(&page.metadata.resource_version.unwrap_or_default());
            return End::Timeout;
        };
        params = params.continue_token(&token);
    }
}

fn failure(error: kube::Error) -> End {
    match &error {
        kube::Error::Api(status) if status.code == 410 => End::Expired,
        _ => End::Failed(error),
    }
}

fn own_selector() -> String {
    format!("{}={}", MANAGED_BY.0, MANAGED_BY.1)
}
