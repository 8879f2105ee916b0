//! The program itself, started with a snapshot file, and a backend for it.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use gatefleet_test_support::raw::get;
use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gatefleet-proxy");

/// A running proxy; ends with the test.
pub(crate) struct Proxy {
    pub(crate) child: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) status: SocketAddr,
    pub(crate) admin: SocketAddr,
}

pub(crate) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind(local(0)).unwrap().local_addr().unwrap().port()
}

/// Everything goes to `backend`.
pub(crate) fn snapshot(port: u16, backend: SocketAddr, more: &[Value]) -> Value {
    let mut resources = vec![
        json!({ "name": "tier", "tier": { "drain": { "delayMs": 500, "timeoutMs": 3000 } } }),
        json!({ "name": "listener/http",
            "listener": { "owner": "Tier", "scope": "tier", "bindPort": port, "protocol": "HTTP" } }),
        json!({ "name": "virtual-host/tier/any", "virtualHost": {
            "scope": "tier", "hostname": { "kind": "ANY" },
            "rules": [{ "name": "Ingress/test/web/0",
                "forward": { "backends": [{ "weight": 1, "backend": "backend/b" }] } }],
            "matches": [{ "rule": 0, "path": { "prefix": "/" } }] } }),
        json!({ "name": "backend/b", "backend": { "endpoints": "endpoints/b" } }),
        json!({ "name": "endpoints/b", "endpoints": { "endpoints": [
            { "addresses": [backend.ip()], "port": backend.port() }] } }),
    ];
    resources.extend_from_slice(more);
    json!({ "schemaVersion": 1, "resources": resources })
}

/// Writes as a careful program does: beside, then renamed.
pub(crate) fn write(path: &Path, snapshot: &Value) {
    let beside = path.with_extension("next");
    fs::write(&beside, snapshot.to_string()).unwrap();
    fs::rename(beside, path).unwrap();
}

impl Proxy {
    pub(crate) fn start(backend: SocketAddr, threads: usize) -> Self {
        Self::start_with(backend, threads, &[], &mut Command::new(PROGRAM))
    }

    /// `command` may be another program that starts ours: its arguments come first.
    pub(crate) fn start_with(
        backend: SocketAddr,
        threads: usize,
        more: &[Value],
        command: &mut Command,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (port, status, admin) = (free_port(), local(free_port()), local(free_port()));
        write(&dir.path().join("snapshot.json"), &snapshot(port, backend, more));
        let child = command
            .arg("--snapshot")
            .arg(dir.path().join("snapshot.json"))
            .args(["--bind", "127.0.0.1", "--threads", &threads.to_string()])
            .args(["--status-port", &status.port().to_string()])
            .args(["--admin-port", &admin.port().to_string()])
            .arg("--state-dir")
            .arg(dir.path())
            .env_remove("GATEFLEET_BIND")
            .env_remove("GATEFLEET_ROOT")
            .stdout(fs::File::create(dir.path().join("access.log")).unwrap())
            .stderr(fs::File::create(dir.path().join("errors.log")).unwrap())
            .spawn()
            .unwrap();
        let mut proxy = Self { child, dir, port, status, admin };
        proxy.wait_until("it is ready", |proxy| {
            get(proxy.status, "x", "/readyz", &[]).is_ok_and(|answer| answer.status == 200)
        });
        proxy
    }

    pub(crate) fn wait_until(&mut self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !happened(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                Instant::now() < deadline && ended.is_none(),
                "never: {what} ({ended:?}): {}",
                self.errors()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn snapshot(&self) -> PathBuf {
        self.dir.path().join("snapshot.json")
    }

    pub(crate) fn access_log(&self) -> String {
        fs::read_to_string(self.dir.path().join("access.log")).unwrap()
    }

    pub(crate) fn errors(&self) -> String {
        fs::read_to_string(self.dir.path().join("errors.log")).unwrap()
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        signal_process(self.child.id(), signal);
    }
}

#[expect(unsafe_code, reason = "kill(2) has no safe form in std")]
pub(crate) fn signal_process(id: u32, signal: libc::c_int) {
    // SAFETY: no memory is passed; the process is our child and not reaped yet.
    unsafe { libc::kill(id.try_into().unwrap(), signal) };
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .env_remove("GATEFLEET_BIND")
        .env_remove("GATEFLEET_ROOT")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Answers every request with `body`, after `delay`, for ever.
pub(crate) fn backend(body: &'static str, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind(local(0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(stream, body, delay));
        }
    });
    address
}

fn answer(mut stream: TcpStream, body: &str, delay: Duration) {
    stream.set_nodelay(true).unwrap();
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    loop {
        while !seen.windows(4).any(|w| w == b"\r\n\r\n") {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&bytes[..read]),
            }
        }
        seen.clear();
        thread::sleep(delay);
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
