//! The ports on which proxies listen.
//!
//! The Service is the record: its `targetPort`s say what is allocated, an annotation says what was released
//! and when. So every replica of the operator, and a new leader, sees the same.

use std::collections::{BTreeMap, BTreeSet};

use gatefleet_crds::Listener;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{api::core::v1::Service, apimachinery::pkg::util::intstr::IntOrString};

/// The ports that are allocated. Nothing else on a proxy's address uses them: the pods carry the sysctl
/// `net.ipv4.ip_local_reserved_ports` for this range.
pub const TIER_PORTS: std::ops::RangeInclusive<u16> = 10_000..=14_999;

/// Annotation of the Service: `PORT=TIMESTAMP` separated by commas, for ports that must rest.
pub const RELEASED_PORTS_ANNOTATION: &str = "gatefleet.dev/released-ports";

/// How long a released port rests, so that a proxy that still listens on it for the old purpose, or a peer
/// that still connects to it, never meets the new one.
const REST: SignedDuration = SignedDuration::from_mins(10);

/// Advertised port → port on which the proxies listen. (Transport: TCP, the only one so far.)
pub type TierPorts = BTreeMap<u16, u16>;

/// What [`allocate_ports`] decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortAllocation {
    /// For every listener's port.
    pub ports: TierPorts,
    /// Ports that rest, and since when.
    pub released: BTreeMap<u16, Timestamp>,
}

impl PortAllocation {
    /// The value of [`RELEASED_PORTS_ANNOTATION`]; `None` when nothing rests.
    #[must_use]
    pub fn annotation(&self) -> Option<String> {
        let entries: Vec<String> =
            self.released.iter().map(|(port, since)| format!("{port}={since}")).collect();
        (!entries.is_empty()).then(|| entries.join(","))
    }
}

/// The allocation that `service` records: what proxies listen on for each of its ports.
#[must_use]
pub fn recorded_ports(service: &Service) -> TierPorts {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    ports
        .filter_map(|port| match port.target_port {
            Some(IntOrString::Int(target)) => {
                let target = u16::try_from(target).ok().filter(|port| TIER_PORTS.contains(port))?;
                Some((u16::try_from(port.port).ok()?, target))
            }
            _ => None,
        })
        .collect()
}

/// The port of every node that leads to each of the Service's ports, as far as it has one.
pub(crate) fn node_ports(service: &Service) -> BTreeMap<u16, u16> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let number = |port: i32| u16::try_from(port).ok();
    ports.filter_map(|port| Some((number(port.port)?, number(port.node_port?)?))).collect()
}

fn recorded_releases(service: &Service) -> BTreeMap<u16, Timestamp> {
    let annotations = service.metadata.annotations.as_ref();
    let text = annotations.and_then(|all| all.get(RELEASED_PORTS_ANNOTATION));
    text.into_iter()
        .flat_map(|text| text.split(','))
        .filter_map(|entry| {
            let (port, since) = entry.split_once('=')?;
            Some((port.parse().ok()?, since.parse().ok()?))
        })
        .collect()
}

/// Gives every listener a port: the recorded one for its advertised port, else the lowest that is neither in
/// use nor at rest. Keyed by the advertised port, so that renaming a listener, or changing its protocol, keeps it.
#[must_use]
pub fn allocate_ports(
    record: Option<&Service>,
    listeners: &[Listener],
    now: Timestamp,
) -> PortAllocation {
    let recorded = record.map(recorded_ports).unwrap_or_default();
    let wanted: BTreeSet<u16> = listeners.iter().map(|listener| listener.port).collect();

    let mut released: BTreeMap<u16, Timestamp> = record
        .map(recorded_releases)
        .unwrap_or_default()
        .into_iter()
        .filter(|(_, since)| now.duration_since(*since) < REST)
        .collect();
    let gone = recorded.iter().filter(|(advertised, _)| !wanted.contains(advertised));
    released.extend(gone.map(|(_, target)| (*target, now)));

    let mut ports: TierPorts = BTreeMap::new();
    let mut used = BTreeSet::new();
    for advertised in &wanted {
        // A hand-made Service may name one target twice: the second is allocated anew.
        if let Some(target) = recorded.get(advertised).filter(|target| used.insert(**target)) {
            ports.insert(*advertised, *target);
        }
    }
    let mut free = TIER_PORTS.filter(|port| !used.contains(port) && !released.contains_key(port));
    for advertised in wanted {
        // 16 listeners and 5,000 ports: it takes 300 changes of all listeners within ten minutes to run out;
        // such a listener is left out of the Service until a port has rested.
        if let std::collections::btree_map::Entry::Vacant(entry) = ports.entry(advertised)
            && let Some(port) = free.next()
        {
            entry.insert(port);
        }
    }
    released.retain(|port, _| !ports.values().any(|used| used == port));
    PortAllocation { ports, released }
}

