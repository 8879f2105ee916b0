//! Memory of the hostnames that exist because of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use gatefleet_ir::{
    Claimant, Diagnostic, Scope, SideHost, SideService, redirect_host, settle_side_hosts,
};
use gatefleet_lower::{lower_alias, lower_host};
use gatefleet_names::{HostPattern, ObjectKey};

use crate::{
    TierResource,
    host::{HostMemory, origins},
};

type Hosts = BTreeMap<HostPattern, HostMemory>;

/// The names that were granted in one tier, and findings about the others.
#[derive(Debug, Default)]
pub(crate) struct SideHostMemory {
    granted: BTreeMap<HostPattern, (ObjectKey, Arc<TierResource>)>,
    diagnostics: Vec<Diagnostic>,
}

impl SideHostMemory {
    /// Settles anew who gets which name; answers those for whom that is different.
    pub(crate) fn settle(&mut self, hosts: &Hosts) -> BTreeSet<ObjectKey> {
        let asked = hosts.iter().flat_map(|(host, memory)| {
            memory.side_hosts.iter().map(move |(claimant, side)| (host, claimant, side))
        });
        let is_declared =
            |name: &HostPattern| hosts.get(name).is_some_and(|memory| memory.resource.is_some());
        let settled = settle_side_hosts(asked, is_declared);
        let (mut granted, mut touched) = (BTreeMap::new(), BTreeSet::new());
        for (pattern, (host, claimant, side)) in settled.granted {
            let memory = hosts.get(host).and_then(|memory| memory.resource.as_ref());
            if let Some(resource) = memory.and_then(|of| lower_side_host(claimant, side, of)) {
                let old = self.granted.remove(pattern);
                let new = match old {
                    Some((object, old)) if object == claimant.object && *old == resource => {
                        (object, old)
                    }
                    old => {
                        touched.extend(old.map(|(object, _)| object));
                        touched.insert(claimant.object.clone());
                        (claimant.object.clone(), Arc::new(resource))
                    }
                };
                granted.insert(pattern.clone(), new);
            }
        }
        let lost = std::mem::replace(&mut self.granted, granted);
        let old = std::mem::replace(&mut self.diagnostics, settled.diagnostics);
        let told = old.iter().chain(&self.diagnostics).map(|one| one.object.clone());
        touched.extend(told.chain(lost.into_values().map(|(object, _)| object)));
        touched
    }

    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<TierResource>> {
        self.granted.values().map(|(_, resource)| resource)
    }

    /// Names of the resources that exist because of `object`.
    pub(crate) fn named_by(&self, object: &ObjectKey) -> impl Iterator<Item = &String> {
        let own = move |(holder, _): &&(ObjectKey, Arc<TierResource>)| holder == object;
        self.granted.values().filter(own).map(|(_, one)| &one.resource.name)
    }

    pub(crate) fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

fn lower_side_host(
    claimant: &Claimant,
    side: &SideHost,
    of: &TierResource,
) -> Option<TierResource> {
    let scope = Scope::tier();
    let (resource, origins) = match &side.serves {
        SideService::Same => {
            (lower_alias(&scope, &side.pattern, &of.resource)?, of.origins.clone())
        }
        SideService::Redirect(redirect) => {
            let host = redirect_host(claimant, redirect.clone());
            let lowered = lower_host(&scope, &side.pattern, &host);
            (lowered.resource, origins(&host.claimants))
        }
    };
    Some(TierResource { resource: Arc::new(resource), origins })
}
