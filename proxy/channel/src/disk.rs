//! The last good snapshot on disk.
//!
//! It holds private keys, so it belongs on a memory-backed volume; the file is readable by its owner alone,
//! replaced by rename, and believed only with its checksum.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use gatefleet_snapshot::{
    SCHEMA_VERSION,
    v1::{Resource, Snapshot, Watermark},
};
use prost::Message;
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"gatefleet snapshot 1\n";
const CHECKSUM_BYTES: usize = 32;
const FILE: &str = "last-good";
const NEW_FILE: &str = "last-good.new";

/// Where the last good snapshot lies.
#[derive(Clone, Debug)]
pub struct DiskCopy {
    directory: PathBuf,
    /// Bytes that old and new may take together.
    limit: u64,
}

/// Why the copy could not be written or read. The proxy goes on in each case.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Old and new do not fit together.
    #[error(
        "write last good snapshot: {old} bytes of the old and {new} of the new exceed {limit}; the old copy \
         stays; raise the tier's memory limit"
    )]
    TooLarge {
        /// Bytes of the copy that stays.
        old: u64,
        /// Bytes of the one that was not written.
        new: u64,
        /// What fits.
        limit: u64,
    },
    /// The file system refused.
    #[error("access last good snapshot {path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not what was written, or written by a build with another form.
    #[error("read last good snapshot {path}: {problem}; it is ignored and will be replaced")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
}

impl DiskCopy {
    /// A copy in `directory`, of which old and new together take at most `limit` bytes.
    pub fn new(directory: impl Into<PathBuf>, limit: u64) -> Self {
        Self { directory: directory.into(), limit }
    }

    /// The stored snapshot; `None` when there is none.
    ///
    /// # Errors
    ///
    /// When there is one that cannot be read or believed.
    pub fn load(&self) -> Result<Option<Snapshot>, DiskError> {
        let path = self.directory.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(DiskError::Io { path, source }),
        };
        match decode(&bytes) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(problem) => Err(DiskError::Damaged { path, problem }),
        }
    }

    /// Replaces the stored snapshot by one of `resources`.
    ///
    /// # Errors
    ///
    /// When it does not fit beside the old one, or the file system refuses; then the old copy stays.
    pub fn save(
        &self,
        resources: &[Arc<Resource>],
        watermark: &[Watermark],
    ) -> Result<(), DiskError> {
        let path = self.directory.join(FILE);
        let bytes = encode(resources, watermark);
        let old = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let new = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if old.saturating_add(new) > self.limit {
            return Err(DiskError::TooLarge { old, new, limit: self.limit });
        }
        let fresh = self.directory.join(NEW_FILE);
        let failed = |path: &Path, source| DiskError::Io { path: path.to_owned(), source };
        fs::create_dir_all(&self.directory).map_err(|error| failed(&self.directory, error))?;
        write_private(&fresh, &bytes).map_err(|error| failed(&fresh, error))?;
        fs::rename(&fresh, &path).map_err(|error| failed(&path, error))
    }
}

/// A file left over from a crash may have other permissions, so it is made anew.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Resources follow the snapshot one by one, so that they need no copy in memory.
fn encode(resources: &[Arc<Resource>], watermark: &[Watermark]) -> Vec<u8> {
    let head = Snapshot {
        schema_version: SCHEMA_VERSION,
        watermark: watermark.to_vec(),
        resources: Vec::new(),
    };
    let mut payload = head.encode_length_delimited_to_vec();
    for resource in resources {
        payload.extend(resource.encode_length_delimited_to_vec());
    }
    [MAGIC, &Sha256::digest(&payload)[..], &payload].concat()
}

fn decode(bytes: &[u8]) -> Result<Snapshot, &'static str> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it has another form")?;
    let (checksum, mut payload) =
        rest.split_at_checked(CHECKSUM_BYTES).ok_or("it is cut off in the checksum")?;
    if Sha256::digest(payload)[..] != *checksum {
        return Err("its checksum does not fit");
    }
    let undecodable = "it cannot be decoded";
    let mut snapshot =
        Snapshot::decode_length_delimited(&mut payload).map_err(|_error| undecodable)?;
    if snapshot.schema_version != SCHEMA_VERSION {
        return Err("it was written for another schema");
    }
    while !payload.is_empty() {
        let resource = Resource::decode_length_delimited(&mut payload);
        snapshot.resources.push(resource.map_err(|_error| undecodable)?);
    }
    Ok(snapshot)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use gatefleet_snapshot::{
        seal,
        v1::{Backend, resource::Body},
    };

    use super::*;

    fn resources(count: usize) -> Vec<Arc<Resource>> {
        let backend = || Body::Backend(Backend::default());
        (0..count).map(|index| Arc::new(seal(format!("backend/{index:04}"), backend()))).collect()
    }

    #[test]
    fn what_was_saved_is_loaded_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let copy = DiskCopy::new(directory.path().join("state"), 1 << 20);
        assert_eq!(copy.load().unwrap(), None);
        let mark = Watermark { kind: "Ingress".into(), resource_version: "7".into() };
        for count in [3, 0, 5] {
            copy.save(&resources(count), std::slice::from_ref(&mark)).unwrap();
            let loaded = copy.load().unwrap().unwrap();
            assert_eq!(loaded.watermark, std::slice::from_ref(&mark));
            assert!(loaded.resources.iter().eq(resources(count).iter().map(|held| &**held)));
        }
        let mode = fs::metadata(directory.path().join("state").join(FILE)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        assert!(!directory.path().join("state").join(NEW_FILE).exists());
    }

    #[test]
    fn a_copy_that_does_not_fit_beside_the_old_one_leaves_it() {
        let directory = tempfile::tempdir().unwrap();
        let copy = DiskCopy::new(directory.path(), 4096);
        copy.save(&resources(10), &[]).unwrap();
        let said = copy.save(&resources(80), &[]).unwrap_err().to_string();
        assert!(said.contains("the old copy stays"), "{said}");
        assert_eq!(copy.load().unwrap().unwrap().resources.len(), 10);
    }

    #[test]
    fn every_damage_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let copy = DiskCopy::new(directory.path(), 1 << 20);
        copy.save(&resources(3), &[]).unwrap();
        let path = directory.path().join(FILE);
        let good = fs::read(&path).unwrap();
        for cut in 0..good.len() {
            fs::write(&path, &good[..cut]).unwrap();
            assert!(copy.load().is_err(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            fs::write(&path, &bad).unwrap();
            assert!(copy.load().is_err(), "changed at {at}");
        }
        fs::write(&path, [&good[..], b"x"].concat()).unwrap();
        assert!(copy.load().is_err(), "something after the end");
    }
}
