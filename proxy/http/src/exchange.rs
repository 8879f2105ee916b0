//! One request from its head to the last byte of its response.

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

use tokio::time::Instant;

use crate::{
    attempt::{self, Attempt, Fault, Patience},
    clock::{Clock, Expired},
    compile::{Cause, Cors, ErrorService, Filter, Retry},
    connection::ConnectionInfo,
    decide::{Answer, Plan, Route, decide},
    drain::{Drain, Phase},
    edit::filter_response,
    head::{Fields, RequestHead, ResponseHead},
    observe::{Failure, Observer},
    peer::{Downstream, StreamError, Upstream},
    pump::Pump,
    record::Record,
    replace::{Received, Replacement},
    reply::{Facts, reply},
    table::Table,
    upstreams::{Avoid, Checkout, ConnectError, Lease, Report, Upstreams},
};

/// Heads of one request, lent from a pool.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
}

/// What surrounds an exchange.
pub(crate) struct Env<'a, U: Upstreams, O> {
    pub(crate) info: &'a ConnectionInfo,
    pub(crate) table: &'a Table<U::Backend>,
    pub(crate) upstreams: &'a U,
    pub(crate) observer: &'a O,
    pub(crate) started: Instant,
    /// The connection takes no further request.
    pub(crate) is_last: bool,
    /// Of the connection, where it can be ended by an answer.
    pub(crate) drain: Option<&'a Drain>,
}

impl<U: Upstreams, O> Env<'_, U, O> {
    /// Whether an answer that begins now says that the connection ends.
    fn closes(&self) -> bool {
        self.is_last || self.drain.is_some_and(|drain| drain.phase() > Phase::Serving)
    }
}

/// What becomes of the client's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The response is complete.
    Complete,
    /// The response is not complete: whatever carries it is cut.
    Cut,
}

/// Serves the request in `heads` and reports it.
pub(crate) async fn exchange<D: Downstream, U: Upstreams, O: Observer>(
    env: &Env<'_, U, O>,
    down: &mut D,
    heads: &mut Heads,
    clock: &mut Clock,
) -> Ending {
    let decision = decide(env.table, env.info, env.upstreams, &mut heads.request);
    let mut record = Record::new(env.info, decision.origin, env.started);
    record.rule = decision.rule_name;
    let settings = env.table.settings();
    clock.restart(env.started, settings.timeouts.idle);
    let (errors, cors) = (decision.errors, decision.cors);
    let answer = match decision.plan {
        Plan::Answer(answer) => Some(answer),
        Plan::Forward(route) => {
            record.backend = route.backend_name;
            let replaces = errors.is_some();
            let mut forwarding =
                Forwarding { env, route, replaces, retry_left: 0, body_limit: None };
            forwarding.run(down, heads, clock, &mut record).await.err()
        }
    };
    let ending = match answer {
        None => ending(&record),
        Some(failed) => match errors.and_then(|errors| errors.replacement(&failed)) {
            None => answer_now(env, down, (&failed, cors), heads, clock, &mut record).await,
            // Boxed: few requests need it, and every connection has room for what is not.
            Some(how) => {
                Box::pin(replace(env, down, how, (failed, cors), heads, clock, &mut record)).await
            }
        },
    };
    record.report(env.observer, &heads.request);
    ending
}

fn ending(record: &Record<'_>) -> Ending {
    if record.is_complete { Ending::Complete } else { Ending::Cut }
}

