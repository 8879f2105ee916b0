//! Snapshot resources → what the engine runs.
//!
//! Each resource compiles alone; names of other resources stay names until a [`crate::TableBuilder`]
//! links them. What cannot be served is refused here, by field and with a remedy.

mod cors;
mod errors;
mod filter;
mod forward;
mod location;
mod policy;
mod rule;
mod tier;

use std::sync::Arc;

use gatefleet_matcher::{MatchError, MatchIndex};
use gatefleet_snapshot::{capability, v1};

pub(crate) use cors::Cors;
pub(crate) use errors::ErrorService;
pub(crate) use filter::{Filter, HeaderEdit, PathEdit, Piece, RedirectPath, UrlRewrite};
pub(crate) use forward::{Alternative, Choice, Forward, HeaderStep, Target, Weighted};
pub(crate) use location::LocationPart;
pub(crate) use policy::Refusal;
pub use policy::{CompiledPolicy, compile_policy};
pub(crate) use rule::{Action, Cause, Direct, Redirect, Retry, Rule};
pub use tier::compile_tier;

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

impl CompileError {
    pub(crate) fn new(field: &str, problem: impl Into<String>, remedy: &str) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), remedy: remedy.to_owned() }
    }

    /// The same error, one level further up.
    pub(crate) fn within(mut self, parent: &str) -> Self {
        self.field = match self.field.as_str() {
            "" => parent.to_owned(),
            field => format!("{parent}.{field}"),
        };
        self
    }
}

impl From<MatchError> for CompileError {
    fn from(error: MatchError) -> Self {
        Self { field: error.field, problem: error.problem, remedy: error.remedy }
    }
}

/// What this engine can serve beyond the base of the schema, as `Resource.capabilities` names it.
pub const CAPABILITIES: &[&str] = &[
    capability::ALTERNATIVES,
    capability::CORS,
    capability::ERRORS,
    capability::LISTENER_POLICIES,
    capability::MATCH_REGEX,
    capability::REDIRECT_LOCATION,
    capability::RETRY_STATUS,
    capability::RETRY_TIMEOUT,
    capability::REWRITE_REGEX,
    capability::SOURCE_RANGES,
    capability::TIMEOUTS_UPSTREAM,
];

/// A virtual host, ready to be linked.
#[derive(Debug)]
pub struct CompiledHost {
    pub(crate) scope: Arc<str>,
    pub(crate) hostname: v1::HostPattern,
    pub(crate) index: MatchIndex,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) names: Names,
}

/// Names of other resources; compiled rules hold indices into them.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) backends: Vec<Box<str>>,
    pub(crate) policies: Vec<Box<str>>,
}

fn intern(names: &mut Vec<Box<str>>, name: &str) -> usize {
    names.iter().position(|known| **known == *name).unwrap_or_else(|| {
        names.push(name.into());
        names.len().saturating_sub(1)
    })
}

impl CompiledHost {
    /// The scope whose listeners it answers for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Backend resources that its rules name.
    pub fn backend_names(&self) -> impl Iterator<Item = &str> {
        self.names.backends.iter().map(AsRef::as_ref)
    }

    /// Policy resources that its rules name.
    pub fn policy_names(&self) -> impl Iterator<Item = &str> {
        self.names.policies.iter().map(AsRef::as_ref)
    }
}

/// Compiles a virtual host.
///
/// # Errors
/// When a pattern is wrong or too large, or something is asked for that the engine cannot do.
pub fn compile_virtual_host(host: &v1::VirtualHost) -> Result<CompiledHost, CompileError> {
    let hostname = host.hostname.clone().unwrap_or_default();
    let is_any = hostname.kind() == v1::host_pattern::Kind::Any;
    if is_any != hostname.name.is_empty() {
        let problem = format!("{:?} does not fit its kind", hostname.name);
        let remedy = "name a host, or use kind ANY without a name";
        return Err(CompileError::new("hostname.name", problem, remedy));
    }
    let index = MatchIndex::compile(&host.matches, host.rules.len())?;
    let mut names = Names::default();
    let mut rules = Vec::with_capacity(host.rules.len());
    for (position, source) in host.rules.iter().enumerate() {
        let number = u32::try_from(position).unwrap_or(u32::MAX);
        let mut matches = host.matches.iter().filter(|one| one.rule == number);
        let only_prefixes = matches.all(|one| {
            let kind = one.path.as_ref().and_then(|path| path.kind.as_ref());
            matches!(kind, Some(v1::path_match::Kind::Prefix(_)))
        });
        let rule = rule::compile_rule(source, only_prefixes, &mut names)
            .map_err(|error| error.within(&format!("rules[{position}]")))?;
        rules.push(rule);
    }
    let (scope, rules) = (host.scope.as_str().into(), rules.into());
    Ok(CompiledHost { scope, hostname, index, rules, names })
}

/// A duration in milliseconds; 0: not set.
pub(crate) fn millis(value: u32) -> Option<std::time::Duration> {
    (value > 0).then(|| std::time::Duration::from_millis(value.into()))
}
