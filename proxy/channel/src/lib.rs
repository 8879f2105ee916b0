//! The configuration client.
