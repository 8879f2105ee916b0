//! The Service that answers errors of a rule.

use gatefleet_ir::{ErrorService, Reason};
use gatefleet_names::PortNumber;
use k8s_openapi::api::{core::v1::Service, networking::v1::IngressBackend};

use super::backend::service_backend;
use crate::annotations::{Errors, Speech};

/// What answers the errors of a rule for `backend`, or why nothing does.
pub(super) fn resolve_errors(
    said: &Errors,
    (namespace, ingress): (&str, &str),
    service: Option<&Service>,
    backend: &IngressBackend,
) -> Result<ErrorService, (Reason, String)> {
    let name = &said.service;
    let Some(service) = service else {
        let message = format!(
            "Service {namespace}/{name} does not exist: create it or correct the name (errors are passed on)"
        );
        return Err((Reason::ServiceNotFound, message));
    };
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let first = ports.first().and_then(|port| PortNumber::new(port.port.into()));
    let Some(port) = first else {
        let message = format!("Service {namespace}/{name} has no port: errors are passed on");
        return Err((Reason::PortNotFound, message));
    };
    let mut headers = vec![
        ("x-namespace".to_owned(), namespace.to_owned()),
        ("x-ingress-name".to_owned(), ingress.to_owned()),
    ];
    if let Some(reference) = &backend.service {
        headers.push(("x-service-name".to_owned(), reference.name.clone()));
        let port = reference.port.as_ref().and_then(|port| {
            port.name.clone().or_else(|| port.number.map(|number| number.to_string()))
        });
        headers.extend(port.map(|port| ("x-service-port".to_owned(), port)));
    }
    // Names that the API server would refuse must not spoil the rule.
    headers.retain(|(_, value)| value.bytes().all(|byte| byte.is_ascii_graphic()));
    Ok(ErrorService {
        backend: service_backend(namespace, service, name, port, &Speech::default()),
        statuses: said.statuses.clone(),
        no_endpoints: true,
        headers,
    })
}
