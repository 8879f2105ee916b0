//! The cluster that a command asks: which one, and why there is no answer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::sentence;

/// How long an API server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Which cluster.
#[derive(Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// Which cluster [default: $KUBECONFIG, else the usual places].
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    #[error("read kubeconfig {}: {source}; is that cluster, or gatefleet local, running?", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: Box<KubeconfigError>,
    },
    #[error(
        "find a cluster: {0}; say which one with --kubeconfig FILE (gatefleet local prints its own)"
    )]
    NoCluster(#[source] Box<InferConfigError>),
    #[error("use the kubeconfig for {server}: {cause}; correct its certificates or credentials")]
    Client { server: String, cause: String },
    #[error(
        "{what}: no answer from {server} within {PATIENCE:?}; is that cluster, or gatefleet local, still running?"
    )]
    NoAnswer { what: String, server: String },
    #[error(
        "{what}: cannot reach {server}: {cause}; is that cluster, or gatefleet local, still running?"
    )]
    Unreachable { what: String, server: String, cause: String },
    #[error(
        "{what}: {server} does not accept the credentials of the kubeconfig; renew them, or choose another one with --kubeconfig FILE"
    )]
    Unauthorized { what: String, server: String },
    #[error("{what}: {message}; let somebody grant it by a Role or ClusterRole")]
    Forbidden { what: String, message: String },
    #[error("{what}: {server} does not know this kind")]
    Unknown { what: String, server: String },
    #[error("{what}: {server} answers: {cause}")]
    Refused { what: String, server: String, cause: String },
}

/// A cluster that may answer.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    server: String,
}

impl Cluster {
    /// Reads the configuration; nothing is asked yet.
    pub(crate) async fn find(args: &ClusterArgs) -> Result<Self, ClusterError> {
        let config = config(args.kubeconfig.as_deref()).await?;
        let server = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|source| ClusterError::Client {
            server: server.clone(),
            cause: sentence(&source),
        })?;
        Ok(Self { client, server })
    }

    /// A cluster behind a client that exists.
    #[cfg(test)]
    pub(crate) fn of(client: Client) -> Self {
        Self { client, server: "the test's server".to_owned() }
    }

    /// What `asked` is answered; `what` begins the sentence when it is not: `list GatewayConfigs`.
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        asked: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, ClusterError> {
        let (what, server) = (what.to_owned(), self.server.clone());
        let Ok(answered) = tokio::time::timeout(PATIENCE, asked).await else {
            return Err(ClusterError::NoAnswer { what, server });
        };
        answered.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 401 => {
                ClusterError::Unauthorized { what, server }
            }
            kube::Error::Api(status) if status.code == 403 => {
                ClusterError::Forbidden { what, message: status.message.clone() }
            }
            kube::Error::Api(status) if status.code == 404 => {
                ClusterError::Unknown { what, server }
            }
            error @ (kube::Error::HyperError(_) | kube::Error::Service(_)) => {
                ClusterError::Unreachable { what, server, cause: sentence(&error) }
            }
            error => ClusterError::Refused { what, server, cause: sentence(&error) },
        })
    }
}

/// All objects of a kind; a kind that the server does not know has none.
pub(crate) async fn all<K>(cluster: &Cluster, kinds: &str) -> Result<Vec<K>, ClusterError>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let api: kube::Api<K> = kube::Api::all(cluster.client.clone());
    let params = kube::api::ListParams::default();
    match cluster.ask(&format!("list {kinds}"), api.list(&params)).await {
        Ok(list) => Ok(list.items),
        Err(ClusterError::Unknown { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn config(kubeconfig: Option<&Path>) -> Result<Config, ClusterError> {
    let Some(path) = kubeconfig else {
        return Config::infer().await.map_err(|error| ClusterError::NoCluster(Box::new(error)));
    };
    let wrong =
        |source| ClusterError::Kubeconfig { path: path.to_owned(), source: Box::new(source) };
    let file = Kubeconfig::read_from(path).map_err(wrong)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(wrong)
}
