//! A real control plane for tests: etcd, kube-apiserver and, of the controller manager, the garbage collector and the
//! namespace controller. Everything listens on loopback, lives in a temporary directory and ends when it is dropped.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use kube::{Client, Config, config::Kubeconfig};
use tempfile::TempDir;

use crate::programs::kube_tools;

/// How long the control plane may take to start.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running control plane.
#[derive(Debug)]
pub struct Kube {
    processes: Vec<Child>,
    dir: TempDir,
    port: u16,
}

impl Drop for Kube {
    fn drop(&mut self) {
        // The clients first, etcd last.
        while let Some(mut process) = self.processes.pop() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Kube {
    /// Starts a control plane and waits until it is ready.
    ///
    /// # Panics
    ///
    /// When a program cannot be built or started, or is not ready in time.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with more controllers: as in `--controllers` of kube-controller-manager. An autoscaler looks every second
    /// and believes what it sees.
    ///
    /// # Panics
    ///
    /// When a program cannot be built or started, or is not ready in time.
    pub async fn start_with(controllers: &[&str]) -> Self {
        let tools = kube_tools();
        let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("make a directory for kube: {e}"));
        write_credentials(dir.path());
        let [etcd, peer, port] = free_ports();
        let mut kube = Self { processes: Vec::new(), dir, port };
        write(&kube.kubeconfig_path(), &kubeconfig(kube.path(), port));
        kube.run_etcd(&tools, etcd, peer);
        kube.run_api_server(&tools, etcd);
        kube.wait_until_ready().await;
        kube.run_controllers(&tools, controllers);
        kube
    }

    fn run_etcd(&mut self, tools: &Path, port: u16, peer: u16) {
        let client_url = format!("http://127.0.0.1:{port}");
        let peer_url = format!("http://127.0.0.1:{peer}");
        let data = self.file("etcd");
        let cluster = format!("default={peer_url}");
        self.run(
            tools,
            "etcd",
            &[
                &["--data-dir", &data, "--unsafe-no-fsync", "--log-level", "error"],
                &["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url],
                &["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url],
                &["--initial-cluster", &cluster],
            ],
        );
    }

    fn run_api_server(&mut self, tools: &Path, etcd: u16) {
        let etcd = format!("http://127.0.0.1:{etcd}");
        let port = self.port.to_string();
        let [tokens, certificate, key] =
            ["tokens.csv", "server.crt", "server.key"].map(|name| self.file(name));
        self.run(
            tools,
            "kube-apiserver",
            &[
                &[
                    "--etcd-servers",
                    &etcd,
                    "--bind-address",
                    "127.0.0.1",
                    "--advertise-address",
                    "127.0.0.1",
                ],
                &["--secure-port", &port, "--service-cluster-ip-range", "10.96.0.0/16"],
                &["--authorization-mode", "RBAC", "--token-auth-file", &tokens],
                &["--tls-cert-file", &certificate, "--tls-private-key-file", &key],
                &["--service-account-issuer", "https://kubernetes.default.svc"],
                &[
                    "--service-account-key-file",
                    &certificate,
                    "--service-account-signing-key-file",
                    &key,
                ],
                // Pods without a service account: nobody makes one here.
                &["--disable-admission-plugins", "ServiceAccount"],
            ],
        );
    }

    fn run_controllers(&mut self, tools: &Path, more: &[&str]) {
        let kubeconfig = self.file("kubeconfig");
        let mut controllers = vec!["garbage-collector-controller", "namespace-controller"];
        controllers.extend(more);
        let controllers = controllers.join(",");
        self.run(
            tools,
            "kube-controller-manager",
            &[
                &["--kubeconfig", &kubeconfig, "--leader-elect=false", "--secure-port", "0"],
                &["--controllers", &controllers],
                &["--horizontal-pod-autoscaler-sync-period", "1s"],
                &["--horizontal-pod-autoscaler-downscale-stabilization", "1s"],
                &["--horizontal-pod-autoscaler-initial-readiness-delay", "0s"],
                &["--horizontal-pod-autoscaler-cpu-initialization-period", "0s"],
                &["--use-service-account-credentials=false"],
            ],
        );
    }

    /// A client with all rights.
    ///
    /// # Panics
    ///
    /// When the credentials cannot be read.
    pub async fn client(&self) -> Client {
        let text = fs::read_to_string(self.kubeconfig_path()).unwrap_or_default();
        let parsed =
            Kubeconfig::from_yaml(&text).unwrap_or_else(|e| panic!("read kubeconfig: {e}"));
        let config =
            Config::from_custom_kubeconfig(parsed, &kube::config::KubeConfigOptions::default())
                .await;
        let config = config.unwrap_or_else(|e| panic!("use kubeconfig: {e}"));
        Client::try_from(config).unwrap_or_else(|e| panic!("make a client: {e}"))
    }

    /// The file that kubectl needs.
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.path().join("kubeconfig")
    }

    /// The same for a user who may do nothing.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn stranger_kubeconfig_path(&self) -> PathBuf {
        let path = self.path().join("stranger");
        let text = kubeconfig(self.path(), self.port).replace("test-token", "stranger-token");
        write(&path, &text);
        path
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn file(&self, name: &str) -> String {
        self.path().join(name).display().to_string()
    }

    fn run(&mut self, tools: &Path, program: &str, arguments: &[&[&str]]) {
        let log = fs::File::create(self.path().join(format!("{program}.log")));
        let log = log.unwrap_or_else(|e| panic!("make the log of {program}: {e}"));
        let process = Command::new(tools.join(program))
            .args(arguments.concat())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.processes.push(process.unwrap_or_else(|e| panic!("start {program}: {e}")));
    }

    async fn wait_until_ready(&mut self) {
        let client = self.client().await;
        let start = Instant::now();
        loop {
            let request = http::Request::get("/readyz").body(Vec::new());
            let request = request.unwrap_or_else(|e| panic!("build a request: {e}"));
            let Err(error) = client.request_text(request).await else { return };
            for process in &mut self.processes {
                if let Ok(Some(status)) = process.try_wait() {
                    panic!(
                        "a program of the control plane ended at start: {status}\n{}",
                        self.logs()
                    );
                }
            }
            assert!(
                start.elapsed() < PATIENCE,
                "kube-apiserver on port {} is not ready after {PATIENCE:?}: {error}\n{}",
                self.port,
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The ends of all logs, for the message of a failed start.
    fn logs(&self) -> String {
        let mut text = String::new();
        for program in ["etcd", "kube-apiserver"] {
            let log =
                fs::read_to_string(self.path().join(format!("{program}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
            text.push_str(program);
            text.push_str(":\n");
            text.push_str(&last.join("\n"));
            text.push('\n');
        }
        text
    }
}

/// Ports that nobody listens on, all different: the listeners that find them are open together.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap_or_else(|e| panic!("find a free port: {e}"))
    });
    listeners.map(|listener| listener.local_addr().map_or(0, |address| address.port()))
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|e| panic!("write {}: {e}", path.display()));
}

/// A self-signed server certificate, whose key signs service accounts too, one token with all rights, and one without any.
fn write_credentials(dir: &Path) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names);
    let signed = signed.unwrap_or_else(|e| panic!("make a certificate for kube-apiserver: {e}"));
    write(&dir.join("server.crt"), &signed.cert.pem());
    write(&dir.join("server.key"), &signed.signing_key.serialize_pem());
    write(
        &dir.join("tokens.csv"),
        "test-token,admin,admin,system:masters\nstranger-token,stranger,stranger\n",
    );
}

fn kubeconfig(dir: &Path, port: u16) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: {}/server.crt}}}}]\n\
         users: [{{name: test, user: {{token: test-token}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n",
        dir.display()
    )
}
