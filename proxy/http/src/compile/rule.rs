//! Rules: filters, policies and what is done in the end.

use std::time::Duration;

use gatefleet_snapshot::v1::{self, rule};

use super::{
    CompileError, ErrorService, Filter, Forward, Names,
    errors::compile_errors,
    filter::{compile_filters, compile_redirect},
    forward::compile_forward,
    intern, millis,
};
use crate::grammar;

pub(crate) use super::filter::Redirect;

/// What is done with requests that hit the rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    pub(crate) filters: Box<[Filter]>,
    /// Indices into the host's policies.
    pub(crate) policies: Box<[usize]>,
    pub(crate) action: Action,
    pub(crate) timeouts: RuleTimeouts,
    pub(crate) retry: Retry,
    pub(crate) request_body_bytes: Option<u64>,
    pub(crate) errors: Option<ErrorService>,
}

#[derive(Debug)]
pub(crate) enum Action {
    Forward(Forward),
    Redirect(Redirect),
    Direct(Direct),
}

/// An answer without a backend.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    pub(crate) status: u16,
    /// Empty: the standard page.
    pub(crate) body: Box<[u8]>,
    pub(crate) content_type: Box<str>,
    pub(crate) reason: Box<str>,
}

/// Overrides of the tier's timeouts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RuleTimeouts {
    pub(crate) idle: Option<Duration>,
    pub(crate) request: Option<Duration>,
    pub(crate) upstream_connect: Option<Duration>,
    pub(crate) upstream_read: Option<Duration>,
    pub(crate) upstream_send: Option<Duration>,
}

/// Which failures are tried again.
#[derive(Debug, Clone)]
pub(crate) struct Retry {
    pub(crate) attempts: u32,
    pub(crate) statuses: Box<[u16]>,
    pub(crate) causes: Box<[Cause]>,
    pub(crate) non_idempotent: bool,
    pub(crate) per_try: Option<Duration>,
    pub(crate) backoff: Option<Duration>,
    /// No try begins later than this after the first one.
    pub(crate) total: Option<Duration>,
}

/// What a try may fail of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No connection, other than in time.
    ConnectFailure,
    /// No connection in time.
    ConnectTimeout,
    /// The connection was lost before a response head.
    Reset,
    /// No response head in time.
    AnswerTimeout,
    /// The response head violates HTTP.
    Malformed,
}

impl Default for Retry {
    /// Without a word in the rule, as nginx does: no connection, or one that is lost before an answer to an
    /// idempotent request, is tried on two more endpoints.
    fn default() -> Self {
        Self {
            attempts: 2,
            statuses: Box::default(),
            causes: [Cause::ConnectFailure, Cause::ConnectTimeout, Cause::Reset].into(),
            non_idempotent: false,
            per_try: None,
            backoff: None,
            total: None,
        }
    }
}

pub(crate) fn compile_rule(
    source: &v1::Rule,
    only_prefixes: bool,
    names: &mut Names,
) -> Result<Rule, CompileError> {
    let action = match &source.action {
        Some(rule::Action::Forward(forward)) => Action::Forward(
            compile_forward(forward, only_prefixes, names).map_err(|e| e.within("forward"))?,
        ),
        Some(rule::Action::Redirect(redirect)) => {
            if redirect.only_plaintext {
                let problem = "a rule's action cannot depend on the scheme";
                let remedy = "put the redirect into filters";
                return Err(CompileError::new("redirect.only_plaintext", problem, remedy));
            }
            let redirect = compile_redirect(redirect, only_prefixes);
            Action::Redirect(redirect.map_err(|error| error.within("redirect"))?)
        }
        Some(rule::Action::Direct(direct)) => {
            Action::Direct(compile_direct(direct).map_err(|error| error.within("direct"))?)
        }
        None => {
            let remedy = "set forward, redirect or direct";
            return Err(CompileError::new("", "rule without action", remedy));
        }
    };
    Ok(Rule {
        name: source.name.as_str().into(),
        filters: compile_filters(&source.filters, only_prefixes)?,
        policies: source.policies.iter().map(|name| intern(&mut names.policies, name)).collect(),
        action,
        timeouts: compile_timeouts(source.timeouts.as_ref())?,
        retry: compile_retry(source.retry.as_ref())?,
        errors: source
            .errors
            .as_ref()
            .map(|errors| compile_errors(errors, names).map_err(|e| e.within("errors")))
            .transpose()?,
        request_body_bytes: (source.max_request_body_bytes > 0)
            .then_some(source.max_request_body_bytes),
    })
}

