//! What is served, as plain data for people who ask. No secrets.

use std::{net::SocketAddr, sync::atomic::Ordering};

use gatefleet_snapshot::ResourceKind;

use crate::{
    compile::Part,
    join::Joined,
    plan::{Entrance, Front},
};

/// A listener that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerView {
    /// The resource.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// "HTTP" or "HTTPS".
    pub protocol: &'static str,
    /// Whose virtual hosts answer.
    pub scope: String,
    /// The port that clients know.
    pub advertised_port: u16,
}

/// A backend with what happened towards it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendView {
    /// The resource.
    pub name: String,
    /// Its endpoints now.
    pub endpoints: Vec<EndpointView>,
    /// Open connections.
    pub open: usize,
    /// Requests that wait for a connection.
    pub pending: usize,
    /// Connections that were begun.
    pub connects: u64,
    /// Of these, refused or without a way.
    pub refused: u64,
    /// Of these, too slow.
    pub timed_out: u64,
    /// Of these, with a failed TLS handshake.
    pub tls_failed: u64,
    /// Requests turned away by limits.
    pub overflowed: u64,
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointView {
    /// In order of preference.
    pub addresses: Vec<SocketAddr>,
    /// Asked only when no other one is there.
    pub terminating: bool,
    /// Connecting failed lately: others are preferred.
    pub avoided: bool,
}

/// A certificate that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// The resource.
    pub name: String,
    /// Subject alternative names; the subject when there are none.
    pub names: Vec<String>,
    /// Seconds since the epoch.
    pub not_before: i64,
    /// Seconds since the epoch.
    pub not_after: i64,
}

pub(crate) fn listeners(joined: &Joined) -> Vec<ListenerView> {
    let view = |entrance: &Entrance, address, protocol| ListenerView {
        name: entrance.listener.to_string(),
        address,
        protocol,
        scope: entrance.scope.to_string(),
        advertised_port: entrance.advertised_port,
    };
    let mut views = Vec::new();
    for door in &joined.plan.doors {
        let address = door.bound.address();
        match &*door.front {
            Front::Http(entrance) => views.push(view(entrance, address, "HTTP")),
            Front::Https(_, entrances) => {
                views.extend(entrances.iter().map(|entrance| view(entrance, address, "HTTPS")));
            }
        }
    }
    views
}

pub(crate) fn backends(joined: &Joined) -> Vec<BackendView> {
    let built = joined.backends.values();
    built
        .map(|built| {
            let backend = &built.backend;
            let counters = &backend.counters;
            BackendView {
                name: backend.name.to_string(),
                endpoints: backend.endpoints().views(),
                open: counters.open.load(Ordering::Relaxed),
                pending: counters.pending.load(Ordering::Relaxed),
                connects: counters.connects.load(Ordering::Relaxed),
                refused: counters.refused.load(Ordering::Relaxed),
                timed_out: counters.timed_out.load(Ordering::Relaxed),
                tls_failed: counters.tls_failed.load(Ordering::Relaxed),
                overflowed: counters.overflowed.load(Ordering::Relaxed),
            }
        })
        .collect()
}

pub(crate) fn certificates(joined: &Joined) -> Vec<CertificateView> {
    let loaded = joined.set.of_kind(ResourceKind::Certificate);
    loaded
        .filter_map(|(name, entry)| match &entry.compiled.0 {
            Part::Certificate(certificate) => Some(CertificateView {
                name: name.to_owned(),
                names: certificate.names().to_vec(),
                not_before: certificate.not_before(),
                not_after: certificate.not_after(),
            }),
            _ => None,
        })
        .collect()
}
