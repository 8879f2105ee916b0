//! Resources of a snapshot, each compiled alone. Names of other resources stay names; `assemble` joins them.

use gatefleet_http::{CompiledHost, CompiledPolicy, compile as http};
use gatefleet_snapshot::{
    capability,
    v1::{self, resource::Body},
};

use crate::{
    host::{HostPattern, HostPatternError},
    tls::{Certificate, CertificateError, ClientTlsError, TrustBundle},
};

mod backend;
mod listener;
mod tier;

pub(crate) use backend::{BackendSpec, EndpointSource, LabelledTarget};
pub(crate) use listener::{Clients, ListenerSpec, Protocol, TlsSpec};
pub(crate) use tier::TierSpec;
pub use tier::{AccessLogFormat, DrainSettings};

/// What transport knows beyond the base of the schema. `http` has a list of its own.
pub const CAPABILITIES: &[&str] = &[
    capability::LISTENER_CLIENT_VALIDATION,
    capability::PROXY_PROTOCOL,
    capability::BACKEND_DNS,
    capability::BACKEND_SUBSET,
    capability::BACKEND_LEAST_REQUEST,
    capability::BACKEND_CLIENT_CERTIFICATE,
];

/// Why a resource cannot be served: what is wrong, where in it, what to do.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The HTTP part.
    #[error(transparent)]
    Http(#[from] gatefleet_http::CompileError),
    /// A certificate or trust bundle.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS towards a backend.
    #[error(transparent)]
    ClientTls(#[from] ClientTlsError),
    /// A hostname.
    #[error(transparent)]
    Hostname(#[from] HostPatternError),
    /// Something this build cannot do.
    #[error("{field}: {what} is not served by this proxy yet; {remedy}")]
    Unsupported {
        /// Path of the field inside the resource.
        field: &'static str,
        /// What is asked for.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A value that makes no sense.
    #[error("{field}: {value:?} {problem}")]
    Invalid {
        /// Path of the field inside the resource.
        field: String,
        /// What stands there.
        value: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// No body, or one that this build does not know.
    #[error("it has no body that this proxy knows; upgrade the proxy")]
    Unknown,
}

/// A resource, compiled.
#[derive(Debug)]
pub struct Compiled(pub(crate) Part);

/// By kind.
#[derive(Debug)]
pub(crate) enum Part {
    Tier(TierSpec),
    Listener(ListenerSpec),
    ServerName(ServerNameSpec),
    VirtualHost(std::sync::Arc<CompiledHost>),
    Backend(BackendSpec),
    Endpoints(Vec<LabelledTarget>),
    Certificate(std::sync::Arc<Certificate>),
    TrustBundle(std::sync::Arc<TrustBundle>),
    Policy(std::sync::Arc<CompiledPolicy>),
}

/// A server name of a scope.
#[derive(Debug)]
pub(crate) struct ServerNameSpec {
    pub(crate) scope: String,
    pub(crate) pattern: HostPattern,
    pub(crate) certificates: Vec<String>,
}

/// Compiles one resource alone.
///
/// # Errors
///
/// What is wrong with it, where, and what to do. What this proxy cannot serve is refused, never ignored.
pub fn compile(resource: &v1::Resource) -> Result<Compiled, CompileError> {
    let part = match resource.body.as_ref().ok_or(CompileError::Unknown)? {
        Body::Tier(tier) => Part::Tier(TierSpec::parse(tier)?),
        Body::Listener(listener) => Part::Listener(ListenerSpec::parse(listener)?),
        Body::ServerName(name) => Part::ServerName(ServerNameSpec {
            scope: name.scope.clone(),
            pattern: HostPattern::parse(name.pattern.as_ref())?,
            certificates: name.certificates.clone(),
        }),
        Body::VirtualHost(host) => Part::VirtualHost(http::compile_virtual_host(host)?.into()),
        Body::Backend(backend) => Part::Backend(BackendSpec::parse(backend)?),
        Body::Endpoints(endpoints) => Part::Endpoints(backend::parse_endpoints(endpoints)?),
        Body::Certificate(certificate) => {
            Part::Certificate(Certificate::parse(certificate)?.into())
        }
        Body::TrustBundle(bundle) => Part::TrustBundle(TrustBundle::parse(bundle)?.into()),
        Body::Policy(policy) => Part::Policy(http::compile_policy(policy)?.into()),
    };
    Ok(Compiled(part))
}
