//! A real cluster of two nodes, with our images in it (`tests/kube/up`).

use std::{
    fs::File,
    net::IpAddr,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use gatefleet_test_support::programs::{checkout, images, kube_tools};
use serde_json::Value;
use tempfile::TempDir;

/// How many nodes there are: enough for a pod to move.
const NODES: &str = "2";

/// A running cluster, seen from its first node.
pub struct Cluster {
    state: TempDir,
    /// The network namespace of the first node, from which everything is reached.
    network: PathBuf,
    kubectl: PathBuf,
}

/// Runs a story on a cluster of its own, from within the network of node 1: every client and every program that the
/// story starts is there. `allowed` are the unsafe sysctls that the kubelet of each node admits. When the story fails,
/// objects, events and logs are printed. At the end nothing of the cluster is left on this machine.
///
/// # Panics
///
/// When the cluster does not come up, when the story does, and when something is left.
pub fn on_real_nodes(allowed: [&str; 2], story: impl AsyncFnOnce(&Cluster) + Send) {
    let cluster = Cluster::start(allowed);
    let ended = thread::scope(|scope| scope.spawn(|| cluster.run(story)).join());
    let (state, name) = (cluster.state.path().to_owned(), cluster.name());
    drop(cluster);
    if let Err(reason) = ended.and_then(|ended| ended) {
        std::panic::resume_unwind(reason);
    }
    assert_eq!(leftovers(&state, &name), Vec::<String>::new(), "the cluster left something behind");
}

/// Mounts, network namespaces, control groups and processes of a cluster.
fn leftovers(state: &Path, name: &str) -> Vec<String> {
    let state = state.display().to_string();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
    let mounts = mounts.lines().filter(|line| line.contains(&state)).map(str::to_owned);
    let groups = entries("/sys/fs/cgroup").into_iter().flat_map(entries);
    let named = entries("/run/netns").into_iter().chain(groups);
    let named = named.map(|path| path.display().to_string());
    let named =
        named.filter(|path| path.rsplit('/').next().is_some_and(|last| last.starts_with(name)));
    let commands = entries("/proc").into_iter().filter_map(|process| {
        std::fs::read_to_string(process.join("cmdline")).ok().filter(|line| line.contains(&state))
    });
    mounts.chain(named).chain(commands).collect()
}

fn entries(directory: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

/// Moves the calling thread into a network namespace. Threads that it starts are there, too.
fn enter(network: &Path) {
    let file = File::open(network);
    let file = file.unwrap_or_else(|error| panic!("open {}: {error}", network.display()));
    #[expect(unsafe_code, reason = "setns(2) has no safe form in std")]
    // SAFETY: the descriptor is open during the call; setns touches no memory.
    let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    let error = std::io::Error::last_os_error();
    assert_eq!(entered, 0, "enter {}: {error}", network.display());
}

impl Cluster {
    fn start(allowed: [&str; 2]) -> Self {
        let state = tempfile::Builder::new().prefix("gf").tempdir();
        let state = state.unwrap_or_else(|error| panic!("make a directory: {error}"));
        let kubectl = kube_tools().join("kubectl");
        let mut up = script("up", state.path());
        up.arg(NODES).args(images()).stderr(Stdio::inherit());
        for (node, allowed) in allowed.into_iter().enumerate() {
            up.env(format!("UNSAFE_SYSCTLS_{}", node + 1), allowed);
        }
        let output = up.output().unwrap_or_else(|error| panic!("start tests/kube/up: {error}"));
        assert!(output.status.success(), "bring the cluster up: {}", output.status);
        let network = String::from_utf8_lossy(&output.stdout);
        let network = network.lines().last().unwrap_or_default().into();
        Self { state, network, kubectl }
    }

    fn run(&self, story: impl AsyncFnOnce(&Self)) -> thread::Result<()> {
        enter(&self.network);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("start a runtime: {error}"));
        let story = std::panic::AssertUnwindSafe(|| runtime.block_on(story(self)));
        let ended = std::panic::catch_unwind(story);
        if ended.is_err() {
            self.print_what_there_is();
        }
        ended
    }

    /// What its namespaces and control groups are called, without the number of the node.
    fn name(&self) -> String {
        let file = self.network.file_name().unwrap_or_default().to_string_lossy();
        file.trim_end_matches('1').to_owned()
    }

    /// Installs CRD and operator from plain manifests, waits for the operator, and applies the quickstart as it is.
    ///
    /// # Panics
    ///
    /// When one of them is refused, or the fleet is not `Listening` within two minutes.
    pub fn install_and_apply_the_quickstart(&self) {
        self.install();
        self.kubectl("apply -f examples/quickstart");
        self.kubectl("wait gwc/quickstart --for=condition=Listening --timeout=120s");
    }

    /// Installs CRD and operator from plain manifests, and waits for the operator.
    ///
    /// # Panics
    ///
    /// When one of them is refused, or the operator is not ready within two minutes.
    pub fn install(&self) {
        self.kubectl("apply --server-side -f crds/gatewayconfigs.yaml");
        self.kubectl(
            "wait crd/gatewayconfigs.gatefleet.dev --for=condition=Established --timeout=60s",
        );
        self.kubectl("apply -f examples/cluster");
        self.kubectl("rollout status -n gatefleet-system deployment/gatefleet --timeout=120s");
    }

    /// Standard output of a call that must succeed; files are named from the root of the checkout.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn kubectl(&self, line: &str) -> String {
        self.kubectl_with(&line.split(' ').collect::<Vec<_>>())
    }

    /// As [`Self::kubectl`], for arguments with spaces in them.
    ///
    /// # Panics
    ///
    /// When the call does not succeed.
    pub fn kubectl_with(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments).unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    /// Standard output of a call.
    ///
    /// # Errors
    ///
    /// What it says when it fails.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(self.state.path().join("pki/admin.kubeconfig"));
        command.args(arguments).current_dir(checkout()).stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let failed = || format!("{}{}", text(&output.stdout), text(&output.stderr));
        output.status.success().then(|| text(&output.stdout)).ok_or_else(failed)
    }

    /// Applies objects that stand in no file.
    ///
    /// # Panics
    ///
    /// When one is refused.
    pub fn apply(&self, objects: &[Value]) {
        for (at, object) in objects.iter().enumerate() {
            let file = self.state.path().join(format!("applied-{at}.json"));
            std::fs::write(&file, object.to_string())
                .unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
            self.kubectl(&format!("apply -f {}", file.display()));
        }
    }

    /// One object, or a list, as JSON.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn get(&self, what: &str) -> Value {
        let text = self.kubectl(&format!("get {what} -o json"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("read {what}: {error}: {text}"))
    }

    /// The addresses of the nodes.
    ///
    /// # Panics
    ///
    /// When a node has none.
    pub fn node_addresses(&self) -> Vec<IpAddr> {
        let text = self.kubectl(
            "get nodes -o jsonpath={.items[*].status.addresses[?(@.type==\"InternalIP\")].address}",
        );
        let parse = |address: &str| {
            address.parse().unwrap_or_else(|error| panic!("read address {address}: {error}"))
        };
        text.split(' ').map(parse).collect()
    }

    #[expect(clippy::print_stderr, reason = "what a failed story leaves behind is to be seen")]
    fn print_what_there_is(&self) {
        for line in [
            "get gwc,deployments,services,endpointslices,pods -A -o wide",
            "describe gwc -A",
            "get events -A --sort-by=.lastTimestamp",
            "logs -n gatefleet-system -l app.kubernetes.io/name=gatefleet --tail=60 --prefix",
            "logs -l gatefleet.dev/fleet --tail=40 --prefix",
        ] {
            let said = self.try_kubectl(&line.split(' ').collect::<Vec<_>>());
            eprintln!("$ kubectl {line}\n{}", said.unwrap_or_else(|error| error));
        }
    }
}

fn script(name: &str, state: &Path) -> Command {
    let mut command = Command::new(checkout().join("tests/kube").join(name));
    command.arg(state).stdin(Stdio::null());
    command
}

impl Drop for Cluster {
    #[expect(clippy::print_stderr, reason = "a panic while dropping would hide the first one")]
    fn drop(&mut self) {
        match script("down", self.state.path()).status() {
            Ok(status) if status.success() => {}
            failed => eprintln!("take the cluster down: {failed:?}"),
        }
    }
}
