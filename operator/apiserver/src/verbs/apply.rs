//! Server-side apply.

use super::{Call, write::Writing};
use crate::{
    body::Reply,
    error::{Answer, Failure},
    resource::Resource,
    server::Shared,
};

/// Applies a configuration.
pub(super) fn apply(
    _shared: &Shared,
    _resource: &Resource,
    _call: &Call,
    _writing: Writing<'_>,
) -> Answer<Reply> {
    Err(Failure::internal("apply comes next"))
}
