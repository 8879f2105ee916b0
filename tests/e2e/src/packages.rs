//! Peers of the tests, from the system's package manager.

use std::process::{Command, Stdio};

/// A program by its name; its Debian package is installed when it is not there.
///
/// # Panics
///
/// When it cannot be installed: a comparison without its peer must fail.
pub fn installed(program: &'static str, package: &str) -> &'static str {
    let look = format!("command -v {program}");
    let there = Command::new("sh").args(["-c", &look]).stdout(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        let install = format!(
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends {package}"
        );
        let status = Command::new("sh").args(["-c", &install]).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "install {package} for {program}");
    }
    program
}
