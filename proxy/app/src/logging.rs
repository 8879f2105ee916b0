//! The proxy's own log: lines on standard error, whose filter can change while it runs.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// What is logged unless `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Changes the filter of the log.
#[derive(Clone, Debug)]
pub(crate) struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// The filter in use.
    pub(crate) fn current(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }

    /// Uses another one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn set(&self, filter: &str) -> Result<(), String> {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Starts logging to standard error.
pub(crate) fn start(format: Format) -> Filter {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let (filter, handle) = reload::Layer::new(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match format {
        Format::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).init();
    Filter(handle)
}

/// Says why the program ends. A closed standard error is nobody's problem any more.
pub(crate) fn complain(sentence: &str) {
    drop(writeln!(io::stderr(), "error: {sentence}"));
}
