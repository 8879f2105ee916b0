//! From the body of a request to an object, with what is wrong with its fields.

use serde_json::{Value, json};

use super::Call;
use crate::{
    error::{Answer, Failure},
    json, object,
    resource::Resource,
    schema::{prune, validate},
};

/// `fieldValidation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Validation {
    Ignore,
    Warn,
    Strict,
}

impl Validation {
    pub(super) fn parse(call: &Call) -> Answer<Self> {
        match call.params.get("fieldValidation") {
            "" | "Warn" => Ok(Self::Warn),
            "Strict" => Ok(Self::Strict),
            "Ignore" => Ok(Self::Ignore),
            other => Err(Failure::bad_request(format!(
                "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))),
        }
    }
}

/// An object from a request, in the stored version.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) value: Value,
    pub(super) warnings: Vec<String>,
}

/// Reads the object in the body of a create or replace.
pub(super) fn object(resource: &Resource, call: &Call) -> Answer<Decoded> {
    let (value, duplicates) = body(call)?;
    typed(resource, call, value, &duplicates)
}

/// Reads a body in any language that the server knows.
pub(super) fn body(call: &Call) -> Answer<(Value, Vec<String>)> {
    let media = call.media.split(';').next().unwrap_or_default().trim();
    match media {
        "" | "application/json" => json(&call.bytes),
        "application/yaml" | "application/apply-patch+yaml" => yaml(&call.bytes),
        "application/vnd.kubernetes.protobuf" => crate::protobuf::decode(&call.bytes)
            .map(|value| (value, Vec::new()))
            .map_err(Failure::bad_request),
        _ => Err(Failure::unsupported_media(
            "accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )),
    }
}

/// Reads JSON and the paths of fields that came twice.
pub(super) fn json(bytes: &[u8]) -> Answer<(Value, Vec<String>)> {
    json::parse(bytes).map_err(|e| {
        Failure::bad_request(format!("couldn't get version/kind; json parse error: {e}"))
    })
}

/// Reads YAML, of which JSON is a part.
pub(super) fn yaml(bytes: &[u8]) -> Answer<(Value, Vec<String>)> {
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'{') {
        return json(bytes);
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))?;
    serde_saphyr::from_str(text)
        .map(|value| (value, Vec::new()))
        .map_err(|e| Failure::bad_request(format!("error decoding YAML: {e}")))
}

/// Checks type and fields of an object, drops what the schema does not know, and brings it to the stored version.
pub(super) fn typed(
    resource: &Resource,
    call: &Call,
    mut value: Value,
    duplicates: &[String],
) -> Answer<Decoded> {
    check_type(resource, &mut value)?;
    check_types(resource, &value)?;
    let validation = Validation::parse(call)?;
    let unknown = prune::prune(&mut value, &resource.schema, true);
    let mut findings: Vec<String> =
        duplicates.iter().map(|f| format!("duplicate field {f:?}")).collect();
    findings.extend(unknown.iter().map(|f| format!("unknown field {f:?}")));
    let warnings = judge(resource, validation, findings)?;
    Ok(Decoded { value: resource.to_stored(value), warnings })
}

/// Findings are warnings, a refusal, or nothing.
pub(super) fn judge(
    resource: &Resource,
    validation: Validation,
    findings: Vec<String>,
) -> Answer<Vec<String>> {
    match validation {
        Validation::Ignore => Ok(Vec::new()),
        Validation::Warn => Ok(findings),
        Validation::Strict if findings.is_empty() => Ok(Vec::new()),
        Validation::Strict => Err(Failure::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: strict decoding error: {}",
            resource.kind,
            resource.version,
            resource.kind,
            findings.join(", ")
        ))),
    }
}

fn check_type(resource: &Resource, value: &mut Value) -> Answer<()> {
    let Some(map) = value.as_object_mut() else {
        return Err(Failure::bad_request("the body is no object"));
    };
    if resource.custom.is_none() {
        // The path says it: bodies of built-in kinds may leave it out.
        object::default_to(map, "kind", resource.kind.clone());
        object::default_to(map, "apiVersion", resource.api_version());
    }
    let value = &*value;
    let (kind, version) = (object::text(value, &["kind"]), object::text(value, &["apiVersion"]));
    for (field, text) in [("Kind", kind), ("apiVersion", version)] {
        if text.is_empty() {
            return Err(Failure::bad_request(format!(
                "Object '{field}' is missing in '{}'",
                shortened(value)
            )));
        }
    }
    if kind != resource.kind || version != resource.api_version() {
        return Err(Failure::bad_request(format!(
            "the API version in the data ({version}, Kind={kind}) does not match the expected API version ({}, Kind={})",
            resource.api_version(),
            resource.kind
        )));
    }
    Ok(())
}

/// A built-in kind must fit its type before anything else is asked; custom ones are validated later.
pub(super) fn check_types(resource: &Resource, value: &Value) -> Answer<()> {
    if resource.custom.is_some() {
        return Ok(());
    }
    match validate::type_fault(value, &resource.schema, "") {
        None => Ok(()),
        Some(fault) => Err(Failure::bad_request(format!(
            "{} in version {:?} cannot be handled as a {}: {fault}",
            resource.kind, resource.version, resource.kind
        ))),
    }
}

fn shortened(value: &Value) -> String {
    value.to_string().chars().take(256).collect()
}

/// `DeleteOptions` of a deletion: from the body, and only without one from the query.
pub(super) fn delete_options(call: &Call) -> Answer<Value> {
    if !call.bytes.is_empty() {
        let options = body(call)?.0;
        if !options.is_object() {
            return Err(Failure::bad_request("DeleteOptions must be an object"));
        }
        return Ok(options);
    }
    let mut options = json!({});
    if let Some(seconds) = call.params.number("gracePeriodSeconds")? {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    if call.params.has("propagationPolicy") {
        options["propagationPolicy"] = json!(call.params.get("propagationPolicy"));
    }
    if call.params.flag("orphanDependents") {
        options["orphanDependents"] = json!(true);
    }
    if call.params.dry_run()? {
        options["dryRun"] = json!(["All"]);
    }
    Ok(options)
}
