//! Regular expressions that users write, judged by the engine that will run them.

use regex_automata::{PatternID, meta, util::syntax};

/// The compiled size that an expression may have, in bytes; as in the proxy's matcher.
const SIZE_LIMIT: usize = 1 << 16;
/// The length that an expression may have, in bytes; as in the proxy's matcher.
const LENGTH_LIMIT: usize = 1024;
/// Nesting that an expression may have; less than in the proxy's matcher.
const NEST_LIMIT: u32 = 64;

/// Why an expression cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegexError {
    #[error("the expression has {0} bytes, more than {LENGTH_LIMIT}: shorten it or split the rule")]
    TooLong(usize),
    #[error(
        "the expression is not one of linear-time syntax (no look-around, no back-references): {0}"
    )]
    Syntax(String),
}

/// Whether the proxy can run `pattern`, with or without minding case; answers how many groups it has.
pub(crate) fn check_regex(pattern: &str) -> Result<usize, RegexError> {
    if pattern.len() > LENGTH_LIMIT {
        return Err(RegexError::TooLong(pattern.len()));
    }
    if pattern.is_ascii() && !pattern.contains(is_special) {
        return Ok(0);
    }
    let config = meta::Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(SIZE_LIMIT))
        .onepass(false)
        .hybrid(false);
    let syntax = syntax::Config::new()
        .case_insensitive(true)
        .unicode(false)
        .utf8(false)
        .nest_limit(NEST_LIMIT);
    let built = meta::Builder::new().configure(config).syntax(syntax).build(pattern);
    let regex = built.map_err(|error| {
        let cause = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), ToString::to_string);
        let last = cause.lines().last().unwrap_or_default().trim_start_matches("error: ");
        RegexError::Syntax(last.to_owned())
    })?;
    Ok(regex.group_info().group_len(PatternID::ZERO).saturating_sub(1))
}

/// `text` as an expression that fits only `text`.
pub(crate) fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_special(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

fn is_special(c: char) -> bool {
    "\\.+*?()|[]{}^$#&-~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_engine_can_run_is_accepted() {
        for (pattern, accepted) in [
            ("/id/[0-9]+", true),
            ("/plain", true),
            ("/foo/bar/(.+)$", true),
            ("/(unclosed", false),
            ("/a(?=b)", false),
            (r"/(a)\1", false),
            ("/a{1000}{1000}", false),
        ] {
            assert_eq!(check_regex(pattern).is_ok(), accepted, "{pattern}");
        }
        assert_eq!(check_regex(&"a".repeat(5000)), Err(RegexError::TooLong(5000)));
    }

    #[test]
    fn an_escaped_text_is_an_expression() {
        assert_eq!(escape("/a(b.c"), r"/a\(b\.c");
        assert_eq!(check_regex(&escape(r"\.+*?()|[]{}^$#&-~")), Ok(0));
        assert_eq!(check_regex("/(a)/(?:b)/(c)"), Ok(2));
    }
}
