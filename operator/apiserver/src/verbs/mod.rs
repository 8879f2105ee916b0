//! What can be done with an object: the way from a parsed request to an answer.

mod apply;
mod collect;
mod decode;
mod delete;
mod log;
mod patch;
mod read;
mod scale;
mod watch;
mod write;

pub(crate) use write::{Part, Writing};

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    body::{self, Reply},
    builtin::Strategy,
    error::{Answer, Failure},
    object,
    request::{Form, Params, Target},
    resource::Resource,
    server::{Shared, State},
    store::Key,
};

/// One request about a resource.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) params: Params,
    pub(crate) form: Form,
    /// `Content-Type`.
    pub(crate) media: String,
    /// `User-Agent`: the field manager of those who name none.
    pub(crate) agent: String,
    pub(crate) bytes: Bytes,
}

impl Call {
    /// Where the named object lies.
    fn key(&self) -> Key {
        Key::new(&self.target.namespace, &self.target.name)
    }

    /// `fieldManager`, else the first word of the user agent.
    fn manager(&self) -> String {
        match self.params.get("fieldManager") {
            "" => self.agent.split('/').next().unwrap_or_default().chars().take(128).collect(),
            manager => manager.to_owned(),
        }
    }
}

/// Answers a request about a resource.
pub(crate) async fn run(shared: &Arc<Shared>, call: Call) -> Answer<Reply> {
    let resource = {
        let state = shared.lock();
        state.registry.find(&call.target).cloned().ok_or_else(Failure::no_such_path)?
    };
    if !resource.namespaced && !call.target.namespace.is_empty() {
        return Err(Failure::no_such_path());
    }
    if resource.strategy == Strategy::Review {
        return review(&resource, &call);
    }
    let named = !call.target.name.is_empty();
    match (call.method.as_str(), call.target.subresource.as_str()) {
        ("GET" | "HEAD", "") if !named && call.params.flag("watch") => {
            watch::watch(shared, &resource, &call)
        }
        ("GET" | "HEAD", "") if !named => read::list(shared, &resource, &call),
        ("GET", "log") if resource.strategy == Strategy::Pod => log::open(shared, &call).await,
        _ if !sub_exists(&resource, &call.target.subresource) => Err(Failure::no_such_path()),
        ("GET" | "HEAD", _) => read::get(shared, &resource, &call),
        ("POST", "") if !named => write::create(shared, &resource, &call),
        ("PUT" | "PATCH", "scale") => scale::write(shared, &resource, &call),
        ("PUT", _) if named => write::replace(shared, &resource, &call),
        ("PATCH", _) if named => patch::patch(shared, &resource, &call),
        ("DELETE", "") if named => delete::one(shared, &resource, &call),
        ("DELETE", "") => delete::many(shared, &resource, &call),
        _ => Err(Failure::method_not_allowed()),
    }
}

fn sub_exists(resource: &Resource, subresource: &str) -> bool {
    match subresource {
        "" => true,
        "status" => resource.status,
        "scale" => resource.scale.is_some(),
        "finalize" => resource.strategy == Strategy::Namespace,
        _ => false,
    }
}

/// Answers what is asked and not stored: everybody may do everything.
fn review(resource: &Resource, call: &Call) -> Answer<Reply> {
    if call.method != Method::POST {
        return Err(Failure::method_not_allowed());
    }
    let mut review = decode::object(resource, call)?.value;
    review["status"] = match resource.kind.as_str() {
        "SelfSubjectRulesReview" => json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": false,
        }),
        "SelfSubjectReview" => {
            json!({"userInfo": {"username": "gatefleet", "groups": ["system:masters", "system:authenticated"]}})
        }
        _ => json!({"allowed": true, "reason": "the embedded API server allows everything"}),
    };
    Ok(body::json(StatusCode::CREATED, &review))
}

/// An object in the form that the client wants.
fn present(resource: &Resource, call: &Call, object: &Value) -> Value {
    match call.form {
        Form::Table => crate::table::render(resource, &[object], &call.params),
        Form::Metadata => partial(object),
        Form::Object | Form::Discovery => resource.to_served(object),
    }
}

/// `PartialObjectMetadata` of an object.
fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object.get("metadata")})
}

/// Puts in what exists in every cluster.
pub(crate) fn seed(state: &mut State) {
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": name, "uid": object::new_uid(), "creationTimestamp": object::now(),
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        state.store.put("/namespaces", Key::new("", name), namespace);
    }
}
