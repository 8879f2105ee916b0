//! Draws requests: the same seed gives the same requests.

use std::fmt;

use http::Method;
use serde_json::{Map, Value, json};

const GROUP: &str = "random.example.com";
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";

/// One request.
pub(crate) struct Op {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) media: &'static str,
    pub(crate) body: Value,
    /// Which object it is about.
    pub(crate) object: String,
    /// Send the version that the server gave last?
    pub(crate) versioned: bool,
    /// Send a version that is long gone?
    pub(crate) stale: bool,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let media = self.media.trim_start_matches("application/");
        write!(f, "{} {} ({media}) {}", self.method, self.path, self.body)?;
        if self.versioned { f.write_str(" with version") } else { Ok(()) }
    }
}

fn op(method: Method, path: String, media: &'static str, body: Value, object: String) -> Op {
    Op { method, path, media, body, object, versioned: false, stale: false }
}

/// What must be there before the first sequence.
pub(crate) fn prepare() -> Vec<Op> {
    let text = || json!({"type": "string"});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{GROUP}")},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    "size": {"type": "integer", "default": 1, "maximum": 3}, "text": text(),
                    "nested": {"type": "object", "properties": {"a": text(), "b": {"type": "string", "default": "x"}}},
                    "atomic": {"type": "array", "items": text()},
                    "set": {"type": "array", "x-kubernetes-list-type": "set", "items": text()},
                    "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                        "items": {"type": "object", "required": ["name"], "properties": {"name": text(), "value": text()}}},
                    "map": {"type": "object", "additionalProperties": text()},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": text(), "b": text()}},
                }},
                "status": {"type": "object", "properties": {"phase": text(), "count": {"type": "integer"}}},
            }}},
        }]},
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned();
    vec![op(Method::POST, path, JSON, definition, "definition".into())]
}

/// Makes the namespace of a sequence.
pub(crate) fn namespace(name: &str) -> Op {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    op(Method::POST, "/api/v1/namespaces".into(), JSON, body, format!("namespace/{name}"))
}

/// Draws requests.
pub(crate) struct Draw(u64);

