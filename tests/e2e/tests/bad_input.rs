//! What a user gets wrong on the command line: one clear sentence each, and an exit status that is not 0.

use std::fs;

use gatefleet_test_support::programs::checkout;
use gatefleet_tests_e2e::run;
use tempfile::TempDir;

#[test]
fn mistakes_end_in_one_sentence_that_names_what_is_wrong() {
    let home = TempDir::new().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("torn.json"), "{\"schemaVersion\": 1, \"resources\": [").unwrap();
    let (missing, torn) = (path("missing"), path("torn.json"));
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("gatefleet", &["local", &missing], &["missing"]),
        (
            "gatefleet",
            &["translate", &missing, "--tier", "north-south", "--snapshot", "-"],
            &["missing"],
        ),
        (
            "gatefleet",
            &["translate", &missing, "--tier", "sideways", "--snapshot", "-"],
            &["sideways", "north-south"],
        ),
        ("gatefleet", &["status"], &["--kubeconfig FILE"]),
        ("gatefleet-proxy", &["--snapshot", &missing, "--threads", "1"], &["missing"]),
        ("gatefleet-proxy", &["--snapshot", &torn, "--threads", "1"], &["torn.json", "line 1"]),
        ("gatefleet-proxy", &["--bootstrap", &missing], &["missing"]),
    ];
    for (name, arguments, parts) in cases {
        let ended = run(name, arguments, None);
        assert!(ended.code > 0, "{name} {arguments:?} ended with {}: {}", ended.code, ended.errors);
        for part in *parts {
            assert!(
                ended.errors.contains(part),
                "{name} {arguments:?} does not say {part:?}: {}",
                ended.errors
            );
        }
        assert!(!ended.errors.contains("panicked"), "{name} {arguments:?}: {}", ended.errors);
    }
}

#[test]
fn a_yaml_error_names_file_and_line() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("broken.yaml"), "kind: Ingress\nmetadata:\n  name: [unclosed\n")
        .unwrap();
    let snapshot = home.path().join("out.json");
    let ended = run(
        "gatefleet",
        &[
            "translate",
            home.path().to_str().unwrap(),
            "--tier",
            "north-south",
            "--snapshot",
            snapshot.to_str().unwrap(),
        ],
        None,
    );
    assert_eq!(ended.code, 1, "{}", ended.errors);
    assert!(
        ended.errors.contains("broken.yaml") && ended.errors.contains("line "),
        "{}",
        ended.errors
    );
}

#[test]
fn every_yaml_of_the_examples_can_be_read() {
    let mut files = 0;
    for example in ["quickstart", "own-app"] {
        for entry in fs::read_dir(checkout().join("examples").join(example)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let documents = serde_saphyr::from_multiple::<serde_json::Value>(&text);
            assert!(documents.is_ok_and(|documents| !documents.is_empty()), "{}", path.display());
            files += 1;
        }
    }
    assert!(files > 0);
}
