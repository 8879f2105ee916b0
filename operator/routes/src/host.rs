//! Memory of one hostname, and of one SNI.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::{
    Claim, Claimant, Diagnostic, MergedServerName, Policy, Scope, ServiceBackend, SideHost, merge,
    merge_server_name,
};
use gatefleet_lower::{
    backend_name, lower_backend, lower_host, lower_policy, lower_server_name, policy_name,
};
use gatefleet_names::{HostPattern, ObjectKey};
use gatefleet_snapshot::v1::Resource;
use gatefleet_sources::Translation;

use crate::{Origin, TierResource, certificates::Certificates};

type Speakers = BTreeMap<ObjectKey, Arc<Translation>>;

/// One hostname: who speaks of it, and what it came to.
#[derive(Debug, Default)]
pub(crate) struct HostMemory {
    pub(crate) speakers: Speakers,
    /// `None`: nobody owns the hostname.
    pub(crate) resource: Option<Arc<TierResource>>,
    pub(crate) served: BTreeSet<ObjectKey>,
    /// Other hostnames that it asks for.
    pub(crate) side_hosts: Vec<(Claimant, SideHost)>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The backends that the virtual host names, by resource name.
    pub(crate) backends: BTreeMap<String, Named<ServiceBackend>>,
    /// The policies that the virtual host names, by resource name.
    pub(crate) policies: BTreeMap<String, Named<Arc<Policy>>>,
}

/// What a virtual host names, and who causes that.
#[derive(Debug)]
pub(crate) struct Named<T> {
    pub(crate) said: T,
    pub(crate) resource: Arc<Resource>,
    pub(crate) origins: BTreeSet<Origin>,
}

impl<T> Named<T> {
    fn new(said: T, resource: Resource) -> Self {
        Self { said, resource: Arc::new(resource), origins: BTreeSet::new() }
    }
}

impl HostMemory {
    pub(crate) fn remerge(&mut self, host: &HostPattern) {
        let speakers = std::mem::take(&mut self.speakers);
        let claims = || speakers.values().filter_map(|speaker| speaker.claims.get(host));
        let merged = merge(host, claims());
        *self = Self { diagnostics: merged.diagnostics, ..Self::default() };
        if let Some(merged) = merged.host {
            let lowered = lower_host(&Scope::tier(), host, &merged);
            for (name, backend) in lowered.backends {
                let resource = lower_backend(&backend);
                self.backends.insert(name, Named::new(backend, resource));
            }
            for (name, policy) in lowered.policies {
                let resource = lower_policy(&policy);
                self.policies.insert(name, Named::new(policy, resource));
            }
            claims().for_each(|claim| self.credit(claim));
            let (resource, origins) = (Arc::new(lowered.resource), origins(&merged.claimants));
            self.resource = Some(Arc::new(TierResource { resource, origins }));
            self.served = merged.served;
            self.side_hosts = merged.side_hosts;
        }
        self.speakers = speakers;
    }

    /// Notes that `claim` causes the backends and policies which it names.
    fn credit(&mut self, claim: &Claim) {
        let origin = origin(&claim.claimant);
        for backend in claim.backends() {
            if let Some(named) = self.backends.get_mut(&backend_name(backend)) {
                named.origins.insert(origin.clone());
            }
        }
        for policy in claim.policies() {
            if let Some(named) = self.policies.get_mut(&policy_name(policy)) {
                named.origins.insert(origin.clone());
            }
        }
    }

    /// The names of backends and policies that `object` causes.
    pub(crate) fn named_by(&self, object: &ObjectKey) -> impl Iterator<Item = &String> {
        let backends = self.backends.iter().map(|(name, named)| (name, &named.origins));
        let policies = self.policies.iter().map(|(name, named)| (name, &named.origins));
        let own = move |origins: &BTreeSet<Origin>| origins.iter().any(|one| one.object == *object);
        backends.chain(policies).filter(move |(_, origins)| own(origins)).map(|(name, _)| name)
    }
}

/// One SNI: who names a certificate for it, and what it came to.
#[derive(Debug, Default)]
pub(crate) struct NameMemory {
    pub(crate) speakers: Speakers,
    pub(crate) merged: MergedServerName,
    pub(crate) resource: Option<Arc<TierResource>>,
}

impl NameMemory {
    pub(crate) fn remerge(&mut self, pattern: &HostPattern, certificates: &Certificates) {
        let claims = self.speakers.values().flat_map(|speaker| &speaker.tls);
        let claims = claims.filter(|(named, _)| named == pattern).map(|(_, claim)| claim);
        self.merged = merge_server_name(pattern, claims, |name| certificates.key_kind(name));
        self.resource = self.merged.server_name.as_ref().map(|server_name| {
            let resource = lower_server_name(&Scope::tier(), pattern, server_name);
            let origins = origins(&server_name.claimants());
            Arc::new(TierResource { resource: Arc::new(resource), origins })
        });
    }
}

fn origin(claimant: &Claimant) -> Origin {
    Origin { object: claimant.object.clone(), generation: claimant.generation }
}

pub(crate) fn origins(claimants: &BTreeSet<Claimant>) -> BTreeSet<Origin> {
    claimants.iter().map(origin).collect()
}
