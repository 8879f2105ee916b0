//! An object that may not be readable.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// What came over the wire: its metadata, and the object unless its content has another form than `K`.
/// Reading it never fails, so that one object cannot end the watch of all others.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<K> {
    pub(crate) metadata: ObjectMeta,
    pub(crate) object: Result<K, String>,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Guarded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let metadata = value.get("metadata").map(ObjectMeta::deserialize);
        let metadata = metadata.transpose().map_err(serde::de::Error::custom)?.unwrap_or_default();
        let object = serde_json::from_value(value).map_err(|error| error.to_string());
        Ok(Self { metadata, object })
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Guarded<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind(dynamic: &()) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &()) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &()) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &()) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_object_still_says_which_one_it_is() {
        let wrong = json!({"metadata": {"name": "odd", "uid": "u"}, "spec": {"ports": "none"}});
        let guarded: Guarded<Service> = serde_json::from_value(wrong).unwrap();
        assert_eq!(guarded.metadata.name.as_deref(), Some("odd"));
        assert!(guarded.object.is_err());
    }
}
