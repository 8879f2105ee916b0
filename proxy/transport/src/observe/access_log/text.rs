//! The combined log format, with what a proxy adds.

use gatefleet_http::RequestSummary;

use super::{
    Moment, is_plain, json::version, push, push_endpoint, push_ip, push_milliseconds, push_number,
    push_thousandth,
};

/// The parts of a line, in their order. An absent one is `-`.
pub const TEXT_FORM: &str = "CLIENT - - [TIME] \"METHOD PATH PROTOCOL\" STATUS BYTES_OUT \"REFERER\" \"USER_AGENT\" \
     HOST DURATION_MS UPSTREAM_MS RULE BACKEND ENDPOINT REQUEST_ID FAILURE";

pub(super) fn write(out: &mut Vec<u8>, now: &Moment<'_>, summary: &RequestSummary<'_>) {
    push_ip(out, summary.client);
    out.extend_from_slice(b" - - [");
    out.extend_from_slice(now.second.as_bytes());
    push_thousandth(out, now.millisecond);
    out.extend_from_slice(b"Z] \"");
    word(out, summary.method);
    out.push(b' ');
    word(out, summary.target);
    out.push(b' ');
    out.extend_from_slice(version(summary.version).as_bytes());
    out.extend_from_slice(b"\" ");
    push_number(out, summary.status);
    out.push(b' ');
    push_number(out, summary.body_out);
    out.extend_from_slice(b" \"");
    word(out, summary.referer);
    out.extend_from_slice(b"\" \"");
    word(out, summary.user_agent);
    out.extend_from_slice(b"\" ");
    word(out, summary.host);
    out.push(b' ');
    push_milliseconds(out, summary.duration);
    out.push(b' ');
    match summary.upstream_duration {
        Some(duration) => push_milliseconds(out, duration),
        None => out.push(b'-'),
    }
    for text in [summary.rule, summary.backend] {
        out.push(b' ');
        word(out, text.as_bytes());
    }
    out.push(b' ');
    match summary.endpoint {
        Some(endpoint) => push_endpoint(out, endpoint),
        None => out.push(b'-'),
    }
    out.push(b' ');
    word(out, summary.request_id.as_bytes());
    out.push(b' ');
    match summary.failure {
        Some(failure) => push(out, format_args!("{failure:?}")),
        None => out.push(b'-'),
    }
    out.push(b'\n');
}

/// Bytes that cannot be mistaken for the form of the line.
fn word(out: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        out.push(b'-');
    }
    if is_plain(value) {
        return out.extend_from_slice(value);
    }
    for &byte in value {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => push(out, format_args!("\\x{byte:02x}")),
        }
    }
}
