//! What became of one resource.

use std::sync::Arc;

use gatefleet_snapshot::v1;

/// What became of one resource in this proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This version is installed on every thread.
    Installed {
        /// Content version.
        version: Arc<str>,
    },
    /// The wanted version failed.
    Refused {
        /// The last good version, which is served instead; `None`: nothing is.
        version: Option<Arc<str>>,
        /// The version that failed.
        refused_version: Arc<str>,
        /// What is wrong, where, what to do.
        message: Arc<str>,
    },
    /// Installed, but it names a resource that was refused, and uses that one's previous version or lack.
    DependencyRefused {
        /// Content version.
        version: Arc<str>,
        /// Which one.
        message: Arc<str>,
    },
}

impl Outcome {
    /// The version in use.
    #[must_use]
    pub fn version(&self) -> Option<&Arc<str>> {
        match self {
            Self::Installed { version } | Self::DependencyRefused { version, .. } => Some(version),
            Self::Refused { version, .. } => version.as_ref(),
        }
    }

    /// On the wire.
    #[must_use]
    pub fn to_wire(&self, name: &str) -> v1::Outcome {
        let version = self.version().map(ToString::to_string).unwrap_or_default();
        let (status, refused_version, message) = match self {
            Self::Installed { .. } => (v1::outcome::Status::Installed, "", ""),
            Self::Refused { refused_version, message, .. } => {
                (v1::outcome::Status::Refused, &**refused_version, &**message)
            }
            Self::DependencyRefused { message, .. } => {
                (v1::outcome::Status::DependencyRefused, "", &**message)
            }
        };
        v1::Outcome {
            name: name.to_owned(),
            version,
            status: status.into(),
            refused_version: refused_version.to_owned(),
            message: message.to_owned(),
        }
    }
}
