//! The house rules that a compiler does not check: crate edges, purity, sizes, headers.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own checkout must fail")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Crates that compute and never act: no client, no runtime, no HTTP in their dependencies.
const PURE: &[&str] = &[
    "gatefleet-crds",
    "gatefleet-infra",
    "gatefleet-ir",
    "gatefleet-lower",
    "gatefleet-matcher",
    "gatefleet-names",
    "gatefleet-routes",
    "gatefleet-snapshot",
    "gatefleet-sources",
    "gatefleet-state",
];
const IMPURE: &[&str] = &["kube-client", "tokio", "hyper", "tonic"];

/// Crates through which every request runs: nothing from outside may make them panic.
const DATA_PATH: &[&str] = &["proxy/matcher", "proxy/http", "proxy/transport"];
const DATA_PATH_LINTS: &[&str] = &[
    "clippy::unwrap_used",
    "clippy::expect_used",
    "clippy::indexing_slicing",
    "clippy::string_slice",
    "clippy::panic",
    "clippy::unreachable",
    "clippy::arithmetic_side_effects",
    "clippy::as_conversions",
];

const MAX_FILE: usize = 500;
const MAX_FUNCTION: usize = 60;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Every Rust file of the checkout that a person wrote.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let (root, mut found) = (root(), Vec::new());
    walk(&root, &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// The part of a file that is not its inline test module.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|pair| {
        pair[0].trim_start().starts_with("#[cfg(test)]")
            && pair[1].starts_with("mod ")
            && pair[1].ends_with('{')
    });
    lines[..tests.unwrap_or(lines.len())].to_vec()
}

fn is_test_file(name: &str) -> bool {
    name.contains("/tests/")
        || name.starts_with("tests/")
        || name.ends_with("/tests.rs")
        || name.contains("/benches/")
}

fn declares_function(line: &str) -> bool {
    let mut words = line
        .trim_start()
        .trim_start_matches("pub(crate) ")
        .trim_start_matches("pub(super) ")
        .split(' ');
    words.find(|word| !matches!(*word, "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\""))
        == Some("fn")
}

/// Length of each function, by the closing brace at the indentation of its `fn` (the code is formatted).
fn functions<'a>(lines: &[&'a str]) -> Vec<(usize, usize, &'a str)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        if !declares_function(line) || line.trim_end().ends_with('}') {
            continue;
        }
        // A trait's method without a body ends its head with a semicolon.
        let head = lines[start..].iter().find(|l| l.trim_end().ends_with(['{', ';']));
        if head.is_none_or(|end| end.trim_end().ends_with(';')) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let body = lines[start + 1..].iter().position(|l| *l == close);
        if let Some(body) = body {
            found.push((start + 1, body + 2, *line));
        }
    }
    found
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let lines = without_tests(&text);
        if !is_test_file(&name) && lines.len() > MAX_FILE {
            wrong.push(format!("{name}: {} lines without tests, at most {MAX_FILE}", lines.len()));
        }
        for (line, length, head) in functions(&lines) {
            if length > MAX_FUNCTION {
                wrong.push(format!(
                    "{name}:{line}: {length} lines, at most {MAX_FUNCTION}: {}",
                    head.trim()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "split these:\n{}", wrong.join("\n"));
}

#[test]
fn pure_crates_cannot_act() {
    let mut wrong = Vec::new();
    for krate in PURE {
        let out = Command::new(env!("CARGO"))
            .args(["tree", "-p", krate, "-e", "normal", "--prefix", "none", "--offline"])
            .current_dir(root())
            .output()
            .unwrap();
        assert!(
            out.status.success(),
            "cargo tree -p {krate}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let tree = String::from_utf8(out.stdout).unwrap();
        for name in tree.lines().filter_map(|line| line.split(' ').next()) {
            if IMPURE.contains(&name) {
                wrong.push(format!("{krate} depends on {name}"));
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "pure crates must stay pure:\n{}", wrong.join("\n"));
}

/// Which of our crates a manifest names outside its dev-dependencies.
fn own_dependencies(manifest: &str) -> Vec<String> {
    let normal = manifest.split("[dev-dependencies]").next().unwrap_or_default();
    normal
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| name.starts_with("gatefleet-"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn crate_edges_point_inwards() {
    // Who may not know whom. A source never sees another source is kept by modules; these are crates.
    let forbidden: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("proxy/snapshot", &["gatefleet-"][..]),
        (
            "proxy/matcher",
            &["gatefleet-names", "gatefleet-ir", "gatefleet-http", "gatefleet-transport"][..],
        ),
        (
            "proxy/http",
            &["gatefleet-transport", "gatefleet-channel", "gatefleet-names", "gatefleet-ir"][..],
        ),
        (
            "operator/ir",
            &["gatefleet-snapshot", "gatefleet-sources", "gatefleet-lower", "gatefleet-crds"][..],
        ),
        ("operator/sources", &["gatefleet-snapshot", "gatefleet-lower", "gatefleet-infra"][..]),
        ("operator/infra", &["gatefleet-apply", "gatefleet-watch", "gatefleet-distribute"][..]),
        ("operator/apiserver", &["gatefleet-"][..]),
        ("crds", &["gatefleet-"][..]),
    ]);
    let mut wrong = Vec::new();
    for (krate, banned) in forbidden {
        let manifest = fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        let own: Vec<String> = own_dependencies(&manifest);
        for name in own {
            if banned.iter().any(|b| name.starts_with(b)) {
                wrong.push(format!("{krate} depends on {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these edges point the wrong way:\n{}", wrong.join("\n"));
}

#[test]
fn crate_roots_say_what_they_are_for() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        let root_file = name.ends_with("src/lib.rs") || name.ends_with("src/main.rs");
        if root_file && !text.starts_with("//! ") {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "no `//!` header: {wrong:?}");
}

#[test]
fn data_path_denies_panics() {
    for krate in DATA_PATH {
        let text = fs::read_to_string(root().join(krate).join("src/lib.rs")).unwrap();
        for lint in DATA_PATH_LINTS {
            assert!(text.contains(lint), "{krate}/src/lib.rs must deny {lint}");
        }
    }
}

#[test]
fn words_that_say_nothing_are_no_names() {
    const VAGUE: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager"];
    let vague: Vec<String> = sources()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| name.split('/').any(|part| VAGUE.contains(&part.trim_end_matches(".rs"))))
        .collect();
    assert!(vague.is_empty(), "name these after what they hold: {vague:?}");
}

/// Targets of the relative links in a Markdown text.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#']).next())
        .filter(|link| !link.is_empty() && !link.contains("://"))
}

#[test]
fn links_between_documents_lead_somewhere() {
    fn documents(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                documents(&path, found);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    let root = root();
    let mut found: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root.join(name))
        .collect();
    documents(&root.join("docs"), &mut found);
    let mut broken = Vec::new();
    for document in found {
        let text = fs::read_to_string(&document).unwrap();
        let dir = document.parent().unwrap();
        let missing = links(&text).filter(|link| !dir.join(link).exists());
        broken.extend(missing.map(|link| format!("{}: {link}", document.display())));
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}