#[cfg(test)]
mod tests {
    use gatefleet_crds::ListenerProtocol;
    use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
    use proptest::prelude::*;

    use super::*;

    fn listeners(ports: &[u16]) -> Vec<Listener> {
        ports
            .iter()
            .map(|port| Listener {
                name: format!("p{port}"),
                port: *port,
                protocol: ListenerProtocol::Http,
                node_port: None,
            })
            .collect()
    }

    fn service(allocation: &PortAllocation) -> Service {
        let ports = allocation.ports.iter().map(|(advertised, target)| ServicePort {
            port: i32::from(*advertised),
            target_port: Some(IntOrString::Int(i32::from(*target))),
            ..ServicePort::default()
        });
        let mut service = Service {
            spec: Some(ServiceSpec { ports: Some(ports.collect()), ..ServiceSpec::default() }),
            ..Service::default()
        };
        service.metadata.annotations = allocation
            .annotation()
            .map(|text| BTreeMap::from([(RELEASED_PORTS_ANNOTATION.to_owned(), text)]));
        service
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn a_released_port_rests_ten_minutes() {
        let first = allocate_ports(None, &listeners(&[80, 443]), minute(0));
        assert_eq!(first.ports, TierPorts::from([(80, 10_000), (443, 10_001)]));

        let second = allocate_ports(Some(&service(&first)), &listeners(&[443, 8080]), minute(1));
        assert_eq!(second.ports, TierPorts::from([(443, 10_001), (8080, 10_002)]));
        assert_eq!(second.released, BTreeMap::from([(10_000, minute(1))]));

        let early = allocate_ports(Some(&service(&second)), &listeners(&[80, 443]), minute(10));
        assert_eq!(early.ports, TierPorts::from([(80, 10_003), (443, 10_001)]));

        let late = allocate_ports(Some(&service(&second)), &listeners(&[80, 443]), minute(11));
        assert_eq!(late.ports, TierPorts::from([(80, 10_000), (443, 10_001)]));
    }

    #[test]
    fn what_somebody_wrote_into_the_service_is_not_trusted() {
        let mut strange = service(&PortAllocation {
            ports: TierPorts::from([(80, 10_005), (443, 10_005), (8443, 9701)]),
            ..PortAllocation::default()
        });
        let text = "x,1=2,=,99999=1970-01-01T00:00:00Z,10007=1970-01-01T00:00:00Z";
        strange.metadata.annotations =
            Some(BTreeMap::from([(RELEASED_PORTS_ANNOTATION.to_owned(), text.to_owned())]));
        let allocation = allocate_ports(Some(&strange), &listeners(&[80, 443, 8443]), minute(1));
        assert_eq!(
            allocation.ports,
            TierPorts::from([(80, 10_005), (443, 10_000), (8443, 10_001)])
        );
        assert_eq!(allocation.released, BTreeMap::from([(10_007, minute(0))]));
    }

    proptest! {
        #[test]
        fn every_listener_keeps_its_port_and_no_port_has_two_purposes_within_ten_minutes(
            steps in prop::collection::vec((prop::collection::btree_set(1_u16..60, 1..16), 0_i64..4), 1..40),
        ) {
            let mut time = 0;
            let mut record = None;
            let mut purposes: BTreeMap<u16, (u16, i64)> = BTreeMap::new();
            for (ports, minutes) in steps {
                time += minutes;
                let wanted = listeners(&ports.iter().copied().collect::<Vec<_>>());
                let allocation = allocate_ports(record.as_ref(), &wanted, minute(time));
                prop_assert_eq!(allocation.ports.keys().copied().collect::<BTreeSet<_>>(), ports);
                if let Some(before) = record.as_ref().map(recorded_ports) {
                    for (advertised, target) in &allocation.ports {
                        prop_assert!(before.get(advertised).is_none_or(|kept| kept == target));
                    }
                }
                for (advertised, target) in &allocation.ports {
                    if let Some((purpose, last)) = purposes.insert(*target, (*advertised, time)) {
                        prop_assert!(purpose == *advertised || time - last >= 10);
                    }
                }
                let service = service(&allocation);
                prop_assert_eq!(&allocate_ports(Some(&service), &wanted, minute(time)), &allocation);
                record = Some(service);
            }
        }
    }
}
