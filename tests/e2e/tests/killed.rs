//! `gatefleet local` killed without a chance to tidy up: its processes end with it, its files with the next start.
#![expect(clippy::unwrap_used, reason = "a failed step is the test's failure")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gatefleet_test_support::programs::{checkout, program};
use gatefleet_tests_e2e::processes;

fn start(home: &Path) -> Child {
    Command::new(program("gatefleet"))
        .arg("local")
        .arg(checkout().join("examples/quickstart"))
        .env("XDG_RUNTIME_DIR", home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn pid(child: &Child) -> i32 {
    i32::try_from(child.id()).unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}: not within 20 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sessions(home: &Path) -> usize {
    fs::read_dir(home.join("gatefleet")).map_or(0, Iterator::count)
}

#[test]
fn a_killed_one_leaves_no_process_and_the_next_removes_its_files() {
    let home = tempfile::tempdir().unwrap();
    let mut killed = start(home.path());
    until("five pods run", || processes::descendants(pid(&killed)).len() == 5);
    let family = processes::descendants(pid(&killed));
    killed.kill().unwrap();
    killed.wait().unwrap();
    until("its processes have ended", || family.iter().all(|one| !processes::lives(one.pid)));
    assert_eq!(sessions(home.path()), 1, "nobody was left to remove its files");

    let mut next = start(home.path());
    until("the next one runs", || processes::descendants(pid(&next)).len() == 5);
    assert_eq!(sessions(home.path()), 1, "the files of the killed one are gone");
    processes::signal(pid(&next), libc::SIGTERM);
    assert!(next.wait().unwrap().success());
    assert_eq!(sessions(home.path()), 0);
}
