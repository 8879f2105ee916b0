//! The incremental route pipeline.
