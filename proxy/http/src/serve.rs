//! One connection, from its first byte to its last. HTTP/1.1 is served here; HTTP/2 goes to its own module.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::futures::Notified,
    time::{Instant, timeout},
};

use crate::{
    clock::Clock,
    connection::ConnectionInfo,
    decide::Answer,
    drain::{Drain, Phase},
    exchange::{Ending, Env, Heads, exchange},
    h1::{Bounds, HeadError, Rejection, Server},
    h2,
    head::RequestHead,
    io::Io,
    observe::{Failure, Observer},
    origin::Origin,
    peer::{Downstream, StreamError},
    record::Record,
    reply::{Facts, reply},
    settings::Settings,
    table::Engine,
    upstreams::Upstreams,
};

/// How long a closed connection is read from, so that the last answer is not lost to a reset.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// How much is read in that time.
const LINGER_BYTES: usize = 1 << 20;
/// How many heads a thread keeps.
const KEPT: usize = 128;
/// Text that a kept head may have room for.
const KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "a head is lent by pointer: connections stay small")]
    static HEADS: RefCell<Vec<Box<Heads>>> = const { RefCell::new(Vec::new()) };
}

/// Lends heads of a request.
pub(crate) fn lend_heads() -> Box<Heads> {
    HEADS.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Takes heads back.
pub(crate) fn return_heads(heads: Box<Heads>) {
    if heads.request.fields.capacity() > KEPT_BYTES || heads.response.fields.capacity() > KEPT_BYTES
    {
        return;
    }
    HEADS.with_borrow_mut(|kept| {
        if kept.len() < KEPT {
            kept.push(heads);
        }
    });
}

/// Serves a client's connection until one side ends it. Never fails: what goes wrong is answered, observed,
/// and ends at most this connection. Dropping the future cancels what is in flight.
pub async fn serve_connection<I, U, O>(
    io: I,
    info: &ConnectionInfo,
    engine: &Engine<U::Backend>,
    upstreams: &U,
    observer: &O,
    drain: &Drain,
) where
    I: Io,
    U: Upstreams,
    O: Observer,
{
    if info.tls.as_ref().is_some_and(|tls| tls.http2) {
        let env = h2::Surroundings { info, engine, upstreams, observer, drain };
        return Box::pin(h2::serve(io, Vec::new(), env)).await;
    }
    let settings = engine.current();
    let server = Server::new(io, bounds(settings.settings()));
    let clock = Clock::new(settings.settings().timeouts.request_head);
    drop(settings);
    let mut connection = Connection { server, clock, info, engine, upstreams, observer, served: 0 };
    let mut changed = pin!(drain.changed());
    // Over TLS, ALPN has decided.
    if info.tls.is_none()
        && connection.wait(drain, changed.as_mut()).await
        && connection.opens_http2().await
    {
        let env = h2::Surroundings { info, engine, upstreams, observer, drain };
        let (io, early) = connection.server.into_parts();
        return Box::pin(h2::serve(io, early, env)).await;
    }
    while connection.wait(drain, changed.as_mut()).await {
        if !connection.serve_one(drain).await {
            return;
        }
    }
    connection.close().await;
}

/// Serves one request of a connection that carries many (HTTP/2): `request` was read and judged, `down` is its
/// stream. `true`: the response is complete; `false`: the stream is to be reset.
pub async fn serve_request<D, U, O>(
    down: &mut D,
    request: &mut RequestHead,
    info: &ConnectionInfo,
    engine: &Engine<U::Backend>,
    upstreams: &U,
    observer: &O,
) -> bool
where
    D: Downstream,
    U: Upstreams,
    O: Observer,
{
    let started = Instant::now();
    let table = engine.current();
    let mut clock = Clock::new(table.settings().timeouts.idle);
    let mut heads = lend_heads();
    std::mem::swap(&mut heads.request, request);
    let env =
        Env { info, table: &table, upstreams, observer, started, is_last: false, drain: None };
    let ending = exchange(&env, down, &mut heads, &mut clock).await;
    std::mem::swap(&mut heads.request, request);
    return_heads(heads);
    ending == Ending::Complete
}

fn bounds(settings: &Settings) -> Bounds {
    Bounds { head_bytes: settings.limits.header_bytes, fields: settings.limits.header_count }
}

struct Connection<'a, I, U: Upstreams, O> {
    server: Server<I>,
    clock: Clock,
    info: &'a ConnectionInfo,
    engine: &'a Engine<U::Backend>,
    upstreams: &'a U,
    observer: &'a O,
    served: u32,
}

