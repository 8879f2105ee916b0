//! Backend resources become backends; those that did not change stay the same objects.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use gatefleet_channel::{EffectiveSet, Refusals};
use gatefleet_snapshot::ResourceKind;

use super::{Joined, Updates, certificate, trust_bundle};
use crate::{
    backend::{Backend, BackendLimits, EndpointSet, PoolId, Security, Target},
    compile::{BackendSpec, Compiled, EndpointSource, Part, TierSpec},
    dns::Watch,
    tls::{Certificate, ClientTls, ClientTlsError, ClientTlsSpec, TrustBundle},
};

/// A backend with what it was made of.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) backend: Arc<Backend>,
    made_of: MadeOf,
    /// Resolves its name for as long as it lives.
    pub(crate) watch: Option<Arc<Watch>>,
}

#[derive(Debug)]
struct MadeOf {
    spec: Arc<Compiled>,
    endpoints: Option<Arc<Compiled>>,
    limits: BackendLimits,
    tls: TlsInputs,
}

/// What TLS towards a backend is made of, besides its own settings.
#[derive(Debug, Default)]
struct TlsInputs {
    bundles: Vec<Option<Arc<TrustBundle>>>,
    certificate: Wanted,
}

/// A certificate that may be asked for, and may be missing then.
#[derive(Debug, Default)]
enum Wanted {
    #[default]
    Not,
    Missing,
    Found(Arc<Certificate>),
}

impl TlsInputs {
    fn find(set: &EffectiveSet<Compiled>, spec: Option<&ClientTlsSpec>) -> Self {
        let Some(spec) = spec else { return Self::default() };
        let bundle = |name: &String| trust_bundle(set, name).map(Arc::clone);
        Self {
            bundles: spec.trust_bundles.iter().map(bundle).collect(),
            certificate: match &spec.client_certificate {
                None => Wanted::Not,
                Some(name) => certificate(set, name)
                    .map_or(Wanted::Missing, |found| Wanted::Found(Arc::clone(found))),
            },
        }
    }

