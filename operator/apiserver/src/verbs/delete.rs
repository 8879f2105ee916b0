//! `delete` and `deletecollection`: preconditions, finalizers, grace, propagation.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, decode, present, read};
use crate::{
    body::{self, Reply},
    builtin::{self, Strategy},
    crd::FINALIZER,
    error::{Answer, Failure},
    object::{self, as_map, meta_mut},
    resource::Resource,
    server::{Shared, State},
    store::Key,
};

/// What happens to the objects that an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The finalizers by which the garbage collector holds an object.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";

/// `DeleteOptions`, parsed.
#[derive(Debug, Clone)]
pub(crate) struct Deletion {
    pub(crate) propagation: Propagation,
    /// Seconds; `None` takes what the object says.
    pub(crate) grace: Option<u64>,
    uid: Option<String>,
    version: Option<String>,
    dry_run: bool,
}

impl Deletion {
    /// What garbage collection asks for.
    pub(crate) fn of(propagation: Propagation) -> Self {
        Self { propagation, grace: None, uid: None, version: None, dry_run: false }
    }

    fn parse(options: &Value) -> Answer<Self> {
        let text =
            |path: &[&str]| object::at(options, path).and_then(Value::as_str).map(str::to_owned);
        let propagation = match text(&["propagationPolicy"]).as_deref() {
            Some("Foreground") => Propagation::Foreground,
            Some("Orphan") => Propagation::Orphan,
            None if options["orphanDependents"] == json!(true) => Propagation::Orphan,
            None | Some("Background") => Propagation::Background,
            Some(other) => {
                return Err(Failure::unprocessable(format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\""
                )));
            }
        };
        Ok(Self {
            propagation,
            grace: options["gracePeriodSeconds"].as_u64(),
            uid: text(&["preconditions", "uid"]),
            version: text(&["preconditions", "resourceVersion"]),
            dry_run: object::list(options, &["dryRun"]).contains(&json!("All")),
        })
    }

    fn check(&self, resource: &Resource, object: &Value) -> Answer<()> {
        let refuse = |what: &str, asked: &str, actual: &str, guess: &str| {
            let detail = format!(
                "the {what} in the precondition ({asked}) does not match the {what} in record ({actual}). The object might have been {guess}"
            );
            Err(Failure::precondition(resource, object::name(object), &detail))
        };
        let (uid, version) = (object::meta(object, "uid"), object::meta(object, "resourceVersion"));
        match (&self.uid, &self.version) {
            (Some(asked), _) if asked != uid => {
                refuse("UID", asked, uid, "deleted and then recreated")
            }
            (_, Some(asked)) if asked != version => {
                refuse("ResourceVersion", asked, version, "modified")
            }
            _ => Ok(()),
        }
    }
}

/// What a deletion did.
enum Outcome {
    /// The object is gone; its last state.
    Gone(Arc<Value>),
    /// Something still holds it.
    Marked(Arc<Value>),
}

