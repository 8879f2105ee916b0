//! Local mode against its embedded API server: real processes, real sockets, real files; no operator.
#![expect(clippy::unwrap_used, reason = "a failed step is the test's failure")]

mod directory;
mod runtime;
mod support;
