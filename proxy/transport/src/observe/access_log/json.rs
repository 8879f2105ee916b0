//! One JSON object a line.

use gatefleet_http::{RequestSummary, Version};

use super::{
    Moment, is_plain, push, push_endpoint, push_ip, push_milliseconds, push_number, push_thousandth,
};

/// The fields of a line, in their order, with what they mean. Empty or absent ones are left out.
pub const FIELDS: &[(&str, &str)] = &[
    ("time", "When the request ended, UTC, RFC 3339 with milliseconds."),
    ("client", "Address of the client, after trusted proxies."),
    ("method", "Method."),
    ("scheme", "`http` or `https`: how the client's connection came in."),
    ("host", "Host, in lower case, without port."),
    ("path", "Path and query as received."),
    ("protocol", "Protocol version of the client."),
    ("status", "Status sent to the client; 0 when none could be sent."),
    ("durationMs", "From the first byte of the request to the last of the response."),
    ("bytesIn", "Bytes of the request body."),
    ("bytesOut", "Bytes of the response body."),
    ("requestId", "Value of `X-Request-ID`."),
    ("rule", "The rule that matched."),
    ("backend", "The backend that was chosen."),
    ("endpoint", "The endpoint that was tried last."),
    ("upstreamMs", "From the complete request head to the backend's response head."),
    ("attempts", "Connections tried for the request, when more than one."),
    ("failure", "What went wrong, one word."),
    ("reason", "Why the proxy answered by itself, one word."),
    ("userAgent", "`User-Agent`."),
    ("referer", "`Referer`."),
];

pub(super) fn write(out: &mut Vec<u8>, now: &Moment<'_>, summary: &RequestSummary<'_>) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(now.second.as_bytes());
    push_thousandth(out, now.millisecond);
    out.extend_from_slice(b"Z\",\"client\":\"");
    push_ip(out, summary.client);
    out.push(b'"');
    string(out, "method", summary.method);
    string(out, "scheme", summary.scheme.as_str().as_bytes());
    string(out, "host", summary.host);
    string(out, "path", summary.target);
    string(out, "protocol", version(summary.version).as_bytes());
    number(out, "status", summary.status);
    name(out, "durationMs");
    push_milliseconds(out, summary.duration);
    number(out, "bytesIn", summary.body_in);
    number(out, "bytesOut", summary.body_out);
    string(out, "requestId", summary.request_id.as_bytes());
    string(out, "rule", summary.rule.as_bytes());
    string(out, "backend", summary.backend.as_bytes());
    if let Some(endpoint) = summary.endpoint {
        out.extend_from_slice(b",\"endpoint\":\"");
        push_endpoint(out, endpoint);
        out.push(b'"');
    }
    if let Some(duration) = summary.upstream_duration {
        name(out, "upstreamMs");
        push_milliseconds(out, duration);
    }
    if summary.attempts > 1 {
        number(out, "attempts", summary.attempts);
    }
    if let Some(failure) = summary.failure {
        out.extend_from_slice(b",\"failure\":\"");
        push(out, format_args!("{failure:?}\""));
    }
    string(out, "reason", summary.reason.as_bytes());
    string(out, "userAgent", summary.user_agent);
    string(out, "referer", summary.referer);
    out.extend_from_slice(b"}\n");
}

pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, field: &str, value: impl Into<u64>) {
    name(out, field);
    push_number(out, value);
}

/// A field with a string; nothing when it is empty.
fn string(out: &mut Vec<u8>, field: &str, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    name(out, field);
    out.push(b'"');
    if is_plain(value) {
        out.extend_from_slice(value);
    } else {
        escape(out, value);
    }
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, value: &[u8]) {
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                c if c.is_control() => push(out, format_args!("\\u{:04x}", u32::from(c))),
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}
