//! From the name of an image to a program on this machine.

use std::path::{Path, PathBuf};

/// The programs that local mode runs, by the last path element of their image.
const PROGRAMS: [&str; 2] = ["gatefleet-proxy", "gatefleet-echo"];

/// Where programs are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    directories: Vec<PathBuf>,
}

/// Why an image cannot be run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    /// Not one of ours.
    #[error(
        "image {0} cannot run in local mode, which has no container engine: use gatefleet-proxy or gatefleet-echo, or run the program yourself and declare a Service with an EndpointSlice for it"
    )]
    Foreign(String),
    /// One of ours that is not there.
    #[error(
        "the program {0} is neither beside the running one nor in PATH: build it with `cargo build -p {0}`"
    )]
    Missing(String),
}

impl Programs {
    /// Looks in `preferred`, then beside the running program, then in `PATH`.
    pub(crate) fn new(preferred: &[PathBuf]) -> Self {
        let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories =
            preferred.iter().cloned().chain(beside).chain(std::env::split_paths(&path));
        Self { directories: directories.collect() }
    }

    /// The program of an image.
    ///
    /// # Errors
    /// When the image is not one of ours, or its program is nowhere.
    pub(crate) fn resolve(&self, image: &str) -> Result<PathBuf, ImageError> {
        let name = program_name(image);
        if !PROGRAMS.contains(&name) {
            return Err(ImageError::Foreign(image.to_owned()));
        }
        self.find(name).ok_or_else(|| ImageError::Missing(name.to_owned()))
    }

    /// The first file of that name.
    pub(crate) fn find(&self, name: &str) -> Option<PathBuf> {
        self.directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file())
    }
}

/// `registry:5000/team/gatefleet-proxy:v1@sha256:…` names `gatefleet-proxy`.
fn program_name(image: &str) -> &str {
    let last = image.split('@').next().and_then(|name| name.rsplit('/').next()).unwrap_or(image);
    last.split(':').next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_element_without_tag_names_the_program() {
        for (image, name) in [
            ("gatefleet-proxy", "gatefleet-proxy"),
            ("gatefleet-proxy:dev", "gatefleet-proxy"),
            ("ghcr.io/acme/gatefleet-echo:v1.2", "gatefleet-echo"),
            ("localhost:5000/gatefleet-echo@sha256:ab", "gatefleet-echo"),
            ("nginx", "nginx"),
        ] {
            assert_eq!(program_name(image), name);
        }
    }

    #[test]
    fn tells_foreign_from_missing() {
        let nowhere = Programs { directories: Vec::new() };
        assert_eq!(nowhere.resolve("nginx:1"), Err(ImageError::Foreign("nginx:1".to_owned())));
        assert_eq!(
            nowhere.resolve("gatefleet-proxy:dev"),
            Err(ImageError::Missing("gatefleet-proxy".to_owned()))
        );
    }
}
