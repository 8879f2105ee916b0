//! `gatefleet status`: what `kubectl get gwc` tells, for those without kubectl.

use std::{error::Error, path::PathBuf, process::ExitCode};

/// Show fleets, tiers, addresses, phases and problems.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this `GatewayConfig`, with its conditions and problems.
    pub(crate) name: Option<String>,
    /// Only this namespace [default: all of them].
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Which cluster [default: $KUBECONFIG, else the usual places].
    #[arg(long, env = "KUBECONFIG")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Prints the table.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    tokio::task::yield_now().await;
    Err(format!("show {args:?}: not built yet").into())
}
