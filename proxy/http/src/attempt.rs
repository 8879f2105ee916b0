//! The bytes of one try: request up, response down, both at once.

use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    clock::{Clock, Expired},
    decide::Answer,
    head::ResponseHead,
    observe::Failure,
    peer::{Downstream, StreamError, Upstream},
    pump::{Pump, PumpError},
    upstreams::ConnectError,
};

/// How many 1xx responses may stand before one response.
const INTERIM: u32 = 32;

/// Why a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection.
    Connect(ConnectError),
    /// A pooled connection turned out to be closed before anything was received on it.
    Stale,
    /// The endpoint.
    Upstream(StreamError),
    /// The endpoint answered a status that is tried again.
    Status(u16),
    /// The client.
    Client(StreamError),
    /// A deadline; `true`: while the client had to send.
    Expired(Expired, bool),
}

impl Fault {
    /// What the client is told, as long as no response has begun.
    pub(crate) fn answer(self) -> Answer<'static> {
        let (status, reason, failure) = match self {
            Self::Connect(ConnectError::NoEndpoints) => (503, "NoEndpoints", Failure::NoEndpoints),
            Self::Connect(ConnectError::Overflow) => (503, "Overflow", Failure::Overflow),
            Self::Connect(ConnectError::Failed { .. }) => {
                (502, "ConnectFailed", Failure::ConnectFailed)
            }
            Self::Connect(ConnectError::TimedOut { .. }) => {
                (504, "ConnectTimeout", Failure::ConnectTimeout)
            }
            Self::Connect(ConnectError::Tls { .. }) => (502, "UpstreamTls", Failure::UpstreamTls),
            Self::Stale | Self::Upstream(StreamError::Closed | StreamError::Io(_)) => {
                (502, "UpstreamReset", Failure::UpstreamReset)
            }
            Self::Upstream(_) => (502, "UpstreamMalformed", Failure::UpstreamMalformed),
            Self::Status(status) => (status, "RetriesExhausted", Failure::UpstreamReset),
            Self::Client(StreamError::TooLarge) => (413, "BodyTooLarge", Failure::BodyTooLarge),
            Self::Client(StreamError::Malformed(reason)) => (400, reason, Failure::ClientMalformed),
            Self::Client(StreamError::HeadTooLarge) => {
                (400, "TrailersTooLarge", Failure::ClientMalformed)
            }
            Self::Client(_) => (400, "ClientGone", Failure::ClientGone),
            Self::Expired(_, true) => (408, "BodyTimeout", Failure::ClientTimeout),
            Self::Expired(_, false) => (504, "UpstreamTimeout", Failure::UpstreamTimeout),
        };
        Answer::page(status, reason, failure)
    }

    /// What is reported about the endpoint; `None`: it did nothing wrong.
    pub(crate) fn blames_endpoint(self) -> Option<Failure> {
        match self {
            Self::Client(_) | Self::Stale | Self::Status(_) | Self::Expired(_, true) => None,
            fault => fault.answer().failure,
        }
    }
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The rest of the request, or the response: the upload tells.
    Exchange,
    /// The client does not take what there is of the response.
    ClientReads,
    /// Anything, in either direction.
    Tunnel,
}

/// A deadline passed while the client had to send, or while it had not.
pub(crate) fn expired(which: Expired, client_owes: bool) -> Fault {
    Fault::Expired(which, client_owes)
}

/// How long nothing may move, by whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// The client has to send, or to read.
    pub(crate) client: Duration,
    /// The backend has to read.
    pub(crate) send: Duration,
    /// The backend has to answer.
    pub(crate) read: Duration,
}

/// The two sides of a try.
pub(crate) struct Attempt<'x, D, C> {
    pub(crate) down: &'x mut D,
    pub(crate) up: &'x mut C,
    pub(crate) upload: &'x mut Pump,
    pub(crate) clock: &'x mut Clock,
    pub(crate) patience: Patience,
    /// 1xx responses so far.
    pub(crate) interim: u32,
}

