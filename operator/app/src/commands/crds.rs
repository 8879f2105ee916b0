//! `gatefleet crds`: what `kubectl apply -f -` installs.

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

/// Prints the YAML of every custom resource definition.
pub(crate) fn run() -> Result<ExitCode, Box<dyn Error>> {
    let yaml = serde_saphyr::to_string(&gatefleet_crds::manifest())?;
    io::stdout().write_all(yaml.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
