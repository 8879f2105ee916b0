//! Listeners become doors: one per bound address.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use gatefleet_channel::{EffectiveSet, Refusals};
use gatefleet_http::AdvertisedPorts;
use gatefleet_snapshot::ResourceKind;

use super::{Joined, Place, certificate, same, trust_bundle};
use crate::{
    bind::{Bound, unspecified},
    compile::{Clients, Compiled, ListenerSpec, Part, Protocol, TlsSpec},
    plan::{Door, Entrance, Front},
    tls::{FrontError, KeySet, ServerNames, TlsListener, TrustBundle},
};

type Named<'a> = (&'a str, &'a ListenerSpec);
type ByAddress<'a> = BTreeMap<SocketAddr, Vec<Named<'a>>>;
type Bounds = HashMap<SocketAddr, Arc<Bound>>;

/// What doors are made of.
const FRONT: [ResourceKind; 4] = [
    ResourceKind::Listener,
    ResourceKind::ServerName,
    ResourceKind::Certificate,
    ResourceKind::TrustBundle,
];

/// The sockets and the doors of a set. New addresses are bound; nothing is closed.
pub(super) fn join(
    set: &EffectiveSet<Compiled>,
    previous: Option<&Joined>,
    place: &Place,
) -> Result<(Bounds, Vec<Door>), Refusals> {
    if let Some(previous) = previous
        && same(&previous.set, set, &FRONT)
    {
        return Ok((previous.bound.clone(), previous.plan.doors.clone()));
    }
    let addresses = by_address(set, previous, place);
    let mut refusals = conflicts(&addresses);
    let fronts = fronts(set, &addresses, &mut refusals);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let bound = bind(&addresses, previous, place)?;
    let door = |(address, front): (SocketAddr, Front)| {
        let bound = Arc::clone(bound.get(&address)?);
        Some(Door { bound, front: Arc::new(front) })
    };
    let doors = fronts.into_iter().filter_map(door).collect();
    Ok((bound, doors))
}

/// Listeners by where they bind. Those that were served before come first, then by name.
fn by_address<'a>(
    set: &'a EffectiveSet<Compiled>,
    previous: Option<&Joined>,
    place: &Place,
) -> ByAddress<'a> {
    let mut listeners: Vec<_> = set.of_kind(ResourceKind::Listener).collect();
    let is_new = |name: &str, compiled: &Arc<Compiled>| {
        let before = previous.and_then(|previous| previous.set.get(name));
        before.is_none_or(|before| !Arc::ptr_eq(&before.compiled, compiled))
    };
    listeners.sort_by_key(|(name, entry)| is_new(name, &entry.compiled));
    let mut addresses = ByAddress::new();
    for (name, entry) in listeners {
        let Part::Listener(spec) = &entry.compiled.0 else { continue };
        let ips = match place.bind {
            Some(ip) => vec![ip],
            None if spec.bind_addresses.is_empty() => vec![unspecified()],
            None => spec.bind_addresses.clone(),
        };
        for ip in ips {
            addresses.entry((ip, spec.bind_port).into()).or_default().push((name, spec));
        }
    }
    addresses
}

/// Listeners that cannot share the address of another one.
fn conflicts(addresses: &ByAddress<'_>) -> Refusals {
    let mut refusals = Refusals::new();
    for (address, listeners) in addresses {
        let Some((&(first, holder), others)) = listeners.split_first() else { continue };
        for (name, spec) in others {
            let problem = match (&holder.protocol, &spec.protocol) {
                (Protocol::Https(_), Protocol::Https(_)) => continue,
                (Protocol::Http, Protocol::Http) if holder.scope == spec.scope => continue,
                (Protocol::Http, Protocol::Http) => {
                    "HTTP listeners of different scopes on one port are not served yet"
                }
                _ => "HTTP and HTTPS cannot share a port",
            };
            let port = address.port();
            let text = format!(
                "bindPort: {port} is taken by {first}, and {problem}; give one of them another port"
            );
            refusals.insert((*name).to_owned(), text);
        }
    }
    refusals
}

