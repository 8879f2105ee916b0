//! What the server answers instead of a result: a Kubernetes `Status`
//! (`k8s.io/apimachinery` `metav1.Status`), with the messages that users of a real cluster know.

use http::StatusCode;
use serde_json::{Value, json};

use crate::resource::Resource;

/// One finding about one field of a request, as in `status.details.causes`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cause {
    /// Kubernetes' `CauseType`, say `FieldValueInvalid`.
    pub(crate) reason: &'static str,
    /// Path of the field, say `spec.ports[0].port`.
    pub(crate) field: String,
    /// What is wrong, as `field.Error.ErrorBody` words it.
    pub(crate) message: String,
}

impl Cause {
    /// A field that must be there is not.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = join("Required value", detail);
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// A field has a value that its type or rule refuses.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = join(&format!("Invalid value: {}", shown(value)), detail);
        Self { reason: "FieldValueInvalid", field: field.into(), message }
    }

    /// A field's value is not in its enumeration.
    pub(crate) fn not_supported(
        field: impl Into<String>,
        value: &Value,
        allowed: &[String],
    ) -> Self {
        let allowed: Vec<String> = allowed.iter().map(|v| format!("{v:?}")).collect();
        let message = format!(
            "Unsupported value: {}: supported values: {}",
            shown(value),
            allowed.join(", ")
        );
        Self { reason: "FieldValueNotSupported", field: field.into(), message }
    }

    /// A field has a type that the schema does not know.
    pub(crate) fn wrong_type(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        let message = join(&format!("Invalid value: {}", shown(value)), detail);
        Self { reason: "FieldValueTypeInvalid", field: field.into(), message }
    }

    /// A value occurs twice where it may occur once.
    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        let message = format!("Duplicate value: {}", shown(value));
        Self { reason: "FieldValueDuplicate", field: field.into(), message }
    }

    /// A field may not be set here.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        let message = join("Forbidden", detail);
        Self { reason: "FieldValueForbidden", field: field.into(), message }
    }

    fn json(&self) -> Value {
        json!({"reason": self.reason, "message": self.message, "field": self.field})
    }
}

fn join(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_owned() } else { format!("{head}: {detail}") }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) | Value::String(_) => value.to_string(),
        other => other.to_string(),
    }
}

/// A refusal: everything that becomes a `Status` of `Failure`.
#[derive(Debug, Clone)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: u16,
    reason: &'static str,
    message: String,
    details: Value,
}

/// The result of every verb.
pub(crate) type Answer<T> = Result<T, Failure>;

impl Failure {
    fn new(code: u16, reason: &'static str, message: String, details: Value) -> Self {
        Self(Box::new(Inner { code, reason, message, details }))
    }

