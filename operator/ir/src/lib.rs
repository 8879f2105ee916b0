//! The route model.
