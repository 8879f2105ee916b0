//! One field manager at work.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use k8s_openapi::NamespaceResourceScope;
use kube::{
    Api, Client, Resource,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    error::{Action, Refusal, WriteError},
    settled::is_settled,
};

/// What an apply did.
#[derive(Clone, Debug)]
pub enum Applied<K> {
    /// It was already so: nothing was sent.
    Unchanged,
    /// The object as the API server answered it.
    Written(Box<K>),
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
}

impl Writer {
    /// A writer that owns what it writes as `manager`.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager, writes: Arc::default() }
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
    pub async fn apply<K: Writable>(
        &self,
        desired: &K,
        observed: Option<&K>,
    ) -> Result<Applied<K>, WriteError> {
        let action = action::<K>("apply", desired);
        let body = manifest(desired, &action)?;
        let observed = observed.and_then(|object| serde_json::to_value(object).ok());
        if observed.is_some_and(|observed| is_settled(&body, &observed, self.manager)) {
            return Ok(Applied::Unchanged);
        }
        let params = PatchParams::apply(self.manager).force();
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        self.writes.fetch_add(1, Relaxed);
        let written = api.patch(&action.name, &params, &Patch::Apply(&body)).await;
        let written = written.map_err(|error| WriteError::new(action, &error))?;
        Ok(Applied::Written(Box::new(written)))
    }

    /// Creates the object unless one of its name exists: then that one is answered, unchanged.
    ///
    /// # Errors
    ///
    /// When the API server does neither.
    pub async fn create_if_absent<K: Writable>(&self, desired: &K) -> Result<K, WriteError> {
        let action = action::<K>("create", desired);
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        let params =
            PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        self.writes.fetch_add(1, Relaxed);
        match api.create(&params, desired).await {
            Ok(created) => Ok(created),
            Err(error) if Refusal::of(&error) == Refusal::Conflict => {
                let action = Action { verb: "read", ..action };
                api.get(&action.name).await.map_err(|error| WriteError::new(action, &error))
            }
            Err(error) => Err(WriteError::new(action, &error)),
        }
    }

    /// What the API server holds under this name now: for decisions that must not rest on a watch.
    ///
    /// # Errors
    ///
    /// When the API server does not answer.
    pub async fn read<K: Writable>(&self, object: &K) -> Result<Option<K>, WriteError> {
        let action = action::<K>("read", object);
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        api.get_opt(&action.name).await.map_err(|error| WriteError::new(action, &error))
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
        let action = action::<K>("update status of", object);
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": action.name, "uid": object.meta().uid },
            "status": status,
        });
        let params = PatchParams { force, ..PatchParams::apply(self.manager) };
        self.writes.fetch_add(1, Relaxed);
        api.patch_status(&action.name, &params, &Patch::Apply(&body))
            .await
            .map_err(|error| WriteError::new(action, &error))
    }

    /// Deletes exactly this object in exactly this state. One that is gone already is no error.
    ///
    /// # Errors
    ///
    /// When the API server does not take it: also when the object changed since it was seen.
    pub async fn delete<K: Writable>(&self, observed: &K) -> Result<(), WriteError> {
        let action = action::<K>("delete", observed);
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        let meta = observed.meta();
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
            }),
            ..DeleteParams::background()
        };
        self.writes.fetch_add(1, Relaxed);
        match api.delete(&action.name, &params).await {
            Ok(_) => Ok(()),
            Err(error) if Refusal::of(&error) == Refusal::Absent => Ok(()),
            Err(error) => Err(WriteError::new(action, &error)),
        }
    }
}

fn action<K: Writable>(verb: &'static str, object: &K) -> Action {
    let meta = object.meta();
    Action {
        verb,
        kind: K::kind(&()).into_owned(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

/// With `apiVersion` and `kind`, which derived types leave out.
fn manifest<K: Writable>(object: &K, action: &Action) -> Result<Value, WriteError> {
    let mut value = serde_json::to_value(object)
        .map_err(|error| WriteError::new(action.clone(), &kube::Error::SerdeError(error)))?;
    if let Some(members) = value.as_object_mut() {
        members.insert("apiVersion".to_owned(), K::api_version(&()).into());
        members.insert("kind".to_owned(), K::kind(&()).into());
        members.remove("status");
    }
    Ok(value)
}