/// Lets another backend answer instead of `failed`.
async fn replace<'a, D: Downstream, U: Upstreams, O: Observer>(
    env: &Env<'a, U, O>,
    down: &mut D,
    (service, route, how): (&'a ErrorService, Route<'a, U::Backend>, Replacement),
    (failed, cors): (Answer<'a>, Option<&'a Cors>),
    heads: &mut Heads,
    clock: &mut Clock,
    record: &mut Record<'a>,
) -> Ending {
    let received = Received::replace(&mut heads.request, service, how, failed.status);
    record.backend = route.backend_name;
    let mut forwarding =
        Forwarding { env, route, replaces: false, retry_left: 0, body_limit: None };
    let result = forwarding.run(down, heads, clock, record).await;
    received.restore(&mut heads.request);
    match result {
        Ok(()) => ending(record),
        // The first error is what the client should know when there is nobody to explain it.
        Err(_) => answer_now(env, down, (&failed, cors), heads, clock, record).await,
    }
}

async fn answer_now<'a, D: Downstream, U: Upstreams, O: Observer>(
    env: &Env<'_, U, O>,
    down: &mut D,
    (answer, cors): (&Answer<'a>, Option<&'a Cors>),
    heads: &mut Heads,
    clock: &mut Clock,
    record: &mut Record<'a>,
) -> Ending {
    clock.restart(Instant::now(), env.table.settings().timeouts.idle);
    record.reason_is(answer);
    let Heads { request, response } = heads;
    let facts = Facts { request, info: env.info, origin: record.origin, close: env.closes(), cors };
    match reply(down, answer, facts, response, clock).await {
        Ok(bytes) => {
            (record.status, record.body_out) = (answer.status, bytes);
            Ending::Complete
        }
        Err(_gone) => {
            record.failure = Some(Failure::ClientGone);
            Ending::Cut
        }
    }
}

/// A request on its way to a backend.
struct Forwarding<'e, 'a, U: Upstreams, O> {
    env: &'e Env<'a, U, O>,
    route: Route<'a, U::Backend>,
    /// Whether errors of the backend may be answered by another one.
    replaces: bool,
    retry_left: u32,
    body_limit: Option<u64>,
}

