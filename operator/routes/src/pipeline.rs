//! The driver.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_names::{HostPattern, Kind, ObjectKey, TierKey};
use gatefleet_sources::{ServiceName, Translation, translate_ingress};
use gatefleet_state::{ClusterState, Watched};
use jiff::Timestamp;

use crate::{
    IngressOutcome, RoutesOutput, SecretName,
    certificates::{Certificates, secret_name},
    changes::{Changes, IngressName},
    defaults::Defaults,
    endpoints::EndpointsMemory,
    selection::{Attachment, Selection},
    settings::{all_settings, declared_tiers},
    summary::{Outcome, summarise},
    tier::TierMemory,
};

/// Where the ports come from that listeners bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PortRecord {
    /// The numeric `targetPort`s of the tier's Service, found in the state. A listener without one is left out.
    #[default]
    Service,
    /// Listeners bind the ports that they advertise: for snapshots that are served without a cluster.
    Advertised,
}

/// Fixed settings.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `scope: Cluster` parameters of IngressClasses look for the GatewayConfig.
    pub default_namespace: String,
    /// Where the ports come from that listeners bind.
    pub ports: PortRecord,
}

/// Remembers what it computed, and from what.
#[derive(Debug)]
pub struct Pipeline {
    options: Options,
    /// Fleets of other namespaces are nobody's business here.
    watched: Watched,
    seen: ClusterState,
    selection: Selection,
    ingresses: BTreeMap<IngressName, IngressMemory>,
    /// Which Ingresses looked which Service up.
    readers: BTreeMap<ServiceName, BTreeSet<IngressName>>,
    /// For which names of which tiers an Ingress wants the certificate of a Secret.
    certificate_users: BTreeMap<SecretName, BTreeSet<(TierKey, HostPattern, IngressName)>>,
    certificates: Certificates,
    defaults: Defaults,
    endpoints: EndpointsMemory,
    tiers: BTreeMap<TierKey, TierMemory>,
    outcomes: BTreeMap<ObjectKey, Outcome>,
}

/// What is remembered of one Ingress.
#[derive(Debug)]
struct IngressMemory {
    attachment: Attachment,
    /// `None`: no tier wants it.
    translation: Option<Arc<Translation>>,
}

impl Pipeline {
    /// An empty memory.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self {
            options,
            watched: Watched::All,
            seen: ClusterState::default(),
            selection: Selection::default(),
            ingresses: BTreeMap::new(),
            readers: BTreeMap::new(),
            certificate_users: BTreeMap::new(),
            certificates: Certificates::default(),
            defaults: Defaults::default(),
            endpoints: EndpointsMemory::default(),
            tiers: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// For states that hold the objects of these namespaces only: what names a fleet elsewhere is left to who sees it.
    #[must_use]
    pub fn within(self, watched: Watched) -> Self {
        Self { watched, ..self }
    }

    /// Computes what follows from `state` at time `now`.
    pub fn update(&mut self, state: &ClusterState, now: Timestamp) -> RoutesOutput {
        let changes = Changes::between(&self.seen, state);
        self.seen = state.clone();
        let mut touched: BTreeSet<IngressName> = changes.ingresses.clone();
        let mut translated = self.refresh_ingresses(&changes, state, &mut touched);
        if changes.selection || changes.grants {
            self.defaults = Defaults::compute(state);
        }
        translated += self.refresh_certificates(&changes, state, now);
        if changes.concern_settings() {
            self.refresh_settings(state);
        }
        let moved: BTreeSet<_> = changes.services.union(&changes.endpoints).cloned().collect();
        let (different, read) = self.endpoints.refresh(&moved, state);
        for tier in self.tiers.values_mut() {
            for name in &different {
                tier.endpoints_changed(name);
            }
            let objects = tier.remerge(&self.certificates).into_iter();
            touched.extend(objects.map(|object| (object.namespace, object.name)));
        }
        self.assemble(state);
        self.report(&touched, state);
        self.output(translated + read)
    }

