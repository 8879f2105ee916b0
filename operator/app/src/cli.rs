//! The command line.

use std::{error::Error, io, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

use crate::{
    commands::{check, crds, local, operator, status, translate},
    logging::Format,
};

/// Declare a fleet of gateways; Gatefleet runs it.
#[derive(Debug, Parser)]
#[command(name = "gatefleet", version, about, propagate_version = true)]
pub(crate) struct Cli {
    /// How log lines look on standard error (which ones: `RUST_LOG`).
    #[arg(long, global = true, env = "GATEFLEET_LOG_FORMAT", value_enum, default_value_t = Format::Text)]
    pub(crate) log_format: Format,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the operator in a cluster (or against the one of a kubeconfig).
    Operator(operator::Args),
    /// Run everything on this machine, without a cluster: what DIR declares, served by processes.
    Local(local::Args),
    /// Show what manifests become: snapshot and every finding, without a cluster.
    Translate(translate::Args),
    /// Show fleets, tiers, addresses, phases and problems.
    Status(status::Args),
    /// Ask a cluster whether it is ready for Gatefleet, and what stands in the way.
    Check(check::Args),
    /// Print the custom resource definitions as YAML.
    Crds,
    /// Print the completion script of a shell.
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

impl Command {
    /// What is logged unless `RUST_LOG` says otherwise.
    pub(crate) const fn default_filter(&self) -> &'static str {
        match self {
            Self::Operator(_) => "info",
            // Its answer says why, in one sentence.
            Self::Status(_) | Self::Check(_) => "warn,kube_client=off",
            _ => "warn",
        }
    }

    /// Runs the command to its end.
    pub(crate) async fn run(self) -> Result<ExitCode, Box<dyn Error>> {
        match self {
            Self::Operator(args) => Box::pin(operator::run(args)).await,
            Self::Local(args) => local::run(args).await,
            Self::Translate(args) => translate::run(args).await,
            Self::Status(args) => status::run(args).await,
            Self::Check(args) => Box::pin(check::run(args)).await,
            Self::Crds => crds::run(),
            Self::Completion { shell } => {
                clap_complete::generate(shell, &mut Cli::command(), "gatefleet", &mut io::stdout());
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    const HEAD: &str = "<!-- Generated from operator/app/src; written by `UPDATE_EXPECT=1 cargo test -p gatefleet`. -->\n\
        # Options of the command line\n\n\
        What the commands do, print and end with: [command line](../command-line.md).\n";

    /// `docs/reference/command-line.md`
    #[test]
    fn the_page_lists_every_option() {
        let mut all = Cli::command().mut_args(|arg| arg.hide_env_values(true));
        all.build();
        let mut page = HEAD.to_owned();
        for command in all.get_subcommands().filter(|command| command.get_name() != "help") {
            let mut command = command.clone().mut_args(|arg| arg.hide_env_values(true));
            let help = command.render_long_help().to_string();
            let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
            let name = command.get_name();
            let text = lines.join("\n");
            let text = text.trim_end();
            let _ = writeln!(page, "\n## gatefleet {name}\n\n```text\n{text}\n```");
        }
        expect_test::expect_file!["../../../docs/reference/command-line.md"].assert_eq(&page);
    }
}
