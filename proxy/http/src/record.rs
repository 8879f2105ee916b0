//! What is remembered about a request for its summary.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;

use crate::{
    connection::ConnectionInfo,
    decide::Answer,
    head::RequestHead,
    observe::{Failure, Observer, RequestSummary},
    origin::Origin,
};

#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) rule: &'a str,
    pub(crate) backend: &'a str,
    pub(crate) endpoint: Option<SocketAddr>,
    pub(crate) status: u16,
    pub(crate) failure: Option<Failure>,
    pub(crate) reason: &'a str,
    pub(crate) body_in: u64,
    pub(crate) body_out: u64,
    pub(crate) attempts: u32,
    pub(crate) upstream: Option<Duration>,
    pub(crate) origin: Origin,
    /// The client got the whole response.
    pub(crate) is_complete: bool,
    started: Instant,
    scheme: crate::connection::Scheme,
}

impl<'a> Record<'a> {
    pub(crate) fn new(info: &ConnectionInfo, origin: Origin, started: Instant) -> Self {
        Self {
            rule: "",
            backend: "",
            endpoint: None,
            status: 0,
            failure: None,
            reason: "",
            body_in: 0,
            body_out: 0,
            attempts: 0,
            upstream: None,
            origin,
            is_complete: false,
            started,
            scheme: info.scheme(),
        }
    }

    /// Takes over why we answer ourselves.
    pub(crate) fn reason_is(&mut self, answer: &Answer<'a>) {
        self.failure = answer.failure;
        self.reason = answer.reason;
    }

    pub(crate) fn report(&self, observer: &impl Observer, head: &RequestHead) {
        let field = |name| head.fields.get(name).unwrap_or_default();
        observer.request_ended(&RequestSummary {
            rule: self.rule,
            backend: self.backend,
            endpoint: self.endpoint,
            status: self.status,
            failure: self.failure,
            reason: self.reason,
            body_in: self.body_in,
            body_out: self.body_out,
            duration: self.started.elapsed(),
            upstream_duration: self.upstream,
            attempts: self.attempts,
            request_id: std::str::from_utf8(field(b"x-request-id")).unwrap_or_default(),
            method: head.method(),
            target: head.received_target(),
            host: head.host(),
            version: head.version,
            scheme: self.scheme,
            client: self.origin.client,
            user_agent: field(b"user-agent"),
            referer: field(b"referer"),
        });
    }
}