    fn same(&self, other: &Self) -> bool {
        let bundles = |inputs: &Self| -> Vec<_> {
            inputs.bundles.iter().map(|b| b.as_ref().map(Arc::as_ptr)).collect()
        };
        let certificates = match (&self.certificate, &other.certificate) {
            (Wanted::Not, Wanted::Not) | (Wanted::Missing, Wanted::Missing) => true,
            (Wanted::Found(a), Wanted::Found(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        certificates && bundles(self) == bundles(other)
    }
}

/// All backends of a set, and the endpoints that those which stay are to get.
pub(super) fn join(
    set: &EffectiveSet<Compiled>,
    previous: Option<&Joined>,
    tier: &TierSpec,
) -> Result<(BTreeMap<Arc<str>, Built>, Updates), Refusals> {
    let mut backends = BTreeMap::new();
    let (mut updates, mut refusals) = (Updates::new(), Refusals::new());
    for (name, entry) in set.of_kind(ResourceKind::Backend) {
        let Part::Backend(spec) = &entry.compiled.0 else { continue };
        let made_of = MadeOf {
            spec: Arc::clone(&entry.compiled),
            endpoints: endpoints_of(set, spec).map(Arc::clone),
            limits: tier.backend,
            tls: TlsInputs::find(set, spec.tls.as_ref()),
        };
        let before = previous.and_then(|previous| previous.backends.get(name));
        match build(name, spec, made_of, before, &mut updates) {
            Ok(built) => drop(backends.insert(name.into(), built)),
            Err(error) => drop(refusals.insert(name.to_owned(), error.to_string())),
        }
    }
    if refusals.is_empty() { Ok((backends, updates)) } else { Err(refusals) }
}

fn build(
    name: &str,
    spec: &BackendSpec,
    made_of: MadeOf,
    before: Option<&Built>,
    updates: &mut Updates,
) -> Result<Built, ClientTlsError> {
    if let Some(before) = before
        && Arc::ptr_eq(&before.made_of.spec, &made_of.spec)
        && before.made_of.limits == made_of.limits
        && before.made_of.tls.same(&made_of.tls)
    {
        let ptr = |endpoints: &Option<Arc<Compiled>>| endpoints.as_ref().map(Arc::as_ptr);
        if ptr(&before.made_of.endpoints) != ptr(&made_of.endpoints) {
            let targets = targets(spec, made_of.endpoints.as_deref());
            updates.push((Arc::clone(&before.backend), targets));
        }
        let backend = Arc::clone(&before.backend);
        return Ok(Built { backend, made_of, watch: before.watch.clone() });
    }
    let kept = before.filter(|before| keeps_security(before, spec, &made_of));
    let security = match kept {
        Some(before) => before.backend.security.clone(),
        None => security(spec, &made_of.tls)?,
    };
    // Connections stay usable when only their bounds or their endpoints changed.
    let none = EndpointSet::default();
    let known = kept.map(|before| before.backend.endpoints());
    let known = known.as_ref().map_or(&none, |known| known);
    let endpoints = match &spec.source {
        EndpointSource::Dns(..) => EndpointSet::build(&known.targets(), known),
        _ => EndpointSet::build(&targets(spec, made_of.endpoints.as_deref()), known),
    };
    let counters = before.map(|before| Arc::clone(&before.backend.counters)).unwrap_or_default();
    let backend = Arc::new(Backend::new(
        name.into(),
        slot(name),
        security,
        spec.balance,
        made_of.limits,
        counters,
        endpoints,
    ));
    let watch = match &spec.source {
        EndpointSource::Dns(host, port) => Some(Arc::new(Watch::start(host, *port, &backend))),
        _ => None,
    };
    Ok(Built { backend, made_of, watch })
}

fn keeps_security(before: &Built, spec: &BackendSpec, made_of: &MadeOf) -> bool {
    let Part::Backend(old) = &before.made_of.spec.0 else { return false };
    old.tls == spec.tls && before.made_of.tls.same(&made_of.tls)
}

fn security(spec: &BackendSpec, inputs: &TlsInputs) -> Result<Security, ClientTlsError> {
    let Some(tls) = &spec.tls else { return Ok(Security::Plaintext) };
    let bundles: Option<Vec<_>> = inputs.bundles.iter().cloned().collect();
    let certificate = match &inputs.certificate {
        Wanted::Not => Some(None),
        Wanted::Missing => None,
        Wanted::Found(certificate) => Some(Some(&**certificate)),
    };
    let (Some(bundles), Some(certificate)) = (bundles, certificate) else {
        return Ok(Security::Unavailable);
    };
    ClientTls::build(tls, &bundles, certificate).map(|tls| Security::Tls(Arc::new(tls)))
}

/// Names share slots by chance; they hold only whose turn it is.
fn slot(name: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    usize::try_from(hasher.finish() & 1023).unwrap_or_default()
}

fn endpoints_of<'a>(
    set: &'a EffectiveSet<Compiled>,
    spec: &BackendSpec,
) -> Option<&'a Arc<Compiled>> {
    match &spec.source {
        EndpointSource::Resource(name) => Some(&set.get(name)?.compiled),
        EndpointSource::Nowhere | EndpointSource::Dns(..) => None,
    }
}

fn targets(spec: &BackendSpec, endpoints: Option<&Compiled>) -> Vec<Target> {
    let Some(Compiled(Part::Endpoints(all))) = endpoints else { return Vec::new() };
    let chosen = all.iter().filter(|endpoint| endpoint.carries(&spec.subset));
    chosen.map(|endpoint| endpoint.target.clone()).collect()
}

/// Whether both maps hold the same objects: then what refers to them needs no change.
pub(super) fn same(a: &BTreeMap<Arc<str>, Built>, b: &BTreeMap<Arc<str>, Built>) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|((name_a, a), (name_b, b))| {
            name_a == name_b && Arc::ptr_eq(&a.backend, &b.backend)
        })
}

/// Pools that have an endpoint.
pub(crate) fn live_pools(backends: &BTreeMap<Arc<str>, Built>) -> HashSet<PoolId> {
    let pools = |built: &Built| {
        let endpoints = built.backend.endpoints();
        endpoints.iter().map(|endpoint| endpoint.pool).collect::<Vec<_>>()
    };
    backends.values().flat_map(pools).collect()
}
