//! What readiness, metrics and admin may know of the channel.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use gatefleet_snapshot::v1::Watermark;

use crate::Outcome;

/// Where the configuration in use came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// There is none yet.
    #[default]
    None,
    /// The copy on disk.
    Disk,
    /// A snapshot file.
    File(PathBuf),
    /// This configuration server (`IP:PORT`).
    Server(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Disk => f.write_str("disk"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Server(address) => write!(f, "server {address}"),
        }
    }
}

/// What readiness, metrics and admin may know of the channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelState {
    /// A first full snapshot is installed on every thread. It never becomes false again.
    pub ready: bool,
    /// Where it came from.
    pub source: Source,
    /// Configuration servers with a live stream (`IP:PORT`), in ascending order.
    pub connected: Vec<String>,
    /// What became of each resource.
    pub outcomes: Arc<BTreeMap<Arc<str>, Outcome>>,
    /// How recent the configuration is.
    pub watermark: Vec<Watermark>,
    /// The configuration in use is older than one that was in use before (`WatermarkRegressed`).
    pub watermark_regressed: bool,
    /// The newest problem of the channel itself: a file that cannot be read, no server, a copy that does not fit.
    pub problem: Option<String>,
    /// How many sets were installed.
    pub installs: u64,
}
