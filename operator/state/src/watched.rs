//! Of which namespaces a state holds objects.

use std::{collections::BTreeSet, fmt};

/// What an installation watches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Watched {
    /// The whole cluster.
    #[default]
    All,
    /// These namespaces.
    Only(BTreeSet<String>),
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all namespaces"),
            Self::Only(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, "namespace {}", names.join(", "))
            }
        }
    }
}

impl FromIterator<String> for Watched {
    /// None named: all.
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        let names: BTreeSet<String> = names.into_iter().collect();
        if names.is_empty() { Self::All } else { Self::Only(names) }
    }
}

impl Watched {
    /// Whether this namespace is watched.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(namespace),
        }
    }

    /// What both watch; `None`: nothing.
    #[must_use]
    pub fn shared(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::All, other) => Some(other.clone()),
            (some, Self::All) => Some(some.clone()),
            (Self::Only(one), Self::Only(other)) => {
                let both: BTreeSet<String> = one.intersection(other).cloned().collect();
                (!both.is_empty()).then_some(Self::Only(both))
            }
        }
    }
}
