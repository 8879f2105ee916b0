//! `create` and `replace`, and the one path on which every write goes: defaults, ownership, checks, store.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{Call, collect::may_vanish, decode, present};
use crate::{
    body::{self, Reply},
    builtin::{self, Strategy},
    error::{Answer, Cause, Failure},
    managed, names,
    object::{self, as_map, copy_field, meta_mut},
    protobuf::zero,
    resource::Resource,
    schema::{default, validate},
    server::{Shared, State},
    store::Key,
};

/// Which part of the object a write is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The object, without its status if that is a subresource.
    Main,
    /// Its status alone.
    Status,
}

/// One write.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) part: Part,
    /// Who writes.
    pub(crate) manager: String,
    /// Only say what would happen?
    pub(crate) dry_run: bool,
    /// Is `managedFields` right already, as after server-side apply?
    pub(crate) tracked: bool,
}

impl<'a> Writing<'a> {
    /// What a request wants to write.
    pub(super) fn parse(resource: &'a Resource, call: &Call) -> Answer<Self> {
        Ok(Self {
            resource,
            part: if call.target.subresource == "status" { Part::Status } else { Part::Main },
            manager: call.manager(),
            dry_run: call.params.dry_run()?,
            tracked: false,
        })
    }
}

/// `POST`.
pub(super) fn create(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let writing = Writing::parse(resource, call)?;
    let mut decoded = decode::object(resource, call)?;
    settle_namespace(resource, call, &mut decoded.value)?;
    let stored = shared.write(|state| state.create(&writing, decoded.value))?;
    let mut reply = body::json(StatusCode::CREATED, &present(resource, call, &stored));
    body::warn(&mut reply, &decoded.warnings);
    Ok(reply)
}

/// `PUT`.
pub(super) fn replace(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let writing = Writing::parse(resource, call)?;
    let mut decoded = decode::object(resource, call)?;
    settle_namespace(resource, call, &mut decoded.value)?;
    check_name(call, &mut decoded.value)?;
    let (status, stored) = shared.write(|state| {
        let old = match state.find(resource, &call.key()) {
            Ok(old) => old,
            Err(_) if may_create(&writing) => {
                meta_mut(&mut decoded.value).remove("resourceVersion");
                return Ok((StatusCode::CREATED, state.create(&writing, decoded.value)?));
            }
            Err(absent) => return Err(absent),
        };
        require_version(resource, call, &decoded.value)?;
        let stored = if call.target.subresource == "finalize" {
            state.finalize_namespace(&writing, &old, &decoded.value)?
        } else {
            state.replace(&writing, &old, decoded.value)?
        };
        Ok((StatusCode::OK, stored))
    })?;
    let mut reply = body::json(status, &present(resource, call, &stored));
    body::warn(&mut reply, &decoded.warnings);
    Ok(reply)
}

/// A few kinds are created by `PUT`.
fn may_create(writing: &Writing<'_>) -> bool {
    writing.part == Part::Main && builtin::creates_on_update(writing.resource)
}

/// Custom resources are not replaced blindly.
fn require_version(resource: &Resource, call: &Call, object: &Value) -> Answer<()> {
    let strict =
        resource.custom.is_some() || resource.strategy == Strategy::CustomResourceDefinition;
    if !strict || !object::meta(object, "resourceVersion").is_empty() {
        return Ok(());
    }
    let detail = "must be specified for an update";
    let cause = Cause::invalid("metadata.resourceVersion", &json!(0), detail);
    Err(Failure::invalid(resource, &call.target.name, vec![cause]))
}

/// The namespace of an object is that of its path.
pub(super) fn settle_namespace(resource: &Resource, call: &Call, object: &mut Value) -> Answer<()> {
    if resource.namespaced && call.target.namespace.is_empty() {
        return Err(Failure::bad_request("an empty namespace may not be set during creation"));
    }
    let given = object::namespace(object);
    if !resource.namespaced {
        meta_mut(object).remove("namespace");
        return Ok(());
    }
    if !given.is_empty() && given != call.target.namespace {
        return Err(Failure::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request (object namespace {given:?}, request namespace {:?})",
            call.target.namespace
        )));
    }
    meta_mut(object).insert("namespace".into(), json!(call.target.namespace));
    Ok(())
}

