//! A running `gatefleet local`.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use gatefleet_test_support::programs::{checkout, program};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{self, Process};

/// Everything that was printed, and when.
#[derive(Debug, Clone, Default)]
pub struct Output(Arc<Mutex<Vec<(Duration, String)>>>);

impl Output {
    pub(crate) fn follow(&self, from: impl Read + Send + 'static, start: Instant) {
        let lines = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                if let Ok(mut lines) = lines.lock() {
                    lines.push((start.elapsed(), line));
                }
            }
        });
    }

    /// All of it.
    pub fn text(&self) -> String {
        let lines = self.0.lock().map(|lines| lines.clone()).unwrap_or_default();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }

    /// How long after the start the first line with `part` came.
    pub fn first(&self, part: &str) -> Option<Duration> {
        let lines = self.0.lock().ok()?;
        lines.iter().find(|(_, line)| line.contains(part)).map(|(at, _)| *at)
    }
}

/// `gatefleet local` on a copy of a directory, in a home of its own.
pub struct Local {
    child: Child,
    /// The copy: tests edit it.
    pub directory: PathBuf,
    /// The kubeconfig that it wrote.
    pub kubeconfig: PathBuf,
    /// What it printed so far, both streams.
    pub output: Output,
    client: Client,
    home: TempDir,
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|error| panic!("make {}: {error}", to.display()));
    let entries =
        fs::read_dir(from).unwrap_or_else(|error| panic!("list {}: {error}", from.display()));
    for entry in entries.flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target)
                .unwrap_or_else(|error| panic!("copy {entry:?}: {error}"));
        }
    }
}

