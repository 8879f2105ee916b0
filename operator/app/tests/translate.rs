//! What `gatefleet translate` tells people and programs about a directory: `shop.yaml` in, `shop.txt` and `shop.json` out.
//!
//! `UPDATE_EXPECT=1 cargo test -p gatefleet --test translate` writes them anew; read the diff.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its files must fail")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/translate")
}

/// `gatefleet translate` on `shop.yaml`.
fn translate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatefleet"));
    command.arg("translate").arg("shop").args(arguments).current_dir(files());
    command.output().unwrap()
}

fn is_as_expected(file: &str, arguments: &[&str]) {
    let output = translate(arguments);
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    assert_eq!(output.status.code(), Some(1), "something is refused: {told}");
    let path = files().join(file);
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&path, &told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(told, expected, "{}", path.display());
}

#[test]
fn people_see_what_is_served_where_and_why_not() {
    is_as_expected("shop.txt", &[]);
}

#[test]
fn programs_see_the_same() {
    is_as_expected("shop.json", &["--output", "json"]);
}

#[test]
fn one_tier_can_be_chosen() {
    let told = String::from_utf8(translate(&["--tier", "east-west"]).stdout).unwrap();
    assert!(told.starts_with("edge/shop east-west") && !told.contains("north-south"), "{told}");
    let none = translate(&["--fleet", "edge/other"]);
    let said = String::from_utf8(none.stderr).unwrap();
    assert!(said.contains("GatewayConfig edge/other is not in shop: correct --fleet"), "{said}");
}

#[test]
fn a_snapshot_is_for_the_proxy_and_findings_stay_beside_it() {
    let output = translate(&["--snapshot", "-"]);
    let snapshot = gatefleet_snapshot::read_snapshot(&output.stdout).unwrap();
    assert!(!snapshot.resources.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("shop/shop.yaml: line "), "{said}");
    assert!(said.contains(": refused: Ingress shop/web: "), "{said}");
}
