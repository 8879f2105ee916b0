//! `gatefleet local`: everything on this machine.

use std::{error::Error, path::PathBuf, process::ExitCode};

/// Run everything on this machine, without a cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifests (YAML); followed while running.
    pub(crate) dir: PathBuf,
    /// Where the kubeconfig goes [default: in the user's runtime directory].
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Runs until a signal.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    tokio::task::yield_now().await;
    Err(format!("run {args:?}: not built yet").into())
}
