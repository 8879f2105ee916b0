//! A program that ends by itself.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use gatefleet_test_support::programs::program;
use tempfile::TempDir;

/// How it ended, and what it said.
#[derive(Debug)]
pub struct Ended {
    /// Exit status; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
}

/// Runs a program in an empty home, without a cluster but that of `kubeconfig`. It must end by itself, at the latest
/// after 30 s.
///
/// # Panics
///
/// When it cannot be started.
pub fn run(name: &str, arguments: &[&str], kubeconfig: Option<&Path>) -> Ended {
    let home = TempDir::new().unwrap_or_else(|error| panic!("make a home: {error}"));
    let file = |name: &str| {
        let path = home.path().join(name);
        File::create(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()))
    };
    let mut command = Command::new(program(name));
    command.args(arguments).env("XDG_RUNTIME_DIR", home.path()).env("HOME", home.path());
    command.env_remove("KUBECONFIG").stdin(Stdio::null());
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    let started = command.stdout(file("output")).stderr(file("errors")).spawn();
    let mut child = started.unwrap_or_else(|error| panic!("start {name}: {error}"));
    let end = Instant::now() + Duration::from_secs(30);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status.code(),
            _ if Instant::now() > end => {
                drop(child.kill());
                drop(child.wait());
                break None;
            }
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
    Ended { code: status.unwrap_or(-1), output: read("output"), errors: read("errors") }
}
