//! The control loops.