/// `DELETE` of one object.
pub(super) fn one(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let deletion = Deletion::parse(&decode::delete_options(call)?)?;
    let outcome = shared.write(|state| state.delete(resource, &call.key(), &deletion))?;
    match outcome {
        Outcome::Marked(object) => {
            Ok(body::json(StatusCode::OK, &present(resource, call, &object)))
        }
        Outcome::Gone(object) if builtin::returns_deleted(resource) => {
            Ok(body::json(StatusCode::OK, &present(resource, call, &object)))
        }
        Outcome::Gone(object) => {
            let mut details = json!({"name": object::name(&object), "kind": resource.plural, "uid": object::meta(&object, "uid")});
            if !resource.group.is_empty() {
                details["group"] = json!(resource.group);
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            Ok(body::json(StatusCode::OK, &status))
        }
    }
}

/// `DELETE` of a collection.
pub(super) fn many(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let deletion = Deletion::parse(&decode::delete_options(call)?)?;
    let selector = read::selector(resource, call)?;
    let items = shared.write(|state| -> Answer<Vec<Value>> {
        let keys: Vec<Key> = state
            .store
            .collection(&resource.collection())
            .objects
            .iter()
            .filter(|(key, object)| read::in_scope(call, key) && selector.matches(object))
            .map(|(key, _)| key.clone())
            .collect();
        let mut items = Vec::new();
        for key in keys {
            // An earlier deletion may have taken it along.
            if state.store.get(&resource.collection(), &key).is_none() {
                continue;
            }
            match state.delete(resource, &key, &deletion)? {
                Outcome::Gone(object) | Outcome::Marked(object) => {
                    items.push(resource.to_served(&object));
                }
            }
        }
        Ok(items)
    })?;
    let list = json!({"kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": {}, "items": items});
    Ok(body::json(StatusCode::OK, &list))
}

impl State {
    fn delete(&mut self, resource: &Resource, key: &Key, deletion: &Deletion) -> Answer<Outcome> {
        let object = self.find(resource, key)?;
        deletion.check(resource, &object)?;
        if resource.strategy == Strategy::Namespace
            && matches!(key.name.as_str(), "default" | "kube-system" | "kube-public")
        {
            return Err(Failure::forbidden(
                resource,
                &key.name,
                "this namespace may not be deleted",
            ));
        }
        if deletion.dry_run {
            return Ok(Outcome::Gone(object));
        }
        if let Some(last) = self.begin_deletion(resource, key, deletion) {
            return Ok(Outcome::Gone(last));
        }
        match self.store.get(&resource.collection(), key) {
            Some(held) if object::meta(held, "uid") == object::meta(&object, "uid") => {
                Ok(Outcome::Marked(Arc::clone(held)))
            }
            _ => Ok(Outcome::Gone(object)),
        }
    }

    /// Marks an object as going away, and lets it go if nothing holds it; then the answer is its last state.
    pub(crate) fn begin_deletion(
        &mut self,
        resource: &Resource,
        key: &Key,
        deletion: &Deletion,
    ) -> Option<Arc<Value>> {
        let old = self.find(resource, key).ok()?;
        let mut object = Value::clone(&old);
        set_collector_finalizer(&mut object, deletion.propagation);
        if resource.strategy == Strategy::CustomResourceDefinition {
            hold_definition(&mut object);
        }
        let grace =
            if resource.strategy == Strategy::Pod { pod_grace(&object, deletion) } else { 0 };
        let held = grace > 0
            || !object::finalizers(&object).is_empty()
            || resource.strategy == Strategy::Namespace;
        if !held {
            return self.vanish(resource, key);
        }
        mark(resource, &mut object, grace);
        if object == *old {
            return None;
        }
        self.store.put(&resource.collection(), key.clone(), object);
        self.after_mark(resource, key, deletion.propagation);
        None
    }
}

/// A definition stays until its objects are gone.
fn hold_definition(object: &mut Value) {
    let mut names: Vec<String> =
        object::finalizers(object).into_iter().map(str::to_owned).collect();
    if !names.iter().any(|n| n == FINALIZER) {
        names.push(FINALIZER.to_owned());
    }
    meta_mut(object).insert("finalizers".into(), json!(names));
}

/// Writes the deletion into the object: time, grace, generation.
fn mark(resource: &Resource, object: &mut Value, grace: u64) {
    let already = object::is_terminating(object);
    let generation = object["metadata"]["generation"].as_u64();
    let meta = meta_mut(object);
    let earlier = meta.get("deletionGracePeriodSeconds").and_then(Value::as_u64);
    if !already || earlier.is_some_and(|earlier| grace < earlier) {
        let at = jiff::Timestamp::now()
            .checked_add(jiff::SignedDuration::from_secs(
                i64::try_from(grace).unwrap_or(i64::MAX / 4),
            ))
            .map_or_else(|_| object::now(), |t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        meta.insert("deletionTimestamp".into(), json!(at));
        meta.insert("deletionGracePeriodSeconds".into(), json!(grace));
        if let (Some(generation), false) = (generation, already) {
            meta.insert("generation".into(), json!(generation + 1));
        }
    }
    if resource.strategy == Strategy::Namespace {
        object::field_mut(object, "status").insert("phase".into(), json!("Terminating"));
    }
}

/// How long a pod may take to stop: nothing waits for one that runs nowhere or is over.
fn pod_grace(object: &Value, deletion: &Deletion) -> u64 {
    let phase = object::text(object, &["status", "phase"]);
    if object::text(object, &["spec", "nodeName"]).is_empty()
        || matches!(phase, "Succeeded" | "Failed")
    {
        return 0;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
    let asked = deletion.grace.unwrap_or(own);
    // A second deletion can only make it shorter.
    match object["metadata"]["deletionGracePeriodSeconds"].as_u64() {
        Some(earlier) => asked.min(earlier),
        None => asked,
    }
}

fn set_collector_finalizer(object: &mut Value, propagation: Propagation) {
    let mut names: Vec<String> = object::finalizers(object)
        .into_iter()
        .filter(|f| *f != FOREGROUND && *f != ORPHAN)
        .map(str::to_owned)
        .collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Foreground => names.push(FOREGROUND.into()),
        Propagation::Orphan => names.push(ORPHAN.into()),
    }
    let meta = meta_mut(object);
    if names.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".into(), json!(names));
    }
}

/// Takes a finalizer off an object.
pub(crate) fn without_finalizer(object: &Value, finalizer: &str) -> Value {
    let mut object = object.clone();
    let names: Vec<String> = object::finalizers(&object)
        .into_iter()
        .filter(|f| *f != finalizer)
        .map(str::to_owned)
        .collect();
    let meta = as_map(as_map(&mut object).entry("metadata").or_insert_with(|| json!({})));
    if names.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".into(), json!(names));
    }
    object
}
