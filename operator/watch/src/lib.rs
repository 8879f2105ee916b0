//! Reflectors.
