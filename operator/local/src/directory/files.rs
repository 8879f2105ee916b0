//! Which files of a directory count, and what stands in them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The text of every manifest below `directory`, by path: `*.yaml`, `*.yml` and `*.json`, hidden ones excepted.
///
/// # Errors
/// When the directory itself cannot be read. A file that vanishes meanwhile is not there.
pub(crate) fn read(directory: &Path) -> io::Result<BTreeMap<PathBuf, Text>> {
    let mut found = BTreeMap::new();
    collect(directory, &mut found)?;
    Ok(found)
}

/// What stands in a file, or why it cannot be read.
pub(crate) type Text = Result<String, String>;

fn collect(directory: &Path, found: &mut BTreeMap<PathBuf, Text>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')) {
            continue;
        }
        if path.is_dir() {
            // One that cannot be entered hides only itself.
            let _ = collect(&path, found);
        } else if is_manifest(&path) {
            match fs::read(&path).map(String::from_utf8) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => drop(found.insert(path, Err(error.to_string()))),
                Ok(Err(_)) => drop(found.insert(path, Err("not UTF-8".to_owned()))),
                Ok(Ok(text)) => drop(found.insert(path, Ok(text))),
            }
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    matches!(path.extension().and_then(|end| end.to_str()), Some("yaml" | "yml" | "json"))
}

/// Whether a manifest is JSON.
pub(crate) fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_manifests_only() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("more")).unwrap();
        for name in ["a.yaml", "b.yml", "c.json", ".d.yaml", "e.yaml~", "README.md", "more/f.yaml"]
        {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::write(directory.path().join("g.yaml"), [0xff]).unwrap();
        let found = read(directory.path()).unwrap();
        let names: Vec<_> = found
            .keys()
            .map(|path| path.strip_prefix(directory.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.yaml", "b.yml", "c.json", "g.yaml", "more/f.yaml"]);
        assert_eq!(found[&directory.path().join("g.yaml")], Err("not UTF-8".to_owned()));
    }
}
