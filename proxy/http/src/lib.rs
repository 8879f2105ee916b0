//! The HTTP engine of the proxy: what happens between one accepted connection and the backends.
//!
//! **Purpose.** Reads requests, judges them by one strict grammar, routes them, applies filters and
//! policies, picks a backend, streams both bodies, retries what is safe to retry, reports every request.
//!
//! **Inputs.** A connection ([`serve_connection`]), the compiled [`Table`] of its thread's [`Engine`], and
//! connections towards backends by the trait [`Upstreams`].
//!
//! **Outputs.** Bytes on both sides and one [`RequestSummary`] per request for the [`Observer`].
//!
//! **Invariants.**
//! - Heads are parsed, judged and emitted anew; no byte of a head is copied through unseen.
//! - A request keeps the table it started with.
//! - Nothing received from a peer can panic, or grow memory past the configured limits.
//! - A plain request on warm connections allocates nothing.
//! - What a resource asks for and the engine cannot do is refused by [`compile`], never ignored.
//!
//! **Must not** open sockets, resolve names, choose endpoints, write logs or metrics: that is transport's.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod attempt;
mod buffer;
mod choose;
mod clock;
pub mod compile;
mod connection;
mod decide;
mod drain;
mod edit;
mod exchange;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod grammar;
mod head;
mod io;
mod observe;
mod origin;
mod peer;
mod pump;
mod random;
mod record;
mod replace;
mod reply;
mod serve;
mod settings;
mod splice;
mod table;
mod upstreams;

pub mod h1;
mod h2;

pub use compile::{CAPABILITIES, CompileError, CompiledHost, CompiledPolicy};
pub use connection::{AdvertisedPorts, ConnectionInfo, Scheme, TlsInfo};
pub use drain::{Drain, Phase};
pub use head::{Body, Field, Fields, RequestHead, ResponseHead, Version};
pub use io::{Io, Opaque};
pub use observe::{Failure, Observer, RequestSummary};
pub use peer::{Chunk, Downstream, Sink, Source, StreamError, Upstream};
pub use serve::{serve_connection, serve_request};
pub use settings::{Limits, Settings, Timeouts};
pub use table::{Engine, Resolve, Table, TableBuilder};
pub use upstreams::{Avoid, Checkout, ConnectError, Lease, Report, Upstreams};
