//! `PATCH`: by media type a JSON patch, a merge patch, a strategic merge patch or server-side apply.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::{
    Call, decode, present,
    write::{Writing, check_name, settle_namespace},
};
use crate::{
    body::{self, Reply},
    error::{Answer, Cause, Failure},
    object,
    resource::Resource,
    schema::prune,
    server::Shared,
};

/// The languages of patches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Language {
    fn parse(resource: &Resource, media: &str) -> Answer<Self> {
        match media.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if resource.custom.is_none() => {
                Ok(Self::Strategic)
            }
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(Failure::unsupported_media(
                "accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }
}

/// `PATCH` of an object or of its status.
pub(super) fn patch(shared: &Shared, resource: &Resource, call: &Call) -> Answer<Reply> {
    let language = Language::parse(resource, &call.media)?;
    let writing = Writing::parse(resource, call)?;
    if language == Language::Apply {
        return super::apply::apply(shared, resource, call, writing);
    }
    if call.params.has("force") {
        return Err(Failure::unprocessable(
            "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch",
        ));
    }
    let (stored, warnings) = shared.write(|state| -> Answer<(Arc<Value>, Vec<String>)> {
        let old = state.find(resource, &call.key())?;
        let shown = resource.to_served(&old);
        let mut patched = apply_patch(language, resource, call, &shown)?;
        decode::check_types(resource, &patched)?;
        let unknown = prune::prune(&mut patched, &resource.schema, true);
        let findings = unknown.iter().map(|f| format!("unknown field {f:?}")).collect();
        let warnings = decode::judge(resource, decode::Validation::parse(call)?, findings)?;
        let mut object = resource.to_stored(patched);
        settle_namespace(resource, call, &mut object)?;
        check_name(call, &mut object)?;
        if object["metadata"]["uid"] != old["metadata"]["uid"] {
            let cause =
                Cause::invalid("metadata.uid", &object["metadata"]["uid"], "field is immutable");
            return Err(Failure::invalid(resource, &call.target.name, vec![cause]));
        }
        let stored = state.replace(&writing, &old, object)?;
        Ok((stored, warnings))
    })?;
    let mut reply = body::json(StatusCode::OK, &present(resource, call, &stored));
    body::warn(&mut reply, &warnings);
    Ok(reply)
}

fn apply_patch(
    language: Language,
    resource: &Resource,
    call: &Call,
    current: &Value,
) -> Answer<Value> {
    let mut patched = current.clone();
    let (patch, _) = decode::json(&call.bytes)?;
    match language {
        Language::Json => json_patch(&mut patched, patch)?,
        Language::Strategic => crate::strategic::merge(&mut patched, &patch, &resource.schema)
            .map_err(Failure::bad_request)?,
        Language::Merge | Language::Apply => {
            if !patch.is_object() {
                return Err(Failure::bad_request("a merge patch must be an object"));
            }
            json_patch::merge(&mut patched, &patch);
        }
    }
    // A patch that does not speak of the version does not ask for one.
    if object::meta(&patched, "resourceVersion") == object::meta(current, "resourceVersion") {
        object::meta_mut(&mut patched).remove("resourceVersion");
    }
    Ok(patched)
}

/// Patches an object that has no schema, such as a scale.
pub(super) fn untyped(call: &Call, current: &Value) -> Answer<Value> {
    let mut patched = current.clone();
    let media = call.media.split(';').next().unwrap_or_default().trim();
    let patch = decode::yaml(&call.bytes)?.0;
    if media == "application/json-patch+json" {
        json_patch(&mut patched, patch)?;
    } else {
        json_patch::merge(&mut patched, &patch);
    }
    if object::meta(&patched, "resourceVersion") == object::meta(current, "resourceVersion") {
        object::meta_mut(&mut patched).remove("resourceVersion");
    }
    Ok(patched)
}

fn json_patch(object: &mut Value, patch: Value) -> Answer<()> {
    let patch: json_patch::Patch = serde_json::from_value(patch)
        .map_err(|e| Failure::bad_request(format!("error decoding patch: {e}")))?;
    json_patch::patch(object, &patch).map_err(|error| {
        tracing::debug!(%error, "a JSON patch does not apply");
        Failure::unprocessable("the server rejected our request due to an error in our request")
    })
}