pub(super) fn compile_direct(source: &v1::DirectResponse) -> Result<Direct, CompileError> {
    let status = final_status(source.status, 200..=599)?;
    if !grammar::is_field_value(source.content_type.as_bytes()) {
        let problem = "control characters in a header value";
        return Err(CompileError::new("content_type", problem, "write a media type"));
    }
    Ok(Direct {
        status,
        body: source.body.as_bytes().into(),
        content_type: if source.content_type.is_empty() {
            "text/plain; charset=utf-8".into()
        } else {
            source.content_type.as_str().into()
        },
        reason: printable(&source.reason)?,
    })
}

pub(super) fn final_status(
    status: u32,
    range: std::ops::RangeInclusive<u16>,
) -> Result<u16, CompileError> {
    u16::try_from(status).ok().filter(|status| range.contains(status)).ok_or_else(|| {
        let remedy = format!("use a status from {} to {}", range.start(), range.end());
        CompileError::new("status", format!("{status} cannot be answered"), &remedy)
    })
}

/// Words that are printed on pages and in logs.
pub(super) fn printable(word: &str) -> Result<Box<str>, CompileError> {
    if word.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(word.into());
    }
    Err(CompileError::new("reason", format!("{word:?} is no CamelCase word"), "use letters only"))
}

fn compile_timeouts(source: Option<&v1::Timeouts>) -> Result<RuleTimeouts, CompileError> {
    let Some(source) = source else { return Ok(RuleTimeouts::default()) };
    for (field, value) in [
        ("timeouts.request_head_ms", source.request_head_ms),
        ("timeouts.keep_alive_ms", source.keep_alive_ms),
        ("timeouts.upstream_idle_ms", source.upstream_idle_ms),
        ("timeouts.tls_handshake_ms", source.tls_handshake_ms),
    ] {
        if value > 0 {
            let problem = "belongs to a connection, not to a rule";
            return Err(CompileError::new(field, problem, "set it on the tier"));
        }
    }
    Ok(RuleTimeouts {
        idle: millis(source.idle_ms),
        request: millis(source.request_ms),
        upstream_connect: millis(source.upstream_connect_ms),
        upstream_read: millis(source.upstream_read_ms),
        upstream_send: millis(source.upstream_send_ms),
    })
}

fn compile_causes(source: &v1::Retry) -> Box<[Cause]> {
    let asked = [
        (source.connect_failure, Cause::ConnectFailure),
        (source.timeout, Cause::ConnectTimeout),
        (source.reset, Cause::Reset),
        (source.timeout, Cause::AnswerTimeout),
        (source.malformed, Cause::Malformed),
    ];
    asked.into_iter().filter(|(asked, _)| *asked).map(|(_, cause)| cause).collect()
}

fn compile_retry(source: Option<&v1::Retry>) -> Result<Retry, CompileError> {
    let Some(source) = source else { return Ok(Retry::default()) };
    let statuses = source
        .statuses
        .iter()
        .enumerate()
        .map(|(index, status)| {
            final_status(*status, 400..=599).map_err(|error| CompileError {
                field: format!("retry.statuses[{index}]"),
                ..error
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Retry {
        attempts: source.attempts,
        statuses,
        causes: compile_causes(source),
        non_idempotent: source.non_idempotent,
        per_try: millis(source.per_try_ms),
        backoff: millis(source.backoff_ms),
        total: millis(source.total_ms),
    })
}
