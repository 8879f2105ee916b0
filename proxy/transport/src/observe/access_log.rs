//! The access log: lines are formed on the request's thread, collected there, handed over without
//! waiting, and written by a thread of their own. When that one is behind, lines are dropped and counted.

use std::{
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gatefleet_http::RequestSummary;

use crate::compile::AccessLogFormat;

mod json;
mod text;

pub use json::FIELDS;
pub use text::TEXT_FORM;

/// Lines are handed over when this many bytes are collected (or at the next sweep): each hand-over wakes the writer.
const CHUNK: usize = 32 * 1024;
/// Chunks that wait for the writer; with [`CHUNK`] it bounds the memory of the log.
const CHUNKS_WAITING: usize = 128;
/// Empty chunks that are kept for reuse.
const CHUNKS_SPARE: usize = 32;

/// The way to the writer.
#[derive(Debug)]
pub(super) struct LogQueue {
    sender: SyncSender<Order>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    dropped: AtomicU64,
}

/// What the writer is told.
#[derive(Debug)]
enum Order {
    Write(Vec<u8>),
    /// Answer when everything before is written.
    Answer(SyncSender<()>),
}

impl LogQueue {
    pub(super) fn start(sink: Box<dyn Write + Send>) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(CHUNKS_WAITING);
        let spare = Arc::default();
        let returns = Arc::clone(&spare);
        std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(sink, &receiver, &returns))?;
        Ok(Self { sender, spare, dropped: AtomicU64::new(0) })
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything that was handed over is written, at most for `limit`.
    pub(super) fn settle(&self, limit: Duration) {
        let (answer, answered) = sync_channel(1);
        // A full queue has lost lines already; the end of the process does not wait for more.
        if self.sender.try_send(Order::Answer(answer)).is_ok() {
            let _ = answered.recv_timeout(limit);
        }
    }

    fn fresh(&self) -> Vec<u8> {
        let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(CHUNK.saturating_mul(2)))
    }
}

fn write(mut sink: Box<dyn Write + Send>, orders: &Receiver<Order>, spare: &Mutex<Vec<Vec<u8>>>) {
    while let Ok(order) = orders.recv() {
        let mut chunk = match order {
            Order::Write(chunk) => chunk,
            Order::Answer(answer) => {
                let _ = answer.send(());
                continue;
            }
        };
        // Nobody reads: the log is lost, the proxy goes on.
        let _ = sink.write_all(&chunk).and_then(|()| sink.flush());
        chunk.clear();
        if let Ok(mut spare) = spare.try_lock()
            && spare.len() < CHUNKS_SPARE
        {
            spare.push(chunk);
        }
    }
}

/// Lines that one thread has not handed over yet.
#[derive(Debug)]
pub(super) struct Lines {
    queue: Arc<LogQueue>,
    bytes: Vec<u8>,
    count: u64,
    clock: Clock,
}

impl Lines {
    pub(super) fn new(queue: Arc<LogQueue>) -> Self {
        Self { queue, bytes: Vec::new(), count: 0, clock: Clock::default() }
    }

    pub(super) fn push(&mut self, format: AccessLogFormat, summary: &RequestSummary<'_>) {
        let now = self.clock.now();
        match format {
            AccessLogFormat::Json => json::write(&mut self.bytes, &now, summary),
            AccessLogFormat::Text => text::write(&mut self.bytes, &now, summary),
        }
        self.count = self.count.saturating_add(1);
        if self.bytes.len() >= CHUNK {
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let lines = std::mem::replace(&mut self.bytes, self.queue.fresh());
        if self.queue.sender.try_send(Order::Write(lines)).is_err() {
            self.queue.dropped.fetch_add(self.count, Ordering::Relaxed);
        }
        self.count = 0;
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Formats the time once a second, not once a line.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

/// A point in time, ready to be written.
struct Moment<'a> {
    /// "2026-11-20T08:15:30"
    second: &'a str,
    millisecond: u32,
}

impl Clock {
    fn now(&mut self) -> Moment<'_> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = jiff::Timestamp::from_second(second)
                .map(|t| t.strftime("%Y-%m-%dT%H:%M:%S").to_string())
                .unwrap_or_default();
        }
        Moment { second: &self.text, millisecond: since.subsec_millis() }
    }
}

/// Milliseconds with three decimals.
fn push_milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let micros = super::shard::whole_micros(duration);
    let (whole, rest) =
        (micros.checked_div(1000).unwrap_or(0), micros.checked_rem(1000).unwrap_or(0));
    push_number(out, whole);
    push_thousandth(out, u32::try_from(rest).unwrap_or_default());
}

/// ".007": a number below 1000 behind the point.
fn push_thousandth(out: &mut Vec<u8>, thousandths: u32) {
    out.push(b'.');
    for place in [100, 10, 1] {
        let digit = thousandths.checked_div(place).unwrap_or(0).checked_rem(10).unwrap_or(0);
        out.push(b'0'.saturating_add(u8::try_from(digit).unwrap_or(0)));
    }
}

fn push_number(out: &mut Vec<u8>, number: impl Into<u64>) {
    out.extend_from_slice(itoa::Buffer::new().format(number.into()).as_bytes());
}

fn push_ip(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else { return push(out, address) };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        push_number(out, octet);
    }
}

fn push_endpoint(out: &mut Vec<u8>, endpoint: SocketAddr) {
    if endpoint.is_ipv6() {
        return push(out, endpoint);
    }
    push_ip(out, endpoint.ip());
    out.push(b':');
    push_number(out, endpoint.port());
}

/// Whether a value may stand in a line as it is: most of what is logged.
fn is_plain(value: &[u8]) -> bool {
    value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

/// Writes anything that displays; slower than the others.
fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing into a vector cannot fail.
    let _ = write!(out, "{value}");
}

#[cfg(test)]
mod tests;
