//! The configuration server.