/// What requests are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Thing,
    ConfigMap,
    Deployment,
    Service,
}

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap();
        choices[index]
    }

    /// One request of a sequence.
    pub(crate) fn op(&mut self, namespace: &str) -> Op {
        let kind = self.of(&[
            Kind::Thing,
            Kind::Thing,
            Kind::Thing,
            Kind::ConfigMap,
            Kind::Deployment,
            Kind::Service,
        ]);
        let name = self.of(&["a", "a", "b"]);
        let collection = match kind {
            Kind::Thing => format!("/apis/{GROUP}/v1/namespaces/{namespace}/things"),
            Kind::ConfigMap => format!("/api/v1/namespaces/{namespace}/configmaps"),
            Kind::Deployment => format!("/apis/apps/v1/namespaces/{namespace}/deployments"),
            Kind::Service => format!("/api/v1/namespaces/{namespace}/services"),
        };
        let item = format!("{collection}/{name}");
        let object = item.clone();
        let mut op = match self.below(12) {
            0 => op(Method::POST, collection, JSON, self.object(kind, name, true), object),
            1 | 2 => op(Method::PUT, item, JSON, self.object(kind, name, true), object),
            3 => op(Method::DELETE, item, JSON, json!({}), object),
            4 | 5 => op(Method::PATCH, item, MERGE, self.part(kind, name), object),
            6 if kind == Kind::Thing => {
                let status = json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Thing", "metadata": {"name": name}, "status": {"phase": self.of(&["p", "q"])}});
                let path =
                    format!("{item}/status?fieldManager={}&force=true", self.of(&["one", "two"]));
                op(Method::PATCH, path, APPLY, status, object)
            }
            6 if kind == Kind::Deployment => {
                op(Method::PATCH, item, STRATEGIC, self.part(kind, name), object)
            }
            7 => op(Method::PATCH, item, PATCH, self.json_patch(kind), object),
            _ => {
                let force = if self.one_in(3) { "&force=true" } else { "" };
                let path = format!("{item}?fieldManager={}{force}", self.of(&["one", "two"]));
                let whole = self.one_in(3);
                op(Method::PATCH, path, APPLY, self.object(kind, name, whole), object)
            }
        };
        if op.method == Method::PUT {
            op.versioned = kind == Kind::Thing || self.one_in(2);
            op.stale = self.one_in(8);
        }
        op
    }

    /// A part of an object, as a patch.
    fn part(&mut self, kind: Kind, name: &str) -> Value {
        let mut part = self.object(kind, name, false);
        let map = part.as_object_mut().unwrap();
        map.remove("apiVersion");
        map.remove("kind");
        if let Some(spec) = map.get_mut("spec").and_then(Value::as_object_mut)
            && self.one_in(3)
        {
            spec.insert(
                self.of(&["text", "nested", "set", "keyed", "map"]).to_owned(),
                Value::Null,
            );
        }
        if kind == Kind::Deployment || kind == Kind::Service {
            // A null would take away what these kinds must have.
            drop_nulls(&mut part);
        }
        part
    }

    fn json_patch(&mut self, kind: Kind) -> Value {
        let path = match kind {
            Kind::Thing => {
                self.of(&["/spec/text", "/spec/map/k", "/metadata/labels", "/spec/nested/a"])
            }
            _ => "/metadata/labels",
        };
        let value = if path == "/metadata/labels" {
            json!({"x": self.of(&["1", "2"])})
        } else {
            json!(self.of(&["u", "v"]))
        };
        match self.below(4) {
            0 => json!([{"op": "remove", "path": path}]),
            1 => {
                json!([{"op": "test", "path": path, "value": value}, {"op": "replace", "path": path, "value": value}])
            }
            _ => json!([{"op": "add", "path": path, "value": value}]),
        }
    }

    /// An object with a random selection of fields.
    fn object(&mut self, kind: Kind, name: &str, whole: bool) -> Value {
        let (version, kind_name) = match kind {
            Kind::Thing => (format!("{GROUP}/v1"), "Thing"),
            Kind::ConfigMap => ("v1".into(), "ConfigMap"),
            Kind::Deployment => ("apps/v1".into(), "Deployment"),
            Kind::Service => ("v1".into(), "Service"),
        };
        let mut meta = json!({"name": name});
        if self.one_in(3) {
            meta["labels"] = json!({self.of(&["x", "y"]): self.of(&["1", "2"])});
        }
        let mut object = json!({"apiVersion": version, "kind": kind_name, "metadata": meta});
        match kind {
            Kind::ConfigMap => object["data"] = self.map(),
            Kind::Thing => object["spec"] = self.thing(),
            Kind::Deployment => object["spec"] = self.deployment(whole),
            Kind::Service => object["spec"] = self.service(whole),
        }
        if kind == Kind::Thing && self.one_in(4) {
            object["status"] = json!({"phase": "x"});
        }
        object
    }

    fn map(&mut self) -> Value {
        let mut map = Map::new();
        for key in ["k", "l"] {
            if self.one_in(2) {
                map.insert(key.into(), json!(self.of(&["1", "2"])));
            }
        }
        Value::Object(map)
    }

    fn thing(&mut self) -> Value {
        let mut spec = Map::new();
        for field in
            ["size", "text", "nested", "atomic", "set", "keyed", "map", "free", "whole", "unknown"]
        {
            if !self.one_in(3) {
                continue;
            }
            let value = match field {
                "size" => json!(self.of(&[1, 2, 3, 2, 4])),
                "text" => json!(self.of(&["t", "u"])),
                "nested" => json!({"a": self.of(&["1", "2"])}),
                "atomic" | "set" => self.list(),
                "keyed" => {
                    let names = self.list();
                    let items = names.as_array().unwrap().iter();
                    items
                        .map(|n| {
                            if self.one_in(3) {
                                json!({"name": n})
                            } else {
                                json!({"name": n, "value": self.of(&["1", "2"])})
                            }
                        })
                        .collect()
                }
                "map" => self.map(),
                "free" => json!({"deep": self.map(), "list": [self.map()]}),
                "whole" => json!({self.of(&["a", "b"]): self.of(&["1", "2"])}),
                _ => json!("pruned"),
            };
            spec.insert(field.into(), value);
        }
        Value::Object(spec)
    }

    fn list(&mut self) -> Value {
        let mut list: Vec<&str> = ["m", "n", "o"].into_iter().filter(|_| self.one_in(2)).collect();
        if self.one_in(2) {
            list.reverse();
        }
        json!(list)
    }

    fn deployment(&mut self, whole: bool) -> Value {
        let mut container =
            json!({"name": self.of(&["x", "y"]), "image": self.of(&["i:1", "i:2"])});
        if self.one_in(2) {
            container["env"] =
                json!([{"name": self.of(&["A", "B"]), "value": self.of(&["1", "2"])}]);
        }
        let mut spec = json!({"template": {"spec": {"containers": [container]}}});
        if self.one_in(2) {
            spec["replicas"] = json!(self.of(&[1, 2]));
        }
        if whole {
            spec["selector"] = json!({"matchLabels": {"app": "a"}});
            spec["template"]["metadata"] = json!({"labels": {"app": "a"}});
        }
        spec
    }

    fn service(&mut self, whole: bool) -> Value {
        let mut spec = json!({});
        if whole || self.one_in(2) {
            let port = self.of(&[80, 81]);
            spec["ports"] = json!([{"name": format!("p{port}"), "port": port, "protocol": "TCP"}]);
        }
        if self.one_in(3) {
            spec["selector"] = json!({"app": self.of(&["a", "b"])});
        }
        if self.one_in(4) {
            spec["type"] = json!(self.of(&["ClusterIP", "NodePort", "LoadBalancer"]));
        }
        spec
    }
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, v| !v.is_null());
        map.values_mut().for_each(drop_nulls);
    }
}
