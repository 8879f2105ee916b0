//! What a subscriber lacks: pure.

use std::{collections::BTreeMap, sync::Arc};

use gatefleet_snapshot::{
    MAX_MESSAGE_BYTES,
    v1::{Delta, Fragment, Resource, ServerMessage, server_message},
};
use prost::{Message, bytes::Bytes};

use crate::TierConfiguration;

/// Left free in every message for what stands around the resources.
const MARGIN: usize = 1024;
/// Tag and length of one element.
const ELEMENT: usize = 8;

/// What a subscriber was told to hold.
#[derive(Debug)]
pub(crate) enum Told {
    /// As it said when it subscribed: name to version.
    Versions(BTreeMap<String, String>),
    /// This configuration.
    Configuration(Arc<TierConfiguration>),
}

/// What turns one state into another.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) upserts: Vec<Arc<Resource>>,
    pub(crate) removals: Vec<String>,
    /// Nothing that was told before stays.
    pub(crate) full: bool,
}

impl Changes {
    pub(crate) const fn is_empty(&self) -> bool {
        self.upserts.is_empty() && self.removals.is_empty() && !self.full
    }
}

impl Told {
    pub(crate) fn changes(&self, wanted: &TierConfiguration) -> Changes {
        let mut changes = match self {
            Self::Versions(versions) => from_versions(versions, wanted),
            Self::Configuration(before) => from_configuration(before, wanted),
        };
        let kept_nothing = changes.upserts.len() == wanted.resources.len();
        if kept_nothing && matches!(self, Self::Versions(_)) {
            changes.full = true;
            changes.removals.clear();
        }
        changes
    }
}

fn from_versions(versions: &BTreeMap<String, String>, wanted: &TierConfiguration) -> Changes {
    let differs = |name: &str, resource: &Resource| versions.get(name) != Some(&resource.version);
    let upserts = wanted.resources.iter().filter(|(name, resource)| differs(name, resource));
    let gone = versions.keys().filter(|name| !wanted.resources.contains_key(name.as_str()));
    Changes {
        upserts: upserts.map(|(_, resource)| Arc::clone(resource)).collect(),
        removals: gone.cloned().collect(),
        full: false,
    }
}

/// Unchanged resources are the same `Arc` nearly always, so this compares pointers, not texts.
fn from_configuration(before: &TierConfiguration, wanted: &TierConfiguration) -> Changes {
    let mut changes = Changes::default();
    if Arc::ptr_eq(&before.resources, &wanted.resources) {
        return changes;
    }
    let mut old = before.resources.iter().peekable();
    for (name, resource) in wanted.resources.iter() {
        while let Some((gone, _)) = old.next_if(|(old, _)| *old < name) {
            changes.removals.push(gone.to_string());
        }
        let same = old.next_if(|(old, _)| *old == name).is_some_and(|(_, held)| {
            Arc::ptr_eq(held, resource) || held.version == resource.version
        });
        if !same {
            changes.upserts.push(Arc::clone(resource));
        }
    }
    changes.removals.extend(old.map(|(name, _)| name.to_string()));
    changes
}

/// The messages of a transaction without its Commit, each at most 1 MiB, made one at a time.
pub(crate) struct Messages {
    upserts: std::vec::IntoIter<Arc<Resource>>,
    removals: std::vec::IntoIter<String>,
    /// Of a resource that does not fit into one message.
    rest: Bytes,
}

impl From<Changes> for Messages {
    fn from(changes: Changes) -> Self {
        Self {
            upserts: changes.upserts.into_iter(),
            removals: changes.removals.into_iter(),
            rest: Bytes::new(),
        }
    }
}

impl Iterator for Messages {
    type Item = ServerMessage;

    fn next(&mut self) -> Option<ServerMessage> {
        if let Some(fragment) = self.fragment() {
            return Some(fragment);
        }
        let mut delta = Delta::default();
        let mut room = MAX_MESSAGE_BYTES - MARGIN;
        while let Some(name) = self.removals.as_slice().first() {
            let Some(left) = room.checked_sub(name.len() + ELEMENT) else { break };
            room = left;
            delta.removals.extend(self.removals.next());
        }
        while let Some(resource) = self.upserts.as_slice().first() {
            let bytes = resource.encoded_len();
            let Some(left) = room.checked_sub(bytes + ELEMENT) else {
                if delta.upserts.is_empty() && delta.removals.is_empty() {
                    self.rest = resource.encode_to_vec().into();
                    self.upserts.next();
                    return self.fragment();
                }
                break;
            };
            room = left;
            delta.upserts.extend(self.upserts.next().map(|resource| Resource::clone(&resource)));
        }
        let empty = delta.upserts.is_empty() && delta.removals.is_empty();
        (!empty).then_some(ServerMessage { kind: Some(server_message::Kind::Delta(delta)) })
    }
}

