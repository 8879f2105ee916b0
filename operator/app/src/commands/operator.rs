//! `gatefleet operator`: the control loops.

use std::{error::Error, net::SocketAddr, process::ExitCode};

use gatefleet_controllers::Options;

/// Run the operator in a cluster (or against the one of a kubeconfig).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where proxies fetch their configuration.
    #[arg(long, env = "GATEFLEET_CHANNEL_ADDRESS", default_value = "[::]:9702")]
    pub(crate) channel_address: SocketAddr,
    /// Under which addresses proxies reach it (the operator's Service), comma-separated
    /// [default: the address above].
    #[arg(long, env = "GATEFLEET_CHANNEL_ADVERTISE", value_delimiter = ',')]
    pub(crate) channel_advertise: Vec<SocketAddr>,
    /// Where `/healthz`, `/readyz` and `/metrics` of the operator are served.
    #[arg(long, env = "GATEFLEET_STATUS_ADDRESS", default_value = "[::]:9701")]
    pub(crate) status_address: SocketAddr,
    /// The image of proxies.
    #[arg(long, env = "GATEFLEET_PROXY_IMAGE", default_value = "gatefleet-proxy:dev")]
    pub(crate) proxy_image: String,
    /// Where an `IngressClass` without a namespace in its parameters finds its `GatewayConfig`.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub(crate) default_namespace: String,
    /// Serve the GatewayConfigs, Ingresses and Services of these namespaces only, comma-separated [default: of all].
    #[arg(long, env = "GATEFLEET_WATCH_NAMESPACES", value_delimiter = ',')]
    pub(crate) watch_namespaces: Vec<String>,
    /// The identity of this replica.
    #[arg(long, env = "POD_NAME", default_value = "gatefleet")]
    pub(crate) replica: String,
}

impl Args {
    fn options(self) -> Options {
        Options {
            channel_address: self.channel_address,
            channel_addresses: self.channel_advertise,
            status_address: Some(self.status_address),
            proxy_image: self.proxy_image,
            default_namespace: self.default_namespace,
            watched: self.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
            replica: self.replica,
            ..Options::default()
        }
    }
}

/// Runs until a signal.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let client = kube::Client::try_default().await.map_err(|error| {
        format!("find a cluster: {error}; run it in a pod, or set KUBECONFIG (without a cluster: gatefleet local DIR)")
    })?;
    tokio::select! {
        ended = gatefleet_controllers::run(client, args.options()) => ended?,
        signal = stopped() => signal?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for SIGTERM or SIGINT.
async fn stopped() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
