//! What a client sees of Ingresses: manifests are translated by `gatefleet translate`, served by `gatefleet-proxy`, and
//! asked over a socket. The cases are data: `tests/golden/served/*.yaml`, all in one proxy, each with its own hosts.
#![expect(clippy::unwrap_used, reason = "what cannot be started or read must fail the test")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    programs::{checkout, program},
    raw,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// One case: objects, and what requests for their hosts get.
struct Case {
    file: String,
    objects: Vec<Value>,
    requests: Vec<Value>,
}

fn cases() -> Vec<Case> {
    let dir = checkout().join("tests/golden/served");
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let case: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let list = |field: &str| case[field].as_array().unwrap().clone();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        Case { file, objects: list("objects"), requests: list("requests") }
    };
    files.iter().map(read).collect()
}

/// A backend that says its name, the path that it sees, and what it is told about an error. It lives as long as the test. A path may ask it to fail:
/// `/503-at-NAME`, `/slow-at-NAME`.
fn backend(name: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, name));
        }
    });
    port
}

fn answer(mut stream: TcpStream, name: &str) {
    let (mut head, mut chunk) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(length) if length > 0 => head.extend_from_slice(&chunk[..length]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path.contains(&format!("slow-at-{name}")) {
        thread::sleep(Duration::from_secs(5));
    }
    let fails = path.contains(&format!("503-at-{name}"));
    let line = if fails { "503 Service Unavailable" } else { "200 OK" };
    let said = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let told = ["x-code", "x-original-uri", "x-ingress-name"].map(said).into_iter().flatten();
    let host = (path == "/host").then(|| said("host")).flatten();
    let body = [name, path].into_iter().chain(told).chain(host).collect::<Vec<_>>().join(" ");
    let length = body.len();
    let reply =
        format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
    // A client that went away is the client's affair.
    drop(stream.write_all(reply.as_bytes()));
}

/// The fleet, Services with one endpoint each, and one with all of them.
fn world(listener: u16, backends: [(&str, u16); 2]) -> Vec<Value> {
    let mut objects = vec![json!({
        "apiVersion": "gatefleet.dev/v1alpha1", "kind": "GatewayConfig", "metadata": {"name": "all", "namespace": "edge"},
        "spec": {"ingress": {"ingressClass": ""},
                 "northSouth": {"clientIPDetection": {"trustedProxies": ["127.0.0.0/8"]},
                                "listeners": [{"name": "http", "port": listener, "protocol": "HTTP"}]}},
    })];
    let alone = backends.map(|(name, port)| (name, vec![port]));
    let both = ("both", backends.map(|(_, port)| port).to_vec());
    for (name, ports) in alone.into_iter().chain([both]) {
        objects.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"ports": [{"name": "http", "port": 80}]},
        }));
        let slice = |port: u16| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": format!("{name}-{port}"), "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
                "ports": [{"name": "http", "port": port}], "endpoints": [{"addresses": ["127.0.0.1"]}],
            })
        };
        objects.extend(ports.into_iter().map(slice));
    }
    objects
}

/// A proxy that ends with the test.
struct Proxy(Child);

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn serve(home: &TempDir, cases: &[Case]) -> (Proxy, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut objects = world(listener.port(), [("v1", backend("v1")), ("v2", backend("v2"))]);
    objects.extend(cases.iter().flat_map(|case| case.objects.clone()));
    let (manifests, snapshot) = (home.path().join("manifests"), home.path().join("snapshot.json"));
    fs::create_dir(&manifests).unwrap();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    fs::write(manifests.join("all.json"), list.to_string()).unwrap();
    let translated = Command::new(program("gatefleet"))
        .args([
            "translate".as_ref(),
            manifests.as_os_str(),
            "--snapshot".as_ref(),
            snapshot.as_os_str(),
        ])
        .output()
        .unwrap();
    assert!(snapshot.is_file(), "{}", String::from_utf8_lossy(&translated.stderr));
    let proxy = Command::new(program("gatefleet-proxy"))
        .args([
            "--bind",
            "127.0.0.1",
            "--threads",
            "1",
            "--status-port",
            "0",
            "--admin-port",
            "0",
            "--snapshot",
        ])
        .arg(&snapshot)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let proxy = Proxy(proxy);
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(listener).is_err() {
        assert!(Instant::now() < end, "the proxy does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    (proxy, listener)
}

/// What differs between the answer and what `request` expects.
fn ask(address: SocketAddr, request: &Value) -> Option<String> {
    let text = |field: &str| request[field].as_str().unwrap_or_default();
    let headers: BTreeMap<String, String> =
        serde_json::from_value(request.get("headers").cloned().unwrap_or_else(|| json!({})))
            .unwrap();
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = match text("body") {
        "" => raw::get(address, text("host"), text("path"), &headers).unwrap(),
        body => {
            let length = body.len();
            let head = format!(
                "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-length: {length}\r\n\r\n{body}",
                text("path"),
                text("host")
            );
            let mut connection = raw::Connection::open(address).unwrap();
            connection.send(head.as_bytes()).unwrap();
            connection.answer().unwrap()
        }
    };
    let got = match answer.status {
        200 => answer.text(),
        status => match answer.header("location") {
            Some(location) => format!("{status} {location}"),
            None => status.to_string(),
        },
    };
    // Only the port that this run happens to have.
    let got = got.replace(&format!(":{}", address.port()), "");
    let wanted = text("gets");
    let said: BTreeMap<String, Option<String>> =
        serde_json::from_value(request.get("has").cloned().unwrap_or_else(|| json!({}))).unwrap();
    let wrong = said.iter().find(|(name, value)| answer.header(name) != value.as_deref());
    if let Some((name, _)) = wrong {
        return Some(format!("{request} got {name}: {:?}", answer.header(name)));
    }
    let fits = got == wanted || (!wanted.contains(' ') && got.split(' ').next() == Some(wanted));
    (!fits).then(|| format!("{request} got {got:?}"))
}

#[test]
fn clients_get_what_ingresses_say() {
    let (home, cases) = (TempDir::new().unwrap(), cases());
    let (_proxy, address) = serve(&home, &cases);
    let mut wrong = Vec::new();
    for case in &cases {
        for request in &case.requests {
            wrong.extend(ask(address, request).map(|said| format!("{}: {said}", case.file)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 10 && cases.iter().map(|case| case.requests.len()).sum::<usize>() >= 60);
}
