//! The settings of a tier: the one place that reads a `TierSpec`.

use std::{collections::BTreeMap, net::IpAddr};

use gatefleet_crds::{
    AccessLogFormat, ListenerProtocol, Observability, SourceRanges, TierSpec, TlsVersion,
};
use gatefleet_ir::{
    CertificateRef, Claimant, Decision, Listener, Policy, Protocol, Scope, Termination,
};
use gatefleet_names::{HostPattern, PortNumber};
use gatefleet_snapshot::{
    seal,
    v1::{self, Resource, access_log, resource::Body},
};
use ipnet::IpNet;

use crate::{lower_listener, lower_policy};

/// Advertised port → port that the proxies bind (TCP).
pub type TierPorts = BTreeMap<u16, u16>;

/// What a tier is apart from routes.
#[derive(Clone, Debug, PartialEq)]
pub struct TierSettings {
    /// `tier`
    pub tier: Resource,
    /// `listener/NAME`, in the order of declaration.
    pub listeners: Vec<Resource>,
    /// `policy/tier`, which all listeners name, if the tier decides who may use it.
    pub access: Option<Resource>,
    /// Names of listeners without an entry in the ports: they are not lowered.
    pub unallocated: Vec<String>,
}

/// Lowers the settings of one tier, declared by `owner`, whose default certificates these are.
#[must_use]
pub fn lower_settings(
    owner: &Claimant,
    spec: &TierSpec,
    observability: &Observability,
    ports: &TierPorts,
    default_certificates: &[CertificateRef],
) -> TierSettings {
    let mut settings = TierSettings {
        tier: lower_tier(spec, observability),
        listeners: Vec::new(),
        access: None,
        unallocated: Vec::new(),
    };
    let access = access(spec);
    settings.access = access.as_ref().map(lower_policy);
    for said in &spec.listeners {
        let advertised = PortNumber::new(said.port.into());
        let bind = ports.get(&said.port).and_then(|port| PortNumber::new((*port).into()));
        match advertised.zip(bind) {
            None => settings.unallocated.push(said.name.clone()),
            Some((advertised_port, bind_port)) => {
                let listener = Listener {
                    name: said.name.clone(),
                    claimant: owner.clone(),
                    scope: Scope::tier(),
                    advertised_port,
                    bind_port,
                    protocol: protocol(said.protocol, spec, default_certificates),
                    hostname: HostPattern::Any,
                    l4_routes: Vec::new(),
                    policies: access.iter().cloned().collect(),
                };
                settings.listeners.push(lower_listener(&listener).0);
            }
        }
    }
    settings
}

/// Who may use the tier at all; `None`: everybody.
fn access(spec: &TierSpec) -> Option<Policy> {
    if spec.source_ranges.is_empty() {
        return None;
    }
    let SourceRanges { allow, deny } = &spec.source_ranges;
    // The schema lets nothing else pass; what it might have let pass nevertheless must not open the tier.
    let decision = match (networks(allow), networks(deny)) {
        (Some(allow), Some(deny)) => Decision::SourceRanges { allow, deny },
        _ => Decision::FailClosed { reason: "SourceRangesUnreadable" },
    };
    Some(Policy { name: "tier".to_owned(), decision })
}

fn networks(texts: &[String]) -> Option<Vec<IpNet>> {
    let network = |text: &String| {
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse::<IpNet>().ok().or_else(address)
    };
    texts.iter().map(network).collect()
}

fn protocol(
    said: ListenerProtocol,
    spec: &TierSpec,
    default_certificates: &[CertificateRef],
) -> Protocol {
    match said {
        ListenerProtocol::Http => Protocol::Http,
        ListenerProtocol::Https => Protocol::Https(Termination {
            only_tls13: spec.tls.min_version == TlsVersion::Tls13,
            default_certificates: default_certificates.to_vec(),
            ..Termination::default()
        }),
    }
}

fn lower_tier(spec: &TierSpec, observability: &Observability) -> Resource {
    let client_ip = &spec.client_ip_detection;
    let limits = &spec.limits;
    let timeouts = &spec.timeouts;
    let log = &observability.access_log;
    let format = match log.format {
        AccessLogFormat::Json => access_log::Format::Json,
        AccessLogFormat::Text => access_log::Format::Text,
    };
    let body = v1::Tier {
        client_ip: Some(v1::ClientIpDetection {
            trusted_proxies: client_ip.trusted_proxies.clone(),
            hops: client_ip.hops,
            proxy_protocol: false,
        }),
        limits: Some(v1::Limits {
            max_connections: limits.max_connections.into(),
            max_header_bytes: limits.max_header_bytes,
            max_header_count: limits.max_header_count,
            max_request_body_bytes: limits.max_request_body_bytes,
            max_requests_per_connection: limits.max_requests_per_connection,
            max_pending_per_backend: limits.max_pending_per_backend,
            max_connections_per_backend: limits.max_connections_per_backend,
        }),
        timeouts: Some(v1::Timeouts {
            request_head_ms: timeouts.request_head.millis(),
            idle_ms: timeouts.idle.millis(),
            keep_alive_ms: timeouts.keep_alive.millis(),
            request_ms: timeouts.request.millis(),
            upstream_connect_ms: timeouts.upstream_connect.millis(),
            upstream_idle_ms: timeouts.upstream_idle.millis(),
            tls_handshake_ms: timeouts.tls_handshake.millis(),
            ..v1::Timeouts::default()
        }),
        drain: Some(v1::Drain {
            delay_ms: spec.drain.delay.millis(),
            timeout_ms: spec.drain.timeout.millis(),
        }),
        access_log: Some(v1::AccessLog { disabled: !log.enabled, format: format.into() }),
    };
    seal("tier", Body::Tier(body))
}
