//! The objects of a fleet: written as they should be, deleted when nothing declares them any more.

use std::{collections::BTreeSet, sync::Arc};

use gatefleet_apply::{Applied, WriteError};
use gatefleet_crds::{GatewayConfig, Reason};
use gatefleet_infra::{
    Child, ChildKind, ChildObject, Desired, Problem, TIER_LABEL, TierObjects, tier_spec,
};
use gatefleet_names::Tier;
use gatefleet_watch::MANAGED_BY;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
};
use serde_json::Value;

use crate::reconcile::{FOREIGN, Reconcile, Written};

/// Why a tier's turn ends early. Pods do not run with what is somebody else's.
pub(crate) enum Halt {
    /// Told as a problem.
    NameTaken,
    Write(WriteError),
}

impl From<WriteError> for Halt {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// An object as a watch shows it, or as the API server answered.
pub(crate) struct Present {
    pub(crate) metadata: ObjectMeta,
    pub(crate) manifest: Value,
}

impl From<&dyn ChildObject> for Present {
    fn from(seen: &dyn ChildObject) -> Self {
        Self { metadata: seen.metadata().clone(), manifest: manifest(seen) }
    }
}

impl From<DynamicObject> for Present {
    fn from(found: DynamicObject) -> Self {
        let manifest = serde_json::to_value(&found).unwrap_or_default();
        Self { metadata: found.metadata, manifest }
    }
}

impl Reconcile<'_> {
    /// In the order in which pods need them; the first failure ends the tier's turn, not the other tier's.
    pub(crate) async fn apply_tier(&mut self, tier: &TierObjects) -> Result<(), Halt> {
        for object in tier.objects() {
            let child = object.child();
            let present = self.present(&child).await?;
            let applied = match &tier.autoscaler {
                Some(autoscaler) if child.kind == ChildKind::Deployment => {
                    self.apply_scaled(manifest(object), present, autoscaler).await?
                }
                _ => {
                    let present = present.as_ref().map(|present| &present.manifest);
                    let resource = child.kind.resource();
                    self.tools.infra.apply(&resource, manifest(object), present).await?
                }
            };
            self.note(child, applied);
        }
        Ok(())
    }

    /// What stands under the name of `child`. Somebody else's is left alone, and told.
    async fn present(&mut self, child: &Child) -> Result<Option<Present>, Halt> {
        let seen = self.view().child(child.kind, self.namespace(), &child.name);
        match seen.map(Present::from) {
            Some(seen) => self.unless_foreign(child, Some(seen)),
            // Absence in a view is no proof: only objects with the operator's label are watched.
            None => self.read(child).await,
        }
    }

    /// The same, as it is now.
    pub(crate) async fn read(&mut self, child: &Child) -> Result<Option<Present>, Halt> {
        let resource = child.kind.resource();
        let found = self.tools.infra.read(&resource, self.namespace(), &child.name).await?;
        self.unless_foreign(child, found.map(Present::from))
    }

    fn unless_foreign(
        &mut self,
        child: &Child,
        present: Option<Present>,
    ) -> Result<Option<Present>, Halt> {
        if present.as_ref().is_none_or(|present| self.is_ours(&present.metadata)) {
            return Ok(present);
        }
        self.look_again(FOREIGN);
        self.problems.push(Problem {
            reason: Reason::NameTaken,
            message: format!(
                "{child} exists and is not of this GatewayConfig: rename or delete it, or choose another name",
            ),
        });
        Err(Halt::NameTaken)
    }

    fn note(&mut self, child: Child, applied: Applied) {
        if let Applied::Written(written) = applied {
            let (kind, name) = (child.kind.as_str(), &child.name);
            tracing::info!(kind, namespace = self.namespace(), name, "applied");
            let version = written.resource_version().unwrap_or_default();
            self.outcome.written.push(Written { child: Some(child), version });
        }
    }

    /// Written by this operator for this GatewayConfig, or for a deleted one of the same name.
    fn is_ours(&self, present: &ObjectMeta) -> bool {
        let mut controllers = present
            .owner_references
            .iter()
            .flatten()
            .filter(|owner| owner.controller == Some(true));
        is_marked(present)
            && controllers.all(|owner| {
                owner.kind == "GatewayConfig"
                    && Some(&owner.name) == self.config.metadata.name.as_ref()
            })
    }

    /// Deletes what is no longer declared: dependents before what they need.
    pub(crate) async fn prune(&mut self, desired: &Desired) -> Result<(), WriteError> {
        let view = Arc::clone(&self.sight.view);
        let kept = Kept::new(self.config, desired);
        let mut orphans = Vec::new();
        for kind in ChildKind::ALL.iter().rev() {
            let known = view.children_in(*kind, self.namespace());
            orphans.extend(known.into_iter().filter(|object| self.is_orphan(*object, &kept)));
        }
        if orphans.is_empty() || !self.is_current().await? {
            return Ok(());
        }
        for orphan in orphans {
            tracing::info!(child = %orphan.child(), namespace = self.namespace(), "prune");
            self.tools.infra.delete(&orphan.kind().resource(), orphan.metadata()).await?;
        }
        Ok(())
    }

    fn is_orphan(&self, object: &dyn ChildObject, kept: &Kept) -> bool {
        let meta = object.metadata();
        let mut owners = meta.owner_references.iter().flatten();
        is_marked(meta)
            && meta.deletion_timestamp.is_none()
            && owners.any(|owner| Some(&owner.uid) == self.config.metadata.uid.as_ref())
            && !kept.has(object)
    }

    /// Nothing is deleted for a declaration that has changed meanwhile.
    async fn is_current(&self) -> Result<bool, WriteError> {
        let resource = ApiResource::erase::<GatewayConfig>(&());
        let ours = &self.config.metadata;
        let name = ours.name.as_deref().unwrap_or_default();
        let live = self.tools.infra.read(&resource, self.namespace(), name).await?;
        let live = live.map(|live| live.metadata);
        Ok(live.is_some_and(|live| live.uid == ours.uid && live.generation == ours.generation))
    }
}

/// What must stay.
struct Kept {
    built: BTreeSet<Child>,
    /// Declared, but not built this time: everything of theirs stays.
    unbuilt: Vec<Tier>,
}

impl Kept {
    fn new(config: &GatewayConfig, desired: &Desired) -> Self {
        let declared = Tier::ALL.into_iter().filter(|tier| tier_spec(config, *tier).is_some());
        let unbuilt = declared.filter(|tier| desired.tier(*tier).is_none()).collect();
        Self { built: desired.children(), unbuilt }
    }

    /// What has lost the label of its tier may be of any.
    fn has(&self, object: &dyn ChildObject) -> bool {
        let label = object.metadata().labels.as_ref().and_then(|labels| labels.get(TIER_LABEL));
        let may_be = |tier: &Tier| label.is_none_or(|label| *label == tier.to_string());
        self.built.contains(&object.child()) || self.unbuilt.iter().any(may_be)
    }
}

fn is_marked(meta: &ObjectMeta) -> bool {
    let mark = meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0));
    mark.is_some_and(|value| value == MANAGED_BY.1)
}

fn manifest(object: &dyn ChildObject) -> Value {
    object.manifest().unwrap_or_default()
}
