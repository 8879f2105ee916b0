//! One fleet, once: build, apply, prune, observe, tell.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use gatefleet_apply::{Events, Finding, Leadership, Refusal, Weight, WriteError, Writer};
use gatefleet_crds::{EventType, GatewayConfig, GatewayConfigStatus, Reason};
use gatefleet_distribute::Publisher;
use gatefleet_infra::{
    ChannelMaterial, Child, ChildNames, Desired, Operator, Problem, TierInputs, allocate_ports,
    owned_status, recheck_after, status, tier_spec, transitions,
};
use gatefleet_names::{Tier, TierKey};
use gatefleet_watch::View;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Resource, ResourceExt};

use crate::{
    identity,
    nodes::Nodes,
    objects::Halt,
    observe::{Sight, fleet_of},
    refused,
};

/// What every reconcile works with.
pub(crate) struct Tools {
    /// Field manager `gatefleet-infra`.
    pub(crate) infra: Writer,
    /// Field manager `gatefleet-replicas`: holds `replicas` until an autoscaler takes them over.
    pub(crate) replicas: Writer,
    /// Field manager `gatefleet-status`.
    pub(crate) status: Writer,
    pub(crate) events: Events,
    pub(crate) nodes: Nodes,
    pub(crate) publisher: Publisher,
    pub(crate) operator: Operator,
    /// PEM: what proxies believe the servers by.
    pub(crate) server_authority: String,
    pub(crate) leadership: Leadership,
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

/// How long a new leader believes the status that it found rather than proxies that may not have found it yet.
const GRACE: Duration = Duration::from_secs(30);
/// How often it is asked whether somebody else's object still takes a name.
pub(crate) const FOREIGN: Duration = Duration::from_secs(5);

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
        if self.tools.leadership.term().is_none() {
            self.trust_stored();
            return self.outcome;
        }
        let mut inputs = BTreeMap::new();
        for tier in Tier::ALL {
            if let Some(found) = self.inputs(tier) {
                inputs.insert(tier, found);
            }
        }
        let desired = self.desired(&mut inputs);
        // First: an autoscaler that is no longer wanted must not go on beside what is declared.
        if let Err(error) = self.prune(&desired).await {
            self.failed(&error);
        }
        for objects in Tier::ALL.into_iter().filter_map(|tier| desired.tier(tier)) {
            match self.apply_tier(objects).await {
                Ok(()) | Err(Halt::NameTaken) => {}
                Err(Halt::Write(error)) => self.failed(&error),
            }
        }
        if let Err(error) = Box::pin(self.tell()).await {
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

    pub(crate) fn view(&self) -> &View {
        &self.sight.view
    }

    pub(crate) fn namespace(&self) -> &str {
        self.config.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Ports and identity of a declared tier; `None` while they are unknown.
    fn inputs(&mut self, tier: Tier) -> Option<TierInputs> {
        let spec = tier_spec(self.config, tier)?;
        let key = fleet_of(self.config).tier(tier);
        let names = ChildNames::new(&key.fleet.name, tier);
        if self.has_foreign_secret(tier) {
            return None;
        }
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

    /// A replica that does not lead serves configuration too: it believes the authorities that the leader stored.
    fn trust_stored(&self) {
        let fleet = fleet_of(self.config);
        for tier in Tier::ALL.into_iter().filter(|tier| tier_spec(self.config, *tier).is_some()) {
            let names = ChildNames::new(&fleet.name, tier);
            let stored = self.view().state.secrets.get(self.namespace(), &names.authority);
            // A broken one is the leader's to tell.
            if let Some(Ok(authority)) = stored.map(|secret| identity::authority_in(secret)) {
                self.trust(&fleet.tier(tier), authority.certificate_pem());
            }
        }
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

    /// A failure of one thing is a problem in the status, and reason to come back.
    fn failed(&mut self, error: &WriteError) {
        let wait = match error.refusal {
            Refusal::Invalid | Refusal::Forbidden => Duration::from_secs(30),
            Refusal::Busy(after) => after,
            Refusal::Conflict
            | Refusal::Absent
            | Refusal::Terminating
            | Refusal::Unanswered
            | Refusal::Standby => Duration::ZERO,
        };
        tracing::warn!(%error, "reconcile GatewayConfig {}", fleet_of(self.config));
        self.problems.push(refused::problem(self.config, &self.view().state, error));
        self.outcome.retry = Some(self.outcome.retry.unwrap_or_default().max(wait));
    }

    pub(crate) fn look_again(&mut self, after: Duration) {
        let sooner = self.outcome.look_again.map_or(after, |again| again.min(after));
        self.outcome.look_again = Some(sooner);
    }

    /// Whether a proxy that is ready may hold more than this process knows, because it leads only since a moment: the
    /// status of the leader before it stays until all have reported.
    fn may_not_know_yet(&self) -> bool {
        let fleet = fleet_of(self.config);
        let told = self.config.status.as_ref().and_then(|status| status.observed_generation);
        let silent = |tier| self.sight.live_proxies(&fleet.tier(tier)).iter().any(Option::is_none);
        self.tools.leadership.term().is_none_or(|term| term.since.elapsed() < GRACE)
            && told == self.config.metadata.generation
            && Tier::ALL.into_iter().any(silent)
    }

    /// Without an answer the status may have been written, and then the next look finds no transition to tell of: so it
    /// is tried again here.
    async fn write_status(&self, status: &serde_json::Value) -> Result<GatewayConfig, WriteError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.tools.status.apply_status(self.config, status, true).await {
                Err(error) if error.refusal == Refusal::Unanswered && pause < LAST_PAUSE => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
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
        let written = self.write_status(&value).await?;
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

/// Between two tries to write a status; about 1.3 s in all.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(1280);

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
