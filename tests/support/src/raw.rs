//! A raw HTTP/1.1 client without retries: it counts every close, reset and short body that a real client
//! would hide. One thread and one connection each; a connection is opened anew only after it was lost.

use std::{
    fmt::{Debug, Write as _},
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustls::StreamOwned;

use crate::tls;

const DEADLINE: Duration = Duration::from_secs(10);

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    /// Content-Length or chunked, decoded.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as text; replacement characters for what is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a connection consists of: bytes both ways.
trait Stream: Read + Write + Debug + Send {}

impl<T: Read + Write + Debug + Send> Stream for T {}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

/// What lies under HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing: the bytes as they are.
    Tcp,
    /// TLS, with the host as server name. Any certificate will do.
    Tls,
}

impl Connection {
    /// Connects within ten seconds.
    ///
    /// # Errors
    ///
    /// When nobody answers.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: Box::new(connect(address)?), buffer: Vec::new() })
    }

    /// As [`Self::open`], with what is to lie under HTTP.
    ///
    /// # Errors
    ///
    /// When nobody answers, or the handshake fails.
    pub fn open_over(over: Over, address: SocketAddr, host: &str) -> io::Result<Self> {
        match over {
            Over::Tcp => Self::open(address),
            Over::Tls => {
                let mut stream = StreamOwned::new(tls::client_of_anybody(host)?, connect(address)?);
                while stream.conn.is_handshaking() {
                    stream.conn.complete_io(&mut stream.sock)?;
                }
                Ok(Self { stream: Box::new(stream), buffer: Vec::new() })
            }
        }
    }

    /// Sends these bytes as they are.
    ///
    /// # Errors
    ///
    /// When the connection is lost.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// `GET path` with these headers, and its answer.
    ///
    /// # Errors
    ///
    /// When the connection is lost or the answer is no HTTP.
    pub fn get(&mut self, host: &str, path: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        self.send(head.as_bytes())?;
        self.answer()
    }

    /// Reads one answer.
    ///
    /// # Errors
    ///
    /// When the connection ends before it is complete, or it is no HTTP.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no HTTP: {head}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.body(&answer)?;
        Ok(answer)
    }

    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        if answer.status < 200 || matches!(answer.status, 204 | 304) {
            return Ok(Vec::new());
        }
        if answer.header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return self.chunks();
        }
        match answer.header("content-length").and_then(|value| value.parse().ok()) {
            Some(length) => self.take(length),
            None => Ok(self.rest()),
        }
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size)?);
            self.line()?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// Exactly so many bytes.
    ///
    /// # Errors
    ///
    /// When the connection ends before.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn rest(&mut self) -> Vec<u8> {
        while self.fill().is_ok() {}
        std::mem::take(&mut self.buffer)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.buffer.extend_from_slice(&bytes[..read]);
                Ok(())
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request on a connection of its own.
///
/// # Errors
///
/// When nobody answers, or not in HTTP.
pub fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> io::Result<Answer> {
    Connection::open(address)?.get(host, path, headers)
}

/// What happened to the requests of a [`Load`].
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered as expected.
    pub good: AtomicU64,
    /// Answered otherwise.
    pub wrong: AtomicU64,
    /// Connections that ended while a request waited for its answer, or could not be opened.
    pub lost: AtomicU64,
    /// Connections that the peer announced to end.
    pub closed: AtomicU64,
    /// Connections that the peer ended between two requests without a word: a request may have been under way to it.
    pub dropped: AtomicU64,
}

impl Counts {
    /// Requests that did not get their answer.
    pub fn failed(&self) -> u64 {
        self.wrong.load(Ordering::SeqCst) + self.lost.load(Ordering::SeqCst)
    }

    /// Everything that a client without retries would notice.
    pub fn noticed(&self) -> u64 {
        let ended = self.closed.load(Ordering::SeqCst) + self.dropped.load(Ordering::SeqCst);
        self.failed() + ended
    }
}

/// What a [`Load`] sends, and what it takes for a good answer.
pub struct Plan {
    /// Where to.
    pub address: SocketAddr,
    /// Plain or encrypted.
    pub over: Over,
    /// `Host`.
    pub host: String,
    /// Path and query.
    pub path: String,
    /// Connections, each a thread.
    pub connections: usize,
    /// Pause between two requests of a connection.
    pub pause: Duration,
    /// Whether an answer is good.
    pub good: fn(&Answer) -> bool,
}

/// Keep-alive connections that send requests until they are stopped (at the latest after two minutes).
pub struct Load {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts sending.
    pub fn start(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let (counts, stop) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
        let threads = (0..plan.connections)
            .map(|_| {
                let (plan, counts, stop) =
                    (Arc::clone(&plan), Arc::clone(&counts), Arc::clone(&stop));
                std::thread::spawn(move || send_until(&plan, &counts, &stop))
            })
            .collect();
        Self { counts, stop, threads }
    }

    /// The counts so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Stops, and tells what happened.
    pub fn stop(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            let _ = thread.join();
        }
        self.counts
    }
}

fn send_until(plan: &Plan, counts: &Counts, stop: &AtomicBool) {
    let end = Instant::now() + Duration::from_mins(2);
    let mut connection = None;
    while !stop.load(Ordering::SeqCst) && Instant::now() < end {
        let fresh = connection.is_none();
        let opened = connection
            .take()
            .map_or_else(|| Connection::open_over(plan.over, plan.address, &plan.host), Ok);
        let Ok(mut open) = opened else {
            counts.lost.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(plan.pause);
            continue;
        };
        match open.get(&plan.host, &plan.path, &[]) {
            Ok(answer) => {
                let good = (plan.good)(&answer);
                let counter = if good { &counts.good } else { &counts.wrong };
                counter.fetch_add(1, Ordering::SeqCst);
                if answer.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close")) {
                    counts.closed.fetch_add(1, Ordering::SeqCst);
                } else {
                    connection = Some(open);
                }
            }
            // Nothing of an answer on a used connection: the peer ended it while it was idle.
            Err(_) if !fresh && open.buffer.is_empty() => {
                counts.dropped.fetch_add(1, Ordering::SeqCst);
            }
            Err(_) => {
                counts.lost.fetch_add(1, Ordering::SeqCst);
            }
        }
        std::thread::sleep(plan.pause);
    }
}
