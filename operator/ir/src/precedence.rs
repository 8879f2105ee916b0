//! In which order the matches of one host are asked.

use std::cmp::Reverse;

use gatefleet_names::HostPattern;

use crate::{Anchor, Claim, Claimant, Match, PathMatch, Regex, RuleClaim};

/// One match of one rule of one claim, with its place in the order.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) claim: &'a Claim,
    pub(crate) rule: &'a RuleClaim,
    /// As the claim says it.
    pub(crate) said: &'a Match,
    /// As it is served: in regex mode the path is a regular expression.
    pub(crate) served: Match,
    order: Order<'a>,
}

/// Smaller is asked first. Exact paths before prefixes before regular expressions, longer before shorter; then as
/// Gateway API demands (method, number of headers, number of parameters); then the older object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order<'a> {
    kind: Kind,
    length: Reverse<usize>,
    /// Of regular expressions the larger text first (as nginx sorts them); empty for others.
    expression: Reverse<&'a str>,
    text: &'a str,
    any_method: bool,
    headers: Reverse<usize>,
    query: Reverse<usize>,
    fallback: bool,
    claimant: &'a Claimant,
    said_kind: Kind,
    rule: usize,
    position: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Exact,
    Prefix,
    Regex,
}

impl Kind {
    fn of(path: &PathMatch) -> Self {
        match path {
            PathMatch::Exact(_) => Self::Exact,
            PathMatch::Prefix(_) => Self::Prefix,
            PathMatch::Regex(_) => Self::Regex,
        }
    }
}

/// All matches of `claims`, the first to be asked first.
pub(crate) fn ordered<'a>(claims: &[&'a Claim], regex_mode: bool) -> Vec<Candidate<'a>> {
    let mut candidates = Vec::new();
    for claim in claims {
        for (index, rule) in claim.rules.iter().enumerate() {
            for (position, said) in rule.matches.iter().enumerate() {
                candidates.push(candidate(claim, rule, said, (index, position), regex_mode));
            }
        }
    }
    candidates.sort_by(|one, other| one.order.cmp(&other.order));
    candidates
}

fn candidate<'a>(
    claim: &'a Claim,
    rule: &'a RuleClaim,
    said: &'a Match,
    (index, position): (usize, usize),
    regex_mode: bool,
) -> Candidate<'a> {
    let form = rule.regex_form.as_ref().filter(|_| regex_mode);
    let text = form.map_or(said.path.text(), |form| form.text.as_str());
    let mut served = said.clone();
    if let Some(form) = form {
        let pattern = form.pattern.clone();
        served.path = PathMatch::Regex(Regex { pattern, ignore_case: true, anchor: Anchor::Start });
    }
    let kind = Kind::of(&served.path);
    let order = Order {
        kind,
        length: Reverse(text.len()),
        expression: Reverse(if kind == Kind::Regex { text } else { "" }),
        text,
        any_method: said.method.is_none(),
        headers: Reverse(said.headers.len()),
        query: Reverse(said.query.len()),
        fallback: rule.fallback,
        claimant: &claim.claimant,
        said_kind: Kind::of(&said.path),
        rule: index,
        position,
    };
    Candidate { claim, rule, said, served, order }
}

/// Whether a request for a host of this pattern that nothing takes would be asked of another host.
pub(crate) fn falls_through(pattern: &HostPattern) -> bool {
    *pattern != HostPattern::Any
}