/// The name of an object is that of its path.
pub(super) fn check_name(call: &Call, object: &mut Value) -> Answer<()> {
    let given = object::name(object);
    if given.is_empty() {
        meta_mut(object).insert("name".into(), json!(call.target.name));
    } else if given != call.target.name {
        return Err(Failure::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            call.target.name
        )));
    }
    Ok(())
}

impl State {
    /// Stores a new object.
    pub(crate) fn create(
        &mut self,
        writing: &Writing<'_>,
        mut object: Value,
    ) -> Answer<Arc<Value>> {
        let resource = writing.resource;
        if object::meta(&object, "resourceVersion").parse::<u64>().is_ok_and(|r| r != 0) {
            return Err(Failure::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.choose_name(resource, &mut object)?;
        let key = object::key(&object);
        self.check_namespace(resource, &key)?;
        prepare_new(resource, &mut object);
        normalise(writing, &mut object);
        if !writing.tracked {
            managed::track(writing, None, &mut object);
        }
        builtin::prepare(self, resource, None, &mut object)?;
        check(resource, None, &object)?;
        if self.store.get(&resource.collection(), &key).is_some() {
            return Err(Failure::already_exists(resource, &key.name));
        }
        Ok(self.store_checked(writing, None, key, object))
    }

    /// Stores a new state of an object.
    pub(crate) fn replace(
        &mut self,
        writing: &Writing<'_>,
        old: &Arc<Value>,
        mut object: Value,
    ) -> Answer<Arc<Value>> {
        let resource = writing.resource;
        let key = object::key(old);
        check_versions(resource, old, &object)?;
        check_finalizers(resource, old, &object)?;
        keep_metadata(old, &mut object);
        keep_other_part(writing, old, &mut object);
        normalise(writing, &mut object);
        if !writing.tracked {
            managed::track(writing, Some(old), &mut object);
        }
        builtin::prepare(self, resource, Some(old), &mut object)?;
        move_generation(resource, old, &mut object);
        if managed::same_but_times(old, &object) {
            return Ok(Arc::clone(old));
        }
        check(resource, Some(old), &object)?;
        Ok(self.store_checked(writing, Some(old), key, object))
    }

    fn store_checked(
        &mut self,
        writing: &Writing<'_>,
        old: Option<&Arc<Value>>,
        key: Key,
        object: Value,
    ) -> Arc<Value> {
        if writing.dry_run {
            return Arc::new(object);
        }
        let resource = writing.resource;
        if object::is_terminating(&object)
            && object::finalizers(&object).is_empty()
            && may_vanish(resource, &object)
        {
            // The last finalizer is gone: this write is the end of the object.
            let stored = self.store.put(&resource.collection(), key.clone(), object);
            self.vanish(resource, &key);
            return stored;
        }
        let stored = self.store.put(&resource.collection(), key, object);
        self.after_write(resource, old, &stored);
        stored
    }

    /// Gives a generated name, and refuses a bad one.
    fn choose_name(&self, resource: &Resource, object: &mut Value) -> Answer<()> {
        if object::name(object).is_empty() {
            let stem: String = object::meta(object, "generateName").chars().take(58).collect();
            if stem.is_empty() {
                let cause = Cause::required("metadata.name", "name or generateName is required");
                return Err(Failure::invalid(resource, "", vec![cause]));
            }
            let namespace = object::namespace(object).to_owned();
            let free = |name: &String| {
                self.store.get(&resource.collection(), &Key::new(&namespace, name)).is_none()
            };
            let name = (0..8)
                .map(|_| format!("{stem}{}", object::random_suffix()))
                .find(free)
                .ok_or_else(|| Failure::already_exists(resource, &stem))?;
            meta_mut(object).insert("name".into(), json!(name));
        }
        let causes = names::check_metadata(resource, object);
        if causes.is_empty() {
            return Ok(());
        }
        Err(Failure::invalid(resource, object::name(object), causes))
    }

    fn check_namespace(&self, resource: &Resource, key: &Key) -> Answer<()> {
        if !resource.namespaced {
            return Ok(());
        }
        let Some(namespace) = self.store.get("/namespaces", &Key::new("", &key.namespace)) else {
            return Err(Failure::no_namespace(&key.namespace));
        };
        if object::is_terminating(namespace) {
            return Err(Failure::terminating(resource, &key.name, &key.namespace));
        }
        Ok(())
    }
}

/// Everything that may be wrong with a complete object.
fn check(resource: &Resource, old: Option<&Value>, object: &Value) -> Answer<()> {
    let mut causes = names::check_metadata(resource, object);
    if let Some(custom) = &resource.custom {
        validate::validate(object, old, &resource.schema, "", &mut causes);
        custom.check_rules(object, old, &mut causes);
    }
    causes.extend(builtin::validate(resource, old, object));
    if causes.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(resource, object::name(object), causes))
}

/// System metadata of a new object; what the client said about it does not count.
fn prepare_new(resource: &Resource, object: &mut Value) {
    if resource.status {
        as_map(object).remove("status");
    }
    let meta = meta_mut(object);
    for field in [
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
    ] {
        meta.remove(field);
    }
    meta.insert("uid".into(), json!(object::new_uid()));
    meta.insert("creationTimestamp".into(), json!(object::now()));
    if builtin::counts_generations(resource) {
        meta.insert("generation".into(), json!(1));
    }
}

/// Optimistic concurrency, and the identity of the object.
pub(super) fn check_versions(resource: &Resource, old: &Value, object: &Value) -> Answer<()> {
    let name = object::name(old);
    let uid = object::meta(object, "uid");
    if !uid.is_empty() && uid != object::meta(old, "uid") {
        return Err(Failure::conflict(
            resource,
            name,
            &format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                object::meta(old, "uid")
            ),
        ));
    }
    let version = object::meta(object, "resourceVersion");
    if !version.is_empty() && version != object::meta(old, "resourceVersion") {
        return Err(Failure::modified(resource, name));
    }
    Ok(())
}

