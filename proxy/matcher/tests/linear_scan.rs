//! The index equals a linear scan in the given order.
#![expect(clippy::unwrap_used, reason = "tests")]

use gatefleet_matcher::{MatchIndex, Pattern, Request};
use gatefleet_snapshot::v1::{
    Match, PathMatch, RegexMatch, ValueMatch, path_match, regex_match::Anchor, value_match,
};
use proptest::{collection::vec, prelude::*, sample::select};

#[derive(Debug, Clone)]
struct Sample {
    method: &'static str,
    path: String,
    query: Option<String>,
    headers: Vec<(String, String)>,
}

impl Request for Sample {
    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }
    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }
    fn query(&self) -> Option<&[u8]> {
        self.query.as_ref().map(String::as_bytes)
    }
    fn any_header(&self, name: &[u8], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers.iter().any(|(n, v)| n.as_bytes() == name && fits(v.as_bytes()))
    }
}

fn linear(matches: &[Match], request: &Sample) -> Option<(usize, usize, Option<usize>)> {
    matches.iter().enumerate().find_map(|(position, m)| {
        let (fits, prefix) =
            path_fits(m.path.as_ref().and_then(|p| p.kind.as_ref()), &request.path);
        let fits = fits
            && (m.method.is_empty() || m.method == request.method)
            && m.headers.iter().all(|test| {
                let values: Vec<&str> = request
                    .headers
                    .iter()
                    .filter(|(name, _)| *name == test.name)
                    .map(|(_, value)| value.as_str())
                    .collect();
                value_fits(test, &values)
            })
            && m.query.iter().all(|test| {
                let value =
                    request.query.iter().flat_map(|query| query.split('&')).find_map(|pair| {
                        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                        (key == test.name).then_some(value)
                    });
                value_fits(test, &value.into_iter().collect::<Vec<_>>())
            });
        fits.then_some((usize::try_from(m.rule).unwrap(), position, prefix))
    })
}

fn path_fits(kind: Option<&path_match::Kind>, path: &str) -> (bool, Option<usize>) {
    match kind {
        None => (true, None),
        Some(path_match::Kind::Exact(exact)) => (exact == path, None),
        Some(path_match::Kind::Prefix(prefix)) => {
            let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
            let fits = path == prefix || path.starts_with(&format!("{prefix}/"));
            (fits, Some(prefix.len()))
        }
        Some(path_match::Kind::Regex(regex)) => {
            (Pattern::compile(regex).unwrap().is_match(path.as_bytes()), None)
        }
    }
}

fn value_fits(test: &ValueMatch, values: &[&str]) -> bool {
    let fits = match test.kind.as_ref().unwrap() {
        value_match::Kind::Exact(exact) => values.contains(&exact.as_str()),
        value_match::Kind::Regex(regex) => {
            let pattern = Pattern::compile(regex).unwrap();
            values.iter().any(|value| pattern.is_match(value.as_bytes()))
        }
        value_match::Kind::Present(present) => values.is_empty() != *present,
    };
    fits != test.invert
}

fn paths() -> impl Strategy<Value = String> {
    vec(select(vec!["", "a", "b", "ab", "A"]), 0..4)
        .prop_map(|parts| format!("/{}", parts.join("/")))
}

fn regexes() -> impl Strategy<Value = RegexMatch> {
    let patterns = select(vec!["a", "^/a", "b/.*", "/(a|ab)$", "", "x"]);
    (patterns, any::<bool>(), 0..3).prop_map(|(pattern, ignore_case, anchor)| RegexMatch {
        pattern: pattern.into(),
        ignore_case,
        anchor: Anchor::try_from(anchor).unwrap().into(),
    })
}

fn values(names: Vec<&'static str>) -> impl Strategy<Value = ValueMatch> {
    let kind = prop_oneof![
        select(vec!["1", "a", ""]).prop_map(|value| value_match::Kind::Exact(value.into())),
        regexes().prop_map(value_match::Kind::Regex),
        any::<bool>().prop_map(value_match::Kind::Present),
    ];
    (select(names), kind, any::<bool>()).prop_map(|(name, kind, invert)| ValueMatch {
        name: name.into(),
        kind: Some(kind),
        invert,
    })
}

