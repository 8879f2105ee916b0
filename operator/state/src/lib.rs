//! `ClusterState`.
