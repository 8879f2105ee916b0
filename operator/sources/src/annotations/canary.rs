//! The canary family.

use gatefleet_ir::{
    Alternative, Anchor, HeaderStep, HeaderStepValue, Reason, Regex, WeightedBackend,
};

use super::parse::Reader;
use crate::regex::check_regex;

/// What marks an Ingress as the alternative of another one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Canary {
    header: Option<HeaderStep>,
    cookie: Option<String>,
    weight: u32,
    weight_total: u32,
    /// Something in it cannot be read: it takes nothing.
    broken: bool,
}

impl Canary {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Option<Self> {
        if !reader.boolean("canary", false) {
            return None;
        }
        let mut broken = false;
        let header = parse_header(reader, &mut broken);
        let cookie = reader.text("canary-by-cookie").map(str::to_owned);
        let weight = reader.integer("canary-weight", 0);
        // As in nginx: a total below 100 is 100.
        let total = reader.integer("canary-weight-total", 100).max(100);
        let bounded = |number: i64| u32::try_from(number.max(0)).unwrap_or(u32::MAX);
        Some(Self { header, cookie, weight: bounded(weight), weight_total: bounded(total), broken })
    }

    /// The alternative that sends its share to `backend`. `None` when the canary cannot be served.
    pub(crate) fn alternative(&self, backend: WeightedBackend) -> Option<Alternative> {
        (!self.broken).then(|| Alternative {
            backends: vec![backend],
            header: self.header.clone(),
            cookie: self.cookie.clone(),
            weight: self.weight.min(self.weight_total),
            weight_total: self.weight_total,
        })
    }
}

fn parse_header(reader: &mut Reader<'_>, broken: &mut bool) -> Option<HeaderStep> {
    let name = reader.text("canary-by-header")?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    {
        *broken = true;
        let message = "is no name of a header: the canary takes nothing; correct it";
        reader.tell("canary-by-header", Reason::InvalidAnnotationValue, message);
        return None;
    }
    let value =
        match (reader.text("canary-by-header-value"), reader.text("canary-by-header-pattern")) {
            (Some(value), _) => HeaderStepValue::Exact(value.to_owned()),
            (None, Some(pattern)) => {
                if let Err(error) = check_regex(pattern) {
                    *broken = true;
                    let message =
                        format!("{error}: the canary takes nothing; correct the expression");
                    reader.tell("canary-by-header-pattern", Reason::InvalidRegex, message);
                }
                let pattern = pattern.to_owned();
                HeaderStepValue::Pattern(Regex {
                    pattern,
                    ignore_case: false,
                    anchor: Anchor::None,
                })
            }
            (None, None) => HeaderStepValue::AlwaysOrNever,
        };
    Some(HeaderStep { name: name.to_ascii_lowercase(), value })
}
