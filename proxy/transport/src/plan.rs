//! What every thread serves from one swap of the configuration to the next.

use std::{sync::Arc, time::Duration};

use gatefleet_http::{AdvertisedPorts, Table};

use crate::{backend::Backend, bind::Bound, compile::AccessLogFormat, tls::TlsListener};

/// A whole configuration, joined. Built once, shared by all threads.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) table: Table<Arc<Backend>>,
    pub(crate) doors: Vec<Door>,
    pub(crate) max_connections: Option<u64>,
    pub(crate) proxy_protocol: bool,
    pub(crate) upstream_idle: Duration,
    pub(crate) tls_handshake: Duration,
    pub(crate) access_log: Option<AccessLogFormat>,
}

/// One bound address with the listeners that share it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) bound: Arc<Bound>,
    pub(crate) front: Arc<Front>,
}

/// Who answers at an address.
#[derive(Debug)]
pub(crate) enum Front {
    /// Plaintext: one scope.
    Http(Entrance),
    /// TLS: the server name chooses. The i-th listener belongs to the i-th entrance.
    Https(Vec<TlsListener>, Vec<Entrance>),
}

/// What connections of a listener need to know of it.
#[derive(Debug, Clone)]
pub(crate) struct Entrance {
    pub(crate) listener: Arc<str>,
    pub(crate) scope: Arc<str>,
    pub(crate) advertised_port: u16,
    pub(crate) advertised: AdvertisedPorts,
}
