//! Query parameters without decoding them into memory.

/// The value (still encoded) of the first parameter of this name.
pub(crate) fn find<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (key, value) = match memchr::memchr(b'=', pair).and_then(|at| pair.split_at_checked(at))
        {
            Some((key, rest)) => (key, rest.get(1..).unwrap_or_default()),
            None => (pair, &[][..]),
        };
        decoded_eq(key, name).then_some(value)
    })
}

/// Whether the encoded text stands for these bytes.
pub(crate) fn decoded_eq(encoded: &[u8], plain: &[u8]) -> bool {
    let mut rest = encoded;
    for expected in plain {
        let Some((byte, tail)) = next_decoded(rest) else { return false };
        if byte != *expected {
            return false;
        }
        rest = tail;
    }
    rest.is_empty()
}

fn next_decoded(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, tail @ ..] => match (digit(*high), digit(*low)) {
            (Some(high), Some(low)) => Some((high.wrapping_shl(4) | low, tail)),
            _ => Some((b'%', text.get(1..)?)),
        },
        [b'+', tail @ ..] => Some((b' ', tail)),
        [byte, tail @ ..] => Some((*byte, tail)),
        [] => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_value_and_compares_decoded() {
        for (query, name, value) in [
            ("a=1&b=2", "b", Some("2")),
            ("a=1&a=2", "a", Some("1")),
            ("a", "a", Some("")),
            ("&&a=", "a", Some("")),
            ("%61=x", "a", Some("x")),
            ("A=1", "a", None),
            ("", "a", None),
        ] {
            assert_eq!(
                find(query.as_bytes(), name.as_bytes()),
                value.map(str::as_bytes),
                "{query}"
            );
        }
        for (encoded, plain, equal) in [
            ("a%20b", "a b", true),
            ("a+b", "a b", true),
            ("100%", "100%", true),
            ("%zz", "%zz", true),
            ("%2", "%2", true),
            ("ab", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(decoded_eq(encoded.as_bytes(), plain.as_bytes()), equal, "{encoded}");
        }
    }
}
