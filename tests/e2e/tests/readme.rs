//! Every command of the README, run as it stands there.
#![cfg(feature = "kube")]
#![expect(clippy::unwrap_used, reason = "a README that does not work must fail")]

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use gatefleet_test_support::{
    programs::{checkout, kube_tools},
    raw,
};
use gatefleet_tests_e2e::processes;

/// The commands of all `sh` blocks, in order.
fn commands() -> Vec<String> {
    let text = fs::read_to_string(checkout().join("README.md")).unwrap();
    text.split("```sh\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .flat_map(|block| block.lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| !line.trim().is_empty())
        .collect()
}

fn target() -> String {
    std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into())
}

struct MakeLocal {
    child: std::process::Child,
    log: std::path::PathBuf,
}

impl MakeLocal {
    /// `make local`, in a process group of its own so that Ctrl-C can be sent to all of it, as a terminal does.
    fn start(home: &std::path::Path) -> Self {
        let log = home.join("make-local.log");
        let file = fs::File::create(&log).unwrap();
        let child = Command::new("make")
            .arg("local")
            .current_dir(checkout())
            .env("XDG_RUNTIME_DIR", home)
            .stdin(Stdio::null())
            .stderr(file.try_clone().unwrap())
            .stdout(file)
            .process_group(0)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The word behind `marker` in what was printed; the first run builds for minutes.
    fn printed(&mut self, marker: &str) -> String {
        let end = Instant::now() + Duration::from_mins(25);
        loop {
            let text = self.text();
            let word = text.lines().find_map(|line| line.split_once(marker)).map(|(_, rest)| {
                rest.chars()
                    .take_while(|c| {
                        !c.is_whitespace() && *c != '/' || marker.ends_with('=') && *c == '/'
                    })
                    .collect()
            });
            if let Some(word) = word {
                return word;
            }
            assert!(
                self.child.try_wait().unwrap().is_none() && Instant::now() < end,
                "no {marker:?} in:\n{text}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for MakeLocal {
    fn drop(&mut self) {
        let group = -i32::try_from(self.child.id()).unwrap_or_default();
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            processes::signal(group, libc::SIGINT);
            let _ = self.child.wait();
        }
    }
}

#[test]
fn every_command_works_as_it_stands() {
    let commands = commands();
    assert!(commands[0].starts_with("make local ") && commands[1] == "make test", "{commands:?}");
    let ci = fs::read_to_string(checkout().join(".ci/run")).unwrap();
    assert!(ci.contains("make test\n"), "CI runs the README's test command");

    let home = tempfile::tempdir().unwrap();
    let mut local = MakeLocal::start(home.path());
    let kubeconfig = local.printed("export KUBECONFIG=");
    let address = local.printed("http://");
    await_answer(&address);

    let path = format!("{}:{}", kube_tools().display(), std::env::var("PATH").unwrap());
    for line in &commands[2..] {
        let line = line.replace("target/release", &format!("{}/release", target()));
        let output = Command::new("sh")
            .args(["-ec", &line])
            .current_dir(checkout())
            .env("PATH", &path)
            .env("KUBECONFIG", &kubeconfig)
            .env("ADDRESS", &address)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{line}: {}\n{out}{err}\n{}", output.status, local.text());
        if let Some((_, promised)) = line.split_once("# ").filter(|_| line.starts_with("curl")) {
            assert_eq!(out.trim(), promised.trim(), "{line}");
        }
    }
}

fn await_answer(address: &str) {
    let end = Instant::now() + Duration::from_secs(30);
    let socket = if address.contains(':') { address.to_owned() } else { format!("{address}:80") };
    let socket = socket.parse().unwrap();
    while !raw::get(socket, "test.com", "/version", &[]).is_ok_and(|answer| answer.status == 200) {
        assert!(Instant::now() < end, "{address} does not answer");
        std::thread::sleep(Duration::from_millis(100));
    }
}