fn matches() -> impl Strategy<Value = Match> {
    let path = prop_oneof![
        1 => Just(None),
        4 => paths().prop_map(|p| Some(path_match::Kind::Exact(p))),
        6 => paths().prop_map(|p| Some(path_match::Kind::Prefix(p))),
        2 => regexes().prop_map(|r| Some(path_match::Kind::Regex(r))),
    ];
    let method = select(vec!["", "", "", "GET", "POST"]);
    let headers = vec(values(vec!["x", "y"]), 0..2);
    let query = vec(values(vec!["p", "q"]), 0..2);
    (0..9_u32, path, method, headers, query).prop_map(|(rule, kind, method, headers, query)| {
        Match {
            rule,
            path: kind.map(|kind| PathMatch { kind: Some(kind) }),
            method: method.into(),
            headers,
            query,
        }
    })
}

fn requests() -> impl Strategy<Value = Sample> {
    let pair = (select(vec!["x", "y", "z"]), select(vec!["1", "a", "/a", ""]))
        .prop_map(|(name, value)| (name.to_owned(), value.to_owned()));
    let query = proptest::option::of(select(vec!["", "p=1", "p=a&q=1", "q", "p=1&p=a", "q=/ab"]));
    (select(vec!["GET", "POST", "PUT"]), paths(), query, vec(pair, 0..4)).prop_map(
        |(method, path, query, headers)| Sample {
            method,
            path,
            query: query.map(str::to_owned),
            headers,
        },
    )
}

/// `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").map_or(512, |number| number.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn index_equals_linear_scan(
        matches in vec(matches(), 0..24),
        requests in vec(requests(), 1..12),
    ) {
        let index = MatchIndex::compile(&matches, 9).unwrap();
        for request in requests {
            let found = index.find(&request).map(|hit| (hit.rule, hit.position, hit.prefix));
            prop_assert_eq!(found, linear(&matches, &request), "{:?}", request);
        }
    }
}

#[test]
fn prefixes_are_element_wise() {
    for (prefix, path, fits) in [
        ("/", "/", true),
        ("/", "/x", true),
        ("/a", "/a", true),
        ("/a", "/a/", true),
        ("/a", "/a/b", true),
        ("/a", "/ab", false),
        ("/a/", "/a", true),
        ("/a/", "/a/b", true),
        ("/a/b", "/a", false),
        ("/a", "/A", false),
        ("/a", "//a", false),
    ] {
        let path_match = PathMatch { kind: Some(path_match::Kind::Prefix(prefix.into())) };
        let one = Match { path: Some(path_match), ..Match::default() };
        let index = MatchIndex::compile(&[one], 1).unwrap();
        let request = Sample { method: "GET", path: path.into(), query: None, headers: vec![] };
        assert_eq!(index.find(&request).is_some(), fits, "{prefix} {path}");
    }
}

#[test]
fn a_bad_match_names_its_field_and_remedy() {
    let path = |kind| Some(PathMatch { kind: Some(kind) });
    let header = |kind| vec![ValueMatch { name: "x".into(), kind, invert: false }];
    let bad = RegexMatch { pattern: "(".into(), ..RegexMatch::default() };
    for (one, field) in [
        (Match { rule: 1, ..Match::default() }, "matches[0].rule"),
        (
            Match { path: path(path_match::Kind::Exact("a".into())), ..Match::default() },
            "matches[0].path.exact",
        ),
        (
            Match { path: path(path_match::Kind::Prefix(String::new())), ..Match::default() },
            "matches[0].path.prefix",
        ),
        (
            Match { path: path(path_match::Kind::Regex(bad.clone())), ..Match::default() },
            "matches[0].path.regex.pattern",
        ),
        (Match { method: "G T".into(), ..Match::default() }, "matches[0].method"),
        (Match { headers: header(None), ..Match::default() }, "matches[0].headers[0]"),
        (
            Match { headers: header(Some(value_match::Kind::Regex(bad))), ..Match::default() },
            "matches[0].headers[0].regex.pattern",
        ),
    ] {
        let error = MatchIndex::compile(&[one], 1).unwrap_err();
        assert_eq!(error.field, field);
        assert!(!error.remedy.is_empty(), "{error}");
    }
}
