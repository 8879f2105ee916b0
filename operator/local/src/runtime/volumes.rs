//! `ConfigMap`, `Secret` and `emptyDir` volumes as directories, updated as the kubelet does: a new directory is written, then one link is renamed, so a reader sees all of the old
//! or all of the new.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, KeyToPath, Pod, Secret, Volume};
use kube::{Api, Client};

/// The link that is renamed, as in the kubelet's `AtomicWriter`.
const DATA: &str = "..data";

/// The volumes of one pod below its directory: `volumes/NAME` holds the content, `root/MOUNT/PATH` leads there.
#[derive(Debug)]
pub(crate) struct Volumes {
    directory: PathBuf,
    written: BTreeMap<String, Files>,
    edition: u64,
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Why a pod's volumes are not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// What a volume names does not exist.
    #[error("volume {volume}: {kind} {name} not found: create it, or mark the volume optional")]
    Missing {
        /// The volume's name.
        volume: String,
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An item that the volume selects is not there.
    #[error("volume {volume}: {name} has no key {key}: add it, or mark the volume optional")]
    MissingKey {
        /// The volume's name.
        volume: String,
        /// The object's name.
        name: String,
        /// The key.
        key: String,
    },
    /// The API refused.
    #[error("read the source of volume {volume}: {source}")]
    Api {
        /// The volume's name.
        volume: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The disk refused.
    #[error("write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Volumes {
    /// Nothing is written yet.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, written: BTreeMap::new(), edition: 0 }
    }

    /// What `GATEFLEET_ROOT` is for the pod's processes.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.join("root")
    }

    /// Brings the directories to what the API says now. Volumes of other kinds are left out.
    ///
    /// # Errors
    /// When a source is missing and not optional; what was there before stays.
    pub(crate) async fn refresh(&mut self, client: &Client, pod: &Pod) -> Result<(), VolumeError> {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
        let Some(spec) = &pod.spec else { return Ok(()) };
        make(&self.root())?;
        for volume in spec.volumes.iter().flatten() {
            let place = self.directory.join("volumes").join(&volume.name);
            if volume.empty_dir.is_some() {
                make(&place)?;
            } else if let Some(files) = fetch(client, namespace, volume).await? {
                make(&place)?;
                self.write(&volume.name, &place, files)?;
            }
        }
        for mount in
            spec.containers.iter().flat_map(|container| container.volume_mounts.iter().flatten())
        {
            let target = self.directory.join("volumes").join(&mount.name);
            if target.exists() {
                link(&target, &self.root().join(relative(&mount.mount_path)))?;
            }
        }
        Ok(())
    }

    fn write(&mut self, volume: &str, place: &Path, files: Files) -> Result<(), VolumeError> {
        if self.written.get(volume) == Some(&files) {
            return Ok(());
        }
        self.edition += 1;
        let edition = place.join(format!("..{}", self.edition));
        for (path, content) in &files {
            let path = edition.join(path);
            path.parent().map_or(Ok(()), make)?;
            write_private(&path, content).map_err(|source| VolumeError::Write { path, source })?;
        }
        make(&edition)?;
        publish(place, &edition, &files)
            .map_err(|source| VolumeError::Write { path: place.to_owned(), source })?;
        self.written.insert(volume.to_owned(), files);
        Ok(())
    }
}

