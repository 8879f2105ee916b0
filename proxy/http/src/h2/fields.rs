//! Heads between our form and the `http` crate's.

use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::{
    grammar,
    h1::is_dropped,
    head::{Body, Fields, ResponseHead},
};

/// A response head for a client. What an HTTP/2 head may not hold was never in [`Fields`].
pub(super) fn response(head: &ResponseHead) -> Option<Response<()>> {
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(head.status).ok()?;
    *response.headers_mut() = map(&head.fields);
    if let Body::Length(length) = head.body {
        response.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Some(response)
}

/// Fields as the `http` crate keeps them; what it cannot hold is no field of ours either.
pub(super) fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(fields.len().saturating_add(1));
    for field in fields.iter() {
        let name = HeaderName::from_bytes(field.name);
        let value = HeaderValue::from_bytes(field.value);
        if let (Ok(name), Ok(value)) = (name, value)
            && !is_of_connection(&name)
        {
            map.append(name, value);
        }
    }
    map
}

/// Fields of one connection have no place in HTTP/2, however they came into a head (RFC 9113 section 8.2.2).
pub(super) fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade"
    )
}

/// Judges trailers as HTTP/1.1's are judged.
pub(super) fn trailers(
    map: &HeaderMap,
    most: usize,
    fields: &mut Fields,
) -> Result<(), &'static str> {
    fields.clear();
    if map.len() > most {
        return Err("TrailersTooLarge");
    }
    for (name, value) in map {
        if !grammar::is_field_value(value.as_bytes()) {
            return Err("BadTrailers");
        }
        if !is_dropped(name.as_str().as_bytes()) {
            fields.push(name.as_str().as_bytes(), grammar::trim(value.as_bytes()));
        }
    }
    Ok(())
}