/// Waits until `probe` gives a value; panics with the last reason after `seconds`.
///
/// # Panics
///
/// At the deadline.
pub async fn eventually<T, F: Future<Output = Result<T, String>>>(
    what: &str,
    seconds: u64,
    mut probe: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + Duration::from_secs(seconds);
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(reason) => {
                assert!(Instant::now() < end, "{what}: not within {seconds} s: {reason}");
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl Local {
    /// Starts on a copy of `examples/NAME` and waits until its API answers.
    ///
    /// # Panics
    ///
    /// When it does not within 20 s.
    pub async fn start(example: &str) -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("make a home: {error}"));
        let directory = home.path().join("input");
        copy(&checkout().join("examples").join(example), &directory);
        Self::start_in(home, directory).await
    }

    /// Starts on these manifests alone and waits until its API answers.
    ///
    /// # Panics
    ///
    /// When it does not within 20 s.
    pub async fn start_with(manifests: &[Value]) -> Self {
        let home = TempDir::new().unwrap_or_else(|error| panic!("make a home: {error}"));
        let directory = home.path().join("input");
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("make a directory: {error}"));
        for (number, manifest) in manifests.iter().enumerate() {
            fs::write(directory.join(format!("{number}.yaml")), manifest.to_string())
                .unwrap_or_else(|error| panic!("write a manifest: {error}"));
        }
        Self::start_in(home, directory).await
    }

    async fn start_in(home: TempDir, directory: PathBuf) -> Self {
        let kubeconfig = home.path().join("kubeconfig");
        let (run, tmp) = (home.path().join("run"), home.path().join("tmp"));
        for dir in [&run, &tmp] {
            fs::create_dir(dir).unwrap_or_else(|error| panic!("make {}: {error}", dir.display()));
        }
        let start = Instant::now();
        let mut child = Command::new(program("gatefleet"))
            .args([Path::new("local"), &directory, Path::new("--kubeconfig"), &kubeconfig])
            .env("XDG_RUNTIME_DIR", &run)
            .env("TMPDIR", &tmp)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("start gatefleet local: {error}"));
        let output = Output::default();
        if let (Some(out), Some(err)) = (child.stdout.take(), child.stderr.take()) {
            output.follow(out, start);
            output.follow(err, start);
        }
        let client =
            eventually("gatefleet local answers", 20, || connect(&kubeconfig, &output)).await;
        Self { child, directory, kubeconfig, output, client, home }
    }

    /// A client by the kubeconfig.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Its process id.
    ///
    /// # Panics
    ///
    /// Never on Linux.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_else(|error| panic!("read process id: {error}"))
    }

    /// The processes of its pods.
    pub fn processes(&self, program: &str) -> Vec<Process> {
        let mut found = processes::descendants(self.pid());
        found.retain(|process| process.is(program));
        found
    }

    /// Every `GatewayConfig`.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn fleets(&self) -> Result<Vec<Value>, String> {
        let api = self.api("gatefleet.dev/v1alpha1", "GatewayConfig", None);
        let list = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        list.items
            .iter()
            .map(|item| serde_json::to_value(item).map_err(|error| error.to_string()))
            .collect()
    }

    /// Waits until every fleet is `Listening` in its newest generation.
    ///
    /// # Panics
    ///
    /// After 60 s.
    pub async fn listening(&self) {
        eventually("every fleet is Listening", 60, || async {
            let fleets = self.fleets().await?;
            let done = !fleets.is_empty()
                && fleets.iter().all(|fleet| {
                    fleet["status"]["phase"] == "Listening"
                        && fleet["status"]["observedGeneration"] == fleet["metadata"]["generation"]
                });
            let status: Vec<&Value> = fleets.iter().map(|fleet| &fleet["status"]).collect();
            done.then_some(()).ok_or_else(|| format!("{status:?}\n{}", self.output.text()))
        })
        .await;
    }

    /// Where a tier's Service answers on the listener's advertised port that comes first.
    ///
    /// # Panics
    ///
    /// When there is no such Service with an address.
    pub async fn address(&self, tier: &str) -> SocketAddr {
        self.port(tier, None).await
    }

    /// Where a tier's Service answers on the listener of this name.
    ///
    /// # Panics
    ///
    /// When there is no such Service with an address.
    pub async fn port(&self, tier: &str, listener: Option<&str>) -> SocketAddr {
        let services: Api<Service> = Api::all(self.client());
        let selector = ListParams::default().labels(&format!("gatefleet.dev/tier={tier}"));
        eventually("the tier has an address", 20, || async {
            let list = services.list(&selector).await.map_err(|error| error.to_string())?;
            let service = list.items.into_iter().next().ok_or("no Service")?;
            let raised = service.metadata.annotations.unwrap_or_default().remove(OFFERED_PORTS);
            let spec = service.spec.ok_or("no spec")?;
            let ip: IpAddr = spec
                .cluster_ip
                .as_deref()
                .unwrap_or_default()
                .parse()
                .map_err(|error| format!("no address: {error}"))?;
            let ports = spec.ports.unwrap_or_default();
            let port =
                ports.iter().find(|port| listener.is_none() || port.name.as_deref() == listener);
            let port = port.and_then(|port| u16::try_from(port.port).ok()).ok_or("no such port")?;
            Ok(SocketAddr::new(ip, offered(port, &raised.unwrap_or_default())))
        })
        .await
    }

    /// Any kind, in a namespace or in all.
    pub fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client(), namespace, &resource),
            None => Api::all_with(self.client(), &resource),
        }
    }

    /// Applies one object as kubectl would.
    ///
    /// # Errors
    ///
    /// What the server says.
    pub async fn apply(&self, object: &Value) -> Result<(), kube::Error> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        let api = self.api(
            &text(&object["apiVersion"]),
            &text(&object["kind"]),
            metadata["namespace"].as_str(),
        );
        let params = PatchParams::apply("e2e").force();
        api.patch(&text(&metadata["name"]), &params, &Patch::Apply(object)).await.map(drop)
    }

    /// Ctrl-C, and then: how it ended, which of its processes live on, which files it left.
    ///
    /// # Panics
    ///
    /// When it does not end within 30 s.
    pub async fn stop(mut self) -> (ExitStatus, Vec<Process>, Vec<String>) {
        let family = processes::descendants(self.pid());
        processes::signal(self.pid(), libc::SIGINT);
        let status = {
            let child = Mutex::new(&mut self.child);
            eventually("gatefleet local ends", 30, || async {
                let ended = child.lock().ok().and_then(|mut child| child.try_wait().ok().flatten());
                ended.ok_or_else(|| "it runs on".to_owned())
            })
            .await
        };
        let orphans = family.into_iter().filter(|process| processes::lives(process.pid)).collect();
        let left =
            ["run", "tmp"].iter().flat_map(|dir| files(&self.home.path().join(dir))).collect();
        (status, orphans, left)
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where an ordinary user finds a port below 1024: `80=8080,443=8443`.
const OFFERED_PORTS: &str = "gatefleet.dev/offered-ports";

fn offered(port: u16, raised: &str) -> u16 {
    let mut pairs = raised.split(',').filter_map(|pair| pair.split_once('='));
    let pair = pairs.find(|(low, _)| *low == port.to_string());
    pair.and_then(|(_, high)| high.parse().ok()).unwrap_or(port)
}

async fn connect(kubeconfig: &Path, output: &Output) -> Result<Client, String> {
    let explain = |error: String| format!("{error}\n{}", output.text());
    let file = Kubeconfig::read_from(kubeconfig).map_err(|error| explain(error.to_string()))?;
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| explain(error.to_string()))?;
    let client = Client::try_from(config).map_err(|error| explain(error.to_string()))?;
    client.apiserver_version().await.map_err(|error| explain(error.to_string()))?;
    Ok(client)
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            if path.is_dir() { files(&path) } else { vec![path.display().to_string()] }
        })
        .collect()
}
