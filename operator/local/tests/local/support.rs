//! A session of local mode in a directory of its own, and a client that counts what it loses.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gatefleet_local::{Local, Options};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Local mode with an empty cluster.
pub(crate) struct Session {
    pub(crate) local: Local,
    home: TempDir,
}

/// Where the built `gatefleet-echo` lies; it is built when it does not.
fn programs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap().to_owned();
    if !directory.join("gatefleet-echo").is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "-p", "gatefleet-echo"])
            .status()
            .unwrap();
        assert!(built.success(), "build gatefleet-echo");
    }
    directory
}

impl Session {
    pub(crate) async fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let options = Options {
            runtime_directory: Some(home.path().to_owned()),
            programs: vec![programs()],
            ..Options::default()
        };
        Self { local: Local::start(&options).await.unwrap(), home }
    }

    pub(crate) fn client(&self) -> Client {
        self.local.client()
    }

    /// The directory that must be gone afterwards.
    pub(crate) fn runtime_directory(&self) -> &Path {
        self.local.kubeconfig().parent().unwrap()
    }

    /// Stops it, and checks that nothing is left.
    pub(crate) async fn end(self) {
        let processes = self.processes();
        self.local.stop().await;
        let living: Vec<_> = processes
            .into_iter()
            .filter(|pid| Path::new(&format!("/proc/{pid}/exe")).exists())
            .collect();
        assert_eq!(living, Vec::<u32>::new(), "processes are left");
        assert_eq!(std::fs::read_dir(self.home.path()).unwrap().count(), 0, "files are left");
    }

    fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client(), "default", &resource)
    }

    pub(crate) async fn apply(&self, object: &Value) {
        let api =
            self.api(object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.unwrap();
    }

    pub(crate) async fn delete(&self, api_version: &str, kind: &str, name: &str) {
        self.api(api_version, kind).delete(name, &DeleteParams::background()).await.unwrap();
    }

    /// Polls until there is a value.
    pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
        &self,
        what: &str,
        seconds: u64,
        mut probe: impl FnMut() -> F,
    ) -> T {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            assert!(Instant::now() < end, "{what}: not within {seconds} s");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As `kubectl rollout status` sees it.
    pub(crate) async fn rolled_out(&self, name: &str) {
        let api: Api<Deployment> = Api::namespaced(self.client(), "default");
        self.until(&format!("{name} is rolled out"), 20, || async {
            let deployment = api.get(name).await.ok()?;
            let (spec, status) = (deployment.spec?, deployment.status?);
            let wanted = spec.replicas;
            let done = status.observed_generation == deployment.metadata.generation
                && status.updated_replicas == wanted
                && status.replicas == wanted
                && status.available_replicas == wanted;
            done.then_some(())
        })
        .await;
    }

    pub(crate) async fn pods(&self, app: &str) -> Vec<Pod> {
        let api: Api<Pod> = Api::namespaced(self.client(), "default");
        api.list(&ListParams::default().labels(&format!("app={app}"))).await.unwrap().items
    }

    /// Where a Service's first port is offered.
    pub(crate) async fn address(&self, name: &str) -> SocketAddr {
        let api: Api<Service> = Api::namespaced(self.client(), "default");
        self.until("the Service has an address", 5, || async {
            let service = api.get(name).await.ok()?;
            let ingress = service.status?.load_balancer?.ingress?.pop()?;
            let port = u16::try_from(service.spec?.ports?.pop()?.port).ok()?;
            Some(SocketAddr::new(ingress.ip?.parse().ok()?, self.local.ports().offered(port)))
        })
        .await
    }

    pub(crate) async fn answers(&self, address: SocketAddr, text: &str) {
        self.until(&format!("{address} answers {text}"), 5, || async {
            get(address).await.ok().filter(|answer| answer == text)
        })
        .await;
    }

    /// Child processes of this test that belong to this session.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = format!("GATEFLEET_ROOT={}", self.runtime_directory().display());
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let ours = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable.starts_with(mark.as_bytes()))
        };
        pids.filter(ours).collect()
    }

    pub(crate) fn kill_process_of(&self, pod: &str) {
        let mark = format!("HOSTNAME={pod}");
        let of_pod = |pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let pid = self.processes().into_iter().find(of_pod).unwrap();
        assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }
}

/// One request on a connection of its own; no retry.
pub(crate) async fn get(address: SocketAddr) -> Result<String, String> {
    let said = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(address).await.map_err(said)?;
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
        .await
        .map_err(said)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(said)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer broke off")?;
    if !head.starts_with("HTTP/1.1 200") || !body.ends_with('\n') {
        return Err(answer);
    }
    Ok(body.trim_end().to_owned())
}

/// Requests without end, from several connections.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Counts>>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) served: usize,
    pub(crate) failures: Vec<String>,
    pub(crate) texts: BTreeSet<String>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |_| {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let mut counts = Counts::default();
                while !stop.load(Ordering::Relaxed) {
                    match get(address).await {
                        Ok(text) => {
                            counts.served += 1;
                            counts.texts.insert(text);
                        }
                        Err(reason) => counts.failures.push(reason),
                    }
                    tokio::time::sleep(Duration::from_millis(3)).await;
                }
                counts
            })
        };
        let clients = (0..4).map(client).collect();
        Self { stop, clients }
    }

    pub(crate) async fn stop(self) -> Counts {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Counts::default();
        for client in self.clients {
            let counts = client.await.unwrap();
            total.served += counts.served;
            total.failures.extend(counts.failures);
            total.texts.extend(counts.texts);
        }
        total
    }
}