fn bind(
    addresses: &ByAddress<'_>,
    previous: Option<&Joined>,
    place: &Place,
) -> Result<Bounds, Refusals> {
    let mut refusals = Refusals::new();
    let mut bounds = Bounds::new();
    for (&address, listeners) in addresses {
        let kept = previous.and_then(|previous| previous.bound.get(&address)).map(Arc::clone);
        let bound = match kept {
            Some(bound) => Ok(bound),
            None => Bound::open(address, place.threads).map(Arc::new),
        };
        match bound {
            Ok(bound) => drop(bounds.insert(address, bound)),
            Err(error) => {
                let text = format!("bindPort: {error}");
                refusals
                    .extend(listeners.iter().map(|(name, _)| ((*name).to_owned(), text.clone())));
            }
        }
    }
    if refusals.is_empty() { Ok(bounds) } else { Err(refusals) }
}

fn fronts(
    set: &EffectiveSet<Compiled>,
    addresses: &ByAddress<'_>,
    refusals: &mut Refusals,
) -> Vec<(SocketAddr, Front)> {
    let names = server_names(set);
    let advertised = advertised_ports(addresses);
    let entrance = |name: &str, spec: &ListenerSpec| Entrance {
        listener: name.into(),
        scope: Arc::clone(&spec.scope),
        advertised_port: spec.advertised_port,
        advertised: advertised.get(&*spec.scope).copied().unwrap_or_default(),
    };
    let mut fronts = Vec::new();
    for (address, listeners) in addresses {
        let (mut tls, mut entrances) = (Vec::new(), Vec::new());
        for (name, spec) in listeners {
            if let Protocol::Https(settings) = &spec.protocol {
                let names = names.get(&*spec.scope).map(Arc::clone).unwrap_or_default();
                match tls_listener(set, spec, settings, names) {
                    Ok(listener) => tls.push(listener),
                    Err(error) => drop(refusals.insert((*name).to_owned(), error.to_string())),
                }
            }
            entrances.push(entrance(name, spec));
        }
        let front = match entrances.first() {
            Some(first) if tls.is_empty() => Front::Http(first.clone()),
            _ => Front::Https(tls, entrances),
        };
        fronts.push((*address, front));
    }
    fronts
}

fn tls_listener(
    set: &EffectiveSet<Compiled>,
    spec: &ListenerSpec,
    tls: &TlsSpec,
    names: Arc<ServerNames>,
) -> Result<TlsListener, FrontError> {
    let clients = match &tls.clients {
        Clients::Anybody => None,
        Clients::VouchedBy(bundles) => {
            let found: Vec<_> =
                bundles.iter().filter_map(|name| trust_bundle(set, name)).map(Arc::clone).collect();
            if found.len() < bundles.len() || found.is_empty() {
                let missing = bundles.iter().find(|name| trust_bundle(set, name).is_none());
                let missing = missing.map_or("no trust bundle is named", String::as_str);
                return Err(FrontError::ClientTrust(format!("{missing} is missing")));
            }
            Some(TrustBundle::merge(&found))
        }
    };
    let default = &tls.default_certificates;
    let default = (!default.is_empty()).then(|| key_set(set, default));
    TlsListener::build(spec.hostname.clone(), tls.min_version, default, names, clients)
}

fn key_set(set: &EffectiveSet<Compiled>, names: &[String]) -> KeySet {
    let found: Vec<_> =
        names.iter().filter_map(|name| certificate(set, name)).map(Arc::clone).collect();
    KeySet::new(&found)
}

fn server_names(set: &EffectiveSet<Compiled>) -> HashMap<String, Arc<ServerNames>> {
    let mut scopes: HashMap<String, ServerNames> = HashMap::new();
    for (_, entry) in set.of_kind(ResourceKind::ServerName) {
        if let Part::ServerName(name) = &entry.compiled.0 {
            let keys = key_set(set, &name.certificates);
            scopes.entry(name.scope.clone()).or_default().insert(name.pattern.clone(), keys);
        }
    }
    scopes.into_iter().map(|(scope, names)| (scope, Arc::new(names))).collect()
}

/// Which ports clients know a scope by. Of several listeners of one scheme the first by address.
fn advertised_ports<'a>(addresses: &ByAddress<'a>) -> HashMap<&'a str, AdvertisedPorts> {
    let mut ports: HashMap<&str, AdvertisedPorts> = HashMap::new();
    for (_, spec) in addresses.values().flatten() {
        let scope = ports.entry(&spec.scope).or_default();
        let port = match spec.protocol {
            Protocol::Http => &mut scope.http,
            Protocol::Https(_) => &mut scope.https,
        };
        port.get_or_insert(spec.advertised_port);
    }
    ports
}
