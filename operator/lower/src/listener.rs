//! Listeners, server names, certificates.

use std::collections::BTreeMap;

use gatefleet_ir::{
    CertificateRef, L4Claim, Listener, Protocol, Scope, ServerName, ServiceBackend, Termination,
};
use gatefleet_names::{HostPattern, Kind};
use gatefleet_snapshot::{
    seal,
    v1::{self, Resource, client_validation, listener_tls, resource::Body},
};

use crate::{
    certificate_name,
    host::{Lowering, lower_pattern},
    listener_name, policy_name, server_name_name, trust_bundle_name,
};

/// The listener, and the backends that its routes name.
#[must_use]
pub fn lower_listener(said: &Listener) -> (Resource, BTreeMap<String, ServiceBackend>) {
    let mut lowering = Lowering::default();
    let owner = &said.claimant.object;
    let owner = match owner.kind {
        Kind::GatewayConfig => "Tier".to_owned(),
        kind => format!("{kind}/{}/{}", owner.namespace, owner.name),
    };
    let l4_routes = sorted(&said.l4_routes).into_iter().map(|route| v1::L4Route {
        server_name: Some(lower_pattern(&route.server_name)),
        backends: lowering.weighted(&route.backends),
    });
    let l4_routes = l4_routes.collect();
    let (protocol, tls) = lower_protocol(&said.protocol);
    let body = v1::Listener {
        owner,
        scope: said.scope.to_string(),
        advertised_addresses: Vec::new(),
        advertised_port: said.advertised_port.get().into(),
        bind_addresses: Vec::new(),
        bind_port: said.bind_port.get().into(),
        protocol: protocol.into(),
        hostname: (said.hostname != HostPattern::Any).then(|| lower_pattern(&said.hostname)),
        tls,
        l4_routes,
        policies: said.policies.iter().map(policy_name).collect(),
    };
    (seal(listener_name(&said.name), Body::Listener(body)), lowering.into_backends())
}

/// The most specific server name first, then the oldest.
fn sorted(said: &[L4Claim]) -> Vec<&L4Claim> {
    let mut routes: Vec<&L4Claim> = said.iter().collect();
    routes.sort_by(|one, other| {
        (&one.server_name, &one.claimant).cmp(&(&other.server_name, &other.claimant))
    });
    routes
}

fn lower_protocol(said: &Protocol) -> (v1::Protocol, Option<v1::ListenerTls>) {
    match said {
        Protocol::Http => (v1::Protocol::Http, None),
        Protocol::Https(termination) => (v1::Protocol::Https, Some(lower_termination(termination))),
        Protocol::TlsTerminated(termination) => {
            (v1::Protocol::Tls, Some(lower_termination(termination)))
        }
        Protocol::TlsPassthrough => {
            let mode = listener_tls::Mode::Passthrough.into();
            (v1::Protocol::Tls, Some(v1::ListenerTls { mode, ..v1::ListenerTls::default() }))
        }
        Protocol::Tcp => (v1::Protocol::Tcp, None),
        Protocol::Udp => (v1::Protocol::Udp, None),
    }
}

fn lower_termination(said: &Termination) -> v1::ListenerTls {
    let version =
        if said.only_tls13 { listener_tls::Version::Tls13 } else { listener_tls::Version::Tls12 };
    v1::ListenerTls {
        mode: listener_tls::Mode::Terminate.into(),
        min_version: version.into(),
        default_certificates: said.default_certificates.iter().map(certificate_name).collect(),
        client_validation: said.client_validation.as_ref().map(|validation| {
            let mode = if validation.insecure_fallback {
                client_validation::Mode::InsecureFallback
            } else {
                client_validation::Mode::Required
            };
            v1::ClientValidation {
                mode: mode.into(),
                trust_bundles: validation
                    .trust_bundles
                    .iter()
                    .map(|name| trust_bundle_name(name))
                    .collect(),
            }
        }),
    }
}

/// Which certificates answer an SNI.
#[must_use]
pub fn lower_server_name(scope: &Scope, pattern: &HostPattern, said: &ServerName) -> Resource {
    let body = v1::ServerName {
        scope: scope.to_string(),
        pattern: Some(lower_pattern(pattern)),
        certificates: said
            .certificates
            .values()
            .map(|named| certificate_name(&named.certificate))
            .collect(),
    };
    seal(server_name_name(scope, pattern), Body::ServerName(body))
}

/// A certificate with its key, both PEM.
#[must_use]
pub fn lower_certificate(name: &CertificateRef, chain: &str, private_key: &str) -> Resource {
    let body = v1::Certificate { chain: chain.to_owned(), private_key: private_key.to_owned() };
    seal(certificate_name(name), Body::Certificate(body))
}

/// CA certificates, PEM.
#[must_use]
pub fn lower_trust_bundle(name: &str, certificates: &str) -> Resource {
    let body = v1::TrustBundle { certificates: certificates.to_owned() };
    seal(trust_bundle_name(name), Body::TrustBundle(body))
}
