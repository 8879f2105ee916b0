//! Backends and their endpoints.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use gatefleet_snapshot::v1;

use super::CompileError;
use crate::{
    backend::{Balance, Target},
    tls::ClientTlsSpec,
};

/// A backend, alone.
#[derive(Debug)]
pub(crate) struct BackendSpec {
    pub(crate) source: EndpointSource,
    pub(crate) subset: HashMap<String, String>,
    pub(crate) balance: Balance,
    pub(crate) tls: Option<ClientTlsSpec>,
}

/// Where endpoints come from.
#[derive(Debug)]
pub(crate) enum EndpointSource {
    /// There are none.
    Nowhere,
    /// An endpoints resource.
    Resource(String),
    /// A name and a port that the proxy resolves.
    Dns(String, u16),
}

/// An endpoint with what subsets choose by.
#[derive(Debug)]
pub(crate) struct LabelledTarget {
    pub(crate) target: Target,
    labels: HashMap<String, String>,
}

impl LabelledTarget {
    /// Whether it carries all these labels.
    pub(crate) fn carries(&self, subset: &HashMap<String, String>) -> bool {
        subset.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

impl BackendSpec {
    pub(super) fn parse(backend: &v1::Backend) -> Result<Self, CompileError> {
        let unsupported = |field, what, remedy| CompileError::Unsupported { field, what, remedy };
        match backend.app_protocol() {
            v1::backend::AppProtocol::Http1 => {}
            v1::backend::AppProtocol::H2c => {
                let what = "HTTP/2 without TLS towards backends";
                return Err(unsupported("appProtocol", what, "let the backend speak HTTP/1.1"));
            }
            v1::backend::AppProtocol::Auto => {
                let what = "HTTP/2 towards backends";
                return Err(unsupported("appProtocol", what, "use HTTP1"));
            }
        }
        let balance = match backend.balance() {
            v1::backend::Balance::RoundRobin => Balance::RoundRobin,
            v1::backend::Balance::LeastRequest => Balance::LeastRequest,
        };
        let source = match (backend.endpoints.as_str(), backend.dns.as_str()) {
            ("", "") => EndpointSource::Nowhere,
            ("", name) => parse_dns(name)?,
            (name, "") => EndpointSource::Resource(name.to_owned()),
            (_, name) => {
                return Err(CompileError::Invalid {
                    field: "dns".to_owned(),
                    value: name.to_owned(),
                    problem: "stands beside endpoints; keep one of them",
                });
            }
        };
        let subset = backend.subset.clone().into_iter().collect();
        let tls = backend.tls.as_ref().map(ClientTlsSpec::parse).transpose()?;
        Ok(Self { source, subset, balance, tls })
    }
}

fn parse_dns(text: &str) -> Result<EndpointSource, CompileError> {
    let parts = text.rsplit_once(':').and_then(|(name, port)| {
        let port: u16 = port.parse().ok().filter(|&port| port > 0)?;
        (!name.is_empty() && !name.contains(':')).then(|| (name.to_owned(), port))
    });
    let (name, port) = parts.ok_or_else(|| CompileError::Invalid {
        field: "dns".to_owned(),
        value: text.to_owned(),
        problem: "is not NAME:PORT",
    })?;
    Ok(EndpointSource::Dns(name, port))
}

pub(super) fn parse_endpoints(
    endpoints: &v1::Endpoints,
) -> Result<Vec<LabelledTarget>, CompileError> {
    let parse = |(index, endpoint)| parse_endpoint(index, endpoint);
    endpoints.endpoints.iter().enumerate().map(parse).collect()
}

fn parse_endpoint(index: usize, endpoint: &v1::Endpoint) -> Result<LabelledTarget, CompileError> {
    let invalid = |field: &str, value: String, problem| CompileError::Invalid {
        field: format!("endpoints[{index}].{field}"),
        value,
        problem,
    };
    let port = u16::try_from(endpoint.port).ok().filter(|&port| port > 0);
    let port = port
        .ok_or_else(|| invalid("port", endpoint.port.to_string(), "is no port; use 1 to 65535"))?;
    let parse = |text: &String| {
        let ip: Option<IpAddr> = text.parse().ok();
        ip.map(|ip| SocketAddr::new(ip, port))
            .ok_or_else(|| invalid("addresses", text.clone(), "is no IP address"))
    };
    let addresses: Box<[SocketAddr]> =
        endpoint.addresses.iter().map(parse).collect::<Result<_, _>>()?;
    if addresses.is_empty() {
        return Err(invalid("addresses", String::new(), "must not be empty; remove the endpoint"));
    }
    let target = Target { addresses, terminating: endpoint.terminating };
    let labels = endpoint.labels.clone().into_iter().collect();
    Ok(LabelledTarget { target, labels })
}
