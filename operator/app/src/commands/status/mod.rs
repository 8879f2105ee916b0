//! `gatefleet status`: what `kubectl get gwc` tells, for those without kubectl.

mod table;

use std::{
    error::Error,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use gatefleet_crds::GatewayConfig;
use kube::{
    Api, Client, Config,
    api::ListParams,
    config::{KubeConfigOptions, Kubeconfig},
};

/// How long an API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Show fleets, tiers, addresses, phases and problems.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this `GatewayConfig`, with its conditions and problems.
    pub(crate) name: Option<String>,
    /// Only this namespace [default: all of them].
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Which cluster [default: $KUBECONFIG, else the usual places].
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
enum StatusError {
    #[error("read kubeconfig {}: {source}; is that cluster, or gatefleet local, running?", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    #[error(
        "find a cluster: {0}; say which one with --kubeconfig FILE (gatefleet local prints its own)"
    )]
    NoCluster(#[source] Box<kube::config::InferConfigError>),
    #[error(
        "list GatewayConfigs: the API server does not know them; install them: gatefleet crds | kubectl apply --server-side -f -"
    )]
    DefinitionMissing,
    #[error(
        "list GatewayConfigs: no answer from {0} within {PATIENCE:?}; is that cluster, or gatefleet local, still running?"
    )]
    NoAnswer(String),
    #[error("list GatewayConfigs at {server}: {source}")]
    List {
        server: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("show GatewayConfig {name}: there is none{place}; gatefleet status lists all")]
    Unknown { name: String, place: String },
}

/// Prints the table.
pub(crate) async fn run(args: Args) -> Result<ExitCode, Box<dyn Error>> {
    let config = config(args.kubeconfig.as_deref()).await?;
    let server = config.cluster_url.to_string();
    let fleets = list(Client::try_from(config)?, &server, args.namespace.as_deref()).await?;
    let text = match &args.name {
        None => table::overview(&fleets),
        Some(name) => {
            let named = fleets.iter().filter(|fleet| fleet.metadata.name.as_ref() == Some(name));
            let details: Vec<String> = named.map(table::details).collect();
            if details.is_empty() {
                let place =
                    args.namespace.map(|n| format!(" in namespace {n}")).unwrap_or_default();
                return Err(StatusError::Unknown { name: name.clone(), place }.into());
            }
            details.join("\n")
        }
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

async fn config(kubeconfig: Option<&std::path::Path>) -> Result<Config, StatusError> {
    let Some(path) = kubeconfig else {
        return Config::infer().await.map_err(|error| StatusError::NoCluster(Box::new(error)));
    };
    let wrong =
        |source| StatusError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let file = Kubeconfig::read_from(path).map_err(wrong)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(wrong)
}

async fn list(
    client: Client,
    server: &str,
    namespace: Option<&str>,
) -> Result<Vec<GatewayConfig>, StatusError> {
    let api: Api<GatewayConfig> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let params = ListParams::default();
    let answered = tokio::time::timeout(PATIENCE, api.list(&params)).await;
    match answered {
        Ok(Ok(list)) => Ok(list.items),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => {
            Err(StatusError::DefinitionMissing)
        }
        Ok(Err(error)) => {
            Err(StatusError::List { server: server.to_owned(), source: Box::new(error) })
        }
        Err(_elapsed) => Err(StatusError::NoAnswer(server.to_owned())),
    }
}
