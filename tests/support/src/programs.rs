//! Our own programs, as a user would have them after `cargo build`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The root of the checkout.
///
/// # Panics
///
/// When this file was moved out of it.
pub fn checkout() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .unwrap_or_else(|error| panic!("find the checkout at {}: {error}", root.display()))
}

/// The path of `gatefleet`, `gatefleet-proxy` or `gatefleet-echo`, built in this test's own profile; where
/// `GATEFLEET_PROGRAMS` names a directory, they are taken from there as they are (benchmarks: release binaries under a
/// harness that need not be one).
///
/// # Panics
///
/// When the build fails or the program does not exist.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let given = || std::env::var_os("GATEFLEET_PROGRAMS").map(PathBuf::from);
    let path = BUILT.get_or_init(|| given().unwrap_or_else(build)).join(name);
    assert!(
        path.is_file(),
        "find program {name} in {}: it is no binary of this workspace",
        path.display()
    );
    path
}

fn build() -> PathBuf {
    // TARGET/PROFILE/deps/TEST-HASH: the programs lie two levels up.
    let test =
        std::env::current_exe().unwrap_or_else(|error| panic!("find the test's own path: {error}"));
    let dir = test.ancestors().nth(2).unwrap_or(&test).to_path_buf();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With `--tests`, as `cargo test --workspace` just did: otherwise features of dependencies differ, and much of
    // the graph would be compiled a second time.
    let selection = ["build", "--quiet", "--workspace", "--bins", "--tests"];
    cargo.current_dir(checkout()).args(selection);
    if dir.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().unwrap_or_else(|error| panic!("start cargo build: {error}"));
    assert!(status.success(), "build our own programs: {status}");
    dir
}

/// The directory with `kube-apiserver`, `etcd` and `kubectl`, built by `tests/kube/build` when they are not there yet.
///
/// # Panics
///
/// When the build fails, say because Go is missing.
pub fn kube_tools() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let script = checkout().join("tests/kube/build");
        let output = Command::new(&script).output();
        let output = output.unwrap_or_else(|error| panic!("start {}: {error}", script.display()));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "build Kubernetes' programs: {errors}");
        PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
    });
    built.clone()
}

/// The archives of our images, as `make images` writes them, in the profile `release`: link-time optimisation would take
/// a test minutes. They lie beside the test's own profile.
///
/// # Panics
///
/// When the build fails.
pub fn images() -> Vec<PathBuf> {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(|| build_images("images")).clone()
}

/// As [`images`], written to another directory in any case.
///
/// # Panics
///
/// When the build fails.
pub fn build_images(directory: &str) -> Vec<PathBuf> {
    let test =
        std::env::current_exe().unwrap_or_else(|error| panic!("find the test's own path: {error}"));
    // TARGET/PROFILE/deps/TEST-HASH.
    let target = test.ancestors().nth(3).unwrap_or(&test);
    let script = checkout().join("tests/kube/images");
    let output = Command::new(&script).arg(target.join(directory)).output();
    let output = output.unwrap_or_else(|error| panic!("start {}: {error}", script.display()));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "build images: {errors}");
    String::from_utf8_lossy(&output.stdout).lines().map(PathBuf::from).collect()
}
