//! The program as its users meet it: files, ports, signals, sentences.

mod support;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    thread,
    time::{Duration, Instant},
};

use gatefleet_test_support::raw::{Connection, get};
use serde_json::{Value, json};
use support::{Proxy, backend, free_port, local, run, snapshot, write};

const AT_ONCE: Duration = Duration::ZERO;

#[test]
fn a_snapshot_file_is_served_and_followed() {
    let (one, two) = (backend("one", AT_ONCE), backend("two", AT_ONCE));
    let mut proxy = Proxy::start(one, 2);
    let port = proxy.port;
    let mut client = Connection::open(local(port)).unwrap();
    assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "one");

    write(&proxy.snapshot(), &snapshot(port, two, &[]));
    proxy.wait_until("the change is served", |_| {
        get(local(port), "a.example", "/", &[]).unwrap().text() == "two"
    });
    assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "two", "the same connection");

    fs::write(proxy.snapshot(), "{\"schemaVersion\": 1, \"resour").unwrap();
    proxy.wait_until("the torn file is reported", |proxy| proxy.errors().contains("snapshot.json"));
    thread::sleep(Duration::from_millis(700));
    assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "two");

    let broken = json!({ "name": "backend/b", "backend": { "appProtocol": "H2C" } });
    let mut next = snapshot(port, two, &[]);
    next["resources"][3] = broken;
    write(&proxy.snapshot(), &next);
    proxy.wait_until("the refusal is logged", |proxy| proxy.errors().contains("backend.h2c"));
    assert_eq!(client.get("a.example", "/", &[]).unwrap().text(), "two", "the last good version");
}

#[test]
fn every_request_is_logged_once() {
    let mut proxy = Proxy::start(backend("one", AT_ONCE), 2);
    for index in 0..20 {
        get(local(proxy.port), "a.example", &format!("/{index}"), &[]).unwrap();
    }
    proxy.signal(libc::SIGINT);
    assert!(proxy.child.wait().unwrap().success());
    let log = proxy.access_log();
    let mut paths: Vec<String> = log
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["path"].as_str().unwrap().to_owned()
        })
        .collect();
    paths.sort_by_key(|path| path.trim_start_matches('/').parse::<u32>().unwrap());
    let expected: Vec<String> = (0..20).map(|index| format!("/{index}")).collect();
    assert_eq!(paths, expected);
}

#[test]
fn sigterm_drains_in_two_parts() {
    let mut proxy = Proxy::start(backend("slow", Duration::from_millis(900)), 2);
    let port = proxy.port;
    let mut idle = Connection::open(local(port)).unwrap();
    idle.get("a.example", "/", &[]).unwrap();
    let in_flight = thread::spawn(move || get(local(port), "a.example", "/", &[]));
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    proxy.signal(libc::SIGTERM);

    proxy.wait_until("it is not ready", |proxy| {
        let answer = get(proxy.status, "x", "/readyz", &[]).unwrap();
        answer.status == 503 && answer.text().contains("draining")
    });
    // Within the delay (500 ms) new connections are still taken, and told to go.
    let late = thread::spawn(move || get(local(port), "a.example", "/", &[]));
    let answer = in_flight.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    let answer = late.join().unwrap().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(idle.get("a.example", "/", &[]).is_err(), "idle connections end with the delay");
    assert!(Connection::open(local(port)).is_err(), "nothing new is taken");
    assert!(proxy.child.wait().unwrap().success());
    let took = began.elapsed();
    assert!(took > Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_secs(3), "it ended with the last request: {took:?}");
}

#[test]
fn a_second_signal_hurries() {
    let mut proxy = Proxy::start(backend("slow", Duration::from_secs(30)), 1);
    let port = proxy.port;
    let client = thread::spawn(move || get(local(port), "a.example", "/", &[]).is_err());
    thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    proxy.signal(libc::SIGTERM);
    thread::sleep(Duration::from_millis(100));
    proxy.signal(libc::SIGTERM);
    assert!(proxy.child.wait().unwrap().success());
    let took = began.elapsed();
    assert!(took < Duration::from_millis(2_500), "{took:?}");
    assert!(client.join().unwrap(), "the request was cut");
}

