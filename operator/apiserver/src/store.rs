//! The objects, in memory, with one revision for all of them and a bounded history per collection.
//!
//! Invariants: a revision is given once and never goes back; the history of a collection is contiguous from
//! its floor, so that the state at any revision since then can be rebuilt; an object is immutable once stored.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use serde_json::Value;

use crate::object;

/// Where an object lies in its collection: namespace (empty for cluster scope) and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

/// One write of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// The store's revision after it.
    pub(crate) revision: u64,
    /// The object before it; `None` if it was created.
    pub(crate) before: Option<Arc<Value>>,
    /// The object after it; for a deletion the last state, with the revision of the deletion.
    pub(crate) after: Arc<Value>,
    /// Did it remove the object?
    pub(crate) deleted: bool,
    key: Key,
}

/// All objects of one stored resource.
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Change>,
    /// Revisions up to this one cannot be followed any more.
    floor: u64,
}

/// History before this is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) floor: u64,
}

impl Collection {
    /// The changes after `revision`, oldest first.
    pub(crate) fn since(&self, revision: u64) -> Result<impl Iterator<Item = &Change>, Compacted> {
        if revision < self.floor {
            return Err(Compacted { floor: self.floor });
        }
        let start = self.history.partition_point(|c| c.revision <= revision);
        Ok(self.history.range(start..))
    }

    /// The objects as they were at `revision`.
    pub(crate) fn at(&self, revision: u64) -> Result<BTreeMap<Key, Arc<Value>>, Compacted> {
        if revision < self.floor {
            return Err(Compacted { floor: self.floor });
        }
        let mut objects = self.objects.clone();
        for change in self.history.iter().rev().take_while(|c| c.revision > revision) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), Arc::clone(before)),
                None => objects.remove(&change.key),
            };
        }
        Ok(objects)
    }
}

/// The whole content of the server.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    collections: HashMap<String, Collection>,
    history: usize,
    /// Who names an owner's UID, by collection and key.
    dependents: HashMap<String, BTreeSet<(String, Key)>>,
}

static EMPTY: std::sync::LazyLock<Collection> = std::sync::LazyLock::new(Collection::default);

impl Store {
    /// An empty store that keeps `history` changes per collection.
    pub(crate) fn new(history: usize) -> Self {
        Self {
            revision: 1,
            collections: HashMap::new(),
            history: history.max(1),
            dependents: HashMap::new(),
        }
    }

    /// The revision of the last write.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// One collection, empty if nothing was ever stored in it.
    pub(crate) fn collection(&self, name: &str) -> &Collection {
        self.collections.get(name).unwrap_or(&EMPTY)
    }

    /// The names of all collections that ever held something, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.collections.keys().cloned().collect();
        names.sort();
        names
    }

    /// One object.
    pub(crate) fn get(&self, collection: &str, key: &Key) -> Option<&Arc<Value>> {
        self.collection(collection).objects.get(key)
    }

    /// Stores an object under a new revision, which it carries from then on.
    pub(crate) fn put(&mut self, collection: &str, key: Key, mut object: Value) -> Arc<Value> {
        self.revision += 1;
        stamp(&mut object, self.revision);
        let after = Arc::new(object);
        let held = self.collections.entry(collection.to_owned()).or_default();
        let before = held.objects.insert(key.clone(), Arc::clone(&after));
        relate(&mut self.dependents, collection, &key, before.as_deref(), Some(&after));
        let change = Change {
            revision: self.revision,
            before,
            after: Arc::clone(&after),
            deleted: false,
            key,
        };
        held.history.push_back(change);
        trim(held, self.history);
        after
    }

    /// Removes an object; the answer is its last state under the deletion's revision.
    pub(crate) fn remove(&mut self, collection: &str, key: &Key) -> Option<Arc<Value>> {
        let held = self.collections.get_mut(collection)?;
        let before = held.objects.remove(key)?;
        self.revision += 1;
        let mut last = Value::clone(&before);
        stamp(&mut last, self.revision);
        let after = Arc::new(last);
        relate(&mut self.dependents, collection, key, Some(&before), None);
        held.history.push_back(Change {
            revision: self.revision,
            before: Some(before),
            after: Arc::clone(&after),
            deleted: true,
            key: key.clone(),
        });
        trim(held, self.history);
        Some(after)
    }

    /// The objects that name a UID as an owner, in order.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<(String, Key)> {
        self.dependents.get(uid).map(|d| d.iter().cloned().collect()).unwrap_or_default()
    }

    /// Forgets the history of every collection, as a compaction does. Watches that lag behind expire.
    pub(crate) fn compact(&mut self) {
        let revision = self.revision;
        for name in self.names() {
            if let Some(held) = self.collections.get_mut(&name) {
                held.history.clear();
                held.floor = revision;
            }
        }
    }
}

/// Keeps the index of owners after an object changed.
fn relate(
    index: &mut HashMap<String, BTreeSet<(String, Key)>>,
    collection: &str,
    key: &Key,
    before: Option<&Value>,
    after: Option<&Value>,
) {
    let owners = |object: Option<&Value>| -> BTreeSet<String> {
        let list = object.map_or(&[][..], |o| object::list(o, &["metadata", "ownerReferences"]));
        list.iter().map(|r| object::text(r, &["uid"]).to_owned()).collect()
    };
    let (before, after) = (owners(before), owners(after));
    let entry = (collection.to_owned(), key.clone());
    for gone in before.difference(&after) {
        if let Some(dependents) = index.get_mut(gone) {
            dependents.remove(&entry);
            if dependents.is_empty() {
                index.remove(gone);
            }
        }
    }
    for new in after.difference(&before) {
        index.entry(new.clone()).or_default().insert(entry.clone());
    }
}

fn stamp(object: &mut Value, revision: u64) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("resourceVersion".into(), Value::String(revision.to_string()));
    }
}

fn trim(held: &mut Collection, keep: usize) {
    while held.history.len() > keep {
        if let Some(gone) = held.history.pop_front() {
            held.floor = gone.revision;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(value: u32) -> Value {
        json!({"metadata": {}, "value": value})
    }

    #[test]
    fn past_states_are_rebuilt_until_history_ends() {
        let mut store = Store::new(3);
        let key = Key::new("ns", "a");
        let first = store.put("c", key.clone(), object(1));
        let at_first = store.revision();
        store.put("c", Key::new("ns", "b"), object(2));
        store.put("c", key.clone(), object(3));
        assert_eq!(store.collection("c").at(at_first).unwrap()[&key], first);
        assert_eq!(store.collection("c").at(at_first).unwrap().len(), 1);
        store.remove("c", &key);
        assert_eq!(store.collection("c").since(at_first).unwrap().count(), 3);
        store.remove("c", &Key::new("ns", "b"));
        assert!(store.collection("c").at(at_first).is_err(), "one change too many");
    }

    #[test]
    fn a_deletion_has_a_revision_of_its_own() {
        let mut store = Store::new(8);
        let key = Key::new("", "a");
        let stored = store.put("c", key.clone(), object(1));
        let last = store.remove("c", &key).unwrap();
        assert_ne!(stored["metadata"]["resourceVersion"], last["metadata"]["resourceVersion"]);
        assert_eq!(last["metadata"]["resourceVersion"], store.revision().to_string());
    }
}
