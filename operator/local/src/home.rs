//! The directory for keys, volumes and sockets, which ends with this process.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;

/// The name of the file whose lock says that the owner of a directory lives.
const LOCK: &str = "lock";

/// A private directory that is removed on drop; one that a killed `local` left is removed by the next.
#[derive(Debug)]
pub(crate) struct Home {
    path: PathBuf,
    _lock: File,
}

impl Home {
    /// Creates it below `base` (absent: the user's runtime directory), and wipes those of dead ones.
    ///
    /// # Errors
    /// [`Error::Home`] when the directory cannot be created or belongs to somebody else.
    pub(crate) fn create(base: Option<&Path>) -> Result<Self, Error> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = base.map_or_else(user_directory, |base| base.join("gatefleet"));
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Home { path, source }
        };
        create_private(&base).map_err(at(&base))?;
        wipe_stale(&base).map_err(at(&base))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("local-{}-{number}", std::process::id()));
        create_private(&path).map_err(at(&path))?;
        let lock = File::create(path.join(LOCK)).map_err(at(&path))?;
        lock.try_lock().map_err(io::Error::from).map_err(at(&path))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        let _ = fs::remove_dir_all(&self.path);
        if let Some(base) = self.path.parent() {
            let _ = fs::remove_dir(base);
        }
    }
}

/// `$XDG_RUNTIME_DIR/gatefleet`, else one for this user in the directory for temporary files.
fn user_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(runtime) if runtime.is_absolute() => runtime.join("gatefleet"),
        _ => std::env::temp_dir().join(format!("gatefleet-{}", current_user())),
    }
}

fn current_user() -> u32 {
    // /proc/self belongs to the effective user: the one question to the kernel that needs no unsafe call.
    fs::metadata("/proc/self").map_or(0, |metadata| metadata.uid())
}

/// A directory that this user alone may enter: somebody else's, or a link to one, is refused.
fn create_private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        created => return created,
    }
    let found = fs::symlink_metadata(path)?;
    if found.is_dir() && found.uid() == current_user() && found.mode().trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "it exists and is not private to this user",
    ))
}

fn wipe_stale(base: &Path) -> io::Result<()> {
    for entry in fs::read_dir(base)? {
        let path = entry?.path();
        if is_stale(&path) {
            // A second start may be wiping the same one.
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}

fn is_stale(path: &Path) -> bool {
    let ours =
        path.file_name().and_then(|name| name.to_str()).is_some_and(|n| n.starts_with("local-"));
    if !ours {
        return false;
    }
    match File::open(path.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        // Either its owner is between two lines of `create`, or died there: leave it for a minute.
        Err(_) => fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age.as_secs() > 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_living_are_spared_and_the_dead_are_wiped() {
        let base = tempfile::tempdir().unwrap();
        let living = Home::create(Some(base.path())).unwrap();
        let dead = base.path().join("gatefleet/local-1-0");
        create_private(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("key"), "secret").unwrap();
        let next = Home::create(Some(base.path())).unwrap();
        assert!(!dead.exists() && living.path().exists() && next.path().exists());
        drop(living);
        drop(next);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("gatefleet")).unwrap();
        let error = Home::create(Some(base.path())).unwrap_err();
        assert!(error.to_string().contains("XDG_RUNTIME_DIR"), "{error}");
    }
}