impl<I: Io, U: Upstreams, O: Observer> Connection<'_, I, U, O> {
    /// Waits for a request; `false`: none will come.
    async fn wait<'d>(&mut self, drain: &'d Drain, mut changed: Pin<&mut Notified<'d>>) -> bool {
        if self.server.has_input() {
            return true;
        }
        poll_fn(|cx| {
            if let Poll::Ready(has_input) = self.server.poll_input(cx) {
                return Poll::Ready(has_input);
            }
            while drain.phase() < Phase::Stopping && changed.as_mut().poll(cx).is_ready() {
                changed.set(drain.changed());
            }
            if drain.phase() == Phase::Stopping || self.clock.poll_expired(cx).is_ready() {
                return Poll::Ready(false);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether the client opens with HTTP/2's preface.
    async fn opens_http2(&mut self) -> bool {
        poll_fn(|cx| {
            if let Poll::Ready(opens) = self.server.poll_preface(cx) {
                return Poll::Ready(opens);
            }
            self.clock.poll_expired(cx).map(|_| false)
        })
        .await
    }

    /// Serves one request; `false`: the connection is closed.
    async fn serve_one(&mut self, drain: &Drain) -> bool {
        let table = self.engine.current();
        // What is kept while something is awaited is room in every connection: all of it is in here once.
        let mut env = Env {
            info: self.info,
            table: &table,
            upstreams: self.upstreams,
            observer: self.observer,
            started: Instant::now(),
            is_last: false,
            drain: Some(drain),
        };
        self.server.inbound.bounds = bounds(table.settings());
        if self.served > 0 {
            self.clock.restart(env.started, table.settings().timeouts.request_head);
        }
        let mut heads = lend_heads();
        heads.request.clear();
        let read = poll_fn(|cx| self.poll_head(cx, &mut heads)).await;
        if let Err(error) = read {
            self.refuse(error, &mut heads, env.started).await;
            return_heads(heads);
            return false;
        }
        self.served = self.served.saturating_add(1);
        let limit = table.settings().limits.requests_per_connection;
        env.is_last = limit.is_some_and(|limit| self.served >= limit);
        let ending = exchange(&env, &mut self.server, &mut heads, &mut self.clock).await;
        return_heads(heads);
        match ending {
            Ending::Cut => false,
            Ending::Complete if self.server.end_request() => {
                self.clock.restart(Instant::now(), table.settings().timeouts.keep_alive);
                true
            }
            Ending::Complete => {
                self.linger().await;
                false
            }
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        heads: &mut Heads,
    ) -> Poll<Result<(), HeadError>> {
        if let Poll::Ready(result) = self.server.poll_request(cx, &mut heads.request) {
            return Poll::Ready(result);
        }
        let late = Rejection { status: 408, reason: "HeadTimeout" };
        self.clock.poll_expired(cx).map(|_| Err(HeadError::Rejected(late)))
    }

    /// Answers what could not be read as a request, and closes.
    async fn refuse(&mut self, error: HeadError, heads: &mut Heads, started: Instant) {
        let Heads { request, response } = heads;
        request.fields.remove(b"x-request-id");
        let peer = self.info.peer.ip().to_canonical();
        let origin = Origin { client: peer, scheme: self.info.scheme(), trusted: false };
        let mut record = Record::new(self.info, origin, started);
        match error {
            HeadError::Ended => return,
            HeadError::Failed(_) => record.failure = Some(Failure::ClientGone),
            HeadError::Foreign => {
                record.reason_is(&Answer::page(400, "NotHttp", Failure::BadRequest));
            }
            HeadError::Rejected(rejection) => {
                request.fields.push(b"x-request-id", &crate::random::request_id());
                let answer = Answer::from(rejection);
                record.reason_is(&answer);
                self.clock.restart(Instant::now(), LINGER);
                let facts = Facts { request, info: self.info, origin, close: true, cors: None };
                self.server.forget_request();
                let sent = reply(&mut self.server, &answer, facts, response, &mut self.clock).await;
                if let Ok(bytes) = sent {
                    (record.status, record.body_out) = (rejection.status, bytes);
                }
            }
        }
        record.report(self.observer, request);
        if record.status > 0 {
            self.linger().await;
        }
    }

    /// Closes the sending side, and reads until the client has closed too.
    async fn linger(&mut self) {
        let closed = timeout(LINGER, async {
            poll_fn(|cx| Pin::new(&mut self.server.io).poll_shutdown(cx)).await?;
            let mut left = LINGER_BYTES;
            self.server.inbound.buffer.discard();
            while left > 0 && !self.server.inbound.ended {
                let server = &mut self.server;
                let count = poll_fn(|cx| server.inbound.poll_fill(&mut server.io, cx)).await?;
                self.server.inbound.buffer.discard();
                left = left.saturating_sub(count);
            }
            Ok::<(), StreamError>(())
        });
        // Whatever happened, the connection is dropped now.
        let _ = closed.await;
    }

    async fn close(&mut self) {
        let io = &mut self.server.io;
        let _ = timeout(LINGER, poll_fn(|cx| Pin::new(&mut *io).poll_shutdown(cx))).await;
    }
}
