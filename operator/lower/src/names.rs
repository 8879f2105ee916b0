//! Names of resources.

use gatefleet_ir::{CertificateRef, Policy, Scope, ServiceBackend};
use gatefleet_names::HostPattern;

/// `virtual-host/SCOPE/HOST`
#[must_use]
pub fn virtual_host_name(scope: &Scope, host: &HostPattern) -> String {
    format!("virtual-host/{scope}/{host}")
}

/// `server-name/SCOPE/PATTERN`
#[must_use]
pub fn server_name_name(scope: &Scope, pattern: &HostPattern) -> String {
    format!("server-name/{scope}/{pattern}")
}

/// `listener/NAME`
#[must_use]
pub fn listener_name(name: &str) -> String {
    format!("listener/{name}")
}

/// `backend/NAMESPACE/SERVICE/PORT`, and the variant if it has one
#[must_use]
pub fn backend_name(backend: &ServiceBackend) -> String {
    let ServiceBackend { namespace, service, port, variant, .. } = backend;
    match variant.as_str() {
        "" => format!("backend/{namespace}/{service}/{port}"),
        variant => format!("backend/{namespace}/{service}/{port}/{variant}"),
    }
}

/// `endpoints/NAMESPACE/SERVICE/PORT`
#[must_use]
pub fn endpoints_name(backend: &ServiceBackend) -> String {
    let ServiceBackend { namespace, service, port, .. } = backend;
    format!("endpoints/{namespace}/{service}/{port}")
}

/// `certificate/NAMESPACE/SECRET`
#[must_use]
pub fn certificate_name(certificate: &CertificateRef) -> String {
    format!("certificate/{}/{}", certificate.namespace, certificate.name)
}

/// `trust-bundle/NAME`
#[must_use]
pub fn trust_bundle_name(name: &str) -> String {
    format!("trust-bundle/{name}")
}

/// `policy/NAMESPACE/OBJECT/DECISION`
#[must_use]
pub fn policy_name(policy: &Policy) -> String {
    format!("policy/{}", policy.name)
}
