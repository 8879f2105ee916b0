//! Which backend gets a request: weights, and canaries before them.

use crate::{
    compile::{Alternative, Choice, Forward, HeaderStep, Target, Weighted},
    grammar,
    head::RequestHead,
    random,
};

/// Chooses. `has_endpoints` is asked about backends by index; `random_below(n)` draws from 0 to n - 1.
pub(crate) fn choose<'a>(
    forward: &'a Forward,
    head: &RequestHead,
    has_endpoints: impl Fn(usize) -> bool,
    mut random_below: impl FnMut(u64) -> u64,
) -> Option<&'a Choice> {
    let alive = |weighted: &Weighted| {
        weighted.choices.iter().any(|choice| match choice.target {
            Target::Backend(index) => choice.weight > 0 && has_endpoints(index),
            Target::Unavailable(_) => false,
        })
    };
    if !forward.alternatives.is_empty() && alive(&forward.backends) {
        let mut lot = Lot::default();
        for alternative in &forward.alternatives {
            if alive(&alternative.backends) && takes(alternative, head, &mut lot, &mut random_below)
            {
                return draw(&alternative.backends, &mut random_below);
            }
        }
    }
    draw(&forward.backends, &mut random_below)
}

fn draw<'a>(
    weighted: &'a Weighted,
    random_below: &mut impl FnMut(u64) -> u64,
) -> Option<&'a Choice> {
    let mut left = match &*weighted.choices {
        [only] if only.weight > 0 => return Some(only),
        _ if weighted.total == 0 => return None,
        _ => random_below(weighted.total),
    };
    weighted.choices.iter().find(|choice| match left.checked_sub(choice.weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    })
}

/// One draw for all alternatives, so that each gets its own share of the requests and none a share of what others left.
#[derive(Default)]
struct Lot {
    drawn: Option<u64>,
    given: u64,
}

impl Lot {
    /// What shares are counted in.
    const WHOLE: u64 = 1 << 32;

    /// Whether the draw falls into the next share of this size.
    fn falls(&mut self, alternative: &Alternative, random_below: impl FnOnce(u64) -> u64) -> bool {
        let weight = u64::from(alternative.weight).saturating_mul(Self::WHOLE);
        let share = weight.checked_div(alternative.weight_total.into()).unwrap_or_default();
        let start = self.given;
        self.given = start.saturating_add(share);
        share > 0 && {
            let drawn = *self.drawn.get_or_insert_with(|| random_below(Self::WHOLE));
            (start..self.given).contains(&drawn)
        }
    }
}

/// Header, cookie, weight: the first that decides is final.
fn takes(
    alternative: &Alternative,
    head: &RequestHead,
    lot: &mut Lot,
    random_below: &mut impl FnMut(u64) -> u64,
) -> bool {
    let by_header =
        alternative.header.as_ref().and_then(|(name, step)| by_header(head, name, step));
    let by_cookie = || by_cookie(head, alternative.cookie.as_deref()?);
    // Whatever header and cookie say, the share is this alternative's: who is kept from it stays with the primary.
    let falls = lot.falls(alternative, random_below);
    by_header.or_else(by_cookie).unwrap_or(falls)
}

fn by_header(head: &RequestHead, name: &[u8], step: &HeaderStep) -> Option<bool> {
    let mut values = head.fields.values(name);
    match step {
        HeaderStep::Word => word(values.next()?),
        HeaderStep::Value(expected) => values.any(|value| *value == **expected).then_some(true),
        HeaderStep::Pattern(pattern) => values.any(|value| pattern.is_match(value)).then_some(true),
    }
}

fn by_cookie(head: &RequestHead, name: &[u8]) -> Option<bool> {
    let pairs = head.fields.values(b"cookie").flat_map(|value| value.split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let pair = grammar::trim(pair);
        pair.strip_prefix(name)?.strip_prefix(b"=")
    });
    word(values.next()?)
}

fn word(value: &[u8]) -> Option<bool> {
    match value {
        b"always" => Some(true),
        b"never" => Some(false),
        _ => None,
    }
}

/// Draws for real.
pub(crate) fn random_below(bound: u64) -> u64 {
    random::below(bound)
}
