//! Weighted backends and canaries.

use gatefleet_matcher::Pattern;
use gatefleet_snapshot::v1::{self, weighted_backend};

use super::{
    CompileError, Direct, Filter, Names, filter::compile_filters, intern, rule::compile_direct,
};
use crate::grammar;

#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) backends: Weighted,
    pub(crate) alternatives: Box<[Alternative]>,
}

/// Choices by weight.
#[derive(Debug)]
pub(crate) struct Weighted {
    pub(crate) choices: Box<[Choice]>,
    pub(crate) total: u64,
}

#[derive(Debug)]
pub(crate) struct Choice {
    pub(crate) weight: u64,
    pub(crate) target: Target,
    pub(crate) filters: Box<[Filter]>,
}

#[derive(Debug)]
pub(crate) enum Target {
    /// Index into the host's backends.
    Backend(usize),
    /// The reference is broken.
    Unavailable(Direct),
}

/// A canary: steps in order.
#[derive(Debug)]
pub(crate) struct Alternative {
    pub(crate) backends: Weighted,
    pub(crate) header: Option<(Box<[u8]>, HeaderStep)>,
    pub(crate) cookie: Option<Box<[u8]>>,
    pub(crate) weight: u32,
    pub(crate) weight_total: u32,
}

#[derive(Debug)]
pub(crate) enum HeaderStep {
    /// "always" takes, "never" leaves.
    Word,
    /// Equality takes.
    Value(Box<[u8]>),
    /// A hit takes.
    Pattern(Pattern),
}

pub(super) fn compile_forward(
    source: &v1::Forward,
    only_prefixes: bool,
    names: &mut Names,
) -> Result<Forward, CompileError> {
    let backends = compile_weighted(&source.backends, only_prefixes, names)?;
    let mut alternatives = Vec::new();
    for (index, alternative) in source.alternatives.iter().enumerate() {
        let compiled = compile_alternative(alternative, only_prefixes, names)
            .map_err(|error| error.within(&format!("alternatives[{index}]")))?;
        alternatives.push(compiled);
    }
    Ok(Forward { backends, alternatives: alternatives.into() })
}

fn compile_weighted(
    sources: &[v1::WeightedBackend],
    only_prefixes: bool,
    names: &mut Names,
) -> Result<Weighted, CompileError> {
    let mut choices = Vec::with_capacity(sources.len());
    for (index, source) in sources.iter().enumerate() {
        let at = format!("backends[{index}]");
        let target = match &source.target {
            Some(weighted_backend::Target::Backend(name)) => {
                Target::Backend(intern(&mut names.backends, name))
            }
            Some(weighted_backend::Target::Unavailable(direct)) => Target::Unavailable(
                compile_direct(direct).map_err(|e| e.within("unavailable").within(&at))?,
            ),
            None => {
                let remedy = "set backend or unavailable";
                return Err(CompileError::new(&at, "choice without target", remedy));
            }
        };
        choices.push(Choice {
            weight: source.weight.into(),
            target,
            filters: compile_filters(&source.filters, only_prefixes).map_err(|e| e.within(&at))?,
        });
    }
    let total = choices.iter().fold(0_u64, |sum, choice| sum.saturating_add(choice.weight));
    Ok(Weighted { choices: choices.into(), total })
}

fn compile_alternative(
    source: &v1::Alternative,
    only_prefixes: bool,
    names: &mut Names,
) -> Result<Alternative, CompileError> {
    let name = source.header.to_ascii_lowercase();
    if !name.is_empty() && !grammar::is_token(name.as_bytes()) {
        let problem = format!("{:?} is no header name", source.header);
        return Err(CompileError::new("header", problem, "name a header field"));
    }
    let step = match &source.header_pattern {
        _ if !source.header_value.is_empty() => {
            HeaderStep::Value(source.header_value.as_bytes().into())
        }
        Some(pattern) => HeaderStep::Pattern(
            Pattern::compile(pattern)
                .map_err(|e| CompileError::from(e.within("header_pattern")))?,
        ),
        None => HeaderStep::Word,
    };
    Ok(Alternative {
        backends: compile_weighted(&source.backends, only_prefixes, names)?,
        header: (!name.is_empty()).then(|| (name.into_bytes().into(), step)),
        cookie: (!source.cookie.is_empty()).then(|| source.cookie.as_bytes().into()),
        weight: source.weight,
        weight_total: source.weight_total.max(100),
    })
}
