//! The `gatefleet` binary.
//!
//! In: arguments, environment, a kubeconfig. Out: answers on standard output, logs on standard error,
//! exit status 0 (done), 1 (failed, with one sentence that says what to do), 2 (wrong usage)
//! or 3 (asked, and the answer is that something is not as it should be).
//! A command parses its arguments and calls one library; nothing is decided here.

use std::{error::Error, process::ExitCode};

use clap::Parser;

mod cli;
mod cluster;
mod commands;
mod logging;
mod output;

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::start(cli.log_format, cli.command.default_filter());
    // Both fail only when something else was there first, which then serves as well.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(cli.command.run()));
    ran.unwrap_or_else(|error| {
        logging::complain(&sentence(error.as_ref()));
        ExitCode::FAILURE
    })
}

/// An error and what caused it, on one line; a cause that its effect already quotes is not repeated.
fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn a_failure_is_one_sentence_without_repetition() {
        let inner = Layer("connection refused", None);
        let middle = Layer("connect to 127.0.0.1:6443: connection refused", Some(Box::new(inner)));
        let outer = Layer("list GatewayConfigs", Some(Box::new(middle)));
        assert_eq!(
            sentence(&outer),
            "list GatewayConfigs: connect to 127.0.0.1:6443: connection refused"
        );
    }
}
