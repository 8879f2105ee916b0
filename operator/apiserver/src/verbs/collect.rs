//! What follows from a write: dependents of a gone owner go, namespaces and CustomResourceDefinitions end when
//! they are empty. Kubernetes' controllers do this later; here it happens under the same lock.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    delete::{Deletion, FOREGROUND, ORPHAN, Propagation, without_finalizer},
    write::{Writing, check_versions},
};
use crate::{
    builtin::Strategy,
    crd,
    error::Answer,
    object::{self, meta_mut},
    resource::Resource,
    server::State,
    store::Key,
};

impl State {
    /// Removes an object, and everything that may not outlive it; the answer is its last state.
    pub(crate) fn vanish(&mut self, resource: &Resource, key: &Key) -> Option<Arc<Value>> {
        let last = self.store.remove(&resource.collection(), key)?;
        if resource.strategy == Strategy::CustomResourceDefinition {
            self.registry.withdraw(&key.name);
        }
        self.release_dependents(object::meta(&last, "uid"));
        self.unblock_owners(&last);
        if !key.namespace.is_empty() {
            self.end_namespace(&key.namespace);
        }
        if resource.custom.is_some() {
            self.end_definition(resource);
        }
        Some(last)
    }

    /// After an object was created or changed.
    pub(crate) fn after_write(
        &mut self,
        resource: &Resource,
        old: Option<&Arc<Value>>,
        object: &Arc<Value>,
    ) {
        let owners = |o: &Value| o["metadata"]["ownerReferences"].clone();
        if resource.strategy == Strategy::CustomResourceDefinition {
            crd::declare(&mut self.registry, object);
        }
        if old.is_none_or(|old| owners(old) != owners(object)) {
            self.judge_owners(resource, object);
        }
        // A finalizer of the collector may have been the last one, or the only one that matters.
        if object::is_terminating(object) {
            self.advance_deletion(resource, &object::key(object));
        }
    }

    /// After a deletion began but something holds the object.
    pub(crate) fn after_mark(&mut self, resource: &Resource, key: &Key, propagation: Propagation) {
        match resource.strategy {
            Strategy::Namespace => self.empty_namespace(&key.name),
            Strategy::CustomResourceDefinition => self.empty_definition(key),
            _ => {}
        }
        if propagation == Propagation::Foreground {
            let Some(uid) = self.uid(resource, key) else { return };
            for (collection, dependent) in self.store.dependents(&uid) {
                self.delete_in(&collection, &dependent, Propagation::Foreground);
            }
        }
        self.advance_deletion(resource, key);
    }

    fn uid(&self, resource: &Resource, key: &Key) -> Option<String> {
        let object = self.store.get(&resource.collection(), key)?;
        Some(object::meta(object, "uid").to_owned())
    }

    /// Takes off the collector's finalizers once they have done their work.
    fn advance_deletion(&mut self, resource: &Resource, key: &Key) {
        let Some(object) = self.store.get(&resource.collection(), key).cloned() else { return };
        let finalizers = object::finalizers(&object);
        let uid = object::meta(&object, "uid");
        let done = if finalizers.contains(&ORPHAN) {
            self.orphan_dependents(uid);
            ORPHAN
        } else if finalizers.contains(&FOREGROUND) && !self.is_blocked(uid) {
            FOREGROUND
        } else {
            return;
        };
        let object = without_finalizer(&object, done);
        let free = object::finalizers(&object).is_empty() && may_vanish(resource, &object);
        self.store.put(&resource.collection(), key.clone(), object);
        if free {
            self.vanish(resource, key);
        }
    }

    /// Does a dependent that blocks the deletion of its owner still exist?
    fn is_blocked(&self, uid: &str) -> bool {
        self.store.dependents(uid).iter().any(|(collection, key)| {
            self.store.get(collection, key).is_some_and(|object| {
                references(object)
                    .iter()
                    .any(|r| r["uid"] == json!(uid) && r["blockOwnerDeletion"] == json!(true))
            })
        })
    }

    fn orphan_dependents(&mut self, uid: &str) {
        for (collection, key) in self.store.dependents(uid) {
            self.drop_reference(&collection, &key, uid);
        }
    }

    fn drop_reference(&mut self, collection: &str, key: &Key, uid: &str) {
        let Some(object) = self.store.get(collection, key) else { return };
        let rest: Vec<Value> =
            references(object).iter().filter(|r| r["uid"] != json!(uid)).cloned().collect();
        let mut object = Value::clone(object);
        if rest.is_empty() {
            meta_mut(&mut object).remove("ownerReferences");
        } else {
            meta_mut(&mut object).insert("ownerReferences".into(), json!(rest));
        }
        self.store.put(collection, key.clone(), object);
    }

    /// The owner is gone: what it alone owned goes too, what has other owners forgets it.
    fn release_dependents(&mut self, uid: &str) {
        for (collection, key) in self.store.dependents(uid) {
            let Some(object) = self.store.get(&collection, &key).cloned() else { continue };
            if references(&object).iter().any(|r| self.owner_exists(&object, r) != Some(false)) {
                self.drop_reference(&collection, &key, uid);
            } else {
                self.delete_in(&collection, &key, Propagation::Background);
            }
        }
    }

    /// The dependent is gone: owners that waited for it go on.
    fn unblock_owners(&mut self, gone: &Value) {
        for reference in references(gone) {
            let Some((resource, key)) = self.owner(gone, reference) else { continue };
            let waiting = self.store.get(&resource.collection(), &key).is_some_and(|owner| {
                owner["metadata"]["uid"] == reference["uid"]
                    && object::finalizers(owner).contains(&FOREGROUND)
            });
            if waiting {
                self.advance_deletion(&resource, &key);
            }
        }
    }

