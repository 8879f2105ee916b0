//! Hostname patterns: which listener, and which certificate, a name belongs to.

use gatefleet_snapshot::v1;

/// A pattern of `v1::HostPattern`, parsed. Names are lower case and without the star.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// Every name, and clients that name none.
    Any,
    /// This name.
    Exact(Box<str>),
    /// One label before the name.
    OneLabel(Box<str>),
    /// One or more labels before the name.
    Suffix(Box<str>),
}

/// Why a pattern cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum HostPatternError {
    /// A kind this build does not know.
    #[error("hostname kind {0} is unknown here; upgrade the proxy")]
    Kind(i32),
    /// A pattern that needs a name and has none, or one that is not in its written form.
    #[error("hostname {0:?} must be a lower-case name without star, leading or trailing dot")]
    Name(String),
}

impl HostPattern {
    /// Reads a pattern; absent means every name.
    ///
    /// # Errors
    /// When the name is missing or not in lower case.
    pub(crate) fn parse(pattern: Option<&v1::HostPattern>) -> Result<Self, HostPatternError> {
        use v1::host_pattern::Kind;
        let Some(pattern) = pattern else { return Ok(Self::Any) };
        let kind = Kind::try_from(pattern.kind)
            .map_err(|_unknown| HostPatternError::Kind(pattern.kind))?;
        if kind == Kind::Any {
            return Ok(Self::Any);
        }
        let name = pattern.name.as_str();
        let written = !name.is_empty()
            && !name.starts_with('.')
            && !name.ends_with('.')
            && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase() && b != b'*');
        if !written {
            return Err(HostPatternError::Name(name.to_owned()));
        }
        Ok(match kind {
            Kind::Any => Self::Any,
            Kind::Exact => Self::Exact(name.into()),
            Kind::OneLabel => Self::OneLabel(name.into()),
            Kind::Suffix => Self::Suffix(name.into()),
        })
    }

    /// Whether a lower-case name belongs to the pattern.
    pub(crate) fn fits(&self, name: &str) -> bool {
        let before = |parent: &str| name.strip_suffix(parent)?.strip_suffix('.');
        match self {
            Self::Any => true,
            Self::Exact(own) => **own == *name,
            Self::OneLabel(parent) => {
                before(parent).is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            Self::Suffix(parent) => before(parent).is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// Orders patterns that fit the same name: exact, one label, suffix from long to short, any.
    pub(crate) fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Suffix(parent) => (1, parent.len()),
            Self::OneLabel(parent) => (2, parent.len()),
            Self::Exact(name) => (3, name.len()),
        }
    }
}

/// Every pattern that fits a lower-case name, most specific first.
pub(crate) fn candidates(name: &str) -> impl Iterator<Item = HostPattern> + '_ {
    let exact = HostPattern::Exact(name.into());
    let one_label = name
        .split_once('.')
        .filter(|(label, parent)| !label.is_empty() && !parent.is_empty())
        .map(|(_, parent)| HostPattern::OneLabel(parent.into()));
    let parents = name.match_indices('.').filter_map(move |(dot, _)| {
        let parent = name.get(dot..)?.strip_prefix('.')?;
        (dot > 0 && !parent.is_empty()).then(|| HostPattern::Suffix(parent.into()))
    });
    std::iter::once(exact).chain(one_label).chain(parents).chain([HostPattern::Any])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(name: &str) -> HostPattern {
        HostPattern::Exact(name.into())
    }
    fn one(name: &str) -> HostPattern {
        HostPattern::OneLabel(name.into())
    }
    fn suffix(name: &str) -> HostPattern {
        HostPattern::Suffix(name.into())
    }

    #[test]
    fn candidates_run_from_specific_to_general_and_all_fit() {
        let expected = [
            exact("a.b.example"),
            one("b.example"),
            suffix("b.example"),
            suffix("example"),
            HostPattern::Any,
        ];
        let found: Vec<_> = candidates("a.b.example").collect();
        assert_eq!(found, expected);
        assert!(found.iter().all(|p| p.fits("a.b.example")));
        assert!(found.is_sorted_by_key(|p| std::cmp::Reverse(p.specificity())));
    }

    #[test]
    fn one_label_and_suffix_differ_by_depth() {
        for (name, one_fits, suffix_fits) in [
            ("a.example", true, true),
            ("a.b.example", false, true),
            ("example", false, false),
            (".example", false, false),
            ("aexample", false, false),
        ] {
            assert_eq!(one("example").fits(name), one_fits, "{name}");
            assert_eq!(suffix("example").fits(name), suffix_fits, "{name}");
        }
    }

    #[test]
    fn names_must_be_in_written_form() {
        let parse = |kind, name: &str| {
            HostPattern::parse(Some(&v1::HostPattern { kind, name: name.into() }))
        };
        for name in ["", "*.a", "A.b", ".a", "a.", "a b"] {
            assert!(parse(1, name).is_err(), "{name:?}");
        }
        assert!(parse(9, "a").is_err());
        assert_eq!(parse(2, "a").unwrap(), one("a"));
        assert_eq!(HostPattern::parse(None).unwrap(), HostPattern::Any);
    }
}
