//! Events: what happened to an object, for those who ask `kubectl describe`.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
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

use crate::error::Refusal;

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

/// Writes events. Saying the same again about the same object counts instead of adding one.
#[derive(Clone)]
pub struct Events {
    client: Client,
    /// The identity of this replica.
    instance: Arc<str>,
}

impl Events {
    /// Events in the name of the operator's replica `instance`.
    #[must_use]
    pub fn new(client: Client, instance: &str) -> Self {
        Self { client, instance: instance.into() }
    }

    /// Says it. A failure is logged and otherwise forgotten.
    pub async fn say(&self, about: &ObjectReference, finding: &Finding) {
        if let Err(error) = self.write(about, finding).await {
            let Finding { reason, message, .. } = finding;
            tracing::debug!(%error, reason, message, "write Event");
        }
    }

    async fn write(&self, about: &ObjectReference, finding: &Finding) -> Result<(), kube::Error> {
        // Events about cluster-scoped objects live in `default`.
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let api: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        let event = self.event(about, finding, namespace);
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Err(error) if Refusal::of(&error) == Refusal::Conflict => {
                let count = api.get(&name).await?.count.unwrap_or(1).saturating_add(1);
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
