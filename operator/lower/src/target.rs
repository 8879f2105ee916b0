//! Backends and policies.

use gatefleet_ir::{Addresses, AppProtocol, BackendTls, Balance, Decision, Policy, ServiceBackend};
use gatefleet_snapshot::{
    seal,
    v1::{self, Resource, backend, policy, resource::Body},
};

use crate::{backend_name, endpoints_name, policy_name, trust_bundle_name};

/// The backend itself; its endpoints are a resource of their own.
#[must_use]
pub fn lower_backend(said: &ServiceBackend) -> Resource {
    let (endpoints, dns) = match &said.addresses {
        Addresses::Slices => (endpoints_name(said), String::new()),
        Addresses::Dns(name) => (String::new(), name.clone()),
    };
    let app_protocol = match said.protocol {
        AppProtocol::Http1 => backend::AppProtocol::Http1,
        AppProtocol::H2c => backend::AppProtocol::H2c,
    };
    let body = v1::Backend {
        endpoints,
        dns,
        subset: said.subset.clone(),
        app_protocol: app_protocol.into(),
        tls: said.tls.as_ref().map(lower_tls),
        balance: match said.balance {
            Balance::RoundRobin => backend::Balance::RoundRobin,
            Balance::LeastRequest => backend::Balance::LeastRequest,
        }
        .into(),
    };
    seal(backend_name(said), Body::Backend(body))
}

fn lower_tls(said: &BackendTls) -> v1::BackendTls {
    v1::BackendTls {
        server_name: said.server_name.clone(),
        trust_bundles: said.trust_bundles.iter().map(|name| trust_bundle_name(name)).collect(),
        subject_alt_names: Vec::new(),
        client_certificate: String::new(),
        insecure_skip_verify: said.insecure_skip_verify,
    }
}

/// An access decision.
#[must_use]
pub fn lower_policy(said: &Policy) -> Resource {
    let kind = match &said.decision {
        Decision::FailClosed { reason } => {
            policy::Kind::FailClosed(v1::FailClosed { status: 503, reason: (*reason).to_owned() })
        }
        Decision::SourceRanges { allow, deny } => policy::Kind::SourceRanges(v1::SourceRanges {
            allow: allow.iter().map(ToString::to_string).collect(),
            deny: deny.iter().map(ToString::to_string).collect(),
        }),
    };
    seal(policy_name(said), Body::Policy(v1::Policy { kind: Some(kind) }))
}
