//! A plain request on warm connections allocates nothing.
#![expect(unsafe_code, reason = "a counting allocator")]
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::{Cell, RefCell},
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream as StdStream},
    thread,
};

use gatefleet_http::{
    Checkout, ConnectError, Drain, Lease, Observer, Report, RequestSummary, Settings, Upstream,
    Upstreams, h1::Client, serve_connection,
};
use gatefleet_snapshot::v1;
use support::{Names, any_host, catch_all, engine, forward_rule, info, prefix};
use tokio::net::TcpStream;

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    let _ = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One endpoint, one pooled connection.
struct OneEndpoint {
    endpoint: SocketAddr,
    idle: RefCell<Option<Client<TcpStream>>>,
}

impl Upstreams for OneEndpoint {
    type Backend = String;
    type Connection = Client<TcpStream>;

    fn has_endpoints(&self, _: &String) -> bool {
        true
    }

    async fn checkout(
        &self,
        _: &String,
        _: &Checkout,
    ) -> Result<Lease<Client<TcpStream>>, ConnectError> {
        let endpoint = self.endpoint;
        if let Some(connection) = self.idle.take() {
            return Ok(Lease { connection, endpoint, reused: true });
        }
        let stream = TcpStream::connect(endpoint).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Ok(Lease { connection: Client::new(stream), endpoint, reused: false })
    }

    fn checkin(&self, _: &String, lease: Lease<Client<TcpStream>>, _: &Report) {
        if lease.connection.is_reusable() {
            self.idle.replace(Some(lease.connection));
        }
    }
}

/// Allocations of this thread at the end of each request.
struct Marks(RefCell<Vec<u64>>);

impl Observer for Marks {
    fn request_ended(&self, summary: &RequestSummary<'_>) {
        assert_eq!(summary.status, 200);
        self.0.borrow_mut().push(COUNT.get());
    }
}

const REQUESTS: usize = 60;
const WARM: usize = 20;

/// Allocations per request after warming up.
fn measure(host: v1::VirtualHost, request: &'static [u8], response: &'static [u8]) -> Vec<u64> {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = backend.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = backend.accept().unwrap();
        let mut buffer = vec![0; 65536];
        while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            stream.write_all(response).unwrap();
        }
    });
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = front.local_addr().unwrap();
    let client = thread::spawn(move || {
        let mut stream = StdStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut buffer = vec![0; 65536];
        for _ in 0..REQUESTS {
            stream.write_all(request).unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"end") && !answer.ends_with(b"0\r\n\r\n") {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&buffer[..count]);
            }
        }
    });
    let (stream, _) = front.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let engine = engine(Settings::default(), &[host], &Names(Default::default()));
    let upstreams = OneEndpoint { endpoint, idle: RefCell::new(None) };
    let marks = Marks(RefCell::new(Vec::with_capacity(REQUESTS)));
    let (info, drain) = (info(), Drain::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let io = TcpStream::from_std(stream).unwrap();
        serve_connection(io, &info, &engine, &upstreams, &marks, &drain).await;
    });
    client.join().unwrap();
    let marks = marks.0.into_inner();
    assert_eq!(marks.len(), REQUESTS);
    assert!(marks[0] > 0, "the counter counts");
    marks[WARM..].windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn plain_requests_allocate_nothing() {
    let get = b"GET /api/x?y=z HTTP/1.1\r\nHost: a.example\r\nUser-Agent: t\r\nAccept: */*\r\nCookie: a=b\r\n\r\n";
    let post = b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello";
    let sized = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nend";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nend\r\n0\r\n\r\n";
    let mut rules: Vec<v1::Rule> = (0..50).map(|n| forward_rule(&format!("r{n}"), "b")).collect();
    rules.push(forward_rule("all", "b"));
    let mut matches: Vec<v1::Match> = (0..50).map(|n| prefix(n, &format!("/api/{n}"))).collect();
    matches.push(prefix(50, "/"));
    for (name, host, request, response) in [
        ("GET", catch_all(), &get[..], &sized[..]),
        ("POST", catch_all(), post, sized),
        ("chunked", catch_all(), get, chunked),
        ("many rules", any_host(rules, matches), get, sized),
    ] {
        let allocations = measure(host, request, response);
        assert!(allocations.iter().all(|count| *count == 0), "{name}: {allocations:?}");
    }
}

#[test]
fn an_idle_connection_is_small() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let engine = engine(Settings::default(), &[], &Names(Default::default()));
        let upstreams = OneEndpoint {
            endpoint: SocketAddr::from(([127, 0, 0, 1], 1)),
            idle: RefCell::new(None),
        };
        let (info, drain) = (info(), Drain::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let io = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let future = serve_connection(io, &info, &engine, &upstreams, &(), &drain);
        let size = size_of_val(&future);
        assert!(size <= 2048, "{size} bytes");
    });
}
