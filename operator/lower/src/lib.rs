//! Route table to snapshot resources.
