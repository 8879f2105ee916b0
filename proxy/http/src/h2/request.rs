//! Request heads: framing and order of pseudo-header fields are judged by `h2`, everything else here, by the
//! grammar of HTTP/1.1, so that a request means the same to a backend of either version.

use http::{HeaderMap, request::Parts};

use super::fields::is_of_connection;
use crate::{
    grammar,
    h1::{Rejection, split_target},
    head::{Body, RequestHead, Version},
};

/// Judges a request head and fills `head` from it. `ends`: no body follows.
pub(super) fn read_request(
    parts: &Parts,
    ends: bool,
    max_fields: usize,
    head: &mut RequestHead,
) -> Result<(), Rejection> {
    head.clear();
    head.version = Version::Http2;
    let method = parts.method.as_str().as_bytes();
    let target = match parts.uri.path_and_query() {
        Some(target) => target.as_str().as_bytes(),
        None => b"",
    };
    head.store_line(method, target);
    if parts.headers.len() > max_fields {
        return Err(Rejection { status: 431, reason: "TooManyFields" });
    }
    let mut seen = Seen::default();
    for (name, value) in &parts.headers {
        if is_of_connection(name) {
            return Err(Rejection::bad("ConnectionField"));
        }
        seen.take(name.as_str().as_bytes(), value.as_bytes(), head)?;
    }
    join_cookies(&parts.headers, head);
    seen.judge_body(ends, head);
    seen.judge_line(parts, method, target, head)
}

/// What the fields said that are not end-to-end.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    expect: bool,
}

impl<'a> Seen<'a> {
    fn take(
        &mut self,
        name: &[u8],
        value: &'a [u8],
        head: &mut RequestHead,
    ) -> Result<(), Rejection> {
        if !grammar::is_field_value(value) || grammar::trim(value).len() != value.len() {
            return Err(Rejection::bad("BadFieldValue"));
        }
        match name {
            b"te" => head.accepts_trailers |= grammar::list_has(value, b"trailers"),
            b"host" => {
                if self.host.replace(value).is_some() {
                    return Err(Rejection::bad("DuplicateHost"));
                }
            }
            b"expect" => {
                if self.expect || !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(Rejection { status: 417, reason: "ExpectationFailed" });
                }
                self.expect = true;
            }
            b"content-length" => {
                let length = grammar::parse_length(value);
                let length = length.ok_or(Rejection::bad("BadContentLength"))?;
                if self.length.replace(length).is_some() {
                    return Err(Rejection::bad("DuplicateContentLength"));
                }
            }
            // Joined into one, or not passed on by HTTP/1.1 either.
            b"cookie" | b"proxy" | b"http2-settings" | b"proxy-authorization" => {}
            _ => head.fields.push(name, value),
        }
        Ok(())
    }

    fn judge_body(&self, ends: bool, head: &mut RequestHead) {
        head.body = match (self.length, ends) {
            (Some(length), _) => Body::Length(length),
            (None, true) => Body::Empty,
            (None, false) => Body::Stream,
        };
        let has_body = !matches!(head.body, Body::Empty | Body::Length(0));
        head.expects_continue = self.expect && has_body;
        head.keep_alive = true;
    }

    fn judge_line(
        &self,
        parts: &Parts,
        method: &[u8],
        target: &[u8],
        head: &mut RequestHead,
    ) -> Result<(), Rejection> {
        if method.len() > 64 || !grammar::is_token(method) {
            return Err(Rejection::bad("BadMethod"));
        }
        if method == b"TRACE" && !matches!(head.body, Body::Empty | Body::Length(0)) {
            return Err(Rejection::bad("TraceWithBody"));
        }
        let form = split_target(method, target)?;
        if form.authority.is_some()
            || !target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..))
        {
            return Err(Rejection::bad("BadTarget"));
        }
        if !matches!(parts.uri.scheme_str(), Some("http" | "https")) {
            return Err(Rejection::bad("BadScheme"));
        }
        let named = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
        let authority = match (named, self.host) {
            (Some(named), Some(host)) if !named.eq_ignore_ascii_case(host) => {
                return Err(Rejection::bad("HostDiffersFromAuthority"));
            }
            (Some(named), _) => named,
            (None, Some(host)) => host,
            (None, None) => return Err(Rejection::bad("MissingHost")),
        };
        if !grammar::is_authority(authority) {
            return Err(Rejection::bad("BadHost"));
        }
        head.store_target(form, authority)
    }
}