/// What is being deleted gets no new finalizers.
fn check_finalizers(resource: &Resource, old: &Value, object: &Value) -> Answer<()> {
    let before = object::finalizers(old);
    let new: Vec<&str> =
        object::finalizers(object).into_iter().filter(|f| !before.contains(f)).collect();
    if !object::is_terminating(old) || new.is_empty() {
        return Ok(());
    }
    let list = new.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ");
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
    );
    let cause = Cause::forbidden("metadata.finalizers", &detail);
    Err(Failure::invalid(resource, object::name(old), vec![cause]))
}

/// Metadata that clients do not write.
fn keep_metadata(old: &Value, object: &mut Value) {
    let old_meta = old.get("metadata").cloned().unwrap_or_default();
    let meta = meta_mut(object);
    for field in [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "namespace",
        "name",
    ] {
        copy_field(&old_meta, meta, field);
    }
}

/// A write of one part leaves the other as it was.
fn keep_other_part(writing: &Writing<'_>, old: &Value, object: &mut Value) {
    match writing.part {
        Part::Main if writing.resource.status => copy_field(old, as_map(object), "status"),
        Part::Main => {}
        Part::Status => {
            let status = object.get("status").cloned();
            let managed = object["metadata"].get("managedFields").cloned();
            *object = old.clone();
            match status {
                Some(status) => as_map(object).insert("status".into(), status),
                None => as_map(object).remove("status"),
            };
            if let Some(managed) = managed {
                meta_mut(object).insert("managedFields".into(), managed);
            }
        }
    }
}

/// Fills in what is absent and drops what is `null`.
fn normalise(writing: &Writing<'_>, object: &mut Value) {
    let resource = writing.resource;
    // What apply leaves empty in a custom resource is null, and is refused later, as in Kubernetes.
    if resource.custom.is_none() || !writing.tracked {
        default::drop_nulls(object, &resource.schema);
    }
    drop_empty_metadata(object);
    default::apply_defaults(object, &resource.schema);
    if resource.custom.is_none() {
        zero::tidy(object);
        builtin::default(resource, object);
    }
}

/// `null`s and empty maps in metadata are absent, as in Go's `omitempty`.
fn drop_empty_metadata(object: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    meta_mut(object).retain(|_, value| !empty(value));
}

/// The generation counts changes outside metadata and status.
fn move_generation(resource: &Resource, old: &Value, object: &mut Value) {
    if !builtin::counts_generations(resource) {
        return;
    }
    let relevant = |value: &Value| {
        let mut value = value.clone();
        let map = as_map(&mut value);
        map.remove("metadata");
        if resource.status {
            map.remove("status");
        }
        value
    };
    if relevant(old) != relevant(object) {
        let generation = old["metadata"]["generation"].as_u64().unwrap_or_default();
        meta_mut(object).insert("generation".into(), json!(generation + 1));
    }
}
