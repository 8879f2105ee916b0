//! One fleet, once: build, apply, prune, observe, tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use gatefleet_apply::{Applied, Events, Finding, Refusal, Weight, WriteError, Writer};
use gatefleet_crds::{EventType, GatewayConfig, GatewayConfigStatus, Reason};
use gatefleet_distribute::Publisher;
use gatefleet_infra::{
    ChannelMaterial, Child, ChildKind, ChildNames, ChildObject, Desired, Operator, Problem,
    TIER_LABEL, TierInputs, TierObjects, allocate_ports, owned_status, recheck_after, status,
    tier_spec, transitions,
};
use gatefleet_names::{Tier, TierKey};
use gatefleet_watch::{MANAGED_BY, View};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Resource, ResourceExt, api::ApiResource};
use serde_json::Value;

use crate::{
    identity,
    nodes::Nodes,
    observe::{Sight, fleet_of},
    refused,
};

/// What every reconcile works with.
pub(crate) struct Tools {
    /// Field manager `gatefleet-infra`.
    pub(crate) infra: Writer,
    /// Field manager `gatefleet-status`.
    pub(crate) status: Writer,
    pub(crate) events: Events,
    pub(crate) nodes: Nodes,
    pub(crate) publisher: Publisher,
    pub(crate) operator: Operator,
    /// PEM: what proxies believe the servers by.
    pub(crate) server_authority: String,
    /// When this process began.
    pub(crate) started: Instant,
    /// The authority that each tier was last trusted by.
    pub(crate) trusted: Mutex<BTreeMap<TierKey, String>>,
}

/// One write that the watches will show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) child: Option<Child>,
    pub(crate) version: String,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// To be seen in the view before this fleet is looked at again.
    pub(crate) written: Vec<Written>,
    /// Whether the status was written.
    pub(crate) told: bool,
    /// Something failed that may go well later; the wait that the API server asked for.
    pub(crate) retry: Option<Duration>,
    /// Something that no watch shows may change: when to look for it.
    pub(crate) look_again: Option<Duration>,
    /// A change of mere counts waits for its turn.
    pub(crate) postponed: bool,
}

/// How long a new process believes the status that it found rather than proxies that may not have found it yet.
const GRACE: Duration = Duration::from_secs(30);
/// How often it is asked whether somebody else's object still takes a name.
const FOREIGN: Duration = Duration::from_secs(5);

/// Why a tier's turn ends early. Pods do not run with what is somebody else's.
enum Halt {
    /// Told as a problem.
    NameTaken,
    Write(WriteError),
}

impl From<WriteError> for Halt {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// One reconcile under way.
pub(crate) struct Reconcile<'a> {
    pub(crate) tools: &'a Tools,
    pub(crate) sight: &'a Sight,
    pub(crate) config: &'a GatewayConfig,
    /// Whether a change of mere counts may be written now.
    pub(crate) counts_are_due: bool,
    pub(crate) outcome: Outcome,
    pub(crate) problems: Vec<Problem>,
}

