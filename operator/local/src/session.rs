//! Everything together: API server, runtime, operator, directory, screen; and the end of all of it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gatefleet_apiserver::{ApiServer, Credentials};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Error;
use crate::directory::{self, Follower, Notice};
use crate::home::Home;
use crate::network::{Network, Ports};
use crate::runtime::{self, Logs, Programs, Runtime};
use crate::screen::{self, Presentation, Screen};

/// How long processes get to end when everything ends: what they serve is going away with them.
const GRACE: Duration = Duration::from_millis(300);
/// How long the API server may take to know a kind.
const ESTABLISH: Duration = Duration::from_secs(5);

/// How local mode is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where the kubeconfig goes. Default: `kubeconfig` in the runtime directory.
    pub kubeconfig: Option<PathBuf>,
    /// Below which directory keys and sockets are kept. Default: `$XDG_RUNTIME_DIR`, else the one for temporary files.
    pub runtime_directory: Option<PathBuf>,
    /// Where the programs of images are looked for first. Default: beside the running program, then in `PATH`.
    pub programs: Vec<PathBuf>,
    /// How the user is told. Default: lines.
    pub presentation: Presentation,
}

/// What the operator is told in local mode.
#[derive(Clone, Debug)]
pub struct OperatorSettings {
    /// Where its configuration server listens: loopback, any free port.
    pub channel_address: SocketAddr,
    /// Where Services' ports are offered.
    pub ports: Ports,
}

/// A running local mode without presentation: what tests build on.
#[derive(Debug)]
pub struct Local {
    server: ApiServer,
    network: Network,
    ports: Ports,
    kubeconfig: Kubeconfig,
    runtime: Runtime,
    _serving: JoinSet<()>,
    // Last: everything else uses it.
    _home: Home,
}

impl Local {
    /// Starts the API server and the runtime.
    ///
    /// # Errors
    /// Whatever is missing or taken, in one sentence.
    pub async fn start(options: &Options) -> Result<Self, Error> {
        let (network, listener) = Network::claim()?;
        let ports = Ports::probe(network)?;
        let home = Home::create(options.runtime_directory.as_deref())?;
        let logs = Logs::default();
        let server = ApiServer::new(gatefleet_apiserver::Options {
            service_network: (network.service(0), 16),
            pod_logs: Some(std::sync::Arc::new(logs.clone())),
            ..gatefleet_apiserver::Options::default()
        });
        let broken = |error: &dyn std::fmt::Display| Error::Server(error.to_string());
        let address = IpAddr::V4(network.service(1));
        let credentials = Credentials::generate(&[address]).map_err(|error| broken(&error))?;
        listener.set_nonblocking(true).map_err(|error| broken(&error))?;
        let listener = TcpListener::from_std(listener).map_err(|error| broken(&error))?;
        let mut serving = JoinSet::new();
        let socket_server = server.clone();
        let serving_credentials = credentials.clone();
        serving.spawn(async move {
            if let Err(error) = socket_server.serve(listener, &serving_credentials).await {
                tracing::error!(%error, "the API server is no longer reachable through its socket");
            }
        });
        define(&server.client()).await?;
        register(&server.client(), network).await?;
        let kubeconfig = Kubeconfig::write(
            options.kubeconfig.clone().unwrap_or_else(|| home.path().join("kubeconfig")),
            credentials.kubeconfig(network.api()),
        )?;
        let runtime = Runtime::start(runtime::Settings {
            client: server.client(),
            network,
            ports,
            programs: Programs::new(&options.programs),
            directory: home.path().join("pods"),
            logs,
        })?;
        Ok(Self { server, network, ports, kubeconfig, runtime, _serving: serving, _home: home })
    }

    /// A client of the API server.
    pub fn client(&self) -> Client {
        self.server.client()
    }

    /// Where the kubeconfig is.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig.path
    }

    /// Which addresses it has.
    pub fn network(&self) -> Network {
        self.network
    }

    /// Where Services' ports are offered.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What the operator is to be told.
    pub fn operator_settings(&self) -> OperatorSettings {
        OperatorSettings { channel_address: self.network.channel(), ports: self.ports }
    }

    /// Applies a directory and follows it until the returned value is dropped. Each sentence says what was done, or what is wrong.
    ///
    /// # Errors
    /// When the directory cannot be read or followed.
    pub async fn follow(
        &self,
        path: &Path,
    ) -> Result<(impl Sized + use<>, mpsc::UnboundedReceiver<String>), Error> {
        let (follower, mut notices) = self.follow_notices(path).await?;
        let (sender, sentences) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Notice::Done(text) | Notice::Wrong(text)) = notices.recv().await {
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Ok((follower, sentences))
    }

    async fn follow_notices(
        &self,
        path: &Path,
    ) -> Result<(Follower, mpsc::UnboundedReceiver<Notice>), Error> {
        directory::check(path)?;
        let (sender, notices) = mpsc::unbounded_channel();
        Ok((directory::follow(path.to_owned(), self.client(), sender).await?, notices))
    }

    /// Ends all processes, and removes all files.
    pub async fn stop(self) {
        self.runtime.stop(GRACE).await;
    }
}

