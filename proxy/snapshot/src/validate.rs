//! What every resource must satisfy before anybody looks at its content.

use prost::Message;

use crate::{MAX_RESOURCE_BYTES, ResourceKind, v1::Resource};

/// Longest name of a resource, in bytes: a hostname, a namespace and an object name fit several times.
pub const MAX_NAME_BYTES: usize = 1024;

/// Why a resource cannot be taken, whatever it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// The name starts with none of the kinds.
    #[error(
        "read resource {0:?}: its name must be \"tier\" or KIND/…, where KIND is one of listener, server-name, \
         virtual-host, backend, endpoints, certificate, trust-bundle, policy"
    )]
    UnknownKind(String),
    /// The name holds control characters or is too long.
    #[error("read resource {0:?}: its name must be at most {MAX_NAME_BYTES} printable bytes")]
    UnfitName(String),
    /// There is nothing in it.
    #[error(
        "read resource {0}: it has no body; add the field {1}, or upgrade if a newer writer made it"
    )]
    NoBody(String, ResourceKind),
    /// Name and body disagree.
    #[error("read resource {name}: its body is a {body}; rename it to {body}/… or change the body")]
    KindMismatch {
        /// The resource.
        name: String,
        /// What its body is.
        body: ResourceKind,
    },
    /// Larger than a proxy accepts.
    #[error(
        "read resource {name}: it has {bytes} bytes; at most {MAX_RESOURCE_BYTES} are possible, split it"
    )]
    TooLarge {
        /// The resource.
        name: String,
        /// Its encoded size.
        bytes: usize,
    },
}

/// The kind of a resource whose name and body agree.
///
/// # Errors
///
/// When the name is unfit, claims another kind than the body, or the resource is too large.
pub fn validate(resource: &Resource) -> Result<ResourceKind, ResourceError> {
    let name = &resource.name;
    if name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let start = name.chars().take(64).collect();
        return Err(ResourceError::UnfitName(start));
    }
    let kind =
        ResourceKind::of_name(name).ok_or_else(|| ResourceError::UnknownKind(name.clone()))?;
    let body = resource.body.as_ref().ok_or_else(|| ResourceError::NoBody(name.clone(), kind))?;
    let body = ResourceKind::of_body(body);
    if body != kind {
        return Err(ResourceError::KindMismatch { name: name.clone(), body });
    }
    let bytes = resource.encoded_len();
    if bytes > MAX_RESOURCE_BYTES {
        return Err(ResourceError::TooLarge { name: name.clone(), bytes });
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Backend, Certificate, resource::Body};

    #[test]
    fn name_and_body_must_agree() {
        let resource =
            |name: &str, body| Resource { name: name.into(), body, ..Default::default() };
        let backend = || Some(Body::Backend(Backend::default()));
        assert_eq!(validate(&resource("backend/a", backend())), Ok(ResourceKind::Backend));
        let huge = Certificate { chain: "x".repeat(MAX_RESOURCE_BYTES), ..Default::default() };
        for (case, wanted) in [
            (resource("gizmo/a", backend()), "name must be \"tier\" or KIND/"),
            (resource("listener/a", backend()), "rename it to backend/…"),
            (resource("backend/a", None), "add the field backend"),
            (resource("backend/a\n", backend()), "printable"),
            (resource(&"backend/a".repeat(200), backend()), "printable"),
            (resource("certificate/a", Some(Body::Certificate(huge))), "split it"),
        ] {
            let said = validate(&case).unwrap_err().to_string();
            assert!(said.contains(wanted), "{said}");
        }
    }
}