    /// Attaches and translates what the changes concern; answers how many were translated.
    fn refresh_ingresses(
        &mut self,
        changes: &Changes,
        state: &ClusterState,
        touched: &mut BTreeSet<IngressName>,
    ) -> u64 {
        let mut outdated = changes.ingresses.clone();
        for service in &changes.services {
            outdated.extend(self.readers.get(service).into_iter().flatten().cloned());
        }
        if self.refresh_selection(changes, state) {
            let all = state.ingresses.iter().map(|ingress| {
                let meta = &ingress.metadata;
                (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
            });
            touched.extend(all.chain(self.ingresses.keys().cloned()));
        }
        touched.extend(outdated.iter().cloned());
        let mut translated = 0;
        for name in touched.iter() {
            translated += u64::from(self.refresh_ingress(name, outdated.contains(name), state));
        }
        translated
    }

    /// Recomputes who selects what; answers whether anything is different.
    fn refresh_selection(&mut self, changes: &Changes, state: &ClusterState) -> bool {
        if !changes.selection {
            return false;
        }
        let declared = declared_tiers(state);
        self.tiers.retain(|key, _| declared.contains(key));
        for key in declared {
            self.tiers.entry(key).or_default();
        }
        let new = Selection::compute(state, &self.options.default_namespace, &self.watched);
        let different = new != self.selection;
        self.selection = new;
        different
    }

    /// After the certificates: listeners name those of them that can be served.
    fn refresh_settings(&mut self, state: &ClusterState) {
        let defaults = |tier: &TierKey| self.defaults.usable(tier, &self.certificates);
        for (key, settings) in all_settings(state, self.options.ports, defaults) {
            if let Some(tier) = self.tiers.get_mut(&key) {
                tier.set_settings(settings);
            }
        }
    }

    /// Attaches one Ingress, and translates it if needed; answers whether it did.
    fn refresh_ingress(
        &mut self,
        name: &IngressName,
        outdated: bool,
        state: &ClusterState,
    ) -> bool {
        let old = self.ingresses.remove(name);
        let Some(ingress) = state.ingresses.get(&name.0, &name.1) else {
            self.leave(name, old.as_ref());
            return false;
        };
        let mut attachment = self.selection.attach(ingress);
        attachment.tiers.retain(|tier| self.tiers.contains_key(tier));
        let kept = old.as_ref().and_then(|old| old.translation.clone()).filter(|_| !outdated);
        let needed = !attachment.tiers.is_empty();
        let translates = needed && kept.is_none();
        let translation = needed
            .then(|| kept.unwrap_or_else(|| Arc::new(translate_ingress(ingress, &state.services))));
        let new = IngressMemory { attachment, translation };
        let same = old.as_ref().is_some_and(|old| {
            old.attachment.tiers == new.attachment.tiers && old.translation == new.translation
        });
        if !same {
            self.leave(name, old.as_ref());
            self.join(name, &new);
        }
        self.ingresses.insert(name.clone(), new);
        translates
    }

    fn leave(&mut self, name: &IngressName, memory: Option<&IngressMemory>) {
        let Some(IngressMemory { attachment, translation: Some(translation) }) = memory else {
            return;
        };
        let object = object_of(name);
        for service in &translation.reads {
            if let Some(readers) = self.readers.get_mut(service) {
                readers.remove(name);
                if readers.is_empty() {
                    self.readers.remove(service);
                }
            }
        }
        for key in &attachment.tiers {
            if let Some(tier) = self.tiers.get_mut(key) {
                tier.detach(&object, translation);
            }
            for (pattern, claim) in &translation.tls {
                let secret = secret_name(&claim.certificate);
                if let Some(users) = self.certificate_users.get_mut(&secret) {
                    users.remove(&(key.clone(), pattern.clone(), name.clone()));
                    if users.is_empty() {
                        self.certificate_users.remove(&secret);
                    }
                }
            }
        }
    }

    fn join(&mut self, name: &IngressName, memory: &IngressMemory) {
        let Some(translation) = &memory.translation else { return };
        let object = object_of(name);
        for service in &translation.reads {
            self.readers.entry(service.clone()).or_default().insert(name.clone());
        }
        for key in &memory.attachment.tiers {
            if let Some(tier) = self.tiers.get_mut(key) {
                tier.attach(&object, translation);
            }
            for (pattern, claim) in &translation.tls {
                let users =
                    self.certificate_users.entry(secret_name(&claim.certificate)).or_default();
                users.insert((key.clone(), pattern.clone(), name.clone()));
            }
        }
    }

    fn refresh_certificates(
        &mut self,
        changes: &Changes,
        state: &ClusterState,
        now: Timestamp,
    ) -> u64 {
        let needed = self.needed_secrets();
        let (different, read) = self.certificates.refresh(&needed, &changes.secrets, state, now);
        for secret in &different {
            for (key, pattern, _) in self.certificate_users.get(secret).into_iter().flatten() {
                if let Some(tier) = self.tiers.get_mut(key) {
                    tier.certificate_changed(pattern);
                }
            }
        }
        read
    }

    fn needed_secrets(&self) -> BTreeSet<SecretName> {
        self.certificate_users.keys().cloned().chain(self.defaults.secrets()).collect()
    }

    fn assemble(&mut self, state: &ClusterState) {
        let mut different = false;
        for tier in self.tiers.values_mut() {
            different |= tier.assemble(&self.certificates, &mut self.endpoints, state);
        }
        if different {
            let tiers = &self.tiers;
            self.endpoints.retain(|name| {
                tiers.values().any(|tier| tier.routes().resources.contains_key(name))
            });
        }
    }

    fn report(&mut self, touched: &BTreeSet<IngressName>, state: &ClusterState) {
        for name in touched {
            let object = object_of(name);
            let ingress = state.ingresses.get(&name.0, &name.1);
            match ingress.zip(self.ingresses.get(name)) {
                None => drop(self.outcomes.remove(&object)),
                Some((ingress, memory)) => {
                    let generation = ingress.metadata.generation.unwrap_or_default();
                    let outcome = self.outcome(&object, generation, memory);
                    self.outcomes.insert(object, outcome);
                }
            }
        }
    }

    fn outcome(&self, object: &ObjectKey, generation: i64, memory: &IngressMemory) -> Outcome {
        let IngressMemory { attachment, translation } = memory;
        let mut diagnostics: Vec<_> = attachment.finding.iter().cloned().collect();
        let (mut tiers, mut serving) = (BTreeMap::new(), BTreeSet::new());
        if let Some(translation) = translation {
            diagnostics.extend(translation.diagnostics.iter().cloned());
            let problem = |(pattern, claim)| self.certificates.problem(pattern, claim);
            diagnostics.extend(
                translation.tls.iter().map(|(pattern, claim)| (pattern, claim)).filter_map(problem),
            );
            for key in &attachment.tiers {
                let Some(tier) = self.tiers.get(key) else { continue };
                let report = tier.report(object, translation);
                diagnostics.extend(report.diagnostics);
                tiers.insert(key.clone(), report.resources);
                if report.serves {
                    serving.insert(key.fleet.clone());
                }
            }
        }
        diagnostics.sort();
        diagnostics.dedup();
        let publisher = attachment.publisher.clone().filter(|key| self.tiers.contains_key(key));
        let outcome = IngressOutcome { generation, tiers, publisher, diagnostics };
        Outcome { outcome: Arc::new(outcome), serving }
    }

    fn output(&self, translated: u64) -> RoutesOutput {
        let ingresses = self.outcomes.iter();
        RoutesOutput {
            tiers: self
                .tiers
                .iter()
                .map(|(key, tier)| (key.clone(), Arc::clone(tier.routes())))
                .collect(),
            fleets: summarise(
                &self.selection,
                &self.tiers,
                &self.outcomes,
                (&self.defaults, &self.certificates),
            ),
            ingresses: ingresses
                .map(|(key, outcome)| (key.clone(), Arc::clone(&outcome.outcome)))
                .collect(),
            findings: self.selection.findings.clone(),
            secrets: self.needed_secrets(),
            translated,
            recheck_at: self.certificates.next_change(),
        }
    }
}

fn object_of(name: &IngressName) -> ObjectKey {
    ObjectKey::new(Kind::Ingress, &name.0, &name.1)
}
