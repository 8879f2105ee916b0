//! `gatefleet translate`: what manifests become.

use std::{error::Error, path::PathBuf, process::ExitCode};

use gatefleet_names::Tier;

/// Show what manifests become, without a cluster. Exit status 1 when anything was refused.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Manifests (YAML).
    pub(crate) dir: PathBuf,
    /// Which tier.
    #[arg(long, default_value = "north-south")]
    pub(crate) tier: Tier,
    /// Write the snapshot there (`.json`, else YAML) for `gatefleet-proxy --snapshot`.
    #[arg(long)]
    pub(crate) snapshot: Option<PathBuf>,
}

/// Translates once.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    tokio::task::yield_now().await;
    Err(format!("translate {args:?}: not built yet").into())
}
