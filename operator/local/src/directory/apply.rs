//! Writes what is declared, and deletes what is no longer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiCapabilities, Scope, pinned_kind};
use kube::{Api, Client};

use super::declared::{Declared, Identity};

/// The field manager of everything that a directory declares.
const MANAGER: &str = "gatefleet-local";
/// How long a kind may take to exist after its definition was applied.
const PATIENCE: Duration = Duration::from_millis(100);

/// Applies objects and remembers which.
pub(crate) struct Applier {
    client: Client,
    kinds: BTreeMap<KindKey, (ApiResource, ApiCapabilities)>,
    applied: BTreeMap<Identity, Declared>,
    /// What was refused, and with which words.
    refused: BTreeMap<Identity, String>,
}

/// `apiVersion` and `kind`, ordered.
type KindKey = (String, String);

/// What one round did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) applied: Vec<Identity>,
    pub(crate) deleted: Vec<Identity>,
    /// Sentences about what was refused now for the first time, or differently.
    pub(crate) complaints: Vec<String>,
    /// Whether another round is due although nothing changes.
    pub(crate) unfinished: bool,
}

impl Applier {
    pub(crate) fn new(client: Client) -> Self {
        let (kinds, applied, refused) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { client, kinds, applied, refused }
    }

    /// Brings the cluster to what is declared. What is refused stops nothing else.
    pub(crate) async fn advance(&mut self, declared: &BTreeMap<Identity, Declared>) -> Outcome {
        let mut outcome = Outcome::default();
        self.refused.retain(|identity, _| declared.contains_key(identity));
        self.create_namespaces(declared, &mut outcome).await;
        for (identity, wanted) in declared {
            if self.applied.get(identity).is_some_and(|there| there.says_the_same(wanted)) {
                continue;
            }
            match self.apply(identity, wanted).await {
                Ok(()) => {
                    self.refused.remove(identity);
                    self.applied.insert(identity.clone(), wanted.clone());
                    outcome.applied.push(identity.clone());
                }
                Err(reason) => {
                    let place = format!("{}: line {}", wanted.file.display(), wanted.line);
                    self.complain(identity, format!("{place}: {identity}: {reason}"), &mut outcome);
                }
            }
        }
        let gone: Vec<_> = self
            .applied
            .keys()
            .filter(|identity| !declared.contains_key(identity))
            .rev()
            .cloned()
            .collect();
        for identity in gone {
            match self.delete(&identity).await {
                Ok(()) => {
                    self.applied.remove(&identity);
                    outcome.deleted.push(identity);
                }
                Err(reason) => {
                    self.complain(&identity, format!("delete {identity}: {reason}"), &mut outcome);
                }
            }
        }
        outcome
    }

    fn complain(&mut self, identity: &Identity, complaint: String, outcome: &mut Outcome) {
        outcome.unfinished = true;
        if self.refused.get(identity) != Some(&complaint) {
            outcome.complaints.push(complaint.clone());
            self.refused.insert(identity.clone(), complaint);
        }
    }

    async fn create_namespaces(
        &self,
        declared: &BTreeMap<Identity, Declared>,
        outcome: &mut Outcome,
    ) {
        let new = declared.keys().filter(|identity| !self.applied.contains_key(identity));
        let names: BTreeSet<_> = new.filter_map(|identity| identity.namespace.clone()).collect();
        let api: Api<Namespace> = Api::all(self.client.clone());
        for name in names {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(name.clone());
            let parameters =
                PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            match api.create(&parameters, &namespace).await {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => outcome.complaints.push(format!("create namespace {name}: {error}")),
                Ok(_) => {}
            }
        }
    }

    async fn apply(&mut self, identity: &Identity, wanted: &Declared) -> Result<(), String> {
        let api = self.api(identity).await?;
        let parameters = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply(MANAGER).force()
        };
        let applied = api.patch(&identity.name, &parameters, &Patch::Apply(&*wanted.value)).await;
        applied.map(drop).map_err(|error| said(&error))
    }

    async fn delete(&mut self, identity: &Identity) -> Result<(), String> {
        let Ok(api) = self.api(identity).await else {
            // Its kind has gone, and it with it.
            return Ok(());
        };
        match api.delete(&identity.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(drop).map_err(|error| said(&error)),
        }
    }

    async fn api(&mut self, identity: &Identity) -> Result<Api<DynamicObject>, String> {
        let (resource, capabilities) = self.kind(identity).await?;
        if capabilities.scope == Scope::Cluster {
            return Ok(Api::all_with(self.client.clone(), &resource));
        }
        let namespace = identity.namespace.as_deref().unwrap_or("default");
        Ok(Api::namespaced_with(self.client.clone(), namespace, &resource))
    }

    async fn kind(
        &mut self,
        identity: &Identity,
    ) -> Result<(ApiResource, ApiCapabilities), String> {
        let key = (identity.api_version.clone(), identity.kind.clone());
        if let Some(known) = self.kinds.get(&key) {
            return Ok(known.clone());
        }
        let (group, version) = key.0.split_once('/').unwrap_or(("", &key.0));
        let wanted = GroupVersionKind::gvk(group, version, &key.1);
        let mut found = pinned_kind(&self.client, &wanted).await;
        if found.is_err()
            && self.applied.keys().any(|there| there.kind == "CustomResourceDefinition")
        {
            tokio::time::sleep(PATIENCE).await;
            found = pinned_kind(&self.client, &wanted).await;
        }
        let found = found.map_err(|_unhelpful| {
            format!("the API has no kind {} in {}; apply its CustomResourceDefinition, or mend the spelling", key.1, key.0)
        })?;
        self.kinds.insert(key, found.clone());
        Ok(found)
    }
}

/// What the server said, without the client's decoration.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