/// Crumbs are one field for everybody who does not speak HTTP/2 (RFC 9113 section 8.2.3).
fn join_cookies(headers: &HeaderMap, head: &mut RequestHead) {
    let mut crumbs = headers.get_all(http::header::COOKIE).iter().peekable();
    if crumbs.peek().is_none() {
        return;
    }
    head.fields.push_with(b"cookie", |text| {
        for (index, crumb) in crumbs.enumerate() {
            if index > 0 {
                text.extend_from_slice(b"; ");
            }
            text.extend_from_slice(crumb.as_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(
        method: &str,
        uri: &str,
        fields: &[(&str, &str)],
        ends: bool,
    ) -> Result<RequestHead, &'static str> {
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let mut head = RequestHead::default();
        read_request(&parts, ends, 8, &mut head).map(|()| head).map_err(|error| error.reason)
    }

    #[test]
    fn means_what_it_would_mean_in_http1() {
        let fields = [("cookie", "a=1"), ("te", "trailers"), ("cookie", "b=2"), ("x-a", "1")];
        let head = judge("POST", "https://A.example:8443/x/../y?q", &fields, false).unwrap();
        assert_eq!(head.target(), b"/y?q");
        assert_eq!((head.host(), head.authority()), (&b"a.example"[..], &b"A.example:8443"[..]));
        assert_eq!(head.fields.values(b"cookie").collect::<Vec<_>>(), [b"a=1; b=2"]);
        assert_eq!((head.body, head.accepts_trailers), (Body::Stream, true));
        assert_eq!(head.fields.get(b"te"), None);
        let head = judge("GET", "http://a/", &[("host", "A")], true).unwrap();
        assert_eq!((head.body, head.host()), (Body::Empty, &b"a"[..]));
    }

    #[test]
    fn refuses_what_http1_refuses() {
        let many: Vec<_> = (0..9).map(|_| ("x", "1")).collect();
        for (method, uri, fields, reason) in [
            ("GET", "http://a/", &[("host", "b")][..], "HostDiffersFromAuthority"),
            ("GET", "http://a/", &[("host", "a"), ("host", "a")], "DuplicateHost"),
            ("GET", "http://u@a/", &[], "BadHost"),
            ("GET", "ftp://a/", &[], "BadScheme"),
            ("GET", "/", &[("host", "a")], "BadScheme"),
            ("GET", "http://a/..", &[], "PathAboveRoot"),
            ("GET", "http://a/%00", &[], "NulInPath"),
            ("GET", "http://a/", &[("x", " a")], "BadFieldValue"),
            ("GET", "http://a/", &[("connection", "close")], "ConnectionField"),
            ("POST", "http://a/", &[("transfer-encoding", "chunked")], "ConnectionField"),
            ("POST", "http://a/", &[("content-length", "+1")], "BadContentLength"),
            (
                "POST",
                "http://a/",
                &[("content-length", "1"), ("content-length", "1")],
                "DuplicateContentLength",
            ),
            ("POST", "http://a/", &[("expect", "200-ok")], "ExpectationFailed"),
            ("TRACE", "http://a/", &[], "TraceWithBody"),
            ("GET", "http://a/", &many, "TooManyFields"),
        ] {
            assert_eq!(judge(method, uri, fields, false).err(), Some(reason), "{uri} {fields:?}");
        }
    }
}
