//! Snapshots to text.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    SCHEMA_VERSION,
    v1::{Resource, Snapshot, Watermark},
};

/// Notation of a snapshot file; both hold the same tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Indented JSON.
    Json,
    /// YAML.
    Yaml,
}

/// A snapshot of `resources` in any order: by ascending name; of several under one name the last stays.
#[must_use]
pub fn sorted_snapshot(
    resources: impl IntoIterator<Item = Resource>,
    watermark: Vec<Watermark>,
) -> Snapshot {
    let by_name: BTreeMap<String, Resource> =
        resources.into_iter().map(|resource| (resource.name.clone(), resource)).collect();
    let resources = by_name.into_values().collect();
    Snapshot { schema_version: SCHEMA_VERSION, watermark, resources }
}

/// The text of a snapshot; equal snapshots give equal bytes. It ends with a line feed.
///
/// # Errors
///
/// When the tree cannot be written in `format`; no snapshot that [`crate::read_snapshot`] gave does that.
pub fn write_snapshot(snapshot: &Snapshot, format: Format) -> Result<String, std::io::Error> {
    let Snapshot { schema_version, watermark, resources } = snapshot;
    let file = File { schema_version: *schema_version, watermark, resources };
    let mut text = match format {
        Format::Json => serde_json::to_string_pretty(&file)?,
        Format::Yaml => serde_saphyr::to_string(&file).map_err(std::io::Error::other)?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// Unlike protobuf's JSON this writes an empty list too: readers take a missing one for a file cut off.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    schema_version: u32,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    watermark: &'a [Watermark],
    resources: &'a [Resource],
}
