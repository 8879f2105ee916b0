//! A running `gatefleet-proxy` without an operator.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    programs::program,
    raw::{self, Answer, Connection},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Output, processes};

/// The host that [`Alone`] serves unless it is told otherwise.
pub const HOST: &str = "fields.test";

const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy on the snapshot that `gatefleet translate` made of some manifests, with an echo behind it. It has a
/// loopback address of its own: HTTP on port 8080, HTTPS on 8443, the status port on 9701, the echo on 3000.
pub struct Alone {
    proxy: Child,
    echo: Child,
    address: Ipv4Addr,
    /// Its standard output: the access log.
    pub output: Output,
    _home: TempDir,
}

/// Neither another test of this process nor one of another process has the same.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 128 | (high & 0x7f), low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A Service `echo` with one endpoint.
fn backend(endpoint: SocketAddr) -> [Value; 2] {
    [
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "echo", "namespace": "default"},
            "spec": {"ports": [{"port": 80, "targetPort": endpoint.port()}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "name": "echo-1", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "echo"},
            },
            "ports": [{"name": "", "port": endpoint.port()}],
            "endpoints": [{"addresses": [endpoint.ip().to_string()]}],
        }),
    ]
}

fn translate(home: &Path, manifests: &[Value]) {
    let input = home.join("input");
    fs::create_dir(&input).unwrap_or_else(|error| panic!("make {}: {error}", input.display()));
    for (number, manifest) in manifests.iter().enumerate() {
        fs::write(input.join(format!("{number}.yaml")), manifest.to_string())
            .unwrap_or_else(|error| panic!("write a manifest: {error}"));
    }
    let output = Command::new(program("gatefleet"))
        .args([
            Path::new("translate"),
            &input,
            Path::new("--snapshot"),
            &home.join("snapshot.json"),
        ])
        .output()
        .unwrap_or_else(|error| panic!("start gatefleet translate: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

impl Alone {
    /// A proxy of a tier with these settings, which serves [`HOST`] from an echo.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 s.
    pub fn tier(settings: &Value) -> Self {
        Self::start(json!({"northSouth": settings}), &[Self::ingress(HOST, None)], None)
    }

    /// A proxy of a tier with these settings, which serves [`HOST`] from this endpoint.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 s.
    pub fn before(endpoint: SocketAddr, settings: &Value) -> Self {
        let spec = json!({"northSouth": settings});
        Self::start(spec, &[Self::ingress(HOST, None)], Some(endpoint))
    }

    /// An Ingress that leads a host to the echo, of a class if it has one.
    pub fn ingress(host: &str, class: Option<&str>) -> Value {
        let paths = json!([{
            "path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "echo", "port": {"number": 80}}},
        }]);
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": host, "namespace": "default"},
            "spec": {"ingressClassName": class, "rules": [{"host": host, "http": {"paths": paths}}]},
        })
    }

    /// A proxy of the north-south tier of a `GatewayConfig` and some other manifests. Unless the spec says otherwise, it
    /// serves every Ingress.
    ///
    /// # Panics
    ///
    /// When it is not ready within 20 s.
    pub fn start(mut spec: Value, others: &[Value], endpoint: Option<SocketAddr>) -> Self {
        let address = own_address();
        let tier = &mut spec["northSouth"];
        if tier["listeners"].is_null() {
            tier["listeners"] = json!([
                {"name": "http", "port": 8080, "protocol": "HTTP"},
                {"name": "https", "port": 8443, "protocol": "HTTPS"},
            ]);
        }
        if spec["ingress"].is_null() {
            spec["ingress"] = json!({"ingressClass": ""});
        }
        let fleet = json!({
            "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig",
            "metadata": {"name": "fields", "namespace": "default"}, "spec": spec,
        });
        let endpoint = endpoint.unwrap_or((address, 3000).into());
        let home = TempDir::new().unwrap_or_else(|error| panic!("make a home: {error}"));
        let manifests = [&[fleet][..], &backend(endpoint), others].concat();
        translate(home.path(), &manifests);
        Self::run(home, address)
    }

    fn run(home: TempDir, address: Ipv4Addr) -> Self {
        let spawn = |name: &str, arguments: &[&str]| {
            Command::new(program(name))
                .args(arguments)
                .env("GATEFLEET_BIND", address.to_string())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("start {name}: {error}"))
        };
        let echo = spawn("gatefleet-echo", &["--port", "3000"]);
        let snapshot = home.path().join("snapshot.json").display().to_string();
        let proxy = spawn("gatefleet-proxy", &["--snapshot", &snapshot, "--threads", "1"]);
        let output = Output::default();
        let mut alone = Self { proxy, echo, address, output, _home: home };
        if let Some(lines) = alone.proxy.stdout.take() {
            alone.output.follow(lines, Instant::now());
        }
        alone.wait_until_ready();
        alone
    }

    fn wait_until_ready(&mut self) {
        let end = Instant::now() + PATIENCE;
        let ready = |alone: &Self| alone.is_ready() && Connection::open(alone.at(3000)).is_ok();
        while !ready(self) {
            let ended = self.proxy.try_wait().ok().flatten();
            assert!(ended.is_none(), "the proxy ended: {ended:?}");
            assert!(Instant::now() < end, "the proxy at {} is not ready", self.address);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process id of the proxy.
    pub fn pid(&self) -> u32 {
        self.proxy.id()
    }

    /// One of its ports.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), port)
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        raw::get(self.at(9701), "status", "/readyz", &[]).is_ok_and(|answer| answer.status == 200)
    }

    /// A connection to its HTTP listener.
    ///
    /// # Panics
    ///
    /// When it cannot be opened.
    pub fn connect(&self) -> Connection {
        Connection::open(self.at(8080)).unwrap_or_else(|error| panic!("connect: {error}"))
    }

    /// What is answered to `GET path` of [`HOST`] on a connection of its own.
    ///
    /// # Panics
    ///
    /// When nothing is answered.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let answer = self.connect().get(HOST, path, headers);
        answer.unwrap_or_else(|error| panic!("get {path}: {error}"))
    }

    /// SIGTERM.
    ///
    /// # Panics
    ///
    /// When it runs no more.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.proxy.id()).unwrap_or_else(|error| panic!("{error}"));
        processes::signal(pid, libc::SIGTERM);
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it runs on for 20 s.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.proxy.try_wait() {
                return status;
            }
            assert!(Instant::now() < end, "the proxy runs on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        for process in [&mut self.proxy, &mut self.echo] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
