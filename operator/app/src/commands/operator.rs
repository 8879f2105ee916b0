//! `gatefleet operator`: the control loops.

use std::{
    collections::hash_map::RandomState,
    error::Error,
    hash::BuildHasher as _,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use gatefleet_controllers::{Election, Options};

/// Run the operator in a cluster (or against the one of a kubeconfig).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where proxies fetch their configuration.
    #[arg(long, env = "GATEFLEET_CHANNEL_ADDRESS", default_value = "[::]:9702")]
    pub(crate) channel_address: SocketAddr,
    /// Under which addresses proxies reach it, comma-separated [default: in a pod, that of the Service `gatefleet`
    /// with a port `channel` in its namespace; else the address above].
    #[arg(long, env = "GATEFLEET_CHANNEL_ADVERTISE", value_delimiter = ',')]
    pub(crate) channel_advertise: Vec<SocketAddr>,
    /// Address of the Service `gatefleet`, as Kubernetes tells every container of its namespace.
    #[arg(long, env = "GATEFLEET_SERVICE_HOST", hide = true)]
    pub(crate) service_host: Option<IpAddr>,
    /// Its port `channel`, likewise.
    #[arg(long, env = "GATEFLEET_SERVICE_PORT_CHANNEL", hide = true)]
    pub(crate) service_port: Option<u16>,
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
    /// Of several replicas one writes: the holder of the Lease `gatefleet-leader`. Another one takes over when it was not renewed
    /// for so many seconds.
    #[arg(long, env = "GATEFLEET_LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=600))]
    pub(crate) lease_seconds: u64,
}

/// Name of the operator's Service.
const SERVICE: &str = "gatefleet";
/// Name of the Lease that its leader holds.
const LEASE: &str = "gatefleet-leader";

impl Args {
    fn options(self) -> Result<Options, Unreachable> {
        let (channel_addresses, election) = (self.advertised()?, self.election());
        Ok(Options {
            channel_address: self.channel_address,
            channel_addresses,
            status_address: Some(self.status_address),
            proxy_image: self.proxy_image,
            default_namespace: self.default_namespace,
            watched: self.watch_namespaces.into_iter().filter(|name| !name.is_empty()).collect(),
            election: Some(election),
            channel_service: self.service_host.map(|_| SERVICE.to_owned()),
            replica: self.replica,
            ..Options::default()
        })
    }

    fn election(&self) -> Election {
        // Two processes of one name, say of one pod, are two replicas.
        let nonce = RandomState::new().hash_one(std::process::id());
        Election {
            namespace: self.default_namespace.clone(),
            lease: LEASE.to_owned(),
            identity: format!("{}_{nonce:016x}", self.replica),
            duration: Duration::from_secs(self.lease_seconds),
        }
    }

    /// Under which addresses proxies reach the channel; empty means where it listens.
    fn advertised(&self) -> Result<Vec<SocketAddr>, Unreachable> {
        let service = self.service_host.zip(self.service_port).map(SocketAddr::from);
        match (self.channel_advertise.as_slice(), service) {
            ([], Some(service)) => Ok(vec![service]),
            ([], None) if self.channel_address.ip().is_unspecified() => {
                Err(Unreachable { channel_address: self.channel_address })
            }
            (given, _) => Ok(given.to_vec()),
        }
    }
}

/// No proxy can connect to "any address": it would wait for its configuration for ever, and nothing would say why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "advertise the configuration channel: proxies cannot reach {channel_address}; create the Service gatefleet with a port \
     named channel before the operator's pod (examples/cluster), or set --channel-advertise ADDRESS:PORT"
)]
struct Unreachable {
    channel_address: SocketAddr,
}

/// Runs until a signal.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let options = args.options()?;
    let client = kube::Client::try_default().await.map_err(|error| {
        format!("find a cluster: {error}; run it in a pod, or set KUBECONFIG (without a cluster: gatefleet local DIR)")
    })?;
    let election = options.election.clone();
    tokio::select! {
        ended = gatefleet_controllers::run(client.clone(), options) => ended?,
        signal = stopped() => signal?,
    }
    // Nothing writes any more: whoever waits need not wait for the end of the Lease.
    if let Some(election) = election {
        let _ = tokio::time::timeout(Duration::from_secs(2), election.resign(&client)).await;
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn advertised(line: &[&str]) -> Result<String, String> {
        let line = Line::parse_from([&["operator"], line].concat());
        let addresses = line.args.advertised().map_err(|error| error.to_string())?;
        Ok(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn proxies_are_told_what_was_said_else_the_service_else_where_the_channel_listens() {
        let service = ["--service-host=10.96.0.7", "--service-port=9702"];
        let said = "--channel-advertise=192.0.2.1:1,192.0.2.2:2";
        assert_eq!(advertised(&service).unwrap(), "10.96.0.7:9702");
        assert_eq!(
            advertised(&[&service[..], &[said]].concat()).unwrap(),
            "192.0.2.1:1,192.0.2.2:2"
        );
        assert_eq!(advertised(&["--channel-address=127.0.0.1:0"]).unwrap(), "");
    }

    #[test]
    fn an_operator_that_no_proxy_could_reach_refuses_to_start_and_says_why() {
        let error = advertised(&[]).unwrap_err();
        assert!(error.contains("[::]:9702") && error.contains("Service gatefleet"), "{error}");
    }
}