    /// An object all of whose owners are absent is garbage.
    fn judge_owners(&mut self, resource: &Resource, object: &Arc<Value>) {
        let references = references(object);
        if !references.is_empty()
            && references.iter().all(|r| self.owner_exists(object, r) == Some(false))
        {
            self.delete_in(&resource.collection(), &object::key(object), Propagation::Background);
        }
    }

    /// Where an owner would lie. Owners are in the dependent's namespace or in none.
    fn owner(&self, dependent: &Value, reference: &Value) -> Option<(Arc<Resource>, Key)> {
        let (version, kind) =
            (object::text(reference, &["apiVersion"]), object::text(reference, &["kind"]));
        let resource = self.registry.by_kind(version, kind)?;
        let namespace = if resource.namespaced { object::namespace(dependent) } else { "" };
        Some((Arc::clone(resource), Key::new(namespace, object::text(reference, &["name"]))))
    }

    /// `None` if the owner is of a kind that this server does not know: then nothing is concluded.
    fn owner_exists(&self, dependent: &Value, reference: &Value) -> Option<bool> {
        let (resource, key) = self.owner(dependent, reference)?;
        let owner = self.store.get(&resource.collection(), &key);
        Some(owner.is_some_and(|o| o["metadata"]["uid"] == reference["uid"]))
    }

    fn delete_in(&mut self, collection: &str, key: &Key, propagation: Propagation) {
        let Some(resource) = self.registry.by_collection(collection).cloned() else { return };
        self.begin_deletion(&resource, key, &Deletion::of(propagation));
    }

    /// Deletes what lies in a namespace that is going away.
    fn empty_namespace(&mut self, namespace: &str) {
        for collection in self.store.names() {
            let keys: Vec<Key> = self
                .store
                .collection(&collection)
                .objects
                .keys()
                .filter(|k| k.namespace == namespace)
                .cloned()
                .collect();
            for key in keys {
                self.delete_in(&collection, &key, Propagation::Background);
            }
        }
        self.end_namespace(namespace);
    }

    /// Ends a namespace that is going away and empty.
    fn end_namespace(&mut self, name: &str) {
        let key = Key::new("", name);
        let Some(namespace) = self.store.get("/namespaces", &key).cloned() else { return };
        let occupied = |state: &Self| {
            let names = state.store.names();
            names
                .iter()
                .any(|c| state.store.collection(c).objects.keys().any(|k| k.namespace == name))
        };
        if !object::is_terminating(&namespace)
            || !object::finalizers(&namespace).is_empty()
            || occupied(self)
        {
            return;
        }
        if object::list(&namespace, &["spec", "finalizers"])
            .iter()
            .any(|f| f != &json!("kubernetes"))
        {
            return;
        }
        let Some(resource) = self.registry.by_collection("/namespaces").cloned() else { return };
        let mut last = Value::clone(&namespace);
        object::field_mut(&mut last, "spec").remove("finalizers");
        self.store.put("/namespaces", key.clone(), last);
        self.vanish(&resource, &key);
    }

    /// `namespaces/finalize`: replaces `spec.finalizers`.
    pub(crate) fn finalize_namespace(
        &mut self,
        writing: &Writing<'_>,
        old: &Arc<Value>,
        object: &Value,
    ) -> Answer<Arc<Value>> {
        check_versions(writing.resource, old, object)?;
        let mut next = Value::clone(old);
        let finalizers = object::at(object, &["spec", "finalizers"]).cloned().unwrap_or(json!([]));
        object::field_mut(&mut next, "spec").insert("finalizers".into(), finalizers);
        if writing.dry_run {
            return Ok(Arc::new(next));
        }
        let name = object::name(old).to_owned();
        let stored = self.store.put("/namespaces", Key::new("", &name), next);
        self.end_namespace(&name);
        Ok(stored)
    }

    /// Deletes the objects of a CustomResourceDefinition that is going away.
    fn empty_definition(&mut self, key: &Key) {
        let Some(resource) = self.registry.declared(&key.name) else { return };
        let collection = resource.collection();
        let keys: Vec<Key> = self.store.collection(&collection).objects.keys().cloned().collect();
        for key in keys {
            self.begin_deletion(&resource, &key, &Deletion::of(Propagation::Background));
        }
        self.end_definition(&resource);
    }

    /// Ends a CustomResourceDefinition that is going away and has no objects left.
    fn end_definition(&mut self, resource: &Resource) {
        let name = format!("{}.{}", resource.plural, resource.group);
        let key = Key::new("", &name);
        let Some(definitions) =
            self.registry.by_kind("apiextensions.k8s.io/v1", "CustomResourceDefinition").cloned()
        else {
            return;
        };
        let Some(definition) = self.store.get(&definitions.collection(), &key) else { return };
        if !object::is_terminating(definition)
            || !self.store.collection(&resource.collection()).objects.is_empty()
        {
            return;
        }
        let rest = without_finalizer(definition, crd::FINALIZER);
        let free = object::finalizers(&rest).is_empty();
        self.store.put(&definitions.collection(), key.clone(), rest);
        if free {
            self.vanish(&definitions, &key);
        }
    }
}

/// May an object without finalizers go, now that its deletion has begun?
pub(super) fn may_vanish(resource: &Resource, object: &Value) -> bool {
    resource.strategy != Strategy::Namespace
        && object["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or_default() == 0
}

fn references(object: &Value) -> &[Value] {
    object::list(object, &["metadata", "ownerReferences"])
}
