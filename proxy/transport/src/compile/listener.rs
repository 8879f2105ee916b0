//! Listeners.

use std::{net::IpAddr, sync::Arc};

use gatefleet_snapshot::v1;

use super::CompileError;
use crate::host::HostPattern;

/// A listener, alone.
#[derive(Debug)]
pub(crate) struct ListenerSpec {
    pub(crate) scope: Arc<str>,
    /// Empty: the proxy's bind address.
    pub(crate) bind_addresses: Vec<IpAddr>,
    pub(crate) bind_port: u16,
    pub(crate) advertised_port: u16,
    pub(crate) hostname: HostPattern,
    pub(crate) protocol: Protocol,
    /// Asked about every request of the scope.
    pub(crate) policies: Vec<String>,
}

/// What a listener speaks.
#[derive(Debug)]
pub(crate) enum Protocol {
    Http,
    Https(TlsSpec),
}

/// TLS of a listener.
#[derive(Debug)]
pub(crate) struct TlsSpec {
    pub(crate) min_version: v1::listener_tls::Version,
    pub(crate) default_certificates: Vec<String>,
    pub(crate) clients: Clients,
}

/// Whether clients must show a certificate.
#[derive(Debug)]
pub(crate) enum Clients {
    Anybody,
    /// Each must be vouched for by one of these trust bundles.
    VouchedBy(Vec<String>),
}

impl ListenerSpec {
    pub(super) fn parse(listener: &v1::Listener) -> Result<Self, CompileError> {
        let bind_addresses = listener
            .bind_addresses
            .iter()
            .map(|text| {
                text.parse().map_err(|_not_an_address| CompileError::Invalid {
                    field: "bindAddresses".to_owned(),
                    value: text.clone(),
                    problem: "is no IP address; write one, or none for all interfaces",
                })
            })
            .collect::<Result<_, _>>()?;
        let bind_port = parse_port("bindPort", listener.bind_port)?;
        let advertised_port = match listener.advertised_port {
            0 => bind_port,
            port => parse_port("advertisedPort", port)?,
        };
        let hostname = HostPattern::parse(listener.hostname.as_ref())?;
        let protocol = parse_protocol(listener)?;
        let scope = listener.scope.as_str().into();
        let policies = listener.policies.clone();
        Ok(Self { scope, bind_addresses, bind_port, advertised_port, hostname, protocol, policies })
    }
}

fn parse_port(field: &str, port: u32) -> Result<u16, CompileError> {
    u16::try_from(port).ok().filter(|&port| port > 0).ok_or_else(|| CompileError::Invalid {
        field: field.to_owned(),
        value: port.to_string(),
        problem: "is no port; use 1 to 65535",
    })
}

fn parse_protocol(listener: &v1::Listener) -> Result<Protocol, CompileError> {
    let unsupported =
        |what| CompileError::Unsupported { field: "protocol", what, remedy: "use HTTP or HTTPS" };
    match listener.protocol() {
        v1::Protocol::Http if listener.tls.is_some() => Err(CompileError::Invalid {
            field: "tls".to_owned(),
            value: "protocol HTTP".to_owned(),
            problem: "has no TLS; remove the field or use HTTPS",
        }),
        v1::Protocol::Http => Ok(Protocol::Http),
        v1::Protocol::Https => {
            Ok(Protocol::Https(parse_tls(listener.tls.as_ref().unwrap_or(&Default::default()))?))
        }
        v1::Protocol::Tls => Err(unsupported("protocol TLS")),
        v1::Protocol::Tcp => Err(unsupported("protocol TCP")),
        v1::Protocol::Udp => Err(unsupported("protocol UDP")),
        v1::Protocol::Unspecified => Err(unsupported("an unknown protocol")),
    }
}

fn parse_tls(tls: &v1::ListenerTls) -> Result<TlsSpec, CompileError> {
    use v1::client_validation::Mode;
    if tls.mode() == v1::listener_tls::Mode::Passthrough {
        return Err(CompileError::Unsupported {
            field: "tls.mode",
            what: "TLS passthrough",
            remedy: "terminate TLS here",
        });
    }
    let clients = match &tls.client_validation {
        None => Clients::Anybody,
        Some(validation) if validation.mode() == Mode::Required => {
            Clients::VouchedBy(validation.trust_bundles.clone())
        }
        Some(_) => {
            return Err(CompileError::Unsupported {
                field: "tls.clientValidation.mode",
                what: "client validation that lets unverified clients in",
                remedy: "use REQUIRED or none",
            });
        }
    };
    Ok(TlsSpec {
        min_version: tls.min_version(),
        default_certificates: tls.default_certificates.clone(),
        clients,
    })
}
