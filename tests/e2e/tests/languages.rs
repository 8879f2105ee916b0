//! The route model carries more than Ingress says: the twelve hand-written tables of `operator/lower/tests/languages.rs`,
//! as snapshots, in the real proxy. Each is served as it is meant, or what cannot be served yet is refused by name.
#![expect(clippy::unwrap_used, reason = "what cannot be started or read must fail the test")]

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    programs::{checkout, program},
    raw,
};
use serde_json::{Value, json};

/// What a case must show.
enum Shows {
    /// Of four hundred requests for this host and path, so many got each status or text.
    Answers(&'static str, &'static str, &'static [(&'static str, usize)]),
    /// The proxy names this resource and this reason.
    Refuses(&'static str, &'static str),
}
use Shows::{Answers, Refuses};

const CASES: &[(&str, Shows)] = &[
    (
        "backend-reference-filters",
        Answers("shop.example", "/", &[("v1", 360), ("v2 x-version=2", 40)]),
    ),
    ("client-authority-per-port", Refuses("listener/lenient", "use REQUIRED or none")),
    ("host-wide-regex", Answers("shop.example", "/ID/7/more", &[("v1", 400)])),
    ("invalid-backend-weight", Answers("shop.example", "/", &[("500", 100), ("v1", 300)])),
    ("listener-isolation", Refuses("listener/b", "different scopes on one port")),
    ("mirror", Refuses("virtual-host/tier/shop.example", "http.mirror")),
    ("mixed-tls-modes", Refuses("listener/pass", "listener.tls")),
    ("status-per-ancestor", Answers("shop.example", "/", &[("old", 400)])),
    ("subsets", Answers("shop.example", "/", &[("503", 400)])),
    ("tcp", Refuses("listener/l4", "listener.tcp")),
    // Its backend wants TLS and ours speaks none: a handshake must fail, never fall back to plaintext.
    ("tls-per-backend-port", Answers("shop.example", "/secure", &[("502", 400)])),
    ("tls-per-backend-port", Answers("shop.example", "/plain", &[("v1", 400)])),
    ("udp", Refuses("listener/l4", "listener.udp")),
];

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A backend that says its name, and what a filter told it.
fn backend(name: &str) -> u16 {
    use std::io::Write as _;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = name.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let name = name.clone();
            std::thread::spawn(move || {
                let (mut head, mut bytes) = (String::new(), [0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut bytes) {
                    // The first byte of a TLS handshake: this backend speaks none.
                    if bytes.first() == Some(&0x16) {
                        return;
                    }
                    head.push_str(&String::from_utf8_lossy(&bytes[..read]));
                    if !head.ends_with("\r\n\r\n") {
                        continue;
                    }
                    let marked = head.contains("x-version: 2");
                    let body = if marked { format!("{name} x-version=2") } else { name.clone() };
                    let length = body.len();
                    let answer =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                    head.clear();
                }
            });
        }
    });
    port
}

/// The snapshot with backends and ports of this machine, and a listener if it has none.
fn localised(case: &str, port: u16) -> Value {
    let file = checkout().join(format!("tests/golden/languages/{case}.yaml"));
    let mut snapshot: Value = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let resources = snapshot["resources"].as_array_mut().unwrap();
    for resource in resources.iter_mut() {
        // Content changes, so the reader must compute versions anew.
        resource.as_object_mut().unwrap().remove("version");
        let name = resource["name"].as_str().unwrap().to_owned();
        let endpoints = resource.pointer_mut("/endpoints/endpoints").and_then(Value::as_array_mut);
        for endpoint in endpoints.into_iter().flatten() {
            endpoint["addresses"] = json!(["127.0.0.1"]);
            endpoint["port"] = json!(backend(name.split('/').nth(2).unwrap()));
        }
    }
    if !resources.iter().any(|resource| resource["name"].as_str().unwrap().starts_with("listener/"))
    {
        let scope = resources.iter().find_map(|resource| resource["virtualHost"]["scope"].as_str());
        let scope = scope.unwrap_or("tier").to_owned();
        resources.push(json!({ "name": "listener/test", "listener": {
            "owner": "Tier", "scope": scope, "advertisedPort": 80, "bindPort": port, "protocol": "HTTP",
        } }));
    }
    snapshot
}

struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(file: &std::path::Path, log: &std::path::Path) -> Proxy {
    let log = fs::File::create(log).unwrap();
    let child = Command::new(program("gatefleet-proxy"))
        .args([
            "--threads=1",
            "--bind=127.0.0.1",
            "--status-port=0",
            "--admin-port=0",
            "--snapshot",
        ])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    Proxy(child)
}

fn within<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn twelve_tables_are_served_or_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    for (case, shows) in CASES {
        let (file, log) =
            (home.path().join(format!("{case}.json")), home.path().join(format!("{case}.log")));
        let port = free_port();
        fs::write(&file, localised(case, port).to_string()).unwrap();
        let _proxy = start(&file, &log);
        let said = || fs::read_to_string(&log).unwrap();
        match shows {
            Refuses(resource, reason) => {
                let named =
                    || said().lines().any(|line| line.contains(resource) && line.contains(reason));
                within(&format!("{case} does not refuse {resource}: {reason}"), || {
                    named().then_some(())
                });
            }
            Answers(host, path, expected) => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                within(&format!("{case} does not answer"), || {
                    raw::get(address, host, path, &[]).ok()
                });
                let mut counts = BTreeMap::<String, usize>::new();
                let mut connection = raw::Connection::open(address).unwrap();
                for _ in 0..400 {
                    let answer = connection.get(host, path, &[]).unwrap();
                    let text = if answer.status == 200 {
                        answer.text()
                    } else {
                        answer.status.to_string()
                    };
                    *counts.entry(text).or_default() += 1;
                }
                // Weights are drawn: five standard deviations of the widest share here.
                let near = |(text, wanted): &(&str, usize)| {
                    counts.get(*text).is_some_and(|got| got.abs_diff(*wanted) <= 45)
                };
                let as_meant = counts.len() == expected.len() && expected.iter().all(near);
                assert!(as_meant, "{case}: {counts:?} instead of {expected:?}\n{}", said());
            }
        }
    }
}
