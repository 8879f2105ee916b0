//! What a proxy must be told to find its operator.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The bootstrap file (`bootstrap.json`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bootstrap {
    /// `IP:PORT` of configuration servers; each replica of the operator tells the others' addresses.
    pub servers: Vec<String>,
    /// The name in the servers' certificate. Default `gatefleet.channel`.
    #[serde(default = "default_server_name")]
    pub server_name: String,
    /// Namespace of the `GatewayConfig`.
    pub namespace: String,
    /// Its name.
    pub fleet: String,
    /// `north-south` or `east-west`.
    pub tier: String,
    /// Directory with `tls.crt`, `tls.key`, `ca.crt`, re-read when they change.
    pub channel_dir: PathBuf,
    /// Directory of the last good snapshot.
    pub state_dir: PathBuf,
    /// Size of that directory, in bytes; a copy is written only if old and new fit together. Default 64 MiB.
    #[serde(default = "default_state_bytes")]
    pub state_bytes: u64,
}

fn default_server_name() -> String {
    "gatefleet.channel".to_owned()
}

const fn default_state_bytes() -> u64 {
    64 << 20
}

/// What is wrong with a bootstrap file.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// Not readable.
    #[error("read bootstrap {path}: {source}; mount the tier's ConfigMap there")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not the JSON that is wanted.
    #[error("parse bootstrap {path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Nothing to connect to.
    #[error("parse bootstrap {0}: \"servers\" is empty; it needs at least one IP:PORT")]
    NoServers(PathBuf),
}

impl Bootstrap {
    /// Reads a bootstrap file.
    ///
    /// # Errors
    ///
    /// With the file and, for its content, line and column.
    pub fn read(path: &Path) -> Result<Self, BootstrapError> {
        let bytes = std::fs::read(path)
            .map_err(|source| BootstrapError::Read { path: path.to_owned(), source })?;
        let bootstrap: Self = serde_json::from_slice(&bytes)
            .map_err(|source| BootstrapError::Parse { path: path.to_owned(), source })?;
        if bootstrap.servers.is_empty() {
            return Err(BootstrapError::NoServers(path.to_owned()));
        }
        Ok(bootstrap)
    }

    /// The same with its absolute directories below `root` (local mode's `GATEFLEET_ROOT`).
    #[must_use]
    pub fn below(mut self, root: &Path) -> Self {
        for directory in [&mut self.channel_dir, &mut self.state_dir] {
            if let Ok(relative) = directory.strip_prefix("/") {
                *directory = root.join(relative);
            }
        }
        self
    }
}

/// Who this proxy is (Downward API).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodIdentity {
    /// `metadata.name` of the pod (`POD_NAME`).
    pub name: String,
    /// `metadata.uid` of the pod (`POD_UID`).
    pub uid: String,
}
