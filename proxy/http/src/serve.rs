//! One HTTP/1.1 connection, from its first byte to its last.

use crate::{
    connection::ConnectionInfo, drain::Drain, observe::Observer, peer::Io, table::Engine,
    upstreams::Upstreams,
};

/// Serves a client's connection until one side ends it. Never fails: what goes wrong is answered, observed,
/// and ends at most this connection. Dropping the future cancels what is in flight.
pub async fn serve_connection<I, U, O>(
    _io: I,
    _info: &ConnectionInfo,
    _engine: &Engine<U::Backend>,
    _upstreams: &U,
    _observer: &O,
    drain: &Drain,
) where
    I: Io,
    U: Upstreams,
    O: Observer,
{
    drain.changed().await;
}
