//! One field manager at work.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use k8s_openapi::{NamespaceResourceScope, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client, Resource,
    api::{
        ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
        Preconditions,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    error::{Action, Refusal, WriteError},
    leadership::Leadership,
    settled::{is_settled, owns},
};

/// What an apply did.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It was already so: nothing was sent.
    Unchanged,
    /// The object as the API server answered it.
    Written(Box<DynamicObject>),
}

/// Namespaced kinds that this crate can write.
pub trait Writable:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Writable for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + fmt::Debug
        + Serialize
        + DeserializeOwned
{
}

/// Writes as one field manager.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
    writes: Arc<AtomicU64>,
    leadership: Leadership,
}

impl Writer {
    /// A writer that owns what it writes as `manager`.
    #[must_use]
    pub fn new(client: Client, manager: &'static str, leadership: Leadership) -> Self {
        Self { client, manager, writes: Arc::default(), leadership }
    }

    /// Sends one write, if this replica leads, and stops waiting for its answer when the term ends.
    async fn sent<T>(
        &self,
        action: Action,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, WriteError> {
        let Some(term) = self.leadership.term() else { return Err(WriteError::standby(action)) };
        self.writes.fetch_add(1, Relaxed);
        match tokio::time::timeout_at(term.until.into(), request).await {
            Ok(answer) => answer.map_err(|error| WriteError::new(action, &error)),
            Err(_) => Err(WriteError::late(action)),
        }
    }

    /// As whom it writes.
    #[must_use]
    pub const fn manager(&self) -> &'static str {
        self.manager
    }

    /// How many writes were sent.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// Makes the object be as desired, with force: a field that is desired is this manager's. Nothing is sent
    /// when `observed`, what a watch last saw of it, is so already.
    ///
    /// # Errors
    ///
    /// When the API server does not take it.
    pub async fn apply(
        &self,
        resource: &ApiResource,
        desired: Value,
        observed: Option<&Value>,
    ) -> Result<Applied, WriteError> {
        let body = manifest(resource, desired);
        if observed.is_some_and(|observed| is_settled(&body, observed, self.manager)) {
            return Ok(Applied::Unchanged);
        }
        let written = self.send(resource, &body, &PatchParams::apply(self.manager).force()).await?;
        Ok(Applied::Written(Box::new(written)))
    }

    /// Becomes a manager of these fields, beside those that have said the same.
    ///
    /// # Errors
    ///
    /// When the API server does not take it: also when somebody manages one of them with another value, or when the
    /// object has another `resourceVersion` than `fields`.
    pub async fn share(
        &self,
        resource: &ApiResource,
        fields: Value,
    ) -> Result<DynamicObject, WriteError> {
        let body = manifest(resource, fields);
        self.send(resource, &body, &PatchParams::apply(self.manager)).await
    }

    /// Whether [`Writer::apply`] would send nothing.
    #[must_use]
    pub fn is_settled(&self, resource: &ApiResource, desired: &Value, observed: &Value) -> bool {
        is_settled(&manifest(resource, desired.clone()), observed, self.manager)
    }

    /// Whether this manager said the value at `path` with its last apply, and nobody took it over since.
    #[must_use]
    pub fn owns(&self, observed: &Value, path: &[&str]) -> bool {
        owns(observed, self.manager, path)
    }

    async fn send(
        &self,
        resource: &ApiResource,
        body: &Value,
        params: &PatchParams,
    ) -> Result<DynamicObject, WriteError> {
        let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let action = action("apply", resource, namespace, name);
        let api = self.api(resource, namespace);
        self.sent(action, api.patch(name, params, &Patch::Apply(body))).await
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }

    /// Creates the object unless one of its name exists: then that one is answered, unchanged.
    ///
    /// # Errors
    ///
    /// When the API server does neither.
    pub async fn create_if_absent<K: Writable>(&self, desired: &K) -> Result<K, WriteError> {
        let action = action_on("create", desired);
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        let params =
            PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        match self.sent(action.clone(), api.create(&params, desired)).await {
            Err(error) if error.refusal == Refusal::Conflict => {
                let action = Action { verb: "read", ..action };
                api.get(&action.name).await.map_err(|error| WriteError::new(action, &error))
            }
            answer => answer,
        }
    }

    /// What the API server holds under this name now: for decisions that must not rest on a watch.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn read(
        &self,
        resource: &ApiResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>, WriteError> {
        let found = self.api(resource, namespace).get_opt(name).await;
        found.map_err(|error| WriteError::new(action("read", resource, namespace, name), &error))
    }

    /// All objects of a kind with these labels, in every namespace.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn list(
        &self,
        resource: &ApiResource,
        labels: &str,
    ) -> Result<Vec<DynamicObject>, WriteError> {
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let found = api.list(&ListParams::default().labels(labels)).await;
        let found = found.map(|list| list.items);
        found.map_err(|error| WriteError::new(action("list", resource, "", labels), &error))
    }

    /// Makes `status` of the object be this, through its subresource: conflicts with fields of others are
    /// errors unless `force`. The caller has compared: it is always sent.
    ///
    /// # Errors
    ///
    /// When the API server does not take it, or when the name belongs to another object by now.
    pub async fn apply_status<K: Writable>(
        &self,
        object: &K,
        status: &Value,
        force: bool,
    ) -> Result<K, WriteError> {
        let action = action_on("update status of", object);
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": action.name, "uid": object.meta().uid },
            "status": status,
        });
        let params = PatchParams { force, ..PatchParams::apply(self.manager) };
        let name = action.name.clone();
        self.sent(action, api.patch_status(&name, &params, &Patch::Apply(&body))).await
    }

    /// Deletes exactly this object in exactly this state. One that is gone already is no error.
    ///
    /// # Errors
    ///
    /// When the API server does not take it: also when the object changed since it was seen.
    pub async fn delete(
        &self,
        resource: &ApiResource,
        observed: &ObjectMeta,
    ) -> Result<(), WriteError> {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let (namespace, name) = (text(&observed.namespace), text(&observed.name));
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: observed.uid.clone(),
                resource_version: observed.resource_version.clone(),
            }),
            ..DeleteParams::background()
        };
        let action = action("delete", resource, &namespace, &name);
        match self.sent(action, self.api(resource, &namespace).delete(&name, &params)).await {
            Err(error) if error.refusal == Refusal::Absent => Ok(()),
            answer => answer.map(drop),
        }
    }
}

fn action(verb: &'static str, resource: &ApiResource, namespace: &str, name: &str) -> Action {
    Action {
        verb,
        kind: resource.kind.clone(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}

fn action_on<K: Writable>(verb: &'static str, object: &K) -> Action {
    let meta = object.meta();
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let resource = ApiResource::erase::<K>(&());
    action(verb, &resource, &text(&meta.namespace), &text(&meta.name))
}

/// With `apiVersion` and `kind`, which derived types leave out.
fn manifest(resource: &ApiResource, mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.insert("apiVersion".to_owned(), resource.api_version.clone().into());
        members.insert("kind".to_owned(), resource.kind.clone().into());
        members.remove("status");
    }
    value
}
