//! Access decisions.

use std::net::IpAddr;

use gatefleet_snapshot::v1::{self, policy};
use ipnet::IpNet;

use super::{
    CompileError,
    rule::{final_status, printable},
};
use crate::observe::Failure;

/// An access decision, ready to be asked.
#[derive(Debug)]
pub struct CompiledPolicy(Kind);

#[derive(Debug)]
enum Kind {
    FailClosed { status: u16, reason: Box<str> },
    SourceRanges { allow: Box<[IpNet]>, deny: Box<[IpNet]> },
}

/// How a policy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal<'a> {
    pub(crate) status: u16,
    pub(crate) reason: &'a str,
    pub(crate) failure: Failure,
}

impl Refusal<'_> {
    /// The policy that should decide is not there.
    pub(crate) const UNAVAILABLE: Self =
        Self { status: 503, reason: "PolicyUnavailable", failure: Failure::PolicyUnavailable };
}

impl CompiledPolicy {
    /// `None`: the request may pass.
    pub(crate) fn refuse(&self, client: IpAddr) -> Option<Refusal<'_>> {
        match &self.0 {
            Kind::FailClosed { status, reason } => {
                Some(Refusal { status: *status, reason, failure: Failure::PolicyUnavailable })
            }
            Kind::SourceRanges { allow, deny } => {
                let contains =
                    |ranges: &[IpNet]| ranges.iter().any(|range| range.contains(&client));
                let passes = !contains(deny) && (allow.is_empty() || contains(allow));
                let reason = "SourceNotAllowed";
                (!passes).then_some(Refusal { status: 403, reason, failure: Failure::Denied })
            }
        }
    }
}

/// Compiles a policy.
///
/// # Errors
/// When a CIDR cannot be read, or the kind of policy is unknown.
pub fn compile_policy(policy: &v1::Policy) -> Result<CompiledPolicy, CompileError> {
    Ok(CompiledPolicy(match &policy.kind {
        Some(policy::Kind::FailClosed(closed)) => Kind::FailClosed {
            status: final_status(if closed.status == 0 { 503 } else { closed.status }, 400..=599)
                .map_err(|error| error.within("fail_closed"))?,
            reason: if closed.reason.is_empty() {
                "PolicyUnavailable".into()
            } else {
                printable(&closed.reason).map_err(|error| error.within("fail_closed"))?
            },
        },
        Some(policy::Kind::SourceRanges(ranges)) => Kind::SourceRanges {
            allow: compile_ranges(&ranges.allow, "source_ranges.allow")?,
            deny: compile_ranges(&ranges.deny, "source_ranges.deny")?,
        },
        None => {
            let remedy = "use fail_closed or source_ranges, or a newer proxy";
            return Err(CompileError::new("", "unknown kind of policy", remedy));
        }
    }))
}

/// Networks, or single addresses.
pub(super) fn compile_ranges(texts: &[String], field: &str) -> Result<Box<[IpNet]>, CompileError> {
    let compile = |(index, text): (usize, &String)| {
        let network = text.parse::<IpNet>().ok();
        let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
        network.or_else(address).ok_or_else(|| {
            let problem = format!("{text:?} is no CIDR");
            CompileError::new(&format!("{field}[{index}]"), problem, "write 10.0.0.0/8 or fd00::/8")
        })
    };
    texts.iter().enumerate().map(compile).collect()
}
