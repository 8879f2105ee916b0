//! Joins compiled resources into one plan: names become references, addresses become sockets.
//!
//! What did not change is taken over from the join before: sockets, TLS sessions' keys, pools, routes.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    num::NonZeroUsize,
    sync::Arc,
};

use gatefleet_channel::{EffectiveSet, Refusals};
use gatefleet_http::{CompiledPolicy, Resolve, Table, TableBuilder};
use gatefleet_snapshot::ResourceKind;

use crate::{
    backend::{Backend, Target},
    bind::Bound,
    compile::{Compiled, Part, TierSpec},
    plan::Plan,
    tls::{Certificate, TrustBundle},
};

mod backends;
mod doors;

pub(crate) use backends::{Built, live_pools};

/// What the process was told about addresses and threads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) threads: NonZeroUsize,
    /// Replaces every listener's bind addresses.
    pub(crate) bind: Option<IpAddr>,
}

/// A set of resources with everything that was made of it.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) set: EffectiveSet<Compiled>,
    pub(crate) tier: TierSpec,
    pub(crate) plan: Arc<Plan>,
    pub(crate) backends: BTreeMap<Arc<str>, Built>,
    pub(crate) bound: HashMap<SocketAddr, Arc<Bound>>,
}

/// Endpoints to be set once nothing can fail any more.
pub(crate) type Updates = Vec<(Arc<Backend>, Vec<Target>)>;

/// Joins a set. Nothing that is served changes yet.
///
/// # Errors
/// Which resources are at fault, with what is wrong and what to do.
pub(crate) fn join(
    set: EffectiveSet<Compiled>,
    previous: Option<&Joined>,
    place: &Place,
) -> Result<(Joined, Updates), Refusals> {
    let tier = tier(&set);
    let (bound, doors) = doors::join(&set, previous, place)?;
    let (backends, updates) = backends::join(&set, previous, &tier)?;
    let table = table(&set, previous, &tier, &backends);
    let plan = Arc::new(Plan {
        table,
        doors,
        max_connections: tier.max_connections,
        proxy_protocol: tier.proxy_protocol,
        upstream_idle: tier.upstream_idle,
        tls_handshake: tier.tls_handshake,
        access_log: tier.access_log,
    });
    Ok((Joined { set, tier, plan, backends, bound }, updates))
}

fn tier(set: &EffectiveSet<Compiled>) -> TierSpec {
    let parts = set.of_kind(ResourceKind::Tier).map(|(_, entry)| &entry.compiled.0);
    let tiers = parts.filter_map(|part| match part {
        Part::Tier(tier) => Some(tier.clone()),
        _ => None,
    });
    tiers.last().unwrap_or_default()
}

fn certificate<'a>(set: &'a EffectiveSet<Compiled>, name: &str) -> Option<&'a Arc<Certificate>> {
    match &set.get(name)?.compiled.0 {
        Part::Certificate(certificate) => Some(certificate),
        _ => None,
    }
}

fn trust_bundle<'a>(set: &'a EffectiveSet<Compiled>, name: &str) -> Option<&'a Arc<TrustBundle>> {
    match &set.get(name)?.compiled.0 {
        Part::TrustBundle(bundle) => Some(bundle),
        _ => None,
    }
}

impl Joined {
    /// Whether both hold the same certificates.
    pub(crate) fn has_certificates_of(&self, other: &Self) -> bool {
        same(&self.set, &other.set, &[ResourceKind::Certificate])
    }
}

/// Whether both sets hold the same resources of some kinds, in the same versions.
fn same(a: &EffectiveSet<Compiled>, b: &EffectiveSet<Compiled>, kinds: &[ResourceKind]) -> bool {
    kinds.iter().all(|&kind| {
        let pairs = a.of_kind(kind).zip(b.of_kind(kind));
        a.of_kind(kind).count() == b.of_kind(kind).count()
            && pairs.into_iter().all(|((name_a, a), (name_b, b))| {
                name_a == name_b && Arc::ptr_eq(&a.compiled, &b.compiled)
            })
    })
}

/// Looks names up for virtual hosts.
struct Names<'a> {
    set: &'a EffectiveSet<Compiled>,
    backends: &'a BTreeMap<Arc<str>, Built>,
}

impl Resolve<Arc<Backend>> for Names<'_> {
    fn backend(&self, name: &str) -> Option<Arc<Backend>> {
        self.backends.get(name).map(|built| Arc::clone(&built.backend))
    }

    fn policy(&self, name: &str) -> Option<Arc<CompiledPolicy>> {
        match &self.set.get(name)?.compiled.0 {
            Part::Policy(policy) => Some(Arc::clone(policy)),
            _ => None,
        }
    }
}

const ROUTING: [ResourceKind; 4] =
    [ResourceKind::Tier, ResourceKind::Listener, ResourceKind::VirtualHost, ResourceKind::Policy];

fn table(
    set: &EffectiveSet<Compiled>,
    previous: Option<&Joined>,
    tier: &TierSpec,
    backends: &BTreeMap<Arc<str>, Built>,
) -> Table<Arc<Backend>> {
    if let Some(previous) = previous
        && same(&previous.set, set, &ROUTING)
        && backends::same(&previous.backends, backends)
    {
        return previous.plan.table.clone();
    }
    let names = Names { set, backends };
    let mut builder = TableBuilder::new(tier.http.clone());
    for (_, entry) in set.of_kind(ResourceKind::VirtualHost) {
        if let Part::VirtualHost(host) = &entry.compiled.0 {
            builder.add(host, &names);
        }
    }
    for (_, entry) in set.of_kind(ResourceKind::Listener) {
        if let Part::Listener(listener) = &entry.compiled.0 {
            builder.guard(&listener.scope, &listener.policies, &names);
        }
    }
    builder.build()
}
