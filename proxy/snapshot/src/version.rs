//! Content versions.

use std::cmp::Ordering;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    required_capabilities,
    v1::{Resource, resource::Body},
};

/// Bytes of SHA-256 that a version keeps: 128 bits, so that equal versions mean equal content.
const VERSION_BYTES: usize = 16;

/// The content hash of a resource: the first 128 bits of SHA-256, in hexadecimal, over its protobuf encoding
/// without the field `version`. The encoding is deterministic: fields in order of number, maps in order of key.
#[must_use]
pub fn version_of(resource: &Resource) -> String {
    let unversioned = Resource {
        name: resource.name.clone(),
        version: String::new(),
        capabilities: resource.capabilities.clone(),
        body: resource.body.clone(),
    };
    let digest = Sha256::digest(unversioned.encode_to_vec());
    let mut version = String::with_capacity(VERSION_BYTES * 2);
    for byte in digest.iter().take(VERSION_BYTES) {
        for nibble in [byte >> 4, byte & 0xf] {
            version.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    version
}

/// A complete resource: `body` under `name`, with what a proxy must know to serve it, and its version.
#[must_use]
pub fn seal(name: impl Into<String>, body: Body) -> Resource {
    let mut resource = Resource {
        name: name.into(),
        version: String::new(),
        capabilities: Vec::new(),
        body: Some(body),
    };
    resource.capabilities =
        required_capabilities(&resource).into_iter().map(str::to_owned).collect();
    resource.version = version_of(&resource);
    resource
}

/// Order of two resourceVersions of one kind: numbers without a size limit (KEP-5504), so the longer is the larger.
#[must_use]
pub fn compare_resource_versions(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Backend, Endpoint, Endpoints};

    #[test]
    fn the_version_depends_on_content_alone() {
        let sealed = seal("backend/a", Body::Backend(Backend::default()));
        assert_eq!(sealed.version.len(), VERSION_BYTES * 2);
        let relabelled = Resource { version: "other".into(), ..sealed.clone() };
        assert_eq!(version_of(&relabelled), sealed.version);
        let renamed = Resource { name: "backend/b".into(), ..sealed.clone() };
        assert_ne!(version_of(&renamed), sealed.version);
        let other =
            seal("backend/a", Body::Backend(Backend { dns: "x:1".into(), ..Default::default() }));
        assert_ne!(other.version, sealed.version);
    }

    #[test]
    fn labels_in_any_order_have_one_version() {
        let endpoints = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let endpoint = Endpoint { labels, ..Default::default() };
            seal("endpoints/a", Body::Endpoints(Endpoints { endpoints: vec![endpoint] })).version
        };
        assert_eq!(endpoints(&[("a", "1"), ("b", "2")]), endpoints(&[("b", "2"), ("a", "1")]));
    }

    #[test]
    fn resource_versions_are_numbers_of_any_length() {
        for (left, right, order) in [
            ("9", "10", Ordering::Less),
            ("10", "10", Ordering::Equal),
            ("", "0", Ordering::Equal),
            ("0010", "9", Ordering::Greater),
            ("99999999999999999999", "100000000000000000000", Ordering::Less),
        ] {
            assert_eq!(compare_resource_versions(left, right), order, "{left} {right}");
        }
    }
}
