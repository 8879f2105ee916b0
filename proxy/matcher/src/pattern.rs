//! Regular expressions that run in linear time and bounded memory.

use std::ops::Range;

use gatefleet_snapshot::v1::{RegexMatch, regex_match::Anchor};
use regex_automata::{
    Anchored, Input,
    meta::{Config, Regex},
    util::{primitives::NonMaxUsize, syntax},
};

use crate::MatchError;

/// Longest pattern, in bytes.
const PATTERN_BYTES: usize = 1024;
/// Largest automaton, in bytes: any pattern without counted repetition fits, and the worst that fits needs
/// time for its size times the length of a path, not seconds.
const AUTOMATON_BYTES: usize = 1 << 16;
/// Group 0 and `$1` … `$9`, two slots each.
const SLOTS: usize = 20;

/// A compiled `RegexMatch`. Works on bytes; case is ignored for ASCII only (as in nginx without UTF-8).
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    anchored: Anchored,
}

/// Where the groups of a hit lie; group 0 is the whole hit.
#[derive(Debug, Clone, Copy)]
pub struct Groups([Option<NonMaxUsize>; SLOTS]);

impl Groups {
    /// The range of a group; `None`: it took no part in the hit.
    pub fn range(&self, group: usize) -> Option<Range<usize>> {
        let first = group.checked_mul(2)?;
        let start = (*self.0.get(first)?)?;
        let end = (*self.0.get(first.checked_add(1)?)?)?;
        Some(start.get()..end.get())
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When the syntax is wrong or not linear-time (look-around, back-references), or the pattern is too large.
    pub fn compile(source: &RegexMatch) -> Result<Self, MatchError> {
        let text = &source.pattern;
        if text.len() > PATTERN_BYTES {
            let problem = format!("pattern of {} bytes, at most {PATTERN_BYTES} fit", text.len());
            return Err(MatchError::new("pattern", problem, "shorten it or split the rule"));
        }
        let alone = build(text, source.ignore_case)?;
        let (regex, anchored) = match source.anchor() {
            Anchor::None => (alone, Anchored::No),
            Anchor::Start => (alone, Anchored::Yes),
            Anchor::Full => (build(&format!("(?:{text})\\z"), source.ignore_case)?, Anchored::Yes),
        };
        Ok(Self { regex, anchored })
    }

    /// Whether the text fits.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(Input::new(text).anchored(self.anchored))
    }

    /// The groups of the first hit.
    pub fn groups(&self, text: &[u8]) -> Option<Groups> {
        let mut slots = [None; SLOTS];
        let input = Input::new(text).anchored(self.anchored);
        self.regex.search_slots(&input, &mut slots)?;
        Some(Groups(slots))
    }

    /// How many groups the pattern has, the whole hit not counted.
    pub fn group_count(&self) -> usize {
        self.regex.group_info().group_len(regex_automata::PatternID::ZERO).saturating_sub(1)
    }
}

fn build(pattern: &str, ignore_case: bool) -> Result<Regex, MatchError> {
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(ignore_case)
        .nest_limit(100);
    // No prefilter and no lazy DFA: for texts as short as paths they cost more to build (8 times the time, twice
    // the memory, and 5 KiB per thread) than they save.
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(AUTOMATON_BYTES))
        .onepass_size_limit(Some(AUTOMATON_BYTES))
        .auto_prefilter(false)
        .hybrid(false);
    Regex::builder().syntax(syntax).configure(config).build(pattern).map_err(|error| {
        let (cause, remedy) = match error.syntax_error() {
            Some(syntax) => (
                last_line(&syntax.to_string()),
                "write it without look-around and back-references, in RE2 syntax",
            ),
            None => (
                format!("its automaton exceeds {AUTOMATON_BYTES} bytes"),
                "use smaller repetition counts",
            ),
        };
        MatchError::new("pattern", format!("{pattern:?} does not compile: {cause}"), remedy)
    })
}

/// The syntax errors of the parser draw the pattern over several lines and end with the reason.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regex(pattern: &str, ignore_case: bool, anchor: Anchor) -> RegexMatch {
        RegexMatch { pattern: pattern.into(), ignore_case, anchor: anchor.into() }
    }

    #[test]
    fn anchors_mean_anywhere_start_and_whole() {
        for (pattern, anchor, text, fits) in [
            ("b|c", Anchor::None, "abc", true),
            ("b|a", Anchor::Start, "abc", true),
            ("b|c", Anchor::Start, "abc", false),
            ("a|abc", Anchor::Full, "abc", true),
            ("a|ab", Anchor::Full, "abc", false),
            ("a.c", Anchor::Full, "a\u{ff}c", false),
        ] {
            let compiled = Pattern::compile(&regex(pattern, false, anchor)).unwrap();
            assert_eq!(compiled.is_match(text.as_bytes()), fits, "{pattern} {anchor:?} {text}");
        }
    }

    #[test]
    fn groups_of_the_first_hit() {
        let pattern = Pattern::compile(&regex("/(a+)(/|$)(.*)", true, Anchor::Start)).unwrap();
        let groups = pattern.groups(b"/AA/rest/x").unwrap();
        assert_eq!(groups.range(1), Some(1..3));
        assert_eq!(groups.range(3), Some(4..10));
        assert_eq!(groups.range(7), None);
        assert_eq!(groups.range(usize::MAX), None);
        assert_eq!(pattern.group_count(), 3);
    }

    #[test]
    fn what_is_wrong_or_too_large_says_so() {
        for (pattern, says) in [
            ("(", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"(\w{50}){50}", "exceed"),
            (&"a".repeat(1025), "1025 bytes"),
        ] {
            for anchor in [Anchor::None, Anchor::Full] {
                let error = Pattern::compile(&regex(pattern, false, anchor)).unwrap_err();
                assert!(error.to_string().contains(says), "{error}");
            }
        }
    }

    #[test]
    fn every_pattern_without_counted_repetition_fits() {
        for piece in ["[^/]+|", "(a|b)*", r"\w+\d?", "(?:[A-Za-z0-9._~-]+/)?"] {
            let text = piece.repeat(PATTERN_BYTES / piece.len());
            Pattern::compile(&regex(&text, true, Anchor::Full)).unwrap();
        }
    }

    #[test]
    fn takes_linear_time() {
        for evil in ["(a*)*(a*)*(a*)*b", "(a|a?)+b", "(.*a.{40})b"] {
            let pattern = Pattern::compile(&regex(evil, false, Anchor::None)).unwrap();
            let started = std::time::Instant::now();
            assert!(!pattern.is_match("a".repeat(10_000).as_bytes()));
            assert!(started.elapsed().as_secs() < 2, "{evil}: {:?}", started.elapsed());
        }
    }
}
