//! Errors that another backend answers, as nginx's `error_page` does.

use crate::{
    compile::ErrorService,
    decide::Answer,
    head::{Body, RequestHead, Span},
    observe::Failure,
};

/// How an error is passed to the backend that answers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replacement {
    /// The request as it is: nothing of it was sent.
    Request,
    /// A question for the page of this error.
    Page,
}

impl ErrorService {
    /// Whether an answer of the backend with this status is replaced.
    pub(crate) fn replaces_status(&self, status: u16) -> bool {
        self.statuses.binary_search(&status).is_ok()
    }

    /// How `answer`, which the proxy would give itself, is replaced; `None`: not at all. What was said before any
    /// backend was chosen is left as it is.
    pub(crate) fn replacement(&self, answer: &Answer<'_>) -> Option<Replacement> {
        let page = || self.replaces_status(answer.status).then_some(Replacement::Page);
        match answer.failure? {
            Failure::NoEndpoints | Failure::BackendUnavailable if self.no_endpoints => {
                Some(Replacement::Request)
            }
            Failure::NoEndpoints
            | Failure::BackendUnavailable
            | Failure::Overflow
            | Failure::ConnectFailed
            | Failure::ConnectTimeout
            | Failure::UpstreamTls
            | Failure::UpstreamReset
            | Failure::UpstreamMalformed
            | Failure::UpstreamTimeout => page(),
            Failure::BadRequest
            | Failure::HeadTimeout
            | Failure::HeadTooLarge
            | Failure::BodyTooLarge
            | Failure::NoRoute
            | Failure::Denied
            | Failure::PolicyUnavailable
            | Failure::ClientGone
            | Failure::ClientMalformed
            | Failure::ClientTimeout => None,
        }
    }
}

/// What a request was before it became a question for the page of an error; the log tells that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    method: Span,
    target: Span,
    upgrade: Option<Span>,
    body: Body,
    expects_continue: bool,
}

impl Received {
    /// Turns `head` into what the backend for errors is asked.
    pub(crate) fn replace(
        head: &mut RequestHead,
        service: &ErrorService,
        how: Replacement,
        status: u16,
    ) -> Self {
        let received = Self {
            method: head.method,
            target: head.target,
            upgrade: head.upgrade,
            body: head.body,
            expects_continue: head.expects_continue,
        };
        for name in [&b"x-code"[..], b"x-format", b"x-original-uri"] {
            head.fields.remove(name);
        }
        head.fields.push_display(b"x-code", format_args!("{status}"));
        if let Some(accept) = head.fields.get(b"accept").map(<[u8]>::to_vec) {
            head.fields.push(b"x-format", &accept);
        }
        let uri = head.received_target().to_vec();
        head.fields.push(b"x-original-uri", &uri);
        for (name, value) in &service.headers {
            head.fields.set(name, value);
        }
        if how == Replacement::Page {
            if head.method() != b"HEAD" {
                head.method = head.fields.store(b"GET");
            }
            head.target = head.fields.store(b"/");
            (head.upgrade, head.body, head.expects_continue) = (None, Body::Empty, false);
            head.fields.remove(b"content-type");
        }
        received
    }

    /// Makes `head` again what was received.
    pub(crate) fn restore(self, head: &mut RequestHead) {
        (head.method, head.target, head.upgrade) = (self.method, self.target, self.upgrade);
        (head.body, head.expects_continue) = (self.body, self.expects_continue);
    }
}
