//! The listener.

use tokio::{net::TcpListener, sync::watch};

use crate::{ChannelAuthority, Publisher};

/// This replica of the operator.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its identity (its pod's name).
    pub name: String,
    /// `IP:PORT` of the channel of every replica, in ascending order; proxies open one stream to each. Empty:
    /// unknown, proxies stay with the addresses of their bootstrap.
    pub replicas: watch::Receiver<Vec<String>>,
}

/// Serves configuration until it is dropped.
///
/// `authority` signs this replica's server certificates, which live in memory and are renewed in time; its
/// certificate stands in `ca.crt` of every tier's channel Secret.
///
/// # Errors
///
/// When no server certificate can be made.
pub async fn serve(
    listener: TcpListener,
    authority: ChannelAuthority,
    publisher: Publisher,
    replica: Replica,
) -> Result<(), crate::AuthorityError> {
    let _ = (listener, authority, publisher, replica);
    std::future::pending().await
}