impl Messages {
    fn fragment(&mut self) -> Option<ServerMessage> {
        if self.rest.is_empty() {
            return None;
        }
        let data = self.rest.split_to(self.rest.len().min(MAX_MESSAGE_BYTES - MARGIN));
        let fragment = Fragment { data, last: self.rest.is_empty() };
        Some(ServerMessage { kind: Some(server_message::Kind::Fragment(fragment)) })
    }
}

#[cfg(test)]
mod tests {
    use gatefleet_snapshot::{
        seal,
        v1::{Backend, Certificate, resource::Body},
    };

    use super::*;

    fn backend(name: &str, dns: &str) -> Arc<Resource> {
        let body = Backend { dns: dns.to_owned(), ..Backend::default() };
        Arc::new(seal(format!("backend/{name}"), Body::Backend(body)))
    }

    fn certificate(name: &str, bytes: usize) -> Arc<Resource> {
        let body = Certificate { chain: "x".repeat(bytes), ..Certificate::default() };
        Arc::new(seal(format!("certificate/{name}"), Body::Certificate(body)))
    }

    fn configuration(resources: &[Arc<Resource>]) -> TierConfiguration {
        TierConfiguration::new(resources.iter().cloned(), Vec::new())
    }

    fn names(changes: &Changes) -> (Vec<&str>, Vec<&str>, bool) {
        let upserts = changes.upserts.iter().map(|resource| resource.name.as_str()).collect();
        (upserts, changes.removals.iter().map(String::as_str).collect(), changes.full)
    }

    #[test]
    fn only_differences_are_sent() {
        let before = configuration(&[backend("a", "1"), backend("b", "1"), backend("d", "1")]);
        let after = configuration(&[backend("b", "2"), backend("c", "1"), backend("d", "1")]);
        let versions = |configuration: &TierConfiguration| {
            let pairs = configuration.resources.iter();
            Told::Versions(pairs.map(|(name, r)| (name.to_string(), r.version.clone())).collect())
        };
        let wanted = (vec!["backend/b", "backend/c"], vec!["backend/a"], false);
        let told = Told::Configuration(Arc::new(before.clone()));
        assert_eq!(names(&told.changes(&after)), wanted);
        assert_eq!(names(&versions(&before).changes(&after)), wanted);
        assert!(versions(&after).changes(&after).is_empty());
        assert!(Told::Configuration(Arc::new(after.clone())).changes(&after).is_empty());
    }

    #[test]
    fn who_holds_nothing_of_it_gets_all_of_it() {
        let after = configuration(&[backend("a", "1")]);
        let everything = (vec!["backend/a"], vec![], true);
        assert_eq!(names(&Told::Versions(BTreeMap::new()).changes(&after)), everything);
        let other = BTreeMap::from([("backend/z".to_owned(), "1".to_owned())]);
        assert_eq!(names(&Told::Versions(other.clone()).changes(&after)), everything);
        let nothing = configuration(&[]);
        assert_eq!(names(&Told::Versions(other).changes(&nothing)), (vec![], vec![], true));
    }

    #[test]
    fn messages_stay_below_a_mebibyte_and_lose_nothing() {
        let sizes = [10, MAX_MESSAGE_BYTES, 500_000, 600_000, 5 << 20, 20, 1_040_000];
        let resources: Vec<_> =
            sizes.iter().enumerate().map(|(i, size)| certificate(&i.to_string(), *size)).collect();
        let removals: Vec<String> = (0..30_000).map(|i| format!("backend/{i:060}")).collect();
        let changes =
            Changes { upserts: resources.clone(), removals: removals.clone(), full: false };
        let (mut seen, mut gone, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for message in Messages::from(changes) {
            assert!(message.encoded_len() <= MAX_MESSAGE_BYTES, "{}", message.encoded_len());
            match message.kind.unwrap() {
                server_message::Kind::Delta(delta) => {
                    seen.extend(delta.upserts);
                    gone.extend(delta.removals);
                }
                server_message::Kind::Fragment(fragment) => {
                    parts.extend_from_slice(&fragment.data);
                    if fragment.last {
                        seen.push(Resource::decode(&std::mem::take(&mut parts)[..]).unwrap());
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(gone, removals);
        assert!(seen.iter().eq(resources.iter().map(|resource| &**resource)));
    }
}
