//! What a request and a connection cost, counted outside the program: system calls by strace, memory by /proc.

#![expect(clippy::unwrap_used, reason = "what cannot be measured has failed")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use gatefleet_test_support::raw::Connection;
use support::{Proxy, backend, local};

/// Calls that move bytes or wait for them.
const SOCKET_CALLS: [&str; 11] = [
    "read",
    "write",
    "readv",
    "writev",
    "recvfrom",
    "sendto",
    "recvmsg",
    "sendmsg",
    "epoll_wait",
    "epoll_pwait2",
    "epoll_ctl",
];

fn strace_works() -> bool {
    let tried = Command::new("strace").args(["-qq", "-c", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// How often each call was made while `work` ran, by attaching to the running program.
fn count_calls(id: u32, work: impl FnOnce()) -> BTreeMap<String, u64> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-qq", "-o"])
        .arg(file.path())
        .args(["-p", &id.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(700));
    work();
    support::signal_process(strace.id(), libc::SIGINT);
    strace.wait().unwrap();
    let table = fs::read_to_string(file.path()).unwrap();
    // Columns: % time, seconds, usecs/call, calls, [errors,] syscall.
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some(((*words.last()?).to_owned(), words.get(3)?.parse().ok()?))
    };
    table.lines().filter_map(row).filter(|(name, _): &(String, u64)| name != "total").collect()
}

#[test]
fn a_small_request_costs_at_most_four_socket_calls() {
    const REQUESTS: u32 = 2_000;
    if !strace_works() {
        assert!(std::env::var_os("CI").is_none(), "count calls: install strace");
        eprintln!("not counted: strace is not installed or may not attach");
        return;
    }
    let proxy = Proxy::start(backend("0123456789", Duration::ZERO), 1);
    let address = local(proxy.port);
    let mut clients: Vec<_> = (0..8).map(|_| Connection::open(address).unwrap()).collect();
    let mut ask = |requests: u32| {
        for index in 0..requests {
            let client = &mut clients[usize::try_from(index).unwrap() % 8];
            assert_eq!(client.get("a.example", "/", &[]).unwrap().status, 200);
        }
    };
    // Connections and buffers exist afterwards.
    ask(100);
    let calls = count_calls(proxy.child.id(), || ask(REQUESTS));
    let per_request = |name: &str| {
        calls
            .get(name)
            .map_or(0.0, |count| f64::from(u32::try_from(*count).unwrap()) / f64::from(REQUESTS))
    };
    let moving: f64 = SOCKET_CALLS
        .iter()
        .filter(|name| !name.starts_with("epoll"))
        .map(|name| per_request(name))
        .sum();
    eprintln!(
        "per request, one at a time: {moving:.2} calls that move bytes, {:.2} waits, {:.2} epoll_ctl; all: {calls:?}",
        per_request("epoll_wait") + per_request("epoll_pwait2"),
        per_request("epoll_ctl"),
    );
    // Both sides read and write once; the rest is the access log's writer and the sweep.
    assert!(moving <= 4.1, "{moving} calls per request: {calls:?}");
    assert!(moving >= 3.9, "too few to be true: {calls:?}");
    assert!(per_request("epoll_ctl") < 0.05, "connections are registered once: {calls:?}");
    for unwanted in ["getpid", "getsockopt", "setsockopt", "madvise", "futex", "clock_gettime"] {
        assert!(per_request(unwanted) < 0.1, "{unwanted} in the hot path: {calls:?}");
    }
}

#[test]
fn a_large_plain_body_does_not_enter_the_process() {
    const REQUESTS: u64 = 20;
    if !strace_works() {
        assert!(std::env::var_os("CI").is_none(), "count calls: install strace");
        eprintln!("not counted: strace is not installed or may not attach");
        return;
    }
    let body: &'static str = Box::leak("x".repeat(4 * 1024 * 1024).into_boxed_str());
    let proxy = Proxy::start(backend(body, Duration::ZERO), 1);
    let mut client = Connection::open(local(proxy.port)).unwrap();
    let mut ask = || assert_eq!(client.get("a.example", "/", &[]).unwrap().body.len(), body.len());
    ask();
    let calls = count_calls(proxy.child.id(), || (0..REQUESTS).for_each(|_| ask()));
    let made = |name: &str| calls.get(name).copied().unwrap_or_default();
    let copying = made("read") + made("recvfrom") + made("write") + made("sendto") + made("writev");
    // Heads, what came with them, and the log; 4 MiB by buffers of 32 KiB would be 256.
    assert!(copying <= 12 * REQUESTS, "{calls:?}");
    assert!(made("splice") >= 2 * REQUESTS, "{calls:?}");
}

/// Resident bytes of a process.
fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn an_idle_connection_is_small() {
    const CONNECTIONS: u64 = 400;
    let proxy = Proxy::start(backend("0123456789", Duration::ZERO), 1);
    let open = |count: u64| -> Vec<Connection> {
        (0..count)
            .map(|_| {
                let mut connection = Connection::open(local(proxy.port)).unwrap();
                connection.get("a.example", "/", &[]).unwrap();
                connection
            })
            .collect()
    };
    let _first = open(100);
    let before = resident(proxy.child.id());
    let _more = open(CONNECTIONS);
    let each = resident(proxy.child.id()).saturating_sub(before) / CONNECTIONS;
    eprintln!("an idle plaintext connection holds {each} bytes of resident memory");
    // Wide enough for an unoptimised build; a buffer kept per connection would show.
    assert!(each < 16 * 1024, "{each} bytes");
}
