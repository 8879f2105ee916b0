//! `/healthz`, `/readyz` and `/metrics` of the operator.

use std::{convert::Infallible, fmt::Write, sync::Arc};

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::{net::TcpListener, task::JoinSet};

/// One number for `/metrics`.
#[derive(Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) value: u64,
}

/// What is asked when somebody asks.
pub(crate) trait Health: Send + Sync + 'static {
    /// Every kind was listed once and the first translation is published.
    fn is_ready(&self) -> bool;
    fn metrics(&self) -> Vec<Metric>;
}

/// Connections at a time; more wait.
const CONNECTIONS: usize = 64;

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, health: Arc<dyn Health>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        let health = Arc::clone(&health);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let response = answer(&request, health.as_ref());
                async { Ok::<_, Infallible>(response) }
            });
            let executor = hyper_util::rt::TokioExecutor::new();
            let server = auto::Builder::new(executor);
            // A peer that breaks off is its own business.
            drop(server.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn answer(request: &Request<Incoming>, health: &dyn Health) -> Response<Full<Bytes>> {
    let (status, body) = match request.uri().path() {
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" if health.is_ready() => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first lists\n".to_owned()),
        "/metrics" => (StatusCode::OK, exposition(&health.metrics())),
        _ => (StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
}

/// Prometheus' text format.
fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, help, kind, value } in metrics {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_text_format() {
        let metric =
            Metric { name: "gatefleet_writes_total", help: "Writes.", kind: "counter", value: 3 };
        assert_eq!(
            exposition(&[metric]),
            "# HELP gatefleet_writes_total Writes.\n# TYPE gatefleet_writes_total counter\ngatefleet_writes_total 3\n"
        );
    }
}
