//! What one request costs: requests per second of CPU time of the proxy, beside nginx in the same run. Figures, no
//! verdicts; `make bench` prints them. Both proxies run one thread on the first core and write an access log; loader and
//! backend have the second. The rounds alternate, so that whatever else the machine does falls on both.
#![expect(clippy::unwrap_used, reason = "a comparison without its peer must fail")]

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use gatefleet_test_support::raw;
use gatefleet_tests_e2e::{Alone, HOST, packages::installed, processes};
use serde_json::json;
use tempfile::TempDir;

const ROUNDS: usize = 5;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 32;
const PROXY_CORE: &str = "0";
const LOADER_CORE: &str = "1";
/// `USER_HZ`, the unit of /proc/PID/stat.
const TICKS_PER_SECOND: f64 = 100.0;
/// What is fetched: its name, and its size in bytes.
const BODIES: [(&str, usize); 3] = [("1k", 1 << 10), ("64k", 1 << 16), ("1m", 1 << 20)];

/// An nginx of one worker.
struct Nginx {
    child: Child,
    address: SocketAddr,
    _home: TempDir,
}

impl Nginx {
    /// Runs `server` (the inside of an http block, `LISTEN` standing for its address) on files of `home`.
    fn start(home: TempDir, log: &str, server: &str) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let path = home.path().display();
        let text = format!(
            "daemon off; worker_processes 1; user root; pid {path}/pid; error_log {path}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log {log}; keepalive_requests 1000000; sendfile on; tcp_nodelay on; {} }}\n",
            server.replace("LISTEN", &free.to_string())
        );
        let config = home.path().join("nginx.conf");
        fs::write(&config, text).unwrap();
        let arguments = [Path::new("-c"), &config, Path::new("-p"), home.path()];
        let mut nginx = Command::new(installed("nginx", "nginx-light"));
        let child = nginx.args(arguments).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, address: free, _home: home };
        let answers = || raw::get(free, HOST, "/1k", &[]).is_ok_and(|answer| answer.status == 200);
        let up = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            answers()
        });
        assert!(up, "nginx does not answer on {free}");
        nginx
    }

    /// The worker: the master does nothing.
    fn worker(&self) -> u32 {
        let master = i32::try_from(self.child.id()).unwrap();
        u32::try_from(processes::descendants(master)[0].pid).unwrap()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        processes::signal(i32::try_from(self.child.id()).unwrap_or_default(), libc::SIGTERM);
        let _ = self.child.wait();
    }
}

fn backend() -> Nginx {
    let home = tempfile::tempdir().unwrap();
    for (name, size) in BODIES {
        fs::write(home.path().join(name), vec![b'x'; size]).unwrap();
    }
    let root = home.path().display().to_string();
    Nginx::start(
        home,
        "off",
        &format!("open_file_cache max=8; server {{ listen LISTEN; root {root}; }}"),
    )
}

fn proxy_of_nginx(backend: SocketAddr) -> Nginx {
    let server = format!(
        "upstream backend {{ server {backend}; keepalive 64; keepalive_requests 1000000; }}\n\
         server {{ listen LISTEN; location / {{ proxy_pass http://backend; proxy_http_version 1.1;\n\
         proxy_set_header Connection ''; proxy_set_header Host $host;\n\
         proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-ID $request_id; }} }}"
    );
    Nginx::start(tempfile::tempdir().unwrap(), "/dev/null", &server)
}

/// Keeps all threads of a process on one core.
fn pin(pid: u32, core: &str) {
    let mut taskset = Command::new("taskset");
    let pinned = taskset.args(["-a", "-c", "-p", core, &pid.to_string()]).stdout(Stdio::null());
    assert!(pinned.status().unwrap().success(), "pin process {pid} to core {core}");
}

/// User and system time of all its threads, in clock ticks (proc(5): fields 14 and 15).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

/// Answers per second of CPU time of process `pid`, under `wrk`.
fn measure(pid: u32, address: SocketAddr, path: &str) -> f64 {
    let before = ticks(pid);
    let output = Command::new("taskset")
        .args(["-c", LOADER_CORE])
        .arg(installed("wrk", "wrk"))
        .args(["-t1".to_owned(), format!("-c{CONNECTIONS}"), format!("-d{SECONDS}s")])
        .args(["-H", &format!("Host: {HOST}"), &format!("http://{address}/{path}")])
        .output()
        .unwrap();
    let spent = ticks(pid) - before;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    let answers = said.lines().find_map(|line| line.split_once(" requests in ")).unwrap().0.trim();
    f64::from(answers.parse::<u32>().unwrap()) * TICKS_PER_SECOND
        / f64::from(u32::try_from(spent).unwrap())
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

#[test]
#[ignore = "a benchmark: run it with `make bench`"]
fn requests_per_second_of_cpu_beside_nginx() {
    let backend = backend();
    let listener = json!({"listeners": [{"name": "http", "port": 8080, "protocol": "HTTP"}]});
    let ours = Alone::before(backend.address, &listener);
    let nginx = proxy_of_nginx(backend.address);
    pin(backend.worker(), LOADER_CORE);
    pin(ours.pid(), PROXY_CORE);
    pin(nginx.worker(), PROXY_CORE);
    for (name, _) in BODIES {
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            mine.push(measure(ours.pid(), ours.at(8080), name));
            theirs.push(measure(nginx.worker(), nginx.address, name));
        }
        let (mine, theirs) = (median(mine), median(theirs));
        println!(
            "h1 {name}: gatefleet-proxy {mine:.0}, nginx {theirs:.0} requests per CPU second: ratio {:.2} \
             (median of {ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections, one thread each)",
            mine / theirs
        );
    }
}
