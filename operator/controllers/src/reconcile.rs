//! One fleet, once: build, apply, prune, observe, tell.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use gatefleet_apply::{Applied, Events, Finding, Refusal, Weight, Writable, WriteError, Writer};
use gatefleet_crds::{EventType, GatewayConfig, GatewayConfigStatus, Reason};
use gatefleet_distribute::Publisher;
use gatefleet_infra::{
    ChannelMaterial, Child, ChildKind, ChildNames, Desired, Operator, Problem, TierInputs,
    TierObjects, allocate_ports, owned_status, recheck_after, status, tier_spec, transitions,
};
use gatefleet_names::{FleetKey, Tier, TierKey};
use gatefleet_state::Shelf;
use gatefleet_watch::{MANAGED_BY, View};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};

use crate::{
    identity,
    observe::{Sight, fleet_of},
};

/// What every reconcile works with.
pub(crate) struct Tools {
    /// Field manager `gatefleet-infra`.
    pub(crate) infra: Writer,
    /// Field manager `gatefleet-status`.
    pub(crate) status: Writer,
    pub(crate) events: Events,
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
        let Desired { north_south, east_west } = self.desired(&mut inputs);
        for objects in north_south.into_iter().chain(east_west) {
            match self.apply_tier(&objects).await {
                Ok(()) | Err(Halt::NameTaken) => {}
                Err(Halt::Write(error)) => self.failed(&error),
            }
        }
        if let Err(error) = self.prune().await {
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
    async fn apply_tier(&mut self, objects: &TierObjects) -> Result<(), Halt> {
        let TierObjects { service_account, bootstrap, authority, channel, service, deployment } =
            objects;
        let view = Arc::clone(&self.sight.view);
        let (state, children) = (&view.state, &view.children);
        self.apply(ChildKind::ServiceAccount, service_account, &children.service_accounts).await?;
        self.apply(ChildKind::ConfigMap, bootstrap, &children.config_maps).await?;
        self.apply(ChildKind::Secret, authority, &state.secrets).await?;
        self.apply(ChildKind::Secret, channel, &state.secrets).await?;
        self.apply(ChildKind::Service, service, &state.services).await?;
        self.apply(ChildKind::Deployment, deployment, &children.deployments).await
    }

    async fn apply<K: Writable>(
        &mut self,
        kind: ChildKind,
        desired: &K,
        known: &Shelf<K>,
    ) -> Result<(), Halt> {
        let name = desired.name_any();
        let seen = known.get(self.namespace(), &name).map(|object| (**object).clone());
        // Absence in a view is no proof: what stands under the name may be somebody else's.
        let present = match seen {
            Some(seen) => Some(seen),
            None => self.tools.infra.read(desired).await?,
        };
        if let Some(foreign) = present.as_ref().filter(|present| !self.is_ours(*present)) {
            self.look_again(FOREIGN);
            self.problems.push(Problem {
                reason: Reason::NameTaken,
                message: format!(
                    "{} {} exists and is not of this GatewayConfig: rename or delete it, or choose another name",
                    kind.as_str(),
                    foreign.name_any(),
                ),
            });
            return Err(Halt::NameTaken);
        }
        if let Applied::Written(written) = self.tools.infra.apply(desired, present.as_ref()).await?
        {
            tracing::info!(kind = kind.as_str(), namespace = self.namespace(), name, "applied");
            let version = written.resource_version().unwrap_or_default();
            self.outcome.written.push(Written { child: Some(Child { kind, name }), version });
        }
        Ok(())
    }

    /// Written by this operator for this GatewayConfig, or for a deleted one of the same name.
    fn is_ours<K: Resource>(&self, present: &K) -> bool {
        let meta = present.meta();
        let marked = meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0));
        let mut controllers =
            meta.owner_references.iter().flatten().filter(|owner| owner.controller == Some(true));
        marked.is_some_and(|value| value == MANAGED_BY.1)
            && controllers.all(|owner| {
                owner.kind == "GatewayConfig"
                    && Some(&owner.name) == self.config.metadata.name.as_ref()
            })
    }

    /// Deletes what belongs to tiers that are no longer declared.
    async fn prune(&mut self) -> Result<(), WriteError> {
        let view = Arc::clone(&self.sight.view);
        let kept = kept(self.config);
        let (state, children) = (&view.state, &view.children);
        let deployments = self.orphans(ChildKind::Deployment, &children.deployments, &kept);
        let services = self.orphans(ChildKind::Service, &state.services, &kept);
        let secrets = self.orphans(ChildKind::Secret, &state.secrets, &kept);
        let config_maps = self.orphans(ChildKind::ConfigMap, &children.config_maps, &kept);
        let accounts = self.orphans(ChildKind::ServiceAccount, &children.service_accounts, &kept);
        let count = deployments.len() + services.len() + secrets.len() + config_maps.len();
        if count + accounts.len() == 0 || !self.is_current().await? {
            return Ok(());
        }
        self.delete(&deployments).await?;
        self.delete(&services).await?;
        self.delete(&secrets).await?;
        self.delete(&config_maps).await?;
        self.delete(&accounts).await
    }

    /// Nothing is deleted for a declaration that has changed meanwhile.
    async fn is_current(&self) -> Result<bool, WriteError> {
        let live = self.tools.infra.read(self.config).await?;
        let (ours, live) = (&self.config.metadata, live.map(|live| live.metadata));
        Ok(live.is_some_and(|live| live.uid == ours.uid && live.generation == ours.generation))
    }

    fn orphans<K: Writable>(
        &self,
        kind: ChildKind,
        known: &Shelf<K>,
        kept: &BTreeSet<Child>,
    ) -> Vec<K> {
        let ours = |object: &K| {
            let meta = object.meta();
            let labels = meta.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY.0));
            labels.is_some_and(|value| value == MANAGED_BY.1)
                && meta.deletion_timestamp.is_none()
                && meta
                    .owner_references
                    .iter()
                    .flatten()
                    .any(|owner| Some(&owner.uid) == self.config.metadata.uid.as_ref())
                && !kept.contains(&Child { kind, name: object.name_any() })
        };
        let found = known.in_namespace(self.namespace()).filter(|object| ours(object));
        found.map(|object| (**object).clone()).collect()
    }

    async fn delete<K: Writable>(&mut self, orphans: &[K]) -> Result<(), WriteError> {
        for orphan in orphans {
            tracing::info!(kind = %K::kind(&()), name = orphan.name_any(), "prune");
            self.tools.infra.delete(orphan).await?;
        }
        Ok(())
    }

    /// A failure of one thing is a problem in the status, and reason to come back.
    fn failed(&mut self, error: &WriteError) {
        let (reason, wait) = match error.refusal {
            Refusal::Invalid | Refusal::Forbidden => {
                (Reason::ApplyRefused, Duration::from_secs(30))
            }
            Refusal::Busy(after) => (Reason::ApplyFailed, after),
            Refusal::Conflict | Refusal::Absent | Refusal::Terminating | Refusal::Unanswered => {
                (Reason::ApplyFailed, Duration::ZERO)
            }
        };
        tracing::warn!(%error, "reconcile GatewayConfig {}", fleet_of(self.config));
        self.problems.push(Problem { reason, message: error.to_string() });
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
        let now = Timestamp::now();
        let observed = self.sight.observe(self.config, std::mem::take(&mut self.problems), now);
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

/// Every child of the declared tiers, built or not.
fn kept(config: &GatewayConfig) -> BTreeSet<Child> {
    let FleetKey { name: fleet, .. } = fleet_of(config);
    let declared = Tier::ALL.into_iter().filter(|tier| tier_spec(config, *tier).is_some());
    declared
        .flat_map(|tier| {
            let ChildNames { base, bootstrap, channel, authority } = ChildNames::new(&fleet, tier);
            [
                Child { kind: ChildKind::ServiceAccount, name: base.clone() },
                Child { kind: ChildKind::Service, name: base.clone() },
                Child { kind: ChildKind::Deployment, name: base },
                Child { kind: ChildKind::ConfigMap, name: bootstrap },
                Child { kind: ChildKind::Secret, name: channel },
                Child { kind: ChildKind::Secret, name: authority },
            ]
        })
        .collect()
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
