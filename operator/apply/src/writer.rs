//! One field manager at work.

use std::{
    cmp::Ordering,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
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

/// What a watch knows about one object.
#[derive(Debug)]
pub struct Seen<'a, K> {
    /// The object, if it is there.
    pub object: Option<&'a K>,
    /// How recent that is: the watermark of its kind. Empty: not known.
    pub version: &'a str,
}

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

/// Kind, namespace, name.
type Place = (String, String, String);

/// Writes as one field manager, and remembers what the watches have not seen yet.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    manager: &'static str,
    answers: Arc<Mutex<HashMap<Place, Value>>>,
    writes: Arc<AtomicU64>,
}

impl Writer {
    /// A writer that owns what it writes as `manager`.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self { client, manager, answers: Arc::default(), writes: Arc::default() }
    }

    /// How many writes were sent.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Relaxed)
    }

    /// Makes the object be as desired, with force: a field that is desired is this manager's.
    ///
    /// # Errors
    ///
    /// When the API server does not take it.
    pub async fn apply<K: Writable>(
        &self,
        desired: &K,
        seen: Seen<'_, K>,
    ) -> Result<Applied<K>, WriteError> {
        let action = action::<K>("apply", desired);
        let body = manifest(desired, &action)?;
        if let Some(observed) = self.latest(&action, &seen)
            && is_settled(&body, &observed, self.manager)
        {
            return Ok(Applied::Unchanged);
        }
        let params = PatchParams::apply(self.manager).force();
        let api: Api<K> = Api::namespaced(self.client.clone(), &action.namespace);
        self.writes.fetch_add(1, Relaxed);
        let written = api
            .patch(&action.name, &params, &Patch::Apply(&body))
            .await
            .map_err(|error| WriteError::new(action.clone(), error))?;
        self.remember(&action, &written);
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
                api.get(&action.name).await.map_err(|error| WriteError::new(action, error))
            }
            Err(error) => Err(WriteError::new(action, error)),
        }
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
            .map_err(|error| WriteError::new(action, error))
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
            Err(error) => Err(WriteError::new(action, error)),
        }
    }

    /// The newer of what the watch saw and what the API server last answered to us.
    fn latest<K: Writable>(&self, action: &Action, seen: &Seen<'_, K>) -> Option<Value> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let place = place(action);
        if let Some(answer) = answers.get(&place) {
            let version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            if is_newer(version, seen.version) {
                return Some(answer.clone());
            }
            answers.remove(&place);
        }
        seen.object.and_then(|object| serde_json::to_value(object).ok())
    }

    fn remember<K: Writable>(&self, action: &Action, written: &K) {
        if let Ok(value) = serde_json::to_value(written) {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.insert(place(action), value);
        }
    }
}

/// resourceVersions order by length, then digit by digit (KEP-5504).
fn is_newer(one: &str, other: &str) -> bool {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other)) == Ordering::Greater
}

fn place(action: &Action) -> Place {
    (action.kind.clone(), action.namespace.clone(), action.name.clone())
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
        .map_err(|error| WriteError::new(action.clone(), kube::Error::SerdeError(error)))?;
    if let Some(members) = value.as_object_mut() {
        members.insert("apiVersion".to_owned(), K::api_version(&()).into());
        members.insert("kind".to_owned(), K::kind(&()).into());
        members.remove("status");
    }
    Ok(value)
}
