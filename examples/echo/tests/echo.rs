//! The built binary, spoken to over a socket.
#![expect(clippy::unwrap_used, reason = "a failed step is the test's failure")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Echo {
    process: Child,
    port: u16,
}

impl Echo {
    fn start(arguments: &[&str]) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut process = Command::new(env!("CARGO_BIN_EXE_gatefleet-echo"))
            .args(arguments)
            .env("PORT", port.to_string())
            .env("GATEFLEET_BIND", "127.0.0.1")
            .env("HOSTNAME", "pod-1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(first.starts_with("listening on 127.0.0.1:"), "{first}");
        Self { process, port }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn get(&self, target: &str) -> String {
        self.ask(&format!("GET {target} HTTP/1.1\r\nhost: test.com\r\nconnection: close\r\n\r\n"))
    }

    fn terminate(&self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn answers_as_the_table_says() {
    let echo = Echo::start(&["--text", "version: v1"]);
    let cases = [
        ("/version", "HTTP/1.1 200", "\r\n\r\nversion: v1\n"),
        ("/healthz", "HTTP/1.1 200", "\r\n\r\nok\n"),
        ("/x?status=418", "HTTP/1.1 418", "version: v1\n"),
        ("/x?bytes=5", "content-length: 5", "\r\n\r\nxxxxx"),
        ("/x?bytes=4&delay_ms=20", "content-length: 4", "\r\n\r\nxxxx"),
        ("/x?bytes=3&chunked", "transfer-encoding: chunked", "3\r\nxxx\r\n0\r\n\r\n"),
        ("/echo?a=b", "application/json", "\"path\": \"/echo\""),
        ("/echo", "x-pod: pod-1", "\"host\": \"test.com\""),
    ];
    for (target, head, body) in cases {
        let answer = echo.get(target);
        assert!(answer.contains(head) && answer.contains(body), "{target}: {answer}");
    }
    let answer = echo.ask(
        "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello",
    );
    assert!(answer.contains("\"body\": \"hello\""), "{answer}");
}

#[test]
fn echoes_websocket_frames() {
    let echo = Echo::start(&[]);
    let mut stream = echo.connect();
    stream
        .write_all(
            b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        reader.read_line(&mut head).unwrap();
    }
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    stream.write_all(b"\x81\x82\x00\x00\x00\x00hi").unwrap();
    let mut frame = [0; 4];
    reader.read_exact(&mut frame).unwrap();
    assert_eq!(&frame, b"\x81\x02hi");
}

#[test]
fn accepts_while_it_drains_and_finishes_what_is_in_flight() {
    let mut echo = Echo::start(&["--drain-ms", "300"]);
    let mut slow = echo.connect();
    slow.write_all(b"GET /?bytes=10&delay_ms=600 HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut idle = echo.connect();
    std::thread::sleep(std::time::Duration::from_millis(50));
    echo.terminate();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(echo.get("/").contains("200 OK"), "a new connection is served while draining");
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    idle.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("connection: close"), "{answer}");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("xxxxxxxxxx"), "{answer}");
    assert!(echo.process.wait().unwrap().success());
}

#[test]
fn a_taken_port_is_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatefleet-echo"))
        .args(["--address", "127.0.0.1", "--port", &taken.local_addr().unwrap().port().to_string()])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("cannot listen on 127.0.0.1:"), "{text}");
}