    /// 400: the request makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into(), Value::Null)
    }

    /// 403: admission refuses, with a reason that a person can act on.
    pub(crate) fn forbidden(of: &Resource, name: &str, detail: &str) -> Self {
        let message = format!("{} {name:?} is forbidden: {detail}", of.qualified());
        Self::new(403, "Forbidden", message, details(of, name, &[]))
    }

    /// 403 for content of a namespace that is going away.
    pub(crate) fn terminating(of: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let message = format!("{} {name:?} is forbidden: {why}", of.qualified());
        let mut details = details(of, name, &[]);
        details["causes"] = json!([{"reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"), "field": "metadata.namespace"}]);
        Self::new(403, "Forbidden", message, details)
    }

    /// 404 for an object.
    pub(crate) fn not_found(of: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} not found", of.qualified());
        Self::new(404, "NotFound", message, details(of, name, &[]))
    }

    /// 404 for a path that names no resource.
    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource".to_owned();
        Self::new(404, "NotFound", message, json!({}))
    }

    /// 404 for the namespace of a namespaced object.
    pub(crate) fn no_namespace(namespace: &str) -> Self {
        let message = format!("namespaces {namespace:?} not found");
        Self::new(404, "NotFound", message, json!({"name": namespace, "kind": "namespaces"}))
    }

    /// 405: the resource does not know the verb.
    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(405, "MethodNotAllowed", message, json!({}))
    }

    /// 409: the name is taken.
    pub(crate) fn already_exists(of: &Resource, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", of.qualified());
        Self::new(409, "AlreadyExists", message, details(of, name, &[]))
    }

    /// 409: somebody else wrote in between, or a precondition does not hold.
    pub(crate) fn conflict(of: &Resource, name: &str, detail: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {detail}", of.qualified());
        Self::new(409, "Conflict", message, details(of, name, &[]))
    }

    /// 409: a deletion's precondition does not hold. Kubernetes names the kind here, not the resource.
    pub(crate) fn precondition(of: &Resource, name: &str, detail: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {detail}", of.qualified_kind());
        Self::new(409, "Conflict", message, details(of, name, &[]))
    }

    /// 409 of optimistic concurrency.
    pub(crate) fn modified(of: &Resource, name: &str) -> Self {
        Self::conflict(
            of,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 of server-side apply: (manager, field path) of each field that somebody else owns.
    pub(crate) fn apply_conflict(owned: &[(String, String)]) -> Self {
        let mut causes = Vec::new();
        let mut lines = Vec::new();
        for (manager, field) in owned {
            let message = format!("conflict with {manager}");
            lines.push((manager.clone(), field.clone()));
            causes.push(
                json!({"reason": "FieldManagerConflict", "message": message, "field": field}),
            );
        }
        let message = conflict_message(&lines);
        Self::new(409, "Conflict", message, json!({"causes": causes}))
    }

    /// 410: the history that the client asks for is gone.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into(), Value::Null)
    }

    /// 504: a revision from the future, say from another life of the server.
    pub(crate) fn too_large_version(asked: u64, now: u64) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {now}");
        let details = json!({"causes": [{"reason": "ResourceVersionTooLarge",
            "message": "Too large resource version"}], "retryAfterSeconds": 1});
        Self::new(504, "Timeout", message, details)
    }

    /// 413: a body over the limit.
    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(413, "RequestEntityTooLarge", message, json!({}))
    }

    /// 415: a body in a language that this server or this verb does not read.
    pub(crate) fn unsupported_media(detail: &str) -> Self {
        let message = format!("the body of the request was in an unknown format - {detail}");
        Self::new(415, "UnsupportedMediaType", message, json!({}))
    }

    /// 422: the object breaks rules.
    pub(crate) fn invalid(of: &Resource, name: &str, mut causes: Vec<Cause>) -> Self {
        let mut seen = Vec::new();
        causes.retain(|c| {
            !seen.contains(c) && {
                seen.push(c.clone());
                true
            }
        });
        let lines: Vec<String> =
            causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let list = match lines.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind =
            if of.group.is_empty() { of.kind.clone() } else { format!("{}.{}", of.kind, of.group) };
        let message = format!("{kind} {name:?} is invalid: {list}");
        let mut details = details(of, name, &causes);
        details["kind"] = json!(of.kind);
        Self::new(422, "Invalid", message, details)
    }

    /// 422 without fields, for patches that cannot be applied.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message.into(), json!({}))
    }

    /// 500 without a reason: what kube-apiserver makes of errors that it has no words for.
    pub(crate) fn untyped(message: String) -> Self {
        Self::new(500, "", message, Value::Null)
    }

    /// The HTTP status.
    pub(crate) fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `Status` object.
    pub(crate) fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.0.message, "code": self.0.code,
        });
        if !self.0.reason.is_empty() {
            status["reason"] = json!(self.0.reason);
        }
        if !self.0.details.is_null() {
            status["details"] = self.0.details.clone();
        }
        status
    }
}

fn details(of: &Resource, name: &str, causes: &[Cause]) -> Value {
    let mut details = json!({"name": name, "kind": of.plural});
    if name.is_empty() {
        details = json!({"kind": of.plural});
    }
    if !of.group.is_empty() {
        details["group"] = json!(of.group);
    }
    if !causes.is_empty() {
        details["causes"] = causes.iter().map(Cause::json).collect();
    }
    details
}

/// `Apply failed with n conflicts: …`, worded as structured-merge-diff does.
fn conflict_message(lines: &[(String, String)]) -> String {
    let count =
        if lines.len() == 1 { "1 conflict".into() } else { format!("{} conflicts", lines.len()) };
    if let [(who, field)] = lines {
        return format!("Apply failed with {count}: conflict with {who}: {field}");
    }
    let mut text = format!("Apply failed with {count}: ");
    let mut last = None;
    let mut blocks = Vec::new();
    for (who, field) in lines {
        if last != Some(who) {
            blocks.push(format!("conflicts with {who}:"));
            last = Some(who);
        }
        blocks.push(format!("- {field}"));
    }
    text.push_str(&blocks.join("\n"));
    text
}
