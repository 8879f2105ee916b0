//! Virtual hosts by name, most specific first.

use std::collections::HashMap;

use gatefleet_snapshot::v1::{HostPattern, host_pattern::Kind};

/// Values by host pattern. Names are in lower case, without port and trailing dot.
#[derive(Debug, Clone)]
pub struct HostIndex<T> {
    exact: HashMap<Box<[u8]>, T>,
    one_label: HashMap<Box<[u8]>, T>,
    suffix: HashMap<Box<[u8]>, T>,
    any: Option<T>,
}

impl<T> Default for HostIndex<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), one_label: HashMap::new(), suffix: HashMap::new(), any: None }
    }
}

impl<T> HostIndex<T> {
    /// Puts a value under a pattern and returns the one that stood there.
    pub fn insert(&mut self, pattern: &HostPattern, value: T) -> Option<T> {
        let name = trim_host(pattern.name.as_bytes()).to_ascii_lowercase().into_boxed_slice();
        match pattern.kind() {
            Kind::Any => self.any.replace(value),
            Kind::Exact => self.exact.insert(name, value),
            Kind::OneLabel => self.one_label.insert(name, value),
            Kind::Suffix => self.suffix.insert(name, value),
        }
    }

    /// Every value that may answer `host`: exact, one label, suffix from long to short, any.
    pub fn candidates<'a, 'h>(
        &'a self,
        host: &'h [u8],
    ) -> impl Iterator<Item = &'a T> + use<'a, 'h, T> {
        let exact = lookup(&self.exact, host);
        let parent = parents(host).next();
        let one_label = parent.and_then(|parent| lookup(&self.one_label, parent));
        let suffixes = parents(host).filter_map(|parent| lookup(&self.suffix, parent));
        exact.into_iter().chain(one_label).chain(suffixes).chain(self.any.as_ref())
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        [self.exact.len(), self.one_label.len(), self.suffix.len(), usize::from(self.any.is_some())]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn lookup<'a, T>(map: &'a HashMap<Box<[u8]>, T>, name: &[u8]) -> Option<&'a T> {
    if map.is_empty() { None } else { map.get(name) }
}

/// What follows each dot, from the left; nothing for a name that begins with a dot.
fn parents(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = if host.first() == Some(&b'.') { None } else { Some(host) };
    std::iter::from_fn(move || {
        let host = rest?;
        let at = memchr::memchr(b'.', host)?;
        rest = host.get(at.checked_add(1)?..).filter(|parent| !parent.is_empty());
        rest
    })
}

/// A host without its port and without one trailing dot. Letters keep their case.
pub fn trim_host(authority: &[u8]) -> &[u8] {
    let host = match authority {
        [b'[', ..] => match memchr::memchr(b']', authority) {
            Some(end) => authority.get(..=end).unwrap_or(authority),
            None => authority,
        },
        _ => {
            memchr::memrchr(b':', authority).and_then(|at| authority.get(..at)).unwrap_or(authority)
        }
    };
    host.strip_suffix(b".").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trims_ports_and_the_root_dot() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("a.example:8080", "a.example"),
            ("a.example.:80", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:1", "10.0.0.1"),
            ("", ""),
            (":80", ""),
            (".", ""),
        ] {
            assert_eq!(trim_host(authority.as_bytes()), host.as_bytes(), "{authority}");
        }
    }

    #[test]
    fn asks_from_most_to_least_specific() {
        let mut index = HostIndex::default();
        for (kind, name) in [
            (Kind::Any, ""),
            (Kind::Suffix, "example"),
            (Kind::Suffix, "b.example"),
            (Kind::OneLabel, "b.example"),
            (Kind::Exact, "a.b.example"),
        ] {
            let pattern = HostPattern { kind: kind.into(), name: name.into() };
            index.insert(&pattern, format!("{kind:?} {name}"));
        }
        for (host, expected) in [
            (
                "a.b.example",
                &["Exact a.b.example", "OneLabel b.example", "Suffix b.example", "Suffix example"]
                    [..],
            ),
            ("c.b.example", &["OneLabel b.example", "Suffix b.example", "Suffix example"]),
            ("x.y.b.example", &["Suffix b.example", "Suffix example"]),
            ("b.example", &["Suffix example"]),
            ("example", &[]),
            (".b.example", &[]),
            ("", &[]),
            ("other", &[]),
        ] {
            let found: Vec<&str> = index.candidates(host.as_bytes()).map(String::as_str).collect();
            let (last, specific) = found.split_last().unwrap();
            assert_eq!((specific, *last), (expected, "Any "), "{host}");
        }
    }
}