#[test]
fn the_status_port_answers_three_paths() {
    let proxy = Proxy::start(backend("one", AT_ONCE), 2);
    get(local(proxy.port), "a.example", "/", &[]).unwrap();
    for (path, status) in
        [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/config_dump", 404), ("/", 404)]
    {
        assert_eq!(get(proxy.status, "x", path, &[]).unwrap().status, status, "{path}");
    }
    let metrics = get(proxy.status, "x", "/metrics", &[]).unwrap().text();
    for line in [
        "gatefleet_requests_total{rule=\"Ingress/test/web/0\",backend=\"backend/b\",status_class=\"2\"} 1",
        "gatefleet_upstream_connects_total{backend=\"backend/b\"} 1",
        "gatefleet_config_installs_total 1",
        "gatefleet_config_resources{outcome=\"installed\"} 5",
        "gatefleet_ready 1",
    ] {
        assert!(metrics.lines().any(|one| one == line), "no {line} in\n{metrics}");
    }
}

#[test]
fn admin_shows_everything_but_secrets() {
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
    let chain = chain.self_signed(&key).unwrap().pem();
    let secret = key.serialize_pem();
    let certificate = json!({ "name": "certificate/a",
        "certificate": { "chain": chain, "privateKey": secret } });
    let proxy = Proxy::start_with(
        backend("one", AT_ONCE),
        2,
        &[certificate],
        &mut std::process::Command::new(support::PROGRAM),
    );
    let secret_line = secret.lines().nth(1).unwrap();
    for (path, expected) in [
        ("/config_dump", "\"[redacted]\""),
        ("/config_dump", "virtual-host/tier/any"),
        ("/config_dump", "BEGIN CERTIFICATE"),
        ("/listeners", "listener/http"),
        ("/clusters", "backend/b"),
        ("/certs", "a.example"),
        ("/logging", "info"),
    ] {
        let answer = get(proxy.admin, "x", path, &[]).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().contains(expected), "{path}: {}", answer.text());
        assert!(!answer.text().contains(secret_line), "{path} shows a private key");
        assert!(!answer.text().contains("PRIVATE KEY"), "{path} shows a private key");
    }
    assert!(!proxy.errors().contains(secret_line), "the log shows a private key");

    let socket = proxy.dir.path().join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let dir = proxy.dir.path().to_str().unwrap();
    let asked = run(&["admin", "/clusters", "--state-dir", dir]);
    assert!(asked.status.success());
    assert!(String::from_utf8_lossy(&asked.stdout).contains("backend/b"));
    assert!(!run(&["admin", "/nonsense", "--state-dir", dir]).status.success());
    let asked = run(&["admin", "/logging?filter=debug", "--method", "post", "--state-dir", dir]);
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "debug");
}

#[test]
fn what_goes_wrong_at_the_start_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        path(name)
    };
    let taken = TcpListener::bind(local(0)).unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let free = [free_port().to_string(), free_port().to_string()];
    let good = snapshot(taken.parse().unwrap(), local(1), &[]).to_string();
    let good = file("good.json", &good);
    let ports = ["--status-port", &free[0], "--admin-port", &free[1], "--bind", "127.0.0.1"];
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &["--bootstrap FILE", "--snapshot FILE"]),
        (&["--snapshot", &path("missing")], &["missing", "No such file"]),
        (
            &["--snapshot", &file("bad.yaml", "schemaVersion: 1\nresources:\n  - name: [\n")],
            &["bad.yaml", "line"],
        ),
        (&["--bootstrap", &path("missing")], &["missing"]),
        (&["--bootstrap", &file("boot.json", "{}")], &["boot.json", "line 1"]),
        (&["--snapshot", &good], &["listener/http", &taken, "in use", "choose another port"]),
        (
            &["--snapshot", &good, "--status-port", &taken],
            &["status port", &taken, "in use", "--status-port"],
        ),
        (&["admin", "/clusters", "--state-dir", &path("nowhere")], &["admin.sock", "--state-dir"]),
    ];
    for (arguments, parts) in cases {
        let mut all = arguments.to_vec();
        for pair in ports.chunks(2) {
            if all.first() != Some(&"admin") && !all.contains(&pair[0]) {
                all.extend(pair);
            }
        }
        let ended = run(&all);
        let errors = String::from_utf8_lossy(&ended.stderr);
        let sentence = errors.lines().last().unwrap_or_default();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(sentence.starts_with("error: "), "{arguments:?}: {errors}");
        for part in *parts {
            assert!(sentence.contains(part), "{arguments:?} does not say {part:?}: {errors}");
        }
    }
}

#[test]
fn a_lack_of_descriptors_does_not_end_the_accepting() {
    let shell = "ulimit -n 64; exec \"$0\" \"$@\"";
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", shell, support::PROGRAM]);
    let proxy = Proxy::start_with(backend("one", AT_ONCE), 1, &[], &mut limited);
    let held: Vec<_> = (0..100).map(|_| Connection::open(local(proxy.port)).unwrap()).collect();
    thread::sleep(Duration::from_millis(300));
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(10);
    while get(local(proxy.port), "a.example", "/", &[]).is_err() {
        assert!(Instant::now() < deadline, "it accepts no more: {}", proxy.errors());
    }
    let metrics = get(proxy.status, "x", "/metrics", &[]).unwrap().text();
    let failed = metrics.lines().find_map(|l| l.strip_prefix("gatefleet_accept_failures_total "));
    assert!(failed.unwrap().parse::<u64>().unwrap() > 0, "descriptors never ran out");
    assert!(proxy.errors().contains("Too many open files"), "{}", proxy.errors());
}

#[test]
fn connections_beyond_the_limit_wait_their_turn() {
    let tier = json!({ "name": "tier", "tier": { "limits": { "maxConnections": 3 } } });
    let address = backend("one", AT_ONCE);
    let mut proxy = Proxy::start(address, 1);
    let mut limited = snapshot(proxy.port, address, &[]);
    limited["resources"][0] = tier;
    write(&proxy.snapshot(), &limited);
    proxy.wait_until("the limit is installed", |proxy| {
        get(proxy.status, "x", "/metrics", &[]).unwrap().text().contains("config_installs_total 2")
    });
    let port = proxy.port;
    let mut held: Vec<_> = (0..3).map(|_| Connection::open(local(port)).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(connection.get("a.example", "/", &[]).unwrap().status, 200);
    }
    let waiting = thread::spawn(move || get(local(port), "a.example", "/", &[]).unwrap().status);
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished(), "the fourth is served beside three");
    held.pop();
    assert_eq!(waiting.join().unwrap(), 200);
}
