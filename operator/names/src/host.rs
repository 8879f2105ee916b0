//! Hostnames and what they stand for.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A DNS name in lower case, without wildcard and without trailing dot: "example.com".
///
/// RFC 1123: labels of 1 to 63 letters, digits and hyphens that neither start nor end with a hyphen; at most
/// 253 characters. Underscores are allowed (they occur in the wild and harm nothing).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

/// What is wrong with the text of a hostname.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("parse hostname {0:?}: it must be a DNS name such as \"shop.example.com\"")]
pub struct HostnameError(pub String);

impl Hostname {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the first label: "example.com" of "shop.example.com". `None` for a single label.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.to_owned()))
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lower = text.to_ascii_lowercase();
        if lower.len() <= 253 && lower.split('.').all(is_label) {
            Ok(Self(lower))
        } else {
            Err(HostnameError(text.chars().take(300).collect()))
        }
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl TryFrom<String> for Hostname {
    type Error = HostnameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names that a virtual host or a certificate answers to. `OneLabel` and `Suffix` of one name are
/// different keys; a request asks them in the order of the variants, suffixes from long to short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HostPattern {
    /// This name.
    Exact(Hostname),
    /// "*.name" with exactly one label for the star (Ingress).
    OneLabel(Hostname),
    /// "*.name" with one or more labels for the star (Gateway API).
    Suffix(Hostname),
    /// Every name, and requests without one.
    Any,
}

impl HostPattern {
    /// As Ingress writes it: empty (every name), "shop.example.com", or "*.example.com" for one label.
    ///
    /// # Errors
    ///
    /// When it is none of these.
    pub fn parse_ingress(text: &str) -> Result<Self, HostnameError> {
        let wrong = |_| HostnameError(text.chars().take(300).collect());
        match (text, text.strip_prefix("*.")) {
            ("", _) => Ok(Self::Any),
            (_, Some(rest)) => rest.parse().map(Self::OneLabel).map_err(wrong),
            (_, None) => text.parse().map(Self::Exact),
        }
    }

    /// Whether a name that fits `other` exactly, or as a wildcard, also fits this pattern.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::OneLabel(suffix), Self::Exact(name)) => name.parent().as_ref() == Some(suffix),
            (Self::Suffix(suffix), Self::Exact(name)) => is_below(name, suffix),
            (Self::Suffix(suffix), Self::OneLabel(name) | Self::Suffix(name)) => {
                name == suffix || is_below(name, suffix)
            }
            _ => self == other,
        }
    }
}

fn is_below(name: &Hostname, suffix: &Hostname) -> bool {
    name.as_str().strip_suffix(suffix.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// As in resource names: "example.com", "*.example.com" (one label), "**.example.com" (suffix), "*" (any).
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::OneLabel(name) => write!(f, "*.{name}"),
            Self::Suffix(name) => write!(f, "**.{name}"),
            Self::Any => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_are_lower_case_dns_names() {
        for (text, parsed) in [
            ("example.com", Some("example.com")),
            ("Shop.EXAMPLE.com", Some("shop.example.com")),
            ("localhost", Some("localhost")),
            ("a_b.example", Some("a_b.example")),
            ("", None),
            (".", None),
            ("example.com.", None),
            ("*.example.com", None),
            ("-a.example", None),
            ("a-.example", None),
            ("a b", None),
            ("bücher.example", None),
        ] {
            assert_eq!(
                text.parse::<Hostname>().ok().as_ref().map(Hostname::as_str),
                parsed,
                "{text}"
            );
        }
        assert!("a".repeat(64).parse::<Hostname>().is_err());
        assert!(vec!["abc"; 64].join(".").parse::<Hostname>().is_err());
    }

    #[test]
    fn patterns_cover_what_they_stand_for() {
        let pattern = |text| HostPattern::parse_ingress(text).unwrap();
        let suffix = |text: &str| HostPattern::Suffix(text.parse().unwrap());
        for (pattern, other, covers) in [
            (pattern(""), pattern("a.example.com"), true),
            (pattern("*.example.com"), pattern("a.example.com"), true),
            (pattern("*.example.com"), pattern("a.b.example.com"), false),
            (pattern("*.example.com"), pattern("example.com"), false),
            (suffix("example.com"), pattern("a.b.example.com"), true),
            (suffix("example.com"), pattern("notexample.com"), false),
            (suffix("example.com"), pattern("*.example.com"), true),
            (pattern("*.example.com"), suffix("example.com"), false),
            (pattern("a.example.com"), pattern("a.example.com"), true),
        ] {
            assert_eq!(pattern.covers(&other), covers, "{pattern} covers {other}");
        }
    }
}
