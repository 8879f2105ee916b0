//! Server-side apply: `PATCH` with `application/apply-patch+yaml`.

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Call, decode, present,
    write::{Part, Writing, check_name, settle_namespace},
};
use crate::{
    body::{self, Reply},
    error::{Answer, Failure},
    managed, object,
    resource::Resource,
    schema::prune,
    server::Shared,
};

/// Applies a configuration.
pub(super) fn apply(
    shared: &Shared,
    resource: &Resource,
    call: &Call,
    mut writing: Writing<'_>,
) -> Answer<Reply> {
    if call.params.get("fieldManager").is_empty() {
        return Err(Failure::unprocessable(
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
        ));
    }
    writing.tracked = true;
    let (value, duplicates) = decode::yaml(&call.bytes)?;
    refuse_unknown(resource, call, &value)?;
    let mut decoded = decode::typed(resource, call, value, &duplicates)?;
    settle_namespace(resource, call, &mut decoded.value)?;
    check_name(call, &mut decoded.value)?;
    if !object::list(&decoded.value, &["metadata", "managedFields"]).is_empty() {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let force = call.params.flag("force");
    let (status, stored) = shared.write(|state| match state.find(resource, &call.key()) {
        Ok(old) => {
            let object = managed::apply(&writing, &old, &decoded.value, force)?;
            // The version counts only if the configuration names one.
            let object = with_version(object, object::meta(&decoded.value, "resourceVersion"));
            state.replace(&writing, &old, object).map(|stored| (StatusCode::OK, stored))
        }
        Err(absent) if writing.part == Part::Status => Err(absent),
        Err(_) => {
            let uid = object::meta(&decoded.value, "uid");
            if !uid.is_empty() {
                let detail = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
                return Err(Failure::conflict(resource, &call.target.name, &detail));
            }
            let nothing = json!({"apiVersion": decoded.value["apiVersion"], "kind": decoded.value["kind"]});
            let object = managed::apply(&writing, &nothing, &decoded.value, force)?;
            state.create(&writing, object).map(|stored| (StatusCode::CREATED, stored))
        }
    })?;
    let mut reply = body::json(status, &present(resource, call, &stored));
    body::warn(&mut reply, &decoded.warnings);
    Ok(reply)
}

/// Nobody can own a field that is not declared: unknown fields are no mere warning here.
fn refuse_unknown(resource: &Resource, call: &Call, value: &Value) -> Answer<()> {
    if decode::Validation::parse(call)? == decode::Validation::Strict {
        return Ok(()); // the ordinary way refuses them, with better words
    }
    let unknown = prune::prune(&mut value.clone(), &resource.schema, true);
    let lines: Vec<String> =
        unknown.iter().map(|path| format!(".{path}: field not declared in schema")).collect();
    let list = match lines.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    Err(Failure::untyped(format!(
        "failed to create typed patch object ({}/{}; {}, Kind={}): {list}",
        object::namespace(value),
        object::name(value),
        resource.api_version(),
        resource.kind
    )))
}

fn with_version(mut object: Value, version: &str) -> Value {
    let meta = object::meta_mut(&mut object);
    if version.is_empty() {
        meta.remove("resourceVersion");
    } else {
        meta.insert("resourceVersion".into(), json!(version));
    }
    object
}
