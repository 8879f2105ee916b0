//! Durations as in Gateway API (GEP-2257): text outside, milliseconds inside.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::rules::rules;

/// A span of time of at least one millisecond and at most 24 hours, written like `30s`, `1m30s` or `250ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u32);

/// As [`Duration`], and `0s` says "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OptionalDuration(u32);

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Not one to four numbers of at most five digits with a unit each.
    Syntax(String),
    /// Zero, where a duration is needed.
    Zero,
    /// Longer than 24 hours.
    TooLong(String),
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(text) => {
                write!(f, "parse duration {text:?}: write it like \"30s\", \"1m30s\" or \"250ms\"")
            }
            Self::Zero => {
                f.write_str("parse duration: it must be longer than zero, such as \"30s\"")
            }
            Self::TooLong(text) => write!(f, "parse duration {text:?}: it must not exceed \"24h\""),
        }
    }
}

impl std::error::Error for DurationError {}

const MAX_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// From large to small; `ms` is tried before `m` and `s`.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

fn parse_millis(text: &str) -> Result<u32, DurationError> {
    let syntax = || DurationError::Syntax(text.to_owned());
    let mut rest = text;
    let mut millis = 0_u64;
    for _ in 0..4 {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at_checked(digits).ok_or_else(syntax)?;
        if !(1..=5).contains(&digits) {
            return Err(syntax());
        }
        let number: u64 = number.parse().map_err(|_ignored| syntax())?;
        let (unit, tail) = UNITS
            .iter()
            .find_map(|(name, unit)| Some((unit, tail.strip_prefix(name)?)))
            .ok_or_else(syntax)?;
        millis += number * unit;
        rest = tail;
        if rest.is_empty() {
            return u32::try_from(millis)
                .ok()
                .filter(|_| millis <= MAX_MILLIS)
                .ok_or_else(|| DurationError::TooLong(text.to_owned()));
        }
    }
    Err(syntax())
}

/// The canonical text: `1h30m`, `0s`.
fn write_millis(millis: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if millis == 0 {
        return f.write_str("0s");
    }
    let mut rest = millis;
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if rest >= size {
            write!(f, "{}{unit}", rest / size)?;
            rest %= size;
        }
    }
    Ok(())
}

impl Duration {
    /// `seconds` of at least 1, as a constant for defaults.
    #[must_use]
    pub const fn from_secs(seconds: u16) -> Self {
        Self(if seconds == 0 { 1000 } else { seconds as u32 * 1000 })
    }

    /// At least 1.
    #[must_use]
    pub const fn millis(self) -> u32 {
        self.0
    }
}

impl OptionalDuration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// `seconds`, as a constant for defaults.
    #[must_use]
    pub const fn from_secs(seconds: u16) -> Self {
        Self(seconds as u32 * 1000)
    }

    /// 0 for "none".
    #[must_use]
    pub const fn millis(self) -> u32 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_millis(text)? {
            0 => Err(DurationError::Zero),
            millis => Ok(Self(millis)),
        }
    }
}

impl FromStr for OptionalDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_millis(text).map(Self)
    }
}

const SYNTAX_RULE: (&str, &str) = (
    "self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$')",
    "write a duration such as \"30s\", \"1m30s\" or \"250ms\" (units h, m, s, ms)",
);
// The guard keeps `duration()` from failing on a text that the first rule already refuses.
const POSITIVE_RULE: (&str, &str) = (
    "!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || (duration(self) > duration('0s') && duration(self) <= duration('24h'))",
    "the duration must be longer than 0s and at most 24h",
);
const LIMIT_RULE: (&str, &str) = (
    "!self.matches('^([0-9]{1,5}(h|m|s|ms)){1,4}$') || duration(self) <= duration('24h')",
    "the duration must be at most 24h; \"0s\" means none",
);

macro_rules! text_form {
    ($type:ident, $second_rule:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_millis(self.0, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": "string",
                    "maxLength": 32,
                    "x-kubernetes-validations": rules(&[SYNTAX_RULE, $second_rule]),
                })
            }
        }
    };
}

text_form!(Duration, POSITIVE_RULE);
text_form!(OptionalDuration, LIMIT_RULE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_milliseconds_and_canonical_texts() {
        for (text, millis, canonical) in [
            ("30s", 30_000, "30s"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("250ms", 250, "250ms"),
            ("1h2m3s4ms", 3_723_004, "1h2m3s4ms"),
            ("24h", 86_400_000, "24h"),
            ("1m1m", 120_000, "2m"),
            ("00001s", 1000, "1s"),
        ] {
            let parsed: Duration = text.parse().unwrap();
            assert_eq!(
                (parsed.millis(), parsed.to_string().as_str()),
                (millis, canonical),
                "{text}"
            );
            assert_eq!(canonical.parse(), Ok(parsed));
        }
        assert_eq!("0s".parse(), Ok(OptionalDuration::ZERO));
        assert_eq!(OptionalDuration::ZERO.to_string(), "0s");
    }

    #[test]
    fn everything_else_is_refused_with_a_remedy() {
        for text in
            ["", "30", "s", "-1s", "1.5s", "1d", "30 s", "123456s", "1s1s1s1s1s", "٣s", "1µs"]
        {
            assert_eq!(text.parse::<Duration>(), Err(DurationError::Syntax(text.into())), "{text}");
            assert!(text.parse::<OptionalDuration>().is_err(), "{text}");
        }
        assert_eq!("0ms".parse::<Duration>(), Err(DurationError::Zero));
        for text in ["24h1ms", "99999h", "99999h99999h99999h99999h"] {
            let error = text.parse::<Duration>().unwrap_err();
            assert_eq!(error, DurationError::TooLong(text.into()));
            assert!(error.to_string().contains("24h"));
        }
    }

    #[test]
    fn the_rules_repeat_the_syntax() {
        for (rule, _) in [POSITIVE_RULE, LIMIT_RULE] {
            assert!(rule.starts_with(&format!("!{} || ", SYNTAX_RULE.0)), "{rule}");
        }
    }
}
