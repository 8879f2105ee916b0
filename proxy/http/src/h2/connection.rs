//! One connection and its streams.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ::h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use http::Request;
use tokio::{
    sync::futures::Notified,
    time::{Instant, timeout},
};

use super::{
    budget::{Ledger, Metered},
    request::read_request,
    stream::ServerStream,
};
use crate::{
    clock::Clock,
    connection::ConnectionInfo,
    decide::Answer,
    drain::{Drain, Phase},
    h1::Rejection,
    head::{RequestHead, ResponseHead},
    io::Io,
    observe::Observer,
    origin::Origin,
    peer::Downstream,
    record::Record,
    reply::{Facts, reply},
    serve::{LINGER, lend_heads, return_heads, serve_request},
    settings::Settings,
    table::Engine,
    upstreams::Upstreams,
};

/// Streams that a client may have open at once.
const STREAMS: u32 = 128;
/// What a client may send of one body before we read it.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What a client may send on all streams before we read it.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What a stream keeps for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that the client broke: more than this end the connection.
const BROKEN: usize = 64;
/// Reset streams that are remembered for frames on their way.
const REMEMBERED: usize = 32;

/// Who serves a connection.
pub(crate) struct Surroundings<'a, U: Upstreams, O> {
    pub(crate) info: &'a ConnectionInfo,
    pub(crate) engine: &'a Engine<U::Backend>,
    pub(crate) upstreams: &'a U,
    pub(crate) observer: &'a O,
    pub(crate) drain: &'a Drain,
}

