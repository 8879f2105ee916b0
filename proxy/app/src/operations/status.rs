//! The status port: liveness, readiness, metrics, and nothing else. Anybody who reaches the pod may ask it.

use hyper::{Method, Request, StatusCode, body::Incoming};

use super::{Sources, metrics, serve::Answer};

/// Answers one request.
pub(super) async fn answer(sources: Sources, request: Request<Incoming>) -> Answer {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are known here");
    }
    match request.uri().path() {
        "/healthz" if sources.data_path.is_alive() => Answer::text(StatusCode::OK, "ok"),
        "/healthz" => {
            Answer::text(StatusCode::INTERNAL_SERVER_ERROR, "a thread of the data path has ended")
        }
        "/readyz" => match sources.readiness.obstacle() {
            None => Answer::text(StatusCode::OK, "ok"),
            Some(obstacle) => {
                Answer::text(StatusCode::SERVICE_UNAVAILABLE, &format!("not ready: {obstacle}"))
            }
        },
        "/metrics" => Answer {
            status: StatusCode::OK,
            kind: "application/openmetrics-text; version=1.0.0; charset=utf-8",
            body: metrics::render(&sources).await,
        },
        _ => Answer::text(StatusCode::NOT_FOUND, "known here: /healthz /readyz /metrics"),
    }
}
