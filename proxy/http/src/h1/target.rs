//! Request targets: which form, and one canonical path that is routed and forwarded alike.

use crate::{grammar, h1::Rejection};

/// A request target, split by form (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Of an absolute form.
    pub(crate) authority: Option<&'a [u8]>,
    /// Path and query; "*" for the asterisk form.
    pub(crate) path_and_query: &'a [u8],
    /// The path is empty and stands for "/".
    pub(crate) needs_slash: bool,
}

/// Splits a target by form.
pub(crate) fn split_target<'a>(method: &[u8], target: &'a [u8]) -> Result<Target<'a>, Rejection> {
    if method == b"CONNECT" {
        return Err(Rejection { status: 405, reason: "ConnectNotSupported" });
    }
    if target.contains(&b'#') {
        return Err(Rejection::bad("FragmentInTarget"));
    }
    if target.first() == Some(&b'/') || (target == b"*" && method == b"OPTIONS") {
        return Ok(Target { authority: None, path_and_query: target, needs_slash: false });
    }
    let rest = strip_scheme(target).ok_or(Rejection::bad("BadTarget"))?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Rejection::bad("BadTarget"))?;
    if !grammar::is_authority(authority) {
        return Err(Rejection::bad("BadAuthority"));
    }
    if path.is_empty() && method == b"OPTIONS" {
        return Ok(Target { authority: Some(authority), path_and_query: b"*", needs_slash: false });
    }
    let needs_slash = path.first() != Some(&b'/');
    Ok(Target { authority: Some(authority), path_and_query: path, needs_slash })
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Writes the canonical path and query: dot segments are resolved, bytes that no URI may hold are
/// percent-encoded. What a backend might read as another path than we route by is rejected.
pub(crate) fn write_canonical(target: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
    let (path, query) = crate::head::split_query(target);
    check_escapes(path)?;
    if has_dots(path) {
        resolve_dots(path, out)?;
    } else {
        encode(path, out);
    }
    if let Some(query) = query {
        out.push(b'?');
        encode(query, out);
    }
    Ok(())
}

fn check_escapes(path: &[u8]) -> Result<(), Rejection> {
    let mut rest = path;
    while let Some(at) = memchr::memchr(b'%', rest) {
        match rest.get(at..) {
            Some([_, b'0', b'0', ..]) => return Err(Rejection::bad("NulInPath")),
            Some([_, high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = tail;
            }
            _ => return Err(Rejection::bad("BadEscapeInPath")),
        }
    }
    Ok(())
}

fn has_dots(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|segment| dots(segment) != Dots::None)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    None,
    Same,
    Parent,
    /// "..;x" is the parent to some servers and a name to others.
    Ambiguous,
}

fn dots(segment: &[u8]) -> Dots {
    let Some(rest) = strip_dot(segment) else { return Dots::None };
    match (rest, strip_dot(rest)) {
        ([], _) => Dots::Same,
        (_, Some([])) => Dots::Parent,
        ([b';', ..], _) | (_, Some([b';', ..])) => Dots::Ambiguous,
        _ => Dots::None,
    }
}

fn strip_dot(text: &[u8]) -> Option<&[u8]> {
    match text {
        [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// RFC 3986 section 5.2.4, except that going above the root is an error.
fn resolve_dots(path: &[u8], out: &mut Vec<u8>) -> Result<(), Rejection> {
    let root = out.len();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match dots(segment) {
            Dots::None => {
                out.push(b'/');
                encode(segment, out);
                continue;
            }
            Dots::Same => {}
            Dots::Parent => {
                let written = out.get(root..).unwrap_or_default();
                let parent =
                    memchr::memrchr(b'/', written).ok_or(Rejection::bad("PathAboveRoot"))?;
                out.truncate(root.saturating_add(parent));
            }
            Dots::Ambiguous => return Err(Rejection::bad("AmbiguousDotSegment")),
        }
        if segments.peek().is_none() {
            out.push(b'/');
        }
    }
    Ok(())
}

fn encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let fits = |byte: u8| byte < 0x7f && byte != b'\\';
    if text.iter().all(|byte| fits(*byte)) {
        return out.extend_from_slice(text);
    }
    for byte in text.iter().copied() {
        if fits(byte) {
            out.push(byte);
            continue;
        }
        let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
        out.extend_from_slice(&[b'%', digit(byte.wrapping_shr(4)), digit(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_canonical_path() {
        for (target, canonical) in [
            ("/", Ok("/")),
            ("/a/b?x=/../y", Ok("/a/b?x=/../y")),
            ("/a/./b", Ok("/a/b")),
            ("/a/../b", Ok("/b")),
            ("/a/%2e%2E/b", Ok("/b")),
            ("/a/.%2e/", Ok("/")),
            ("/a/b/..", Ok("/a/")),
            ("/a/.", Ok("/a/")),
            ("/.hidden/..x/...", Ok("/.hidden/..x/...")),
            ("//a//b", Ok("//a//b")),
            ("/a%2Fb", Ok("/a%2Fb")),
            ("/\\..\\a", Ok("/%5C..%5Ca")),
            ("/\u{e4}?\u{e4}", Ok("/%C3%A4?%C3%A4")),
            ("/..", Err("PathAboveRoot")),
            ("/a/../../b", Err("PathAboveRoot")),
            ("/a/..;/b", Err("AmbiguousDotSegment")),
            ("/%00", Err("NulInPath")),
            ("/%", Err("BadEscapeInPath")),
            ("/%g0", Err("BadEscapeInPath")),
            ("/?%", Ok("/?%")),
        ] {
            let mut out = b"x".to_vec();
            let result = write_canonical(target.as_bytes(), &mut out).map_err(|e| e.reason);
            let expected = canonical.map(|path| format!("x{path}"));
            assert_eq!(result.map(|()| String::from_utf8(out).unwrap()), expected, "{target}");
        }
    }

    #[test]
    fn four_forms() {
        for (method, target, expected) in [
            ("GET", "/x", Ok((None, "/x"))),
            ("OPTIONS", "*", Ok((None, "*"))),
            ("GET", "http://a/x", Ok((Some("a"), "/x"))),
            ("GET", "HTTPS://a:1?x", Ok((Some("a:1"), "?x"))),
            ("OPTIONS", "http://a", Ok((Some("a"), "*"))),
            ("GET", "*", Err("BadTarget")),
            ("GET", "x", Err("BadTarget")),
            ("GET", "ftp://a/", Err("BadTarget")),
            ("GET", "http://u@a/", Err("BadAuthority")),
            ("GET", "http:///x", Err("BadAuthority")),
            ("GET", "/x#y", Err("FragmentInTarget")),
            ("CONNECT", "a:1", Err("ConnectNotSupported")),
        ] {
            let result = split_target(method.as_bytes(), target.as_bytes())
                .map(|t| (t.authority.map(<[u8]>::to_vec), t.path_and_query.to_vec()))
                .map_err(|e| e.reason);
            let expected = expected.map(|(a, p): (Option<&str>, &str)| {
                (a.map(|a| a.as_bytes().to_vec()), p.as_bytes().to_vec())
            });
            assert_eq!(result, expected, "{method} {target}");
        }
    }
}