fn builder(settings: &Settings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(16 * 1024)
        .max_header_list_size(u32::try_from(settings.limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_reset_streams(REMEMBERED)
        .max_pending_accept_reset_streams(REMEMBERED)
        .max_local_error_reset_streams(Some(BROKEN))
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// Serves a connection to its end. `early` was read of it already.
pub(crate) async fn serve<I: Io, U: Upstreams, O: Observer>(
    io: I,
    early: Vec<u8>,
    env: Surroundings<'_, U, O>,
) {
    let ledger = Arc::new(Ledger::default());
    let io = Metered::new(io, early, Arc::clone(&ledger));
    let (builder, timeouts) = {
        let table = env.engine.current();
        (builder(table.settings()), table.settings().timeouts)
    };
    let handshake = timeout(timeouts.request_head, builder.handshake(io)).await;
    let Ok(Ok(mut frames)) = handshake else { return };
    let env = &env;
    let mut streams = FuturesUnordered::new();
    let mut changed = Box::pin(env.drain.changed());
    let mut life = Life {
        // A first request is awaited no longer than a head.
        clock: Clock::new(timeouts.request_head),
        served: 0,
        parting: Parting::Not,
        ledger: &ledger,
    };
    poll_fn(|cx| {
        loop {
            while let Poll::Ready(Some(())) = streams.poll_next_unpin(cx) {
                life.stream_ended(env, streams.is_empty());
            }
            life.heed_drain(env, changed.as_mut(), cx);
            life.part(&mut frames);
            match frames.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    life.served = life.served.saturating_add(1);
                    life.limit_requests(env);
                    streams.push(serve_stream(env, request, respond, &ledger));
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        life.poll_end(streams.is_empty(), cx)
    })
    .await;
    drop(frames);
    // Every stream learns that the client is gone, and reports it.
    let _ = timeout(LINGER, streams.for_each(|()| std::future::ready(()))).await;
}

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Parting {
    Not,
    /// To be told: no more streams.
    Wanted,
    /// Told.
    Said,
    /// Told that it costs too much.
    Thrown,
}

/// When a connection ends.
struct Life<'a> {
    clock: Clock,
    served: u32,
    parting: Parting,
    ledger: &'a Ledger,
}

impl Life<'_> {
    fn want_parting(&mut self) {
        self.parting = self.parting.max(Parting::Wanted);
    }

    fn stream_ended<U: Upstreams, O>(&mut self, env: &Surroundings<'_, U, O>, is_last: bool) {
        if is_last {
            let keep_alive = env.engine.current().settings().timeouts.keep_alive;
            self.clock.restart(Instant::now(), keep_alive);
        }
    }

    fn limit_requests<U: Upstreams, O>(&mut self, env: &Surroundings<'_, U, O>) {
        let limit = env.engine.current().settings().limits.requests_per_connection;
        if limit.is_some_and(|limit| self.served >= limit) {
            self.want_parting();
        }
    }

    /// A connection that has served something ends when the process wants to end; a new one may ask once.
    fn heed_drain<'d, U: Upstreams, O>(
        &mut self,
        env: &Surroundings<'d, U, O>,
        mut changed: Pin<&mut Notified<'d>>,
        cx: &mut Context<'_>,
    ) {
        while env.drain.phase() < Phase::Stopping && changed.as_mut().poll(cx).is_ready() {
            changed.set(env.drain.changed());
        }
        match env.drain.phase() {
            Phase::Stopping => self.want_parting(),
            Phase::Closing if self.served > 0 => self.want_parting(),
            Phase::Serving | Phase::Closing => {}
        }
    }

    /// Says what is to be said about the end.
    fn part<I: Io>(&mut self, frames: &mut ::h2::server::Connection<Metered<I>, Bytes>) {
        if self.ledger.is_exhausted() && self.parting < Parting::Thrown {
            self.parting = Parting::Thrown;
            frames.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        } else if self.parting == Parting::Wanted {
            self.parting = Parting::Said;
            frames.graceful_shutdown();
        }
    }

    /// Ready when nothing is to be waited for any more.
    fn poll_end(&mut self, is_idle: bool, cx: &mut Context<'_>) -> Poll<()> {
        if self.ledger.is_exhausted() && self.parting < Parting::Thrown {
            cx.waker().wake_by_ref();
        }
        if !is_idle {
            return Poll::Pending;
        }
        ready!(self.clock.poll_expired(cx));
        if self.parting > Parting::Not {
            return Poll::Ready(());
        }
        self.want_parting();
        self.clock.restart(Instant::now(), LINGER);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Serves one request.
async fn serve_stream<U: Upstreams, O: Observer>(
    env: &Surroundings<'_, U, O>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    ledger: &Ledger,
) {
    let started = Instant::now();
    let max_fields = env.engine.current().settings().limits.header_count;
    let (parts, receive) = request.into_parts();
    let mut stream = ServerStream::new(receive, respond, max_fields);
    // Taken back in the same breath: nothing is done for it.
    if poll_fn(|cx| Poll::Ready(stream.poll_gone(cx).is_ready())).await {
        return;
    }
    let mut heads = lend_heads();
    let ends = stream.ends_with_head();
    let complete = match read_request(&parts, ends, max_fields, &mut heads.request) {
        Ok(()) => {
            drop(parts);
            let Surroundings { info, engine, upstreams, observer, .. } = *env;
            serve_request(&mut stream, &mut heads.request, info, engine, upstreams, observer).await
        }
        Err(rejection) => {
            let crate::exchange::Heads { request, response } = &mut *heads;
            refuse(env, &mut stream, rejection, request, response, started).await
        }
    };
    return_heads(heads);
    if complete {
        ledger.completed();
    } else {
        stream.reset();
    }
}

/// Answers what cannot be taken as a request; `true`: the answer is complete.
async fn refuse<U: Upstreams, O: Observer>(
    env: &Surroundings<'_, U, O>,
    stream: &mut ServerStream,
    rejection: Rejection,
    request: &mut RequestHead,
    response: &mut ResponseHead,
    started: Instant,
) -> bool {
    let info = env.info;
    request.fields.remove(b"x-request-id");
    request.fields.push(b"x-request-id", &crate::random::request_id());
    let peer = info.peer.ip().to_canonical();
    let origin = Origin { client: peer, scheme: info.scheme(), trusted: false };
    let mut record = Record::new(info, origin, started);
    let answer = Answer::from(rejection);
    record.reason_is(&answer);
    let mut clock = Clock::new(LINGER);
    let facts = Facts { request, info, origin, close: false, cors: None };
    let sent = reply(stream, &answer, facts, response, &mut clock).await;
    if let Ok(bytes) = sent {
        (record.status, record.body_out) = (rejection.status, bytes);
    }
    record.report(env.observer, request);
    sent.is_ok()
}
