//! Snapshot files.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use gatefleet_snapshot::read_snapshot;
use tokio::{sync::watch, time};

use crate::{ChannelState, Engine, Source, Transaction, install::Installer};

/// How often the file is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Serves a snapshot file and follows its changes, for ever.
///
/// A JSON file that replaces the old one by rename is taken at the next look (every 500 ms). One that is written
/// in place, or YAML, which may be well-formed when it is cut off, is taken when two looks in a row find the
/// same. A file that is missing, empty, torn or wrong leaves the last good one serving;
/// [`ChannelState::problem`] says why, with the line.
pub async fn follow_file<E: Engine>(
    path: PathBuf,
    engine: Arc<E>,
    state: watch::Sender<ChannelState>,
) -> ! {
    let mut installer = Installer::new(engine, state);
    let mut follower = Follower { path, started: false, seen: None, taken: None };
    loop {
        match follower.look() {
            Look::Unchanged => {
                installer.retry().await;
            }
            Look::Take(transaction) => {
                let source = Source::File(follower.path.clone());
                installer.install(&transaction, source).await;
                installer.state().send_modify(|state| state.problem = None);
            }
            Look::Problem(problem) => {
                let new = |state: &mut ChannelState| {
                    let new = state.problem.as_ref() != Some(&problem);
                    state.problem = Some(problem.clone());
                    new
                };
                if installer.state().send_if_modified(new) {
                    tracing::warn!(problem, "the last good snapshot stays");
                }
            }
        }
        time::sleep(POLL).await;
    }
}

/// What tells one state of a file from another, without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

#[derive(Debug)]
enum Look {
    Unchanged,
    Take(Transaction),
    Problem(String),
}

/// How a file differs from what the last look saw.
enum Appeared {
    /// There was none, or another one.
    New,
    /// It was written to.
    Changing,
    /// Nobody wrote since.
    Settled,
}

/// Which files are taken although somebody may still be writing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Any,
    SelfDelimiting,
}

#[derive(Debug)]
struct Follower {
    path: PathBuf,
    /// A file was read once: from now on there is something to lose.
    started: bool,
    /// At the last look.
    seen: Option<Stamp>,
    /// When it was read last, good or not.
    taken: Option<Stamp>,
}

impl Follower {
    fn look(&mut self) -> Look {
        let stamp = match stamp(&self.path) {
            Ok(stamp) => stamp,
            Err(error) => {
                (self.seen, self.taken) = (None, None);
                return self.problem(&error);
            }
        };
        if self.taken == Some(stamp) {
            return Look::Unchanged;
        }
        let appeared = match self.seen {
            None => Appeared::New,
            Some(seen) if seen == stamp => Appeared::Settled,
            Some(seen) if seen.inode != stamp.inode => Appeared::New,
            Some(_) => Appeared::Changing,
        };
        self.seen = Some(stamp);
        match (appeared, self.started) {
            (Appeared::Changing, _) => Look::Unchanged,
            (Appeared::Settled, _) | (Appeared::New, false) => self.take(stamp, Trust::Any),
            (Appeared::New, true) => self.take(stamp, Trust::SelfDelimiting),
        }
    }

