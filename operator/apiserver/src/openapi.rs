//! OpenAPI v3, which kubectl reads before it applies, validates or explains.

use serde_json::{Value, json};

use crate::{discovery::groups, registry::Registry};

/// `/openapi/v3`: where the document of each group version is.
pub(crate) fn index(registry: &Registry) -> Value {
    let mut paths = serde_json::Map::new();
    for (group, versions) in groups(registry) {
        for version in versions {
            let path = if group.is_empty() {
                format!("api/{version}")
            } else {
                format!("apis/{group}/{version}")
            };
            let url = format!("/openapi/v3/{path}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The document of one group version.
pub(crate) fn document(_registry: &Registry, _group: &str, _version: &str) -> Option<Value> {
    None
}
