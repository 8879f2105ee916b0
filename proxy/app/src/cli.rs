//! Arguments.

use std::{
    net::IpAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand, ValueEnum};

use crate::logging::Format;

/// Serves the configuration of one tier: from an operator (--bootstrap) or from a file (--snapshot).
#[derive(Debug, Parser)]
#[command(version, about)]
#[expect(clippy::doc_markdown, reason = "shown to users as it stands")]
pub(crate) struct Cli {
    /// File that says where the operator is, as the operator writes it for its pods.
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    pub(crate) bootstrap: Option<PathBuf>,

    /// Snapshot file (JSON or YAML); its changes are followed.
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: Option<PathBuf>,

    /// Threads of the data path. Default: the CPU limit of the cgroup, rounded up, else 2.
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,

    /// Address for every listener, and for the status and admin ports, instead of their own.
    #[arg(long, value_name = "ADDRESS", env = "GATEFLEET_BIND")]
    pub(crate) bind: Option<IpAddr>,

    /// Port of /healthz, /readyz and /metrics; 0: any free one.
    #[arg(long, value_name = "PORT", default_value_t = 9701)]
    pub(crate) status_port: u16,

    /// Port of /config_dump, /listeners, /clusters, /certs and /logging; 0: any free one.
    #[arg(long, value_name = "PORT", default_value_t = 9700)]
    pub(crate) admin_port: u16,

    /// Directory of the last good snapshot and of the admin socket. Default: what the bootstrap says; with
    /// --snapshot: none.
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state_dir: Option<PathBuf>,

    /// Directory that absolute paths of the bootstrap, and of --bootstrap and --state-dir, begin at.
    #[arg(long, value_name = "DIR", env = "GATEFLEET_ROOT", hide = true, global = true)]
    pub(crate) root: Option<PathBuf>,

    /// How log lines look.
    #[arg(long, env = "GATEFLEET_LOG_FORMAT", value_enum, default_value_t = Format::Json)]
    pub(crate) log_format: Format,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::doc_markdown, reason = "shown to users as it stands")]
pub(crate) enum Command {
    /// Asks the proxy of this pod: /config_dump, /listeners, /clusters, /certs or /logging.
    Admin {
        /// Such as /clusters, or "/logging?filter=debug" with --method post.
        path: String,
        /// How it is asked.
        #[arg(long, value_enum, default_value_t = Method::Get)]
        method: Method,
    },
}

/// Methods that the admin interface knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
}

/// Where a pod keeps its state when nobody says otherwise.
const STATE_DIR: &str = "/var/lib/gatefleet";

impl Cli {
    /// A path as the user wrote it, or below the root that local mode gives.
    pub(crate) fn rooted(&self, path: &Path) -> PathBuf {
        match (&self.root, path.strip_prefix("/")) {
            // A path that is below the root already was not meant for a container.
            (Some(root), Ok(relative)) if !path.starts_with(root) => root.join(relative),
            _ => path.to_owned(),
        }
    }

    /// The admin socket of the proxy in this pod.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        let dir = self.state_dir.as_deref().unwrap_or(Path::new(STATE_DIR));
        self.rooted(dir).join("admin.sock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn absolute_paths_begin_at_the_root() {
        let cli = Cli::parse_from(["gatefleet-proxy", "--root", "/run/x"]);
        for (path, expected) in [
            ("/etc/gatefleet/bootstrap.json", "/run/x/etc/gatefleet/bootstrap.json"),
            ("relative", "relative"),
            ("/run/x/var", "/run/x/var"),
        ] {
            assert_eq!(cli.rooted(Path::new(path)), Path::new(expected));
        }
        assert_eq!(cli.admin_socket(), Path::new("/run/x/var/lib/gatefleet/admin.sock"));
    }
}
