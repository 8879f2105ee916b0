//! What backends are told, how much and how long they may take, and when a request is sent to another endpoint.

use gatefleet_ir::{Reason, Retry, RuleTimeouts};

use gatefleet_names::Hostname;

use super::parse::Reader;

/// As nginx counts: tries of one request, the first included.
const DEFAULT_TRIES: u32 = 3;
/// What stands for "no limit".
const MOST_TRIES: u32 = 16;

const NEXT: &str = "proxy-next-upstream";
const TRIES: &str = "proxy-next-upstream-tries";
const TIMEOUT: &str = "proxy-next-upstream-timeout";

pub(super) fn parse_timeouts(reader: &mut Reader<'_>) -> RuleTimeouts {
    RuleTimeouts {
        connect: seconds(reader, "proxy-connect-timeout"),
        read: seconds(reader, "proxy-read-timeout"),
        send: seconds(reader, "proxy-send-timeout"),
        ..RuleTimeouts::default()
    }
}

/// Bytes of a request body; 0: not set. As in nginx, 0 stands for no limit.
pub(super) fn parse_body_bytes(reader: &mut Reader<'_>) -> u64 {
    const NAME: &str = "proxy-body-size";
    let Some(text) = reader.text(NAME) else { return 0 };
    match size(text) {
        Some(0) => u64::MAX,
        Some(bytes) => bytes,
        None => {
            reader.tell_invalid(NAME, text, "a size such as 512, 64k, 8m or 1g");
            0
        }
    }
}

fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let unit = lower.trim_start_matches(|c: char| c.is_ascii_digit());
    let factor = match unit {
        "" | "b" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    lower.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(factor)
}

/// What the backend is told as Host instead of the client's; empty: nothing.
pub(super) fn parse_host(reader: &mut Reader<'_>) -> String {
    const NAME: &str = "upstream-vhost";
    let Ok(Some(text)) = reader.short_text(NAME) else { return String::new() };
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if port_fits && host.parse::<Hostname>().is_ok() {
        return text.to_owned();
    }
    reader.tell_invalid(NAME, text, "a hostname, with a port if needed");
    String::new()
}

/// Milliseconds; 0: not set.
fn seconds(reader: &mut Reader<'_>, name: &str) -> u32 {
    let said = reader.integer(name, 0);
    match millis(said) {
        Some(0) if reader.text(name).is_none_or(|text| text.parse() != Ok(0)) => 0,
        Some(millis) if millis > 0 => millis,
        _ => {
            reader.tell_invalid(name, &said.to_string(), "a number of seconds from 1 to 4294967");
            0
        }
    }
}

fn millis(seconds: i64) -> Option<u32> {
    u32::try_from(seconds).ok()?.checked_mul(1000)
}

/// `None`: nothing is said, and what the engine does by itself holds.
pub(super) fn parse_retry(reader: &mut Reader<'_>) -> Option<Retry> {
    if [NEXT, TRIES, TIMEOUT].iter().all(|name| reader.text(name).is_none()) {
        return None;
    }
    let mut retry = parse_conditions(reader);
    let total = reader.integer(TIMEOUT, 0);
    retry.total = millis(total).unwrap_or_else(|| {
        reader.tell_invalid(TIMEOUT, &total.to_string(), "a number of seconds from 0 to 4294967");
        0
    });
    let tries = reader.integer(TRIES, DEFAULT_TRIES.into());
    let tries = u32::try_from(tries).unwrap_or_else(|_| {
        reader.tell_invalid(TRIES, &tries.to_string(), "a number of tries, or 0");
        DEFAULT_TRIES
    });
    retry.attempts = match tries {
        0 => MOST_TRIES,
        tries => tries.min(MOST_TRIES),
    }
    .saturating_sub(1);
    if reader.text(NEXT).is_some_and(|said| said.split_whitespace().any(|word| word == "off")) {
        return Some(Retry::default());
    }
    Some(retry)
}

/// nginx's `proxy_next_upstream`; its default is `error timeout`.
fn parse_conditions(reader: &mut Reader<'_>) -> Retry {
    let default = Retry { connect_failure: true, reset: true, timeout: true, ..Retry::default() };
    let Some(text) = reader.text(NEXT) else { return default };
    let mut retry = Retry::default();
    for word in text.split_whitespace() {
        match word {
            "error" => (retry.connect_failure, retry.reset) = (true, true),
            "timeout" => retry.timeout = true,
            "invalid_header" => retry.malformed = true,
            "non_idempotent" => retry.non_idempotent = true,
            "http_403" | "http_404" | "http_429" | "http_500" | "http_502" | "http_503"
            | "http_504" => {
                let status = word.strip_prefix("http_").and_then(|status| status.parse().ok());
                retry.statuses.extend(status.filter(|status| !retry.statuses.contains(status)));
            }
            "off" => {}
            other => {
                let shown: String = other.chars().take(80).collect();
                let message = format!(
                    "{shown:?} is no condition: \"error timeout\" holds; use error, timeout, invalid_header, http_500, \
                     http_502, http_503, http_504, http_403, http_404, http_429, non_idempotent or off"
                );
                reader.tell(NEXT, Reason::InvalidAnnotationValue, message);
                return default;
            }
        }
    }
    retry.statuses.sort_unstable();
    retry
}