impl Reconcile<'_> {
    /// Brings the cluster closer to what is declared, and says how far that is.
    pub(crate) async fn run(mut self) -> Outcome {
        let mut inputs = BTreeMap::new();
        for tier in Tier::ALL {
            if let Some(found) = self.inputs(tier) {
                inputs.insert(tier, found);
            }
        }
        let desired = self.desired(&mut inputs);
        for objects in Tier::ALL.into_iter().filter_map(|tier| desired.tier(tier)) {
            match self.apply_tier(objects).await {
                Ok(()) | Err(Halt::NameTaken) => {}
                Err(Halt::Write(error)) => self.failed(&error),
            }
        }
        if let Err(error) = self.prune(&desired).await {
            self.failed(&error);
        }
        if let Err(error) = self.tell().await {
            self.failed(&error);
        }
        self.outcome
    }

    /// A tier whose inputs are not there yet is left as it is.
    fn desired(&self, inputs: &mut BTreeMap<Tier, TierInputs>) -> Desired {
        let mut config = self.config.clone();
        if !inputs.contains_key(&Tier::NorthSouth) {
            config.spec.north_south = None;
        }
        if !inputs.contains_key(&Tier::EastWest) {
            config.spec.east_west = None;
        }
        gatefleet_infra::desired(&config, &self.tools.operator, |tier| inputs.remove(&tier))
    }

    fn view(&self) -> &View {
        &self.sight.view
    }

    fn namespace(&self) -> &str {
        self.config.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Ports and identity of a declared tier; `None` while they are unknown.
    fn inputs(&mut self, tier: Tier) -> Option<TierInputs> {
        let spec = tier_spec(self.config, tier)?;
        let key = fleet_of(self.config).tier(tier);
        let names = ChildNames::new(&key.fleet.name, tier);
        let record = self.view().state.services.get(self.namespace(), &names.base);
        let ports = allocate_ports(record.map(|s| &**s), &spec.listeners, Timestamp::now());
        match self.channel(&key, &names) {
            Ok(channel) => channel.map(|channel| TierInputs { ports, channel }),
            Err(problem) => {
                self.problems.push(problem);
                None
            }
        }
    }

    /// The tier's authority and certificate: as stored, else new ones.
    fn channel(
        &self,
        tier: &TierKey,
        names: &ChildNames,
    ) -> Result<Option<ChannelMaterial>, Problem> {
        let place = |name: &str| (self.namespace().to_owned(), name.to_owned());
        let answered = &self.view().answered;
        if !answered.contains(&place(&names.authority))
            || !answered.contains(&place(&names.channel))
        {
            // The view that knows them comes in a moment.
            return Ok(None);
        }
        let secrets = &self.view().state.secrets;
        let stored = secrets.get(self.namespace(), &names.authority);
        let now = SystemTime::now();
        let invalid = |error: gatefleet_distribute::AuthorityError| Problem {
            reason: Reason::AuthorityInvalid,
            message: format!("tier {}: Secret {}: {error}", tier.tier, names.authority),
        };
        let authority = match stored {
            Some(secret) => identity::authority_in(secret).map_err(invalid)?,
            None => identity::new_authority(tier, now).map_err(invalid)?,
        };
        let present = secrets.get(self.namespace(), &names.channel);
        let present = present.map(|secret| &**secret);
        let leaf = identity::leaf(tier, &authority, present, now).map_err(invalid)?;
        self.trust(tier, authority.certificate_pem());
        Ok(Some(ChannelMaterial {
            ca_certificate: authority.certificate_pem().to_owned(),
            ca_key: authority.key_pem().to_owned(),
            certificate: leaf.certificate_pem,
            private_key: leaf.key_pem,
            server_ca: self.tools.server_authority.clone(),
        }))
    }

    fn trust(&self, tier: &TierKey, authority: &str) {
        let mut trusted = self.tools.trusted.lock().unwrap_or_else(PoisonError::into_inner);
        if trusted.get(tier).is_none_or(|before| before != authority) {
            match self.tools.publisher.trust(tier, authority) {
                Ok(()) => {
                    trusted.insert(tier.clone(), authority.to_owned());
                }
                Err(error) => tracing::warn!(%tier, %error, "trust a tier's authority"),
            }
        }
    }

    /// In the order in which pods need them; the first failure ends the tier's turn, not the other tier's.
    async fn apply_tier(&mut self, tier: &TierObjects) -> Result<(), Halt> {
        for object in tier.objects() {
            self.apply(object).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, desired: &dyn ChildObject) -> Result<(), Halt> {
        let child = desired.child();
        let resource = child.kind.resource();
        let seen = self.view().child(child.kind, self.namespace(), &child.name);
        // Absence in a view is no proof: what stands under the name may be somebody else's.
        let present = match seen {
            Some(seen) => Some((seen.metadata().clone(), manifest(seen))),
            None => {
                let found = self.tools.infra.read(&resource, self.namespace(), &child.name).await?;
                found.map(|found| {
                    (found.metadata.clone(), serde_json::to_value(&found).unwrap_or_default())
                })
            }
        };
        if present.as_ref().is_some_and(|(present, _)| !self.is_ours(present)) {
            self.look_again(FOREIGN);
            self.problems.push(Problem {
                reason: Reason::NameTaken,
                message: format!(
                    "{child} exists and is not of this GatewayConfig: rename or delete it, or choose another name",
                ),
            });
            return Err(Halt::NameTaken);
        }
        let present = present.as_ref().map(|(_, present)| present);
        let applied = self.tools.infra.apply(&resource, manifest(desired), present).await?;
        if let Applied::Written(written) = applied {
            let (kind, name) = (child.kind.as_str(), &child.name);
            tracing::info!(kind, namespace = self.namespace(), name, "applied");
            let version = written.resource_version().unwrap_or_default();
            self.outcome.written.push(Written { child: Some(child), version });
        }
        Ok(())
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
    async fn prune(&mut self, desired: &Desired) -> Result<(), WriteError> {
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

    /// A failure of one thing is a problem in the status, and reason to come back.
    fn failed(&mut self, error: &WriteError) {
        let wait = match error.refusal {
            Refusal::Invalid | Refusal::Forbidden => Duration::from_secs(30),
            Refusal::Busy(after) => after,
            Refusal::Conflict | Refusal::Absent | Refusal::Terminating | Refusal::Unanswered => {
                Duration::ZERO
            }
        };
        tracing::warn!(%error, "reconcile GatewayConfig {}", fleet_of(self.config));
        self.problems.push(refused::problem(self.config, &self.view().state, error));
        self.outcome.retry = Some(self.outcome.retry.unwrap_or_default().max(wait));
    }

    fn look_again(&mut self, after: Duration) {
        let sooner = self.outcome.look_again.map_or(after, |again| again.min(after));
        self.outcome.look_again = Some(sooner);
    }

    /// Whether a proxy that is ready may hold more than this process knows, because it has just started: the
    /// status of the process before it stays until all have reported.
    fn may_not_know_yet(&self) -> bool {
        let fleet = fleet_of(self.config);
        let told = self.config.status.as_ref().and_then(|status| status.observed_generation);
        let silent = |tier| self.sight.live_proxies(&fleet.tier(tier)).iter().any(Option::is_none);
        self.tools.started.elapsed() < GRACE
            && told == self.config.metadata.generation
            && Tier::ALL.into_iter().any(silent)
    }

    /// Writes the status if it changed, and an Event for each transition.
    async fn tell(&mut self) -> Result<(), WriteError> {
        self.tools.nodes.learn(&self.sight.pods_on_nodes(self.config)).await;
        let now = Timestamp::now();
        let problems = std::mem::take(&mut self.problems);
        let observed = self.sight.observe(self.config, problems, &self.tools.nodes, now);
        if let Some(wait) = recheck_after(self.config, &observed, now) {
            self.look_again(Duration::try_from(wait).unwrap_or_default());
        }
        let after = status(self.config, &observed, now);
        let before = self.config.status.as_ref();
        let owned = owned_status(&after);
        if before.is_some_and(|before| owned_status(before) == owned) {
            return Ok(());
        }
        if !self.counts_are_due && before.is_some_and(|before| is_same_but_counts(before, &after)) {
            self.outcome.postponed = true;
            return Ok(());
        }
        if self.may_not_know_yet() {
            self.look_again(FOREIGN);
            return Ok(());
        }
        let value = serde_json::to_value(&owned).unwrap_or_default();
        let written = self.tools.status.apply_status(self.config, &value, true).await?;
        let version = written.resource_version().unwrap_or_default();
        self.outcome.written.push(Written { child: None, version });
        self.outcome.told = true;
        for transition in transitions(before, &after) {
            let weight = match transition.event_type {
                EventType::Normal => Weight::Normal,
                EventType::Warning => Weight::Warning,
            };
            let (reason, message) = (transition.reason, transition.message);
            let finding = Finding { weight, reason, message };
            self.tools.events.say(&reference(self.config), &finding).await;
        }
        Ok(())
    }
}

/// Whether only numbers, addresses and texts differ: these may wait a second.
fn is_same_but_counts(before: &GatewayConfigStatus, after: &GatewayConfigStatus) -> bool {
    let essence = |status: &GatewayConfigStatus| {
        let conditions = owned_status(status).conditions;
        let conditions =
            conditions.into_iter().map(|c| (c.type_, c.status, c.reason, c.observed_generation));
        (status.phase, status.observed_generation, conditions.collect::<Vec<_>>())
    };
    essence(before) == essence(after)
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

/// What an Event about `config` points at.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    let meta = object.meta();
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::kind(&()).into_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        resource_version: meta.resource_version.clone(),
        ..ObjectReference::default()
    }
}
