//! Events about objects, under the name of local mode.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

/// The longest note of an event, in bytes (events.k8s.io/v1: 1 kB).
const LONGEST: usize = 1000;

/// Writes events; a failure to write one concerns nobody.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
}

impl Events {
    pub(crate) fn new(client: Client) -> Self {
        let reporter = Reporter { controller: "gatefleet-local".to_owned(), instance: None };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Something that needs a look.
    pub(crate) async fn warn<K>(&self, object: &K, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(EventType::Warning, object.object_ref(&()), reason, note).await;
    }

    /// Something worth knowing.
    pub(crate) async fn tell<K>(&self, object: &K, reason: &str, note: &str)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(EventType::Normal, object.object_ref(&()), reason, note).await;
    }

    async fn publish(&self, type_: EventType, about: ObjectReference, reason: &str, note: &str) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(shorten(note)),
            action: "Run".to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::debug!(%error, "event not written");
        }
    }
}

/// At most [`LONGEST`] bytes, cut between characters.
fn shorten(note: &str) -> String {
    let mut size = 0;
    let fits = |character: &char| {
        size += character.len_utf8();
        size <= LONGEST
    };
    note.chars().take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_notes_are_cut_between_characters() {
        assert_eq!(super::shorten("short"), "short");
        let long = "é".repeat(600);
        assert_eq!(super::shorten(&long).len(), 1000);
    }
}