/// Runs local mode until a signal: applies `directory`, runs `operator` against it, and tells the user.
///
/// # Errors
/// When something is missing or taken, or when the operator ends.
pub async fn run<O, F>(directory: &Path, options: Options, operator: O) -> Result<(), Error>
where
    O: FnOnce(Client, OperatorSettings) -> F,
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    directory::check(directory)?;
    require_proxy(&options)?;
    let end = end_signal()?;
    let local = Local::start(&options).await?;
    let mut operator = tokio::spawn(operator(local.client(), local.operator_settings()));
    let outcome = tokio::select! {
        () = end => Ok(()),
        ended = &mut operator => Err(match ended {
            Ok(Ok(())) => Error::Operator("it ended".to_owned()),
            Ok(Err(reason)) => Error::Operator(reason),
            Err(panic) => Error::Operator(panic.to_string()),
        }),
        failed = present(&local, directory, &options) => failed,
    };
    operator.abort();
    local.stop().await;
    outcome
}

/// Applies and follows the directory, and shows what becomes of it.
async fn present(local: &Local, directory: &Path, options: &Options) -> Result<(), Error> {
    let (sender, notices) = mpsc::unbounded_channel();
    let shown = Screen {
        client: local.client(),
        ports: local.ports,
        presentation: options.presentation,
        out: io::stdout(),
        header: screen::header(directory, local.kubeconfig(), local.ports),
    }
    .run(notices);
    let followed = async {
        let _follower = directory::follow(directory.to_owned(), local.client(), sender).await?;
        std::future::pending().await
    };
    let shown = async {
        // Nobody reads any more: that is no reason to stop serving.
        let _ = shown.await;
        std::future::pending().await
    };
    tokio::select! {
        failed = followed => failed,
        ended = shown => ended,
    }
}

fn require_proxy(options: &Options) -> Result<(), Error> {
    const PROXY: &str = "gatefleet-proxy";
    if Programs::new(&options.programs).find(PROXY).is_some() {
        return Ok(());
    }
    let exe = std::env::current_exe().unwrap_or_default();
    let beside = exe.parent().unwrap_or(Path::new(".")).to_owned();
    Err(Error::Program { name: PROXY, beside })
}

/// Resolves at Ctrl-C, SIGTERM, or when the terminal is closed. From here on they end nothing by themselves.
fn end_signal() -> Result<impl Future<Output = ()>, Error> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signal)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::Signal)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Teaches the API server our kinds.
async fn define(client: &Client) -> Result<(), Error> {
    let definition = gatefleet_crds::manifest();
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let parameters = PatchParams::apply("gatefleet-local").force();
    let broken = |error: &dyn std::fmt::Display| Error::Server(error.to_string());
    let name = definition.name_any();
    api.patch(&name, &parameters, &Patch::Apply(&definition))
        .await
        .map_err(|error| broken(&error))?;
    let established = await_condition(api, &name, conditions::is_crd_established());
    match tokio::time::timeout(ESTABLISH, established).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(Error::Server(format!("it does not establish {name}"))),
    }
}

/// Shows the one node.
async fn register(client: &Client, network: Network) -> Result<(), Error> {
    let broken = |error: kube::Error| Error::Server(error.to_string());
    let api: Api<Node> = Api::all(client.clone());
    let parameters = PatchParams::apply("gatefleet-local").force();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": runtime::NODE}});
    api.patch(runtime::NODE, &parameters, &Patch::Apply(&node)).await.map_err(broken)?;
    let status = Patch::Merge(json!({"status": {
        "addresses": [
            {"type": "InternalIP", "address": network.node()},
            {"type": "Hostname", "address": runtime::NODE},
        ],
        "conditions": [{"type": "Ready", "status": "True", "reason": "LocalMode"}],
    }}));
    api.patch_status(runtime::NODE, &PatchParams::default(), &status).await.map_err(broken)?;
    Ok(())
}

/// A kubeconfig that is removed when it is no longer true.
#[derive(Debug)]
struct Kubeconfig {
    path: PathBuf,
    text: String,
}

impl Kubeconfig {
    /// Writes it in one step, readable by this user alone. A file that local mode did not write is left alone.
    fn write(path: PathBuf, text: String) -> Result<Self, Error> {
        let refused = |reason: String| Error::Kubeconfig { path: path.clone(), reason };
        match fs::read_to_string(&path) {
            Ok(there) if !there.contains("name: gatefleet-local") => {
                return Err(refused(
                    "it exists, and `gatefleet local` did not write it".to_owned(),
                ));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused(error.to_string()));
            }
            _ => {}
        }
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&fresh, &path));
        if let Err(error) = written {
            // A half-written one is worth nothing.
            let _ = fs::remove_file(&fresh);
            return Err(refused(error.to_string()));
        }
        let path = path.canonicalize().unwrap_or(path);
        Ok(Self { path, text })
    }
}

impl Drop for Kubeconfig {
    fn drop(&mut self) {
        // Another `local` may have written its own there meanwhile.
        if fs::read_to_string(&self.path).is_ok_and(|there| there == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_kubeconfig_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        fs::write(&path, "name: production").unwrap();
        let error =
            Kubeconfig::write(path.clone(), "name: gatefleet-local".to_owned()).unwrap_err();
        assert!(error.to_string().contains("--kubeconfig"), "{error}");
        fs::remove_file(&path).unwrap();
        let ours = Kubeconfig::write(path.clone(), "name: gatefleet-local".to_owned()).unwrap();
        assert!(path.exists());
        drop(ours);
        assert!(!path.exists());
    }
}
