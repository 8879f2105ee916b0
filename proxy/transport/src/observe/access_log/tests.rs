use std::{
    fmt::Write as _,
    sync::mpsc::{Sender, channel},
    time::Instant,
};

use expect_test::expect_file;
use gatefleet_http::{Failure, Scheme, Version};

use super::*;

fn summary() -> RequestSummary<'static> {
    RequestSummary {
        rule: "Ingress/shop/web/0",
        backend: "backend/shop/web/80",
        endpoint: Some("10.0.0.7:8080".parse().unwrap()),
        status: 200,
        failure: None,
        reason: "",
        body_in: 0,
        body_out: 1024,
        duration: Duration::from_micros(1_234),
        upstream_duration: Some(Duration::from_micros(1_007)),
        attempts: 1,
        request_id: "0123456789abcdef",
        method: b"GET",
        target: b"/cart?id=1",
        host: b"shop.example",
        version: Version::Http11,
        scheme: Scheme::Https,
        client: [192, 0, 2, 1].into(),
        user_agent: b"curl/8.0",
        referer: b"",
    }
}

fn failed() -> RequestSummary<'static> {
    RequestSummary {
        rule: "",
        backend: "",
        endpoint: None,
        status: 404,
        failure: Some(Failure::NoRoute),
        reason: "NoRoute",
        upstream_duration: None,
        attempts: 3,
        target: b"/\"\\\n\xff\xc3\xa9",
        user_agent: b"",
        referer: b"https://a.example/\x1b[31m",
        ..summary()
    }
}

const NOW: Moment<'static> = Moment { second: "2026-11-20T08:15:30", millisecond: 7 };

fn line(format: AccessLogFormat, summary: &RequestSummary<'_>) -> String {
    let mut out = Vec::new();
    match format {
        AccessLogFormat::Json => json::write(&mut out, &NOW, summary),
        AccessLogFormat::Text => text::write(&mut out, &NOW, summary),
    }
    String::from_utf8(out).unwrap()
}

fn reference() -> String {
    let mut rows = String::new();
    for (name, meaning) in FIELDS {
        writeln!(rows, "| `{name}` | {meaning} |").unwrap();
    }
    format!(
        "<!-- Generated from proxy/transport/src/observe/access_log; written by `UPDATE_EXPECT=1 cargo test -p \
         gatefleet-transport`. -->\n# Access log of a proxy\n\nOne line per request on standard output, in the format \
         that `observability.accessLog` of the GatewayConfig\nchooses. Lines are formed on the request's thread and \
         written by another one; when nobody reads them fast\nenough they are dropped and counted \
         (`gatefleet_access_log_lines_dropped_total`): a request never waits for\nits log line. Handed over after \
         250 ms at the latest.\n\n## JSON\n\n{}\n| field | meaning |\n|---|---|\n{rows}\nEmpty and absent fields \
         are left out. Bytes that are not UTF-8 become U+FFFD.\n\n## Text\n\n```text\n{TEXT_FORM}\n```\n\n{}\nAn \
         absent part is `-`. Quotes and backslashes are escaped, other bytes outside printable ASCII become \
         `\\xNN`.\n",
        fence(&line(AccessLogFormat::Json, &summary())),
        fence(&line(AccessLogFormat::Text, &summary())),
    )
}

fn fence(text: &str) -> String {
    format!("```text\n{text}```\n")
}

#[test]
fn the_reference_is_fresh() {
    expect_file!["../../../../../docs/reference/access-log.md"].assert_eq(&reference());
}

#[test]
fn every_json_line_parses_whatever_the_client_sent() {
    for summary in [summary(), failed()] {
        let line = line(AccessLogFormat::Json, &summary);
        assert_eq!(line.matches('\n').count(), 1, "{line:?}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fields = value.as_object().unwrap();
        assert!(fields.keys().all(|key| FIELDS.iter().any(|(name, _)| name == key)), "{line}");
        assert_eq!(fields["time"], "2026-11-20T08:15:30.007Z");
        assert_eq!(fields["durationMs"], 1.234);
    }
    let value: serde_json::Value =
        serde_json::from_str(&line(AccessLogFormat::Json, &failed())).unwrap();
    assert_eq!(value["path"], "/\"\\\n\u{fffd}é");
    assert_eq!(value["attempts"], 3);
}

#[test]
fn a_text_line_cannot_be_forged() {
    let line = line(AccessLogFormat::Text, &failed());
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.contains(r#""GET /\"\\\x0a\xff\xc3\xa9 HTTP/1.1" 404 "#), "{line}");
    assert!(line.contains(r"\x1b[31m"), "{line}");
}

/// A log reader that reads only when it is told to.
struct Stuck(Receiver<()>, Arc<Mutex<Vec<u8>>>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        self.1.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stuck() -> (Sender<()>, Arc<Mutex<Vec<u8>>>, Arc<LogQueue>) {
    let (go, wait) = channel();
    let written = Arc::default();
    let sink = Stuck(wait, Arc::clone(&written));
    (go, written, Arc::new(LogQueue::start(Box::new(sink)).unwrap()))
}

#[test]
fn a_stuck_reader_costs_lines_not_time() {
    let (go, written, queue) = stuck();
    let mut lines = Lines::new(Arc::clone(&queue));
    let mut pushed = 0_u64;
    let mut slowest = Duration::ZERO;
    while queue.dropped() == 0 {
        let began = Instant::now();
        lines.push(AccessLogFormat::Json, &summary());
        slowest = slowest.max(began.elapsed());
        pushed += 1;
        assert!(pushed < 1_000_000, "an endless queue");
    }
    assert!(slowest < Duration::from_millis(200), "a line waited {slowest:?}");
    lines.flush();
    // Now somebody reads: every line was either written or counted.
    drop(go);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let count = written.lock().unwrap().split(|byte| *byte == b'\n').count().saturating_sub(1);
        if u64::try_from(count).unwrap() + queue.dropped() == pushed {
            break;
        }
        assert!(Instant::now() < deadline, "{count} + {} of {pushed}", queue.dropped());
        std::thread::sleep(Duration::from_millis(10));
    }
}
