//! `examples/own-app`: something that already runs on localhost:3000.

use std::process::{Command, Stdio};

use gatefleet_test_support::{programs::program, raw};
use gatefleet_tests_e2e::{Local, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_in_front_of_what_runs_on_localhost() {
    let mut app = Command::new(program("gatefleet-echo"))
        .args(["--port=3000", "--text=my own app"])
        .env("GATEFLEET_BIND", "127.0.0.1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let local = Local::start("own-app").await;
    local.listening().await;
    let address = local.address("north-south").await;
    let text = eventually("the app is served", 10, || async {
        let answer =
            raw::get(address, "own-app.test", "/", &[]).map_err(|error| error.to_string())?;
        (answer.status == 200).then(|| answer.text()).ok_or_else(|| answer.text())
    })
    .await;
    app.kill().unwrap();
    app.wait().unwrap();
    assert_eq!(text.trim(), "my own app");
}
