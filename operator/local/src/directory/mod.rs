//! The directory of manifests: applied at the start, then followed.

mod apply;
mod declared;
mod documents;
mod files;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use notify::{RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::Error;
use apply::{Applier, Outcome};
use declared::Directory;

/// A burst of changes is over after this long without another.
const QUIET: Duration = Duration::from_millis(40);
/// When to try again what was refused, and how often to look where the kernel tells nothing.
const RETRY: Duration = Duration::from_secs(2);

/// One object that a directory declares.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Where it stands.
    pub file: PathBuf,
    /// The first line of its document, from 1.
    pub line: usize,
    /// The object.
    pub value: serde_json::Value,
}

/// What `directory` declares, in the order of application, and a sentence (file, line, reason) for everything in it
/// that cannot be read.
///
/// # Errors
/// When the directory itself cannot be read.
pub fn read_manifests(directory: &Path) -> std::io::Result<(Vec<Manifest>, Vec<String>)> {
    let mut known = Directory::default();
    let mut complaints = known.update(files::read(directory)?);
    let (declared, doubled) = known.declared();
    complaints.extend(doubled);
    let manifest = |one: declared::Declared| {
        let declared::Declared { file, line, value } = one;
        Manifest { file, line, value: Arc::unwrap_or_clone(value) }
    };
    drop(known);
    Ok((declared.into_values().map(manifest).collect(), complaints))
}

/// Something to tell the user about the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// What was done.
    Done(String),
    /// What is wrong; it names file, place and reason.
    Wrong(String),
}

/// The follower of a directory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Checks that a directory can be read.
///
/// # Errors
/// [`Error::Directory`] and [`Error::NotADirectory`].
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let metadata = std::fs::metadata(path);
    if metadata.is_ok_and(|metadata| !metadata.is_dir()) {
        return Err(Error::NotADirectory(path.to_owned()));
    }
    std::fs::read_dir(path)
        .map(drop)
        .map_err(|source| Error::Directory { path: path.to_owned(), source })
}

/// Applies the directory once, then follows it.
///
/// # Errors
/// When its changes cannot be followed.
pub(crate) async fn follow(
    path: PathBuf,
    client: Client,
    notices: mpsc::UnboundedSender<Notice>,
) -> Result<Follower, Error> {
    let (sender, changes) = mpsc::channel(1);
    // The watch comes before the first look, so that nothing falls between the two.
    let watcher = watch(&path, sender)?;
    let mut follower =
        Following { path, directory: Directory::default(), applier: Applier::new(client), notices };
    let unfinished = follower.advance().await;
    let task = tokio::spawn(async move {
        let _watcher = watcher;
        follower.run(changes, unfinished).await;
    });
    Ok(Follower { task })
}

/// The kernel's notifications; where they are exhausted, polling.
fn watch(path: &Path, sender: mpsc::Sender<()>) -> Result<Box<dyn notify::Watcher + Send>, Error> {
    let tell = move |event: notify::Result<notify::Event>| {
        // Reading the files must not count as a change of them.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            // One waiting notification is enough.
            let _ = sender.try_send(());
        }
    };
    let failed =
        |error: notify::Error| Error::Follow { path: path.to_owned(), reason: error.to_string() };
    let by_kernel = notify::recommended_watcher(tell.clone()).and_then(|mut watcher| {
        watcher.watch(path, RecursiveMode::Recursive)?;
        Ok(watcher)
    });
    if let Ok(watcher) = by_kernel {
        return Ok(Box::new(watcher));
    }
    let slowly = notify::Config::default().with_poll_interval(RETRY).with_compare_contents(true);
    let mut watcher = notify::PollWatcher::new(tell, slowly).map_err(failed)?;
    watcher.watch(path, RecursiveMode::Recursive).map_err(failed)?;
    Ok(Box::new(watcher))
}

struct Following {
    path: PathBuf,
    directory: Directory,
    applier: Applier,
    notices: mpsc::UnboundedSender<Notice>,
}

impl Following {
    async fn run(&mut self, mut changes: mpsc::Receiver<()>, mut unfinished: bool) {
        loop {
            let again = async {
                if unfinished { sleep(RETRY).await } else { std::future::pending().await }
            };
            tokio::select! {
                change = changes.recv() => {
                    if change.is_none() {
                        return;
                    }
                    while let Ok(Some(())) = timeout(QUIET, changes.recv()).await {}
                }
                () = again => {}
            }
            unfinished = self.advance().await;
        }
    }

    /// Looks and applies; true when something is to be tried again.
    async fn advance(&mut self) -> bool {
        let texts = match files::read(&self.path) {
            Ok(texts) => texts,
            Err(error) => {
                // Perhaps it is being replaced: what it declared stays until it can be read.
                let path = self.path.display();
                self.tell(Notice::Wrong(format!("{path}: {error}; what it declared stays")));
                return true;
            }
        };
        let complaints = self.directory.update(texts);
        let changed = !complaints.is_empty();
        let (declared, doubles) = self.directory.declared();
        let outcome = self.applier.advance(&declared).await;
        let did_something = changed || !outcome.applied.is_empty() || !outcome.deleted.is_empty();
        let doubles = if did_something { doubles } else { Vec::new() };
        for complaint in complaints.into_iter().chain(doubles) {
            self.tell(Notice::Wrong(complaint));
        }
        self.report(outcome)
    }

    fn report(&self, outcome: Outcome) -> bool {
        for (verb, objects) in [("applied", &outcome.applied), ("deleted", &outcome.deleted)] {
            match objects.as_slice() {
                [] => {}
                [one] => self.tell(Notice::Done(format!("{verb} {one}"))),
                [first, rest @ ..] => {
                    self.tell(Notice::Done(format!("{verb} {first} and {} more", rest.len())));
                }
            }
        }
        for complaint in outcome.complaints {
            self.tell(Notice::Wrong(complaint));
        }
        outcome.unfinished
    }

    fn tell(&self, notice: Notice) {
        // Nobody listens any more: then nobody needs to know.
        let _ = self.notices.send(notice);
    }
}
