//! Why local mode cannot run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why local mode could not start or go on. Each is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The manifests' directory cannot be read.
    #[error("cannot read directory {}: {source}; name a directory that holds the manifests to apply", path.display())]
    Directory {
        /// As given.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// What was given is a file or something else.
    #[error("{} is not a directory; name the directory that holds it", .0.display())]
    NotADirectory(PathBuf),
    /// A binary that pods run is missing.
    #[error("cannot find the program {name} beside {} or in PATH; build it with `cargo build -p {name}`", beside.display())]
    Program {
        /// Its name.
        name: &'static str,
        /// Where it was looked for first.
        beside: PathBuf,
    },
    /// Every pair of loopback ranges is taken.
    #[error(
        "cannot listen on port {port} of any of 127.96.0.1 to 127.106.0.1: {source}; stop another `gatefleet local`, or what listens on port {port}"
    )]
    Ranges {
        /// The API server's port.
        port: u16,
        /// What the kernel said of the last one.
        source: io::Error,
    },
    /// Neither the low ports nor their substitutes can be used.
    #[error("cannot listen on {address}: {source}; stop the program that listens on port {} of all addresses", address.port())]
    Ports {
        /// What was tried last.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The runtime directory cannot be used.
    #[error("cannot use {} for keys and sockets: {source}; set XDG_RUNTIME_DIR to a directory that you own", path.display())]
    Home {
        /// The directory or file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kubeconfig cannot be written.
    #[error("cannot write kubeconfig {}: {reason}; choose another with --kubeconfig", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The directory cannot be followed.
    #[error("cannot follow changes of {}: {reason}", path.display())]
    Follow {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The embedded API server refused something that must work.
    #[error("cannot prepare the API server: {0}")]
    Server(String),
    /// Child processes cannot be started at all.
    #[error("cannot start the thread that starts processes: {0}")]
    Launcher(io::Error),
    /// Signals cannot be waited for.
    #[error("cannot wait for signals: {0}")]
    Signal(io::Error),
    /// The operator ended.
    #[error("the operator stopped: {0}")]
    Operator(String),
}
