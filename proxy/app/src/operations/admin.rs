//! The admin interface: what this proxy holds and does, for people. No secrets.

use std::collections::BTreeMap;

use gatefleet_channel::Outcome;
use gatefleet_snapshot::v1::{Resource, resource::Body};
use gatefleet_transport::{BackendView, CertificateView, ListenerView};
use hyper::{Method, Request, StatusCode, body::Incoming};
use serde_json::{Value, json};

use super::{Sources, serve::Answer};

/// Answers one request.
pub(super) async fn answer(sources: Sources, request: Request<Incoming>) -> Answer {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match (&method, path.as_str()) {
        (&Method::GET, "/config_dump") => Answer::json(&config_dump(&sources).await),
        (&Method::GET, "/listeners") => {
            let listeners = sources.data_path.listeners().await;
            Answer::json(&listeners.iter().map(listener).collect())
        }
        (&Method::GET, "/clusters") => {
            let backends = sources.data_path.backends().await;
            Answer::json(&backends.iter().map(backend).collect())
        }
        (&Method::GET, "/certs") => {
            let certificates = sources.data_path.certificates().await;
            Answer::json(&certificates.iter().map(certificate).collect())
        }
        (&Method::GET, "/logging") => Answer::text(StatusCode::OK, &sources.filter.current()),
        (&Method::POST, "/logging") => set_filter(&sources, request.uri().query()),
        _ => Answer::text(
            StatusCode::NOT_FOUND,
            "known here: GET /config_dump /listeners /clusters /certs /logging, POST /logging?filter=FILTER",
        ),
    }
}

fn set_filter(sources: &Sources, query: Option<&str>) -> Answer {
    let filter = query
        .and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("filter=")))
        .filter(|filter| !filter.is_empty());
    let Some(filter) = filter else {
        let usage = "say which: POST /logging?filter=info,gatefleet_transport=debug";
        return Answer::text(StatusCode::BAD_REQUEST, usage);
    };
    match sources.filter.set(filter) {
        Ok(()) => Answer::text(StatusCode::OK, &sources.filter.current()),
        Err(problem) => Answer::text(StatusCode::BAD_REQUEST, &problem),
    }
}

/// Every resource that is served, and what became of every one that was wanted.
async fn config_dump(sources: &Sources) -> Value {
    let set = sources.data_path.effective().await;
    let resources: Vec<Value> =
        set.iter().map(|(_, entry)| without_secrets(&entry.resource)).collect();
    let channel = sources.channel.borrow().clone();
    let outcomes: BTreeMap<&str, Value> =
        channel.outcomes.iter().map(|(name, one)| (&**name, outcome(one))).collect();
    json!({
        "source": channel.source.to_string(),
        "connected": channel.connected,
        "ready": channel.ready,
        "installs": channel.installs,
        "problem": channel.problem,
        "watermarkRegressed": channel.watermark_regressed,
        "outcomes": outcomes,
        "resources": resources,
    })
}

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";

fn without_secrets(resource: &Resource) -> Value {
    let shown = match &resource.body {
        Some(Body::Certificate(certificate)) => {
            let mut certificate = certificate.clone();
            REDACTED.clone_into(&mut certificate.private_key);
            serde_json::to_value(Resource {
                body: Some(Body::Certificate(certificate)),
                ..resource.clone()
            })
        }
        Some(
            Body::Tier(_)
            | Body::Listener(_)
            | Body::ServerName(_)
            | Body::VirtualHost(_)
            | Body::Backend(_)
            | Body::Endpoints(_)
            | Body::TrustBundle(_)
            | Body::Policy(_),
        )
        | None => serde_json::to_value(resource),
    };
    shown.unwrap_or_else(|error| json!({ "name": resource.name, "error": error.to_string() }))
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Installed { version } => json!({ "installed": &**version }),
        Outcome::Refused { version, refused_version, message } => json!({
            "installed": version.as_deref(),
            "refused": &**refused_version,
            "problem": &**message,
        }),
        Outcome::DependencyRefused { version, message } => {
            json!({ "installed": &**version, "dependencyRefused": &**message })
        }
    }
}

fn listener(view: &ListenerView) -> Value {
    json!({
        "name": view.name,
        "address": view.address.to_string(),
        "protocol": view.protocol,
        "scope": view.scope,
        "advertisedPort": view.advertised_port,
    })
}

fn backend(view: &BackendView) -> Value {
    let endpoints: Vec<Value> = view
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "addresses": endpoint.addresses,
                "terminating": endpoint.terminating,
                "avoided": endpoint.avoided,
            })
        })
        .collect();
    json!({
        "name": view.name,
        "endpoints": endpoints,
        "connections": view.open,
        "pending": view.pending,
        "connects": view.connects,
        "connectsRefused": view.refused,
        "connectsTimedOut": view.timed_out,
        "tlsFailed": view.tls_failed,
        "overflowed": view.overflowed,
    })
}

fn certificate(view: &CertificateView) -> Value {
    let time = |seconds| {
        jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
    };
    json!({
        "name": view.name,
        "names": view.names,
        "notBefore": time(view.not_before),
        "notAfter": time(view.not_after),
    })
}
