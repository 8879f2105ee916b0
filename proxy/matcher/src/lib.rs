//! Which rule serves a request: an index over an explicitly ordered list of matches.
//!
//! **Purpose.** [`HostIndex`] finds the virtual hosts that may answer a name, most specific first;
//! [`MatchIndex`] finds, in one virtual host, the first match that fits a request.
//!
//! **Inputs.** `VirtualHost.matches` of a snapshot, in order of precedence, and a [`Request`].
//!
//! **Outputs.** A [`Hit`]: the rule and how much of the path its prefix covered.
//!
//! **Invariants.** The result equals a linear scan in the given order (property test): the index knows no
//! precedence of its own. A lookup allocates nothing and takes time linear in the request.
//!
//! **Must not** know any route language, read clocks, or do I/O.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::panic,
        clippy::unreachable,
        clippy::arithmetic_side_effects,
        clippy::as_conversions
    )
)]

mod condition;
mod host;
mod index;
mod path;
mod pattern;
mod query;

pub use condition::Request;
pub use host::{HostIndex, trim_host};
pub use index::{Hit, MatchIndex};
pub use pattern::{Groups, Pattern};

/// Why a match cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct MatchError {
    /// Path of the field inside the virtual host, such as `matches[3].path.regex`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

impl MatchError {
    fn new(field: &str, problem: impl Into<String>, remedy: &str) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), remedy: remedy.to_owned() }
    }

    /// The same error, one level further up.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = if self.field.is_empty() {
            parent.to_owned()
        } else {
            format!("{parent}.{}", self.field)
        };
        self
    }
}
