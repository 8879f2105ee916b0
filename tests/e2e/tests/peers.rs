//! The control of our counting client: pointed at an nginx that reloads, it must notice something. A client that
//! reports 0 there would prove nothing about us.
#![cfg(feature = "kube")]
#![expect(clippy::unwrap_used, reason = "without the peer there is no control")]

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use gatefleet_test_support::raw::{self, Load, Over, Plan};
use gatefleet_tests_e2e::packages::installed;

struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).unwrap_or_default();
        gatefleet_tests_e2e::processes::signal(pid, libc::SIGTERM);
        let _ = self.0.wait();
    }
}

#[test]
fn the_client_notices_an_nginx_that_reloads() {
    let home = tempfile::tempdir().unwrap();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let config = home.path().join("nginx.conf");
    let text = format!(
        "daemon off; pid {0}/pid; error_log {0}/error.log; events {{}}\n\
         http {{ access_log off; server {{ listen {free}; location / {{ return 200 'version: v0'; }} }} }}\n",
        home.path().display()
    );
    fs::write(&config, text).unwrap();
    let arguments = ["-c", config.to_str().unwrap(), "-p", home.path().to_str().unwrap()];
    let peer = Peer(
        Command::new(installed("nginx", "nginx-light"))
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    wait_for(free);

    let load = Load::start(Plan {
        address: free,
        over: Over::Tcp,
        host: "test.com".into(),
        path: "/".into(),
        connections: 8,
        pause: Duration::from_millis(5),
        good: |answer| answer.status == 200,
    });
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(400));
        gatefleet_tests_e2e::processes::signal(i32::try_from(peer.0.id()).unwrap(), libc::SIGHUP);
    }
    std::thread::sleep(Duration::from_millis(400));
    let counts = load.stop();
    assert!(counts.noticed() > 0, "{counts:?}");
}

fn wait_for(address: SocketAddr) {
    let answered = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        raw::get(address, "test.com", "/", &[]).is_ok()
    });
    assert!(answered, "nginx does not answer on {address}");
}