impl<D: Downstream, C: Upstream> Attempt<'_, D, C> {
    /// Sends the request until the response head is here; 1xx responses are passed on.
    pub(crate) async fn run(mut self, head: &mut ResponseHead) -> Result<(), Fault> {
        poll_fn(|cx| {
            let result = self.poll_run(cx, head);
            self.tick(cx, result, Turn::Exchange)
        })
        .await
    }

    fn poll_run(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Fault>> {
        let uploaded = self.poll_upload(cx);
        loop {
            match self.up.poll_head(cx, head) {
                Poll::Ready(Ok(())) if head.is_informational() => {
                    self.interim = self.interim.saturating_add(1);
                    if self.interim > INTERIM {
                        let error = StreamError::Malformed("TooManyInterimResponses");
                        return Poll::Ready(Err(Fault::Upstream(error)));
                    }
                    self.down.send_informational(head);
                    self.upload.moved = true;
                }
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                // A backend may answer and close without reading the whole request.
                Poll::Ready(Err(error)) => return Poll::Ready(Err(Fault::Upstream(error))),
                Poll::Pending => break,
            }
        }
        if let Some(fault) = uploaded {
            return Poll::Ready(Err(fault));
        }
        if let Poll::Ready(Err(error)) = self.down.poll_flush(cx) {
            return Poll::Ready(Err(Fault::Client(error)));
        }
        self.down.poll_gone(cx).map(|error| Err(Fault::Client(error)))
    }

    /// Moves the request body. A backend that stops reading is not an error by itself: it may answer.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Option<Fault> {
        if self.upload.is_done() {
            return None;
        }
        match self.upload.poll(self.down, self.up, cx) {
            Poll::Ready(Err(PumpError::Source(error))) => Some(Fault::Client(error)),
            Poll::Ready(Err(PumpError::Sink(error))) => Some(Fault::Upstream(error)),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        }
    }

    /// Moves the response body, and what is left of the request body.
    pub(crate) async fn stream(&mut self, download: &mut Pump) -> Result<(), Fault> {
        poll_fn(|cx| {
            match self.poll_upload(cx) {
                Some(Fault::Upstream(_)) => self.upload.stop(),
                Some(fault) => return Poll::Ready(Err(fault)),
                None => {}
            }
            let result = self.poll_download(cx, download);
            self.upload.moved |= std::mem::take(&mut download.moved);
            let turn = if download.starved { Turn::Exchange } else { Turn::ClientReads };
            self.tick(cx, result, turn)
        })
        .await
    }

    fn poll_download(
        &mut self,
        cx: &mut Context<'_>,
        download: &mut Pump,
    ) -> Poll<Result<(), Fault>> {
        download.poll(self.up, self.down, cx).map_err(|error| match error {
            PumpError::Source(error) => {
                // What did arrive is not held back; whether it can be written is no matter any more.
                let _ = self.down.poll_flush(cx);
                Fault::Upstream(error)
            }
            PumpError::Sink(error) => Fault::Client(error),
        })
    }

    /// Moves opaque bytes both ways until both directions have ended.
    pub(crate) async fn tunnel(&mut self, download: &mut Pump) -> Result<(), Fault> {
        poll_fn(|cx| {
            if let Some(fault) = self.poll_upload(cx) {
                return Poll::Ready(Err(fault));
            }
            if !download.is_done()
                && let Poll::Ready(Err(fault)) = self.poll_download(cx, download)
            {
                return Poll::Ready(Err(fault));
            }
            self.upload.moved |= std::mem::take(&mut download.moved);
            let both = download.is_done() && self.upload.is_done();
            let result = if both { Poll::Ready(Ok(())) } else { Poll::Pending };
            self.tick(cx, result, Turn::Tunnel)
        })
        .await
    }

    /// While waiting, looks at the clock, which any movement set back.
    fn tick(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<Result<(), Fault>>,
        turn: Turn,
    ) -> Poll<Result<(), Fault>> {
        if result.is_ready() {
            return result;
        }
        if std::mem::take(&mut self.upload.moved) {
            self.clock.touch();
        }
        let owes = turn == Turn::ClientReads || (!self.upload.is_done() && self.upload.starved);
        self.clock.allow(match turn {
            Turn::Tunnel => self.patience.read,
            _ if owes => self.patience.client,
            _ if self.upload.is_done() => self.patience.read,
            _ => self.patience.send,
        });
        self.clock.poll_expired(cx).map(|which| Err(expired(which, owes)))
    }
}