    fn take(&mut self, before: Stamp, trust: Trust) -> Look {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => return self.problem(&error),
        };
        let json = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if trust == Trust::SelfDelimiting && !json {
            return Look::Unchanged;
        }
        self.started = true;
        match stamp(&self.path) {
            Ok(after) if after == before => self.taken = Some(before),
            Ok(_) => return Look::Unchanged,
            Err(error) => return self.problem(&error),
        }
        match read_snapshot(&bytes) {
            Ok(snapshot) => Look::Take(Transaction::replace(snapshot)),
            Err(error) => self.problem(&error),
        }
    }

    fn problem(&self, problem: &dyn std::fmt::Display) -> Look {
        Look::Problem(format!("read snapshot {}: {problem}", self.path.display()))
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const GOOD: &str =
        r#"{"schemaVersion": 1, "resources": [{"name": "backend/a", "backend": {}}]}"#;
    const YAML: &str = "schemaVersion: 1\nresources:\n- name: backend/a\n  backend: {}\n- name: backend/b\n  backend: {}\n";

    /// What accidents leave behind.
    const DAMAGED: [&str; 20] = [
        "",
        " ",
        "\n\n\n",
        "\0\0\0\0\0\0\0\0",
        "{",
        "{}",
        "[]",
        "null",
        "42",
        "\"text\"",
        r#"{"schemaVersion": 1}"#,
        r#"{"schemaVersion": 1, "resources": null}"#,
        r#"{"schemaVersion": 1, "resources": [}"#,
        r#"{"schemaVersion": 1, "resources": [{"name": "backend/a", "back"#,
        r#"{"schemaVersion": 1, "resources": [{"name": "backend/a"}]}"#,
        r#"{"schemaVersion": 1, "resources": [{"name": "backend/a", "backend": {"dns": 1}}]}"#,
        r#"{"schemaVersion": 9, "resources": []}"#,
        r#"{"schemaVersion": 1, "resources": []} {"schemaVersion": 1, "resources": []}"#,
        "schemaVersion: 1\nresources:\n- name: backend/a\n  backend: {",
        "<<<<<<< ours\nschemaVersion: 1\n",
    ];

    struct Place {
        directory: tempfile::TempDir,
        follower: Follower,
    }

    impl Place {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("snapshot.json");
            Self { directory, follower: Follower { path, started: false, seen: None, taken: None } }
        }

        fn write(&self, text: &str) {
            fs::write(&self.follower.path, text).unwrap();
        }

        fn replace(&self, text: &str) {
            let fresh = self.directory.path().join("fresh");
            fs::write(&fresh, text).unwrap();
            fs::rename(fresh, &self.follower.path).unwrap();
        }

        fn look(&mut self) -> &'static str {
            match self.follower.look() {
                Look::Unchanged => "unchanged",
                Look::Take(_) => "taken",
                Look::Problem(problem) => {
                    assert!(problem.contains("snapshot.json: "), "{problem}");
                    "problem"
                }
            }
        }
    }

    #[test]
    fn a_replaced_file_is_taken_at_once_and_only_once() {
        let mut place = Place::new();
        assert_eq!(place.look(), "problem", "there is no file yet");
        place.replace(GOOD);
        assert_eq!([place.look(), place.look(), place.look()], ["taken", "unchanged", "unchanged"]);
        place.replace(&GOOD.replace("backend/a", "backend/b"));
        assert_eq!([place.look(), place.look()], ["taken", "unchanged"]);
    }

    #[test]
    fn a_file_that_is_being_written_waits_until_it_is_complete() {
        let mut place = Place::new();
        place.replace(GOOD);
        assert_eq!(place.look(), "taken");
        for end in [1, 20, 40] {
            place.write(GOOD.split_at(end).0);
            assert_eq!(place.look(), "unchanged", "{end} bytes");
        }
        place.write(&format!("{GOOD}\n"));
        assert_eq!([place.look(), place.look(), place.look()], ["unchanged", "taken", "unchanged"]);
    }

    #[test]
    fn yaml_may_be_cut_off_unnoticed_so_it_must_settle() {
        let mut place = Place::new();
        place.replace(YAML);
        assert_eq!(place.look(), "taken", "at the start there is nothing to lose");
        place.replace(YAML.split_at(YAML.len() - 28).0);
        assert_eq!(place.look(), "unchanged");
        place.write(YAML);
        assert_eq!([place.look(), place.look(), place.look()], ["unchanged", "taken", "unchanged"]);
    }

    #[test]
    fn damage_is_never_taken_and_is_told_once() {
        let mut place = Place::new();
        place.replace(GOOD);
        assert_eq!(place.look(), "taken");
        for damaged in DAMAGED {
            place.write(damaged);
            let looks = [place.look(), place.look(), place.look()];
            assert_eq!(looks, ["unchanged", "problem", "unchanged"], "written: {damaged:?}");
            place.replace(damaged);
            let looks = [place.look(), place.look(), place.look()];
            assert!(!looks.contains(&"taken"), "replaced: {damaged:?}: {looks:?}");
            assert!(looks.contains(&"problem"), "replaced: {damaged:?}: {looks:?}");
        }
        fs::remove_file(&place.follower.path).unwrap();
        assert_eq!(place.look(), "problem");
        fs::create_dir(&place.follower.path).unwrap();
        assert_eq!(place.look(), "problem");
        fs::remove_dir(&place.follower.path).unwrap();
        place.replace(GOOD);
        assert_eq!(place.look(), "taken");
    }
}
