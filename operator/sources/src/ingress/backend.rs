//! Where an Ingress sends requests.

use gatefleet_ir::{
    Addresses, AppProtocol, Backend, BackendTls, Balance, Reason, ServiceBackend, WeightedBackend,
};
use gatefleet_names::{PortNumber, Weight};
use k8s_openapi::api::{
    core::v1::{Service, ServicePort},
    networking::v1::{IngressBackend, ServiceBackendPort},
};

use crate::annotations::{BackendProtocol, Speech};

/// Why a reference is broken: reason, sentence, and what its requests get.
pub(super) struct Broken {
    pub(super) reason: Reason,
    pub(super) message: String,
    status: u16,
}

impl Broken {
    fn new(reason: Reason, status: u16, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), status }
    }

    pub(super) fn backend(&self) -> Backend {
        Backend::Invalid { status: self.status, reason: self.reason.as_str() }
    }
}

/// All requests to `backend`.
pub(super) fn alone(backend: Backend) -> WeightedBackend {
    WeightedBackend { weight: Weight::ONE, backend, filters: Vec::new() }
}

/// The backend that `said` names; `find` looks a Service of the Ingress's namespace up.
pub(super) fn resolve_backend<'a>(
    namespace: &str,
    said: &IngressBackend,
    speech: &Speech,
    find: impl FnOnce(&str) -> Option<&'a Service>,
) -> Result<ServiceBackend, Broken> {
    let Some(reference) = &said.service else {
        let message = match &said.resource {
            Some(resource) => {
                format!("a {} is no backend that can be served: name a Service", resource.kind)
            }
            None => "it names neither a Service nor a resource: name a Service".to_owned(),
        };
        return Err(Broken::new(Reason::BackendNotSupported, 404, message));
    };
    let Some(service) = find(&reference.name) else {
        let name = &reference.name;
        let message = format!(
            "Service {namespace}/{name} does not exist: create it or correct the name (its requests get 503)"
        );
        return Err(Broken::new(Reason::ServiceNotFound, 503, message));
    };
    let port = resolve_port(service, reference.port.as_ref()).map_err(|message| {
        Broken::new(
            Reason::PortNotFound,
            503,
            format!("Service {namespace}/{} {message}", reference.name),
        )
    })?;
    if speech.protocol == BackendProtocol::NotServed {
        return Err(Broken::new(Reason::FeatureNotServed, 503, String::new()));
    }
    Ok(service_backend(namespace, service, &reference.name, port, speech))
}

pub(super) fn service_backend(
    namespace: &str,
    service: &Service,
    name: &str,
    port: PortNumber,
    speech: &Speech,
) -> ServiceBackend {
    let external =
        service.spec.as_ref().filter(|spec| spec.type_.as_deref() == Some("ExternalName"));
    let external = external.and_then(|spec| spec.external_name.as_deref());
    let (mut variant, tls) = match &speech.protocol {
        BackendProtocol::Http | BackendProtocol::NotServed => (String::new(), None),
        BackendProtocol::Https(server_name) => {
            let variant = server_name
                .as_ref()
                .map_or_else(|| "https".to_owned(), |server_name| format!("https/{server_name}"));
            // As in nginx, whose proxy_ssl_verify is off.
            let server_name = server_name.clone().unwrap_or_default();
            let tls =
                BackendTls { server_name, insecure_skip_verify: true, ..BackendTls::default() };
            (variant, Some(tls))
        }
    };
    if speech.balance == Balance::LeastRequest {
        let parts = [variant.as_str(), "least-request"].into_iter().filter(|part| !part.is_empty());
        variant = parts.collect::<Vec<_>>().join("/");
    }
    ServiceBackend {
        namespace: namespace.to_owned(),
        service: name.to_owned(),
        port,
        variant,
        addresses: external.map_or(Addresses::Slices, |host| {
            Addresses::Dns(format!("{}:{port}", host.trim_end_matches('.')))
        }),
        protocol: AppProtocol::Http1,
        balance: speech.balance,
        tls,
        subset: std::collections::BTreeMap::new(),
    }
}

/// The number of the Service's port, or the end of a sentence that begins with the Service's name.
fn resolve_port(
    service: &Service,
    said: Option<&ServiceBackendPort>,
) -> Result<PortNumber, String> {
    let spec = service.spec.as_ref();
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let known = || {
        let names = ports.iter().map(|port| match &port.name {
            Some(name) => format!("{} ({name})", port.port),
            None => port.port.to_string(),
        });
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            "it has none".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        }
    };
    let (found, shown) = match said {
        Some(ServiceBackendPort { name: Some(name), .. }) if !name.is_empty() => {
            (ports.iter().find(|port| port.name.as_ref() == Some(name)), format!("{name:?}"))
        }
        Some(ServiceBackendPort { number: Some(number), .. }) => {
            if has_no_ports(service) {
                let number = PortNumber::new(i64::from(*number));
                return number.ok_or_else(|| "is asked for a port that is none".to_owned());
            }
            (ports.iter().find(|port| port.port == *number), number.to_string())
        }
        _ => return Err(format!("is named without a port: {}", known())),
    };
    let found = found.filter(|port| is_tcp(port));
    let number = found.and_then(|port| PortNumber::new(i64::from(port.port)));
    number.ok_or_else(|| format!("has no TCP port {shown}: {} (its requests get 503)", known()))
}

fn is_tcp(port: &ServicePort) -> bool {
    matches!(port.protocol.as_deref(), None | Some("TCP" | ""))
}

/// A headless Service, or an `ExternalName`, may declare no port; then every number is meant literally.
fn has_no_ports(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        let none = spec.ports.as_ref().is_none_or(Vec::is_empty);
        let external = spec.type_.as_deref() == Some("ExternalName");
        none && (external || spec.cluster_ip.as_deref() == Some("None"))
    })
}
