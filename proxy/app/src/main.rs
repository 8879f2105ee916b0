//! The `gatefleet-proxy` binary: one proxy of a tier.
//!
//! In: arguments, environment, a bootstrap or a snapshot file, signals. Out: served requests, access log lines on
//! standard output, its own log on standard error, exit status 0 (ended on request), 1 (failed, with one sentence
//! that says what to do) or 2 (wrong usage). It wires libraries together; nothing is decided here.

use std::process::ExitCode;

use clap::Parser;

mod cli;
mod logging;
mod operations;
mod run;
mod threads;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // Fails only when somebody was first, who then serves as well.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let ended = match &cli.command {
        Some(cli::Command::Admin { path, method }) => operations::ask(&cli, path, *method),
        None => run::run(&cli),
    };
    ended.unwrap_or_else(|error| {
        logging::complain(&error.to_string());
        ExitCode::FAILURE
    })
}
