//! Events: what happened to an object, for those who ask `kubectl describe`.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::{error::Refusal, leadership::Leadership};

/// Longest message that the API server takes.
const LONGEST_MESSAGE: usize = 1024;

/// Whether somebody should worry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Good to know.
    Normal,
    /// Something is wrong.
    Warning,
}

/// One thing to say.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Finding {
    /// Whether somebody should worry.
    pub weight: Weight,
    /// One CamelCase word.
    pub reason: String,
    /// What, where, and what to do.
    pub message: String,
}

/// How often an event is tried while the API server does not answer; the pauses double, to some ten seconds in all.
const TRIES: u32 = 9;
const FIRST_PAUSE: Duration = Duration::from_millis(40);
/// Events that are tried again at the same time; more are dropped.
const WAITING: usize = 256;

/// Writes events. Saying the same again about the same object counts instead of adding one.
#[derive(Clone)]
pub struct Events {
    client: Client,
    /// The identity of this replica.
    instance: Arc<str>,
    places: Arc<Semaphore>,
    leadership: Leadership,
}

impl Events {
    /// Events in the name of the operator's replica `instance`.
    #[must_use]
    pub fn new(client: Client, instance: &str, leadership: Leadership) -> Self {
        let places = Arc::new(Semaphore::new(WAITING));
        Self { client, instance: instance.into(), places, leadership }
    }

    /// Says it, if this replica leads. Without an answer it is tried again beside what the caller does next; a refusal is
    /// logged and otherwise forgotten.
    pub async fn say(&self, about: &ObjectReference, finding: &Finding) {
        // Events about cluster-scoped objects live in `default`.
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let event = self.event(about, finding, namespace);
        let Err(error) = self.write(&event, false).await else { return };
        let place = Arc::clone(&self.places).try_acquire_owned();
        match place {
            Ok(place) if Refusal::of(&error) == Refusal::Unanswered => {
                let events = self.clone();
                tokio::spawn(async move {
                    events.insist(&event).await;
                    drop(place);
                });
            }
            _ => dropped(&event, &error),
        }
    }

    async fn insist(&self, event: &Event) {
        let mut pause = FIRST_PAUSE;
        for left in (0..TRIES - 1).rev() {
            tokio::time::sleep(pause).await;
            pause *= 2;
            match self.write(event, true).await {
                Ok(()) => return,
                Err(error) if left == 0 || Refusal::of(&error) != Refusal::Unanswered => {
                    return dropped(event, &error);
                }
                Err(_) => {}
            }
        }
    }

    /// `again`: what was tried before may have been written.
    async fn write(&self, event: &Event, again: bool) -> Result<(), kube::Error> {
        if self.leadership.term().is_none() {
            return Ok(());
        }
        let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), event).await {
            Err(error) if Refusal::of(&error) == Refusal::Conflict => {
                let there = api.get(&name).await?;
                if again && is_same(&there, event) {
                    return Ok(());
                }
                let count = there.count.unwrap_or(1).saturating_add(1);
                let patch = json!({ "count": count, "lastTimestamp": event.last_timestamp });
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
                Ok(())
            }
            answer => answer.map(drop),
        }
    }

    fn event(&self, about: &ObjectReference, finding: &Finding, namespace: &str) -> Event {
        let now = Some(Time(Timestamp::now()));
        Event {
            metadata: ObjectMeta {
                name: Some(name(about, finding)),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: about.clone(),
            type_: Some(format!("{:?}", finding.weight)),
            reason: Some(finding.reason.clone()),
            message: Some(shortened(&finding.message)),
            count: Some(1),
            first_timestamp: now.clone(),
            last_timestamp: now,
            source: Some(EventSource { component: Some("gatefleet".to_owned()), host: None }),
            reporting_component: Some("gatefleet.dev/operator".to_owned()),
            reporting_instance: Some(self.instance.to_string()),
            ..Event::default()
        }
    }
}

fn dropped(event: &Event, error: &kube::Error) {
    let Event { reason, message, .. } = event;
    tracing::debug!(%error, ?reason, ?message, "write Event");
}

/// Whether this very saying is written already. The API server keeps whole seconds.
fn is_same(there: &Event, event: &Event) -> bool {
    let second = |event: &Event| event.last_timestamp.as_ref().map(|time| time.0.as_second());
    there.reporting_instance == event.reporting_instance && second(there) == second(event)
}

/// The same finding about the same object has the same name, whoever says it and however often.
fn name(about: &ObjectReference, finding: &Finding) -> String {
    let mut hasher = DefaultHasher::new();
    (&about.uid, &about.kind, finding).hash(&mut hasher);
    let mut object = about.name.clone().unwrap_or_default();
    object.truncate(253 - 17);
    format!("{object}.{:016x}", hasher.finish())
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let mut end = LONGEST_MESSAGE - '…'.len_utf8();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let mut text = message.to_owned();
    text.truncate(end);
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_finding_has_one_name_and_another_has_another() {
        let about = |uid: &str| ObjectReference {
            name: Some("web".to_owned()),
            uid: Some(uid.to_owned()),
            ..ObjectReference::default()
        };
        let finding = |message: &str| Finding {
            weight: Weight::Warning,
            reason: "Broken".to_owned(),
            message: message.to_owned(),
        };
        assert_eq!(name(&about("1"), &finding("a")), name(&about("1"), &finding("a")));
        assert_ne!(name(&about("1"), &finding("a")), name(&about("2"), &finding("a")));
        assert_ne!(name(&about("1"), &finding("a")), name(&about("1"), &finding("b")));
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let cut = shortened(&"ü".repeat(600));
        assert!(cut.len() <= LONGEST_MESSAGE && cut.ends_with("ü…"), "{cut}");
    }
}