/// Makes `edition` what `place` shows. The edition before stays for a reader who is on the way into it; older ones go.
fn publish(place: &Path, edition: &Path, files: &Files) -> io::Result<()> {
    let before = fs::read_link(place.join(DATA)).ok();
    let fresh = place.join("..data_tmp");
    symlink(edition.file_name().unwrap_or_default(), &fresh)?;
    fs::rename(&fresh, place.join(DATA))?;
    let shown: Vec<_> = files.keys().filter_map(|path| path.components().next()).collect();
    for name in &shown {
        let visible = place.join(name);
        if fs::symlink_metadata(&visible).is_err() {
            symlink(Path::new(DATA).join(name), visible)?;
        }
    }
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with("..");
        if !hidden && !shown.contains(&Component::Normal(&name)) {
            fs::remove_file(entry.path())?;
        }
    }
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let is_edition = entry.file_type()?.is_dir();
        let recent = edition.ends_with(entry.file_name())
            || before.as_ref() == Some(&entry.file_name().into());
        if is_edition && !recent {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The files of a `ConfigMap` or `Secret` volume; nothing for volumes of other kinds.
async fn fetch(
    client: &Client,
    namespace: &str,
    volume: &Volume,
) -> Result<Option<Files>, VolumeError> {
    let api_error =
        |source| VolumeError::Api { volume: volume.name.clone(), source: Box::new(source) };
    let (kind, name, optional, items, data) = if let Some(source) = &volume.config_map {
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let found = api.get_opt(&source.name).await.map_err(api_error)?;
        ("ConfigMap", &source.name, source.optional, &source.items, found.map(config_map_data))
    } else if let Some(source) = &volume.secret {
        let Some(name) = &source.secret_name else { return Ok(None) };
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(api_error)?;
        let data = found.map(|secret| bytes(secret.data));
        ("Secret", name, source.optional, &source.items, data)
    } else {
        return Ok(None);
    };
    let optional = optional.unwrap_or(false);
    match (data, items) {
        (Some(data), None) => {
            Ok(Some(data.into_iter().map(|(key, value)| (relative(&key), value)).collect()))
        }
        (Some(data), Some(items)) => select(data, items, optional).map(Some).map_err(|key| {
            VolumeError::MissingKey { volume: volume.name.clone(), name: name.clone(), key }
        }),
        (None, _) if optional => Ok(Some(Files::new())),
        (None, _) => {
            Err(VolumeError::Missing { volume: volume.name.clone(), kind, name: name.clone() })
        }
    }
}

fn config_map_data(map: ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let texts = map.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
    bytes(map.binary_data).into_iter().chain(texts).collect()
}

fn bytes(data: Option<BTreeMap<String, ByteString>>) -> BTreeMap<String, Vec<u8>> {
    data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect()
}

/// The chosen keys under the chosen paths, or the key that is missing.
fn select(
    mut data: BTreeMap<String, Vec<u8>>,
    items: &[KeyToPath],
    optional: bool,
) -> Result<Files, String> {
    let mut files = Files::new();
    for item in items {
        match data.remove(&item.key) {
            Some(content) => files.insert(relative(&item.path), content),
            None if optional => None,
            None => return Err(item.key.clone()),
        };
    }
    Ok(files)
}

/// A path without its root and without any way up.
fn relative(path: &str) -> PathBuf {
    Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn make(directory: &Path) -> Result<(), VolumeError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| VolumeError::Write { path: directory.to_owned(), source })
}

fn link(target: &Path, at: &Path) -> Result<(), VolumeError> {
    if fs::symlink_metadata(at).is_ok() {
        return Ok(());
    }
    at.parent().map_or(Ok(()), make)?;
    symlink(target, at).map_err(|source| VolumeError::Write { path: at.to_owned(), source })
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> Files {
        pairs.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
    }

    fn visible(place: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with(".."))
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect()
    }

    #[test]
    fn an_update_replaces_everything_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("volumes/v");
        make(&place).unwrap();
        let mut volumes = Volumes::new(directory.path().to_owned());
        volumes.write("v", &place, files(&[("a", "1"), ("b", "1")])).unwrap();
        volumes.write("v", &place, files(&[("b", "2"), ("c", "2")])).unwrap();
        volumes.write("v", &place, files(&[("b", "3"), ("c", "3")])).unwrap();
        let expected =
            [("b", "3"), ("c", "3")].map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(visible(&place), BTreeMap::from(expected));
        let editions = fs::read_dir(&place).unwrap().count();
        assert_eq!(editions, 5, "two links, ..data, its edition and the one before");
    }

    #[test]
    fn no_path_leads_out() {
        assert_eq!(relative("/etc/gatefleet"), Path::new("etc/gatefleet"));
        assert_eq!(relative("../../x/./y"), Path::new("x/y"));
    }
}
