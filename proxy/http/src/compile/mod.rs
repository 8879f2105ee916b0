//! Snapshot resources → what the engine runs.
//!
//! Each resource compiles alone; names of other resources stay names until a [`crate::TableBuilder`]
//! links them. What cannot be served is refused here, by field and with a remedy.

use gatefleet_snapshot::v1;

use crate::settings::Settings;

/// Why a resource cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct CompileError {
    /// Path of the field inside the resource, such as `rules[2].filters[0].mirror`.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: String,
}

/// What this engine can serve, as `Resource.capabilities` names it.
pub const CAPABILITIES: &[&str] = &[];

/// A virtual host, ready to be linked.
#[derive(Debug)]
pub struct CompiledHost {}

/// An access decision.
#[derive(Debug)]
pub struct CompiledPolicy {}

/// Compiles the HTTP part of `tier`.
///
/// # Errors
/// When a CIDR cannot be read or a limit is out of range.
pub fn compile_tier(_tier: &v1::Tier) -> Result<Settings, CompileError> {
    Ok(Settings::default())
}

/// Compiles a virtual host.
///
/// # Errors
/// When a pattern is wrong or too large, or something is asked for that the engine cannot do.
pub fn compile_virtual_host(_host: &v1::VirtualHost) -> Result<CompiledHost, CompileError> {
    Ok(CompiledHost {})
}

/// Compiles a policy.
///
/// # Errors
/// When a CIDR cannot be read, or the kind of policy is unknown.
pub fn compile_policy(_policy: &v1::Policy) -> Result<CompiledPolicy, CompileError> {
    Ok(CompiledPolicy {})
}
