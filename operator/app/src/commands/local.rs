//! `gatefleet local`: everything on this machine.

use std::{error::Error, path::PathBuf, process::ExitCode};

use gatefleet_controllers::Options as OperatorOptions;
use gatefleet_local::{OperatorSettings, Options, Presentation};

/// Run everything on this machine, without a cluster: in memory, for development and tests.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of manifests (`*.yaml`, `*.yml`, `*.json`); followed while running.
    pub(crate) dir: PathBuf,
    /// Where the kubeconfig goes [default: in the user's runtime directory].
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Runs until a signal.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let options = Options {
        kubeconfig: args.kubeconfig,
        presentation: Presentation::for_stdout(),
        ..Options::default()
    };
    gatefleet_local::run(&args.dir, options, operate).await?;
    Ok(ExitCode::SUCCESS)
}

/// The operator as in a cluster, but for where it listens.
async fn operate(client: kube::Client, settings: OperatorSettings) -> Result<(), String> {
    let options =
        OperatorOptions { channel_address: settings.channel_address, ..OperatorOptions::default() };
    Box::pin(gatefleet_controllers::run(client, options)).await.map_err(|error| error.to_string())
}