impl<'a, U: Upstreams, O: Observer> Forwarding<'_, 'a, U, O> {
    /// `Err`: nothing was sent to the client yet, and this is to be answered.
    async fn run<D: Downstream>(
        &mut self,
        down: &mut D,
        heads: &mut Heads,
        clock: &mut Clock,
        record: &mut Record<'a>,
    ) -> Result<(), Answer<'a>> {
        self.begin(heads, clock)?;
        let mut ask = Checkout {
            attempt: 0,
            avoid: Avoid::default(),
            fresh: false,
            connect_timeout: self.connect_timeout(),
        };
        let mut tried = loop {
            let (fault, reused) = match self.try_once(&ask, down, heads, clock, record).await {
                Ok(tried) => break tried,
                Err(fault) => fault,
            };
            if !self.may_retry(fault, reused && !ask.fresh, &heads.request) || !down.rewind() {
                return Err(fault.answer());
            }
            clock.touch();
            ask.attempt = ask.attempt.saturating_add(1);
            if fault == Fault::Stale {
                ask.fresh = true;
            } else {
                self.retry_left = self.retry_left.saturating_sub(1);
                if let Some(endpoint) = record.endpoint {
                    ask.avoid.add(endpoint);
                }
                self.back_off(clock).await;
            }
        };
        let status = heads.response.status;
        let errors = self.route.rule.errors.as_ref().filter(|_| self.replaces);
        if errors.is_some_and(|errors| errors.replaces_status(status)) {
            let report = Report { status: Some(status), failure: None, latency: tried.latency };
            self.env.upstreams.checkin(self.route.backend, tried.lease, &report);
            return Err(Answer::page(status, "ErrorWithoutPage", Failure::UpstreamReset));
        }
        let failure = self.respond(&mut tried, down, heads, clock, record).await;
        let report = Report { status: Some(record.status), failure, latency: tried.latency };
        self.env.upstreams.checkin(self.route.backend, tried.lease, &report);
        Ok(())
    }

    fn begin(&mut self, heads: &Heads, clock: &mut Clock) -> Result<(), Answer<'a>> {
        let settings = self.env.table.settings();
        let rule = self.route.rule;
        let now = self.env.started;
        clock.restart(now, rule.timeouts.idle.unwrap_or(settings.timeouts.idle));
        clock.limit_request(now, rule.timeouts.request.or(settings.timeouts.request));
        self.retry_left = rule.retry.attempts;
        self.body_limit = rule.request_body_bytes.or(settings.limits.request_body_bytes);
        match (heads.request.body, self.body_limit) {
            (crate::head::Body::Length(length), Some(limit)) if length > limit => {
                Err(Answer::page(413, "BodyTooLarge", Failure::BodyTooLarge))
            }
            _ => Ok(()),
        }
    }

    fn patience(&self) -> Patience {
        let timeouts = self.route.rule.timeouts;
        let client = timeouts.idle.unwrap_or(self.env.table.settings().timeouts.idle);
        Patience {
            client,
            send: timeouts.upstream_send.unwrap_or(client),
            read: timeouts.upstream_read.unwrap_or(client),
        }
    }

    fn connect_timeout(&self) -> std::time::Duration {
        let tier = self.env.table.settings().timeouts.upstream_connect;
        self.route.rule.timeouts.upstream_connect.unwrap_or(tier)
    }

    /// Gets a connection, sends the request, waits for the response head.
    async fn try_once<D: Downstream>(
        &self,
        ask: &Checkout,
        down: &mut D,
        heads: &mut Heads,
        clock: &mut Clock,
        record: &mut Record<'a>,
    ) -> Result<Tried<U::Connection>, (Fault, bool)> {
        record.attempts = record.attempts.saturating_add(1);
        let begun = Instant::now();
        clock.limit_try(begun, self.route.rule.retry.per_try);
        clock.allow(self.patience().client.saturating_add(ask.connect_timeout));
        let checkout = self.env.upstreams.checkout(self.route.backend, ask);
        let mut lease = match until(clock, down, checkout).await {
            Ok(Ok(lease)) => lease,
            Ok(Err(error)) => {
                record.endpoint = error.endpoint().or(record.endpoint);
                return Err((Fault::Connect(error), false));
            }
            Err(fault) => return Err((fault, false)),
        };
        record.endpoint = Some(lease.endpoint);
        lease.connection.send_head(&heads.request);
        let mut upload = Pump::new(self.body_limit);
        if !lease.reused {
            clock.touch();
        }
        let attempt = Attempt {
            down,
            up: &mut lease.connection,
            upload: &mut upload,
            clock,
            patience: self.patience(),
            interim: 0,
        };
        let result = attempt.run(&mut heads.response).await;
        let may_rewind = down.may_rewind();
        let latency = begun.elapsed();
        (record.upstream, record.body_in) = (Some(latency), upload.bytes);
        let status = heads.response.status;
        let fault = match result {
            Ok(()) if self.retries_status(status, &heads.request) && may_rewind => {
                Fault::Status(status)
            }
            Ok(()) => return Ok(Tried { lease, upload, latency }),
            Err(Fault::Upstream(StreamError::Closed | StreamError::Io(_)))
                if lease.reused && !lease.connection.has_received() =>
            {
                Fault::Stale
            }
            Err(fault) => fault,
        };
        let reused = lease.reused;
        let status = matches!(fault, Fault::Status(_)).then_some(status);
        let report = Report { status, failure: fault.blames_endpoint(), latency };
        self.env.upstreams.checkin(self.route.backend, lease, &report);
        Err((fault, reused))
    }

    /// An answer that cannot be retried is passed on.
    fn retries_status(&self, status: u16, request: &RequestHead) -> bool {
        let retry = &self.route.rule.retry;
        retry.statuses.contains(&status) && self.has_tries() && is_repeatable(retry, request)
    }

    fn has_tries(&self) -> bool {
        let total = self.route.rule.retry.total;
        self.retry_left > 0 && total.is_none_or(|total| self.env.started.elapsed() < total)
    }

    fn may_retry(&self, fault: Fault, was_pooled: bool, request: &RequestHead) -> bool {
        let retry: &Retry = &self.route.rule.retry;
        let has = |cause| retry.causes.contains(&cause);
        let asked_for = match fault {
            Fault::Stale => return was_pooled && is_repeatable(retry, request),
            // Nothing was sent.
            Fault::Connect(ConnectError::TimedOut { .. }) => {
                return has(Cause::ConnectTimeout) && self.has_tries();
            }
            Fault::Connect(error) => {
                let failed = error.endpoint().is_some();
                return failed && has(Cause::ConnectFailure) && self.has_tries();
            }
            Fault::Upstream(StreamError::Closed | StreamError::Io(_))
            | Fault::Expired(Expired::Try, _) => has(Cause::Reset),
            Fault::Expired(Expired::Idle, false) => has(Cause::AnswerTimeout),
            Fault::Upstream(_) => has(Cause::Malformed),
            Fault::Status(_) => true,
            Fault::Client(_) | Fault::Expired(..) => false,
        };
        asked_for && self.has_tries() && is_repeatable(retry, request)
    }

    async fn back_off(&self, clock: &mut Clock) {
        if let Some(pause) = self.route.rule.retry.backoff {
            tokio::time::sleep(pause).await;
            clock.touch();
        }
    }

    /// Sends the response to the client; what the endpoint did wrong.
    async fn respond<D: Downstream>(
        &self,
        tried: &mut Tried<U::Connection>,
        down: &mut D,
        heads: &mut Heads,
        clock: &mut Clock,
        record: &mut Record<'a>,
    ) -> Option<Failure> {
        let Tried { lease, upload, .. } = tried;
        let Heads { request, response } = heads;
        record.status = response.status;
        self.edit_response(&request.fields, &mut response.fields);
        clock.limit_try(Instant::now(), None);
        let is_tunnel = response.status == 101;
        down.send_head(response, self.env.closes() || !(upload.is_done() || is_tunnel));
        if is_tunnel {
            down.start_tunnel();
            lease.connection.start_tunnel();
            clock.limit_request(Instant::now(), None);
            *upload = Pump::new(None);
        }
        let mut download = Pump::new(None);
        let patience = self.patience();
        let mut attempt =
            Attempt { down, up: &mut lease.connection, upload, clock, patience, interim: 0 };
        let result = if is_tunnel {
            attempt.tunnel(&mut download).await
        } else {
            attempt.stream(&mut download).await
        };
        (record.body_in, record.body_out) = (upload.bytes, download.bytes);
        record.is_complete = result.is_ok();
        let fault = result.err();
        record.failure = fault.and_then(|fault| fault.answer().failure);
        fault.and_then(Fault::blames_endpoint)
    }

    fn edit_response(&self, request: &Fields, fields: &mut Fields) {
        let filters: [&[Filter]; 2] = [&self.route.choice.filters, &self.route.rule.filters];
        for filters in filters {
            filter_response(filters, request, fields);
        }
    }
}

/// A try that got a response head.
struct Tried<C> {
    lease: Lease<C>,
    upload: Pump,
    latency: std::time::Duration,
}

fn is_repeatable(retry: &Retry, request: &RequestHead) -> bool {
    retry.non_idempotent || is_idempotent(request.method())
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

/// Waits for a connection, unless the client goes away or time is up.
async fn until<D: Downstream, C>(
    clock: &mut Clock,
    down: &mut D,
    checkout: impl Future<Output = Result<Lease<C>, ConnectError>>,
) -> Result<Result<Lease<C>, ConnectError>, Fault> {
    let mut checkout = pin!(checkout);
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(result) = checkout.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if let Poll::Ready(error) = down.poll_gone(cx) {
            return Poll::Ready(Err(Fault::Client(error)));
        }
        clock.poll_expired(cx).map(|expired| Err(attempt::expired(expired, false)))
    })
    .await
}
