//! Trailer sections: the same field grammar; what could change framing, routing or access is dropped.

use super::MAX_FIELDS;
use crate::{grammar, head::Fields};

/// Fields that mean nothing or mischief behind a body (RFC 9110 section 6.5.1).
const DROPPED: &[&[u8]] = &[
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"host",
    b"keep-alive",
    b"max-forwards",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"www-authenticate",
];

/// Reads a trailer section with its empty line into `trailers`.
pub(crate) fn parse_trailers(
    section: &[u8],
    max_fields: usize,
    trailers: &mut Fields,
) -> Result<(), &'static str> {
    if super::scan::has_bare_return(section) {
        return Err("BareCarriageReturn");
    }
    let mut parsed = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let fields = match httparse::parse_headers(section, &mut parsed) {
        Ok(httparse::Status::Complete((length, fields))) if length == section.len() => fields,
        _ => return Err("BadTrailers"),
    };
    if fields.len() > max_fields {
        return Err("TrailersTooLarge");
    }
    for field in fields {
        if !is_dropped(field.name.as_bytes()) {
            trailers.push(field.name.as_bytes(), grammar::trim(field.value));
        }
    }
    Ok(())
}

/// Whether a trailer of this name is not passed on.
pub(crate) fn is_dropped(name: &[u8]) -> bool {
    let forwarded = name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
    forwarded || DROPPED.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
}
