//! The one grammar of names, values, lengths and authorities (RFC 9110, RFC 9112, RFC 3986).

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Visible characters, space, tab and obs-text: no control character, no DEL (RFC 9110 section 5.5).
pub(crate) fn is_field_value(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..))
}

/// Elements of a comma-separated list, without white space; empty ones are left out.
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Whether a comma-separated list has this element (any case).
pub(crate) fn list_has(value: &[u8], element: &[u8]) -> bool {
    list(value).any(|found| found.eq_ignore_ascii_case(element))
}

/// Without space and tab at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = text.iter().position(|byte| !blank(byte)).unwrap_or(text.len());
    let text = text.get(start..).unwrap_or_default();
    let end = text.iter().rposition(|byte| !blank(byte)).map_or(0, |last| last.saturating_add(1));
    text.get(..end).unwrap_or_default()
}

/// 1*DIGIT that fits: no sign, no list, no white space.
pub(crate) fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| byte.wrapping_sub(b'0'))?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A host that can be routed and sent on: a name of letters, digits, `-`, `_` and dots, an IPv4 address or a
/// bracketed IPv6 address, with or without a port. No userinfo, no sub-delimiters, no percent signs.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let (host, port) = match text {
        [b'[', ..] => {
            let Some(end) = memchr::memchr(b']', text) else { return false };
            let Some((inner, rest)) = text.split_at_checked(end) else { return false };
            let address = inner.get(1..).and_then(|inner| std::str::from_utf8(inner).ok());
            if address.is_none_or(|a| a.parse::<std::net::Ipv6Addr>().is_err()) {
                return false;
            }
            (None, rest.get(1..).unwrap_or_default())
        }
        _ => match memchr::memchr(b':', text).and_then(|at| text.split_at_checked(at)) {
            Some((host, port)) => (Some(host), port),
            None => (Some(text), &[][..]),
        },
    };
    host.is_none_or(is_name) && is_port(port)
}

fn is_name(host: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty()
        && host.len() <= 253
        && host.first() != Some(&b'.')
        && host.iter().all(fits)
        && !host.windows(2).any(|pair| pair == b"..")
}

/// Nothing, or a colon and a port number.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => {
            digits.len() <= 5 && parse_length(digits).is_some_and(|port| port <= 65_535)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        for (text, value) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("9223372036854775807", Some(9_223_372_036_854_775_807)),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("1 ", None),
            ("1,1", None),
            ("0x1", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_length(text.as_bytes()), value, "{text}");
        }
    }

    #[test]
    fn authorities() {
        for (text, valid) in [
            ("a.example", true),
            ("A-b_c.example.:8080", true),
            ("10.0.0.1", true),
            ("[::1]", true),
            ("[::1]:80", true),
            ("", false),
            (":80", false),
            ("a:", false),
            ("a:65536", false),
            ("a:-1", false),
            ("a b", false),
            ("user@a", false),
            ("a,b", false),
            ("a/b", false),
            ("a..b", false),
            (".a", false),
            ("[::1", false),
            ("[::1]x", false),
            ("[v1.a]", false),
            ("a%41", false),
            ("a\u{e4}", false),
        ] {
            assert_eq!(is_authority(text.as_bytes()), valid, "{text}");
        }
    }

    #[test]
    fn lists_and_blanks() {
        assert_eq!(trim(b" \t a b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
        assert!(list_has(b", close ,Upgrade", b"upgrade"));
        assert!(!list_has(b"upgraded", b"upgrade"));
    }
}
