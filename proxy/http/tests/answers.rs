//! Every reason that a page can show is explained in `docs/reference/answers.md`.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeSet, fs, path::Path};

/// Words that only backends' answers can violate; the page says `UpstreamMalformed`.
const OF_RESPONSES: [&str; 6] = [
    "AmbiguousLength",
    "BadStatus",
    "DuplicateUpgrade",
    "LengthWithoutBody",
    "TooManyInterimResponses",
    "UnwantedUpgrade",
];

fn sources(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            found.push(text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned());
        }
    }
}

/// String literals of two or more CamelCase words, or that stand where a reason stands.
fn reasons(source: &str) -> impl Iterator<Item = &str> {
    source.split('"').skip(1).step_by(2).filter(|literal| {
        let words = literal.chars().filter(char::is_ascii_uppercase).count();
        literal.starts_with(|first: char| first.is_ascii_uppercase())
            && literal.chars().all(|c| c.is_ascii_alphanumeric())
            && (words >= 2 && literal.chars().any(|c| c.is_ascii_lowercase())
                || *literal == "Overflow")
    })
}

#[test]
fn every_reason_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    sources(&root.join("src"), &mut texts);
    let words: BTreeSet<&str> = texts.iter().flat_map(|text| reasons(text)).collect();
    let documented = fs::read_to_string(root.join("../../docs/reference/answers.md")).unwrap();
    let is_explained = |word: &str| documented.contains(&format!("`{word}`"));
    let missing: Vec<_> =
        words.iter().filter(|word| !is_explained(word) && !OF_RESPONSES.contains(word)).collect();
    assert!(missing.is_empty(), "not in docs/reference/answers.md: {missing:?}");
    assert!(words.len() > 50, "{words:?}");
    let explained = documented.lines().filter(|line| line.starts_with("| `"));
    for word in
        explained.flat_map(|line| line.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
    {
        assert!(words.contains(word), "{word} is documented but never said");
    }
}
