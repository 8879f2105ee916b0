//! The objects of a fleet: written as they should be, deleted when nothing declares them any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_apply::{Applied, Override, WriteError, yield_overridden};
use gatefleet_crds::{GROUP, GatewayConfig, Reason};
use gatefleet_infra::{
    Child, ChildKind, ChildNames, ChildObject, Desired, FLEET_LABEL, Problem, RETAINED_LABEL,
    TIER_LABEL, TierObjects, labels, tier_spec,
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
            let present = self.present(object).await?;
            let wish = self.wish(object, present.as_ref());
            let applied = match &tier.autoscaler {
                Some(autoscaler) if object.kind() == ChildKind::Deployment => {
                    self.apply_scaled(object, wish, present, autoscaler).await?
                }
                _ => {
                    let present = present.as_ref().map(|present| &present.manifest);
                    self.tools.infra.apply(&object.kind().resource(), wish, present).await?
                }
            };
            self.note(object.child(), applied);
        }
        Ok(())
    }

    /// What is said of `object`: not what another field manager holds against it, which is told instead of fought over.
    /// The keys of a Secret belong together.
    fn wish(&mut self, object: &dyn ChildObject, present: Option<&Present>) -> Value {
        let mut wish = manifest(object);
        if let Some(present) = present.filter(|_| object.kind() != ChildKind::Secret) {
            let managers = [self.tools.infra.manager(), self.tools.replicas.manager()];
            for Override { manager, field } in
                yield_overridden(&mut wish, &present.manifest, &managers)
            {
                let message = format!("{}: {manager} holds {field}", object.child());
                self.problems.push(Problem { reason: Reason::FieldOverridden, message });
            }
        }
        wish
    }

    /// What stands under the name of `wanted`. Somebody else's is left alone, and told.
    async fn present(&mut self, wanted: &dyn ChildObject) -> Result<Option<Present>, Halt> {
        let Child { kind, name } = wanted.child();
        let seen = self.view().child(kind, self.namespace(), &name);
        match seen.map(Present::from) {
            Some(seen) => self.unless_foreign(wanted, Some(seen)),
            // Absence in a view is no proof: only objects with the operator's label are watched.
            None => self.read(wanted).await,
        }
    }

    /// The same, as it is now.
    pub(crate) async fn read(&mut self, wanted: &dyn ChildObject) -> Result<Option<Present>, Halt> {
        let Child { kind, name } = wanted.child();
        let found = self.tools.infra.read(&kind.resource(), self.namespace(), &name).await?;
        self.unless_foreign(wanted, found.map(Present::from))
    }

    fn unless_foreign(
        &mut self,
        wanted: &dyn ChildObject,
        present: Option<Present>,
    ) -> Result<Option<Present>, Halt> {
        let labels = wanted.metadata().labels.as_ref();
        if present.as_ref().is_none_or(|present| self.is_ours(labels, &present.metadata)) {
            return Ok(present);
        }
        self.taken(&wanted.child());
        Err(Halt::NameTaken)
    }

    /// Whether one of the Secrets that a tier's identity is read from is somebody else's: then it is told.
    pub(crate) fn has_foreign_secret(&mut self, tier: Tier) -> bool {
        let fleet = self.config.metadata.name.as_deref().unwrap_or_default();
        let (names, labels) = (ChildNames::new(fleet, tier), labels(fleet, tier));
        let children =
            [names.authority, names.channel].map(|name| Child { kind: ChildKind::Secret, name });
        let foreign = children.into_iter().find(|child| {
            let seen = self.view().child(child.kind, self.namespace(), &child.name);
            seen.is_some_and(|seen| !self.is_ours(Some(&labels), seen.metadata()))
        });
        if let Some(foreign) = &foreign {
            self.taken(foreign);
        }
        foreign.is_some()
    }

    fn taken(&mut self, child: &Child) {
        self.look_again(FOREIGN);
        self.problems.push(Problem {
            reason: Reason::NameTaken,
            message: format!(
                "{child} exists and is not of this GatewayConfig: rename or delete it, or choose another name",
            ),
        });
    }

    fn note(&mut self, child: Child, applied: Applied) {
        if let Applied::Written(written) = applied {
            let (kind, name) = (child.kind.as_str(), &child.name);
            tracing::info!(kind, namespace = self.namespace(), name, "applied");
            let version = written.resource_version().unwrap_or_default();
            self.outcome.written.push(Written { child: Some(child), version });
        }
    }

    /// Written by this operator for this GatewayConfig, or for a deleted one of the same name, which may have left it
    /// without an owner: then the labels must say so.
    fn is_ours(&self, labels: Option<&BTreeMap<String, String>>, present: &ObjectMeta) -> bool {
        let ours = &self.config.metadata;
        let owners = present.owner_references.iter().flatten();
        let mut controllers = owners.filter(|owner| owner.controller == Some(true));
        let is_left_by_us = controllers.all(|owner| {
            let group = owner.api_version.split('/').next();
            (group, owner.kind.as_str()) == (Some(GROUP), "GatewayConfig")
                && Some(&owner.name) == ours.name.as_ref()
        });
        let says_so = [MANAGED_BY.0, FLEET_LABEL, TIER_LABEL].iter().all(|key| {
            let value = |labels: Option<&BTreeMap<String, String>>| labels?.get(*key).cloned();
            value(labels).is_some() && value(labels) == value(present.labels.as_ref())
        });
        is_left_by_us && (says_so || self.is_of_this_one(present))
    }

    /// Written for this very GatewayConfig, and for no namesake.
    fn is_of_this_one(&self, present: &ObjectMeta) -> bool {
        let Some(ours) = &self.config.metadata.uid else { return false };
        let retained = present.labels.as_ref().and_then(|labels| labels.get(RETAINED_LABEL));
        let mut owners = present.owner_references.iter().flatten();
        retained == Some(ours) || owners.any(|owner| owner.uid == *ours)
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
        is_marked(meta)
            && meta.deletion_timestamp.is_none()
            && self.is_of_this_one(meta)
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
