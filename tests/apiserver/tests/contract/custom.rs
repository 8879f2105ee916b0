//! Custom resources: declaration, defaults, pruning, validation, CEL, status, scale, versions.

use serde_json::{Value, json};

use crate::context::{Context, cases, version};

cases![
    a_definition_is_established_and_served,
    definitions_are_checked,
    defaults_and_pruning,
    validation_names_every_field,
    rules_in_cel,
    rules_about_changes,
    status_and_generation,
    scale,
    several_versions,
    a_definition_takes_its_objects_along,
];

/// Declares `things.GROUP` with this spec schema, and waits until it is served.
async fn declare(c: &Context, spec: Value, more: Value) -> String {
    let group = format!("{}.example.com", c.namespace);
    let mut version = json!({
        "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": spec, "status": {"type": "object", "properties": {"phase": {"type": "string"}, "replicas": {"type": "integer"}}}}}},
    });
    for (key, value) in more.as_object().unwrap() {
        version[key] = value.clone();
    }
    let definition = definition(&group, json!([version]));
    c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    c.eventually(&c.group(&format!("{group}/v1"), "things"), 200).await;
    group
}

fn definition(group: &str, versions: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing", "shortNames": ["tg"], "categories": ["test"]}, "versions": versions},
    })
}

fn thing(group: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "a"}, "spec": spec})
}

async fn a_definition_is_established_and_served(c: Context) {
    let group = declare(&c, json!({"type": "object"}), json!({})).await;
    let made = c
        .get(&format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}"))
        .await
        .ok();
    assert_eq!(made["spec"]["names"]["listKind"], "ThingList");
    assert_eq!(made["spec"]["names"]["singular"], "thing");
    assert_eq!(made["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));
    assert_eq!(made["status"]["acceptedNames"]["plural"], "things");
    for condition in ["NamesAccepted", "Established"] {
        let found = made["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["type"] == condition);
        assert_eq!(found.unwrap()["status"], "True", "{condition}");
    }
    let resources = c.get(&format!("/apis/{group}/v1")).await.ok();
    let thing = &resources["resources"][0];
    assert_eq!(
        (&thing["name"], &thing["shortNames"], &thing["categories"]),
        (&json!("things"), &json!(["tg"]), &json!(["test"]))
    );
    let list = c.get(&c.group(&format!("{group}/v1"), "things")).await.ok();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("ThingList"), &json!(format!("{group}/v1")))
    );
}

async fn definitions_are_checked(c: Context) {
    let group = format!("{}.example.com", c.namespace);
    let good = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}});
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All";
    let mut bad = definition(&group, json!([good]));
    bad["metadata"]["name"] = json!("other.example.com");
    let answer = c.post(path, &bad).await.refused(422, "Invalid");
    assert!(answer.contains("metadata.name: Invalid value: \"other.example.com\": must be spec.names.plural+\".\"+spec.group"), "{answer}");
    let mut none = good.clone();
    none.as_object_mut().unwrap().remove("schema");
    let answer = c.post(path, &definition(&group, json!([none]))).await.refused(422, "Invalid");
    assert!(answer.contains("spec.versions[0].schema.openAPIV3Schema: Required value"), "{answer}");
    let mut rule = good.clone();
    rule["schema"]["openAPIV3Schema"]["x-kubernetes-validations"] = json!([{"rule": "self.x =="}]);
    let answer = c.post(path, &definition(&group, json!([rule]))).await.refused(422, "Invalid");
    assert!(
        answer.contains("x-kubernetes-validations[0].rule")
            && answer.contains("compilation failed"),
        "{answer}"
    );
    let mut untyped = good.clone();
    untyped["schema"]["openAPIV3Schema"]["properties"] =
        json!({"spec": {"properties": {"a": {"type": "string"}}}});
    let answer = c.post(path, &definition(&group, json!([untyped]))).await.refused(422, "Invalid");
    assert!(
        answer.contains(
            "properties[spec].type: Required value: must not be empty for specified object fields"
        ),
        "{answer}"
    );
    let mut second = good.clone();
    second["name"] = json!("v2");
    let answer =
        c.post(path, &definition(&group, json!([good, second]))).await.refused(422, "Invalid");
    assert!(answer.contains("must have exactly one version marked as storage version"), "{answer}");
}

async fn defaults_and_pruning(c: Context) {
    let group = declare(
        &c,
        json!({"type": "object", "properties": {
            "size": {"type": "integer", "default": 3},
            "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "string", "default": "d"}, "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"name": {"type": "string"}, "port": {"type": "integer", "default": 80}}}},
            "maybe": {"type": "string", "nullable": true}, "map": {"type": "object", "additionalProperties": {"type": "string"}},
            "either": {"x-kubernetes-int-or-string": true},
        }}),
        json!({}),
    )
    .await;
    let path = c.group(&format!("{group}/v1"), "things");
    let mut object = thing(
        &group,
        json!({
            "unknown": 1, "list": [{"name": "x", "other": true}], "maybe": null, "size": null, "map": {"any": "thing"},
            "nested": {"open": {"kept": [1, {"x": null}]}, "gone": 1}, "either": "50%",
        }),
    );
    object["extra"] = json!("gone");
    object["status"] = json!({"phase": "ignored"});
    let made = c.post(&path, &object).await.ok();
    assert_eq!(
        made["spec"],
        json!({
            "size": 3, "list": [{"name": "x", "port": 80}], "maybe": null, "map": {"any": "thing"},
            "nested": {"deep": "d", "open": {"kept": [1, {"x": null}]}}, "either": "50%",
        })
    );
    assert!(made.get("extra").is_none() && made.get("status").is_none(), "{made}");
    let mut bare = thing(&group, Value::Null);
    bare.as_object_mut().unwrap().remove("spec");
    bare["metadata"]["name"] = json!("b");
    let bare = c.post(&path, &bare).await.ok();
    assert!(bare.get("spec").is_none(), "an absent parent gets no defaults: {bare}");
}

/// A schema with one field for each bound.
fn bounded() -> Value {
    json!({"type": "object", "required": ["must"], "properties": {
        "must": {"type": "string"}, "kind": {"type": "string", "enum": ["a", "b"]},
        "number": {"type": "integer", "minimum": 1, "maximum": 10}, "text": {"type": "string", "pattern": "^x+$", "minLength": 2, "maxLength": 3},
        "list": {"type": "array", "maxItems": 1, "items": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "keyed": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
        "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    }})
}

/// Specs that the schema refuses, and how.
fn refused_specs() -> Vec<(Value, &'static str)> {
    vec![
        (json!({}), "spec.must: Required value"),
        (
            json!({"must": 1}),
            "spec.must: Invalid value: \"integer\": spec.must in body must be of type string: \"integer\"",
        ),
        (
            json!({"must": "", "kind": "c"}),
            "spec.kind: Unsupported value: \"c\": supported values: \"a\", \"b\"",
        ),
        (
            json!({"must": "", "number": 0}),
            "spec.number: Invalid value: 0: spec.number in body should be greater than or equal to 1",
        ),
        (
            json!({"must": "", "number": 11}),
            "spec.number: Invalid value: 11: spec.number in body should be less than or equal to 10",
        ),
        (
            json!({"must": "", "text": "xy"}),
            "spec.text: Invalid value: \"xy\": spec.text in body should match '^x+$'",
        ),
        (
            json!({"must": "", "text": "x"}),
            "spec.text: Invalid value: \"x\": spec.text in body should be at least 2 chars long",
        ),
        (json!({"must": "", "text": "xxxx"}), "spec.text: Too long: may not be more than 3 bytes"),
        (
            json!({"must": "", "list": ["a", "b"]}),
            "spec.list: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"must": "", "list": [1]}),
            "spec.list[0]: Invalid value: \"integer\": spec.list[0] in body must be of type string: \"integer\"",
        ),
        (json!({"must": "", "set": ["a", "a"]}), "spec.set[1]: Duplicate value: \"a\""),
        (
            json!({"must": "", "keyed": [{"name": "a"}, {"name": "a"}]}),
            "spec.keyed[1]: Duplicate value: {\"name\":\"a\"}",
        ),
        (
            json!({"must": "", "one": {"a": "", "b": ""}}),
            "\"spec.one\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (
            json!({"must": "", "one": "x"}),
            "spec.one: Invalid value: \"string\": spec.one in body must be of type object: \"string\"",
        ),
    ]
}

async fn validation_names_every_field(c: Context) {
    let group = declare(&c, bounded(), json!({})).await;
    let path = c.group(&format!("{group}/v1"), "things");
    for (spec, expected) in refused_specs() {
        let answer = c.post(&path, &thing(&group, spec.clone())).await;
        let message = answer.refused(422, "Invalid");
        assert!(message.starts_with(&format!("Thing.{group} \"a\" is invalid: ")), "{message}");
        assert!(message.contains(expected), "{spec}:\n  expected {expected}\n  got      {message}");
    }
    c.post(&path, &thing(&group, json!({"must": "", "number": 5, "text": "xx", "one": {"a": ""}})))
        .await
        .ok();
}

async fn rules_in_cel(c: Context) {
    let group = declare(
        &c,
        json!({"type": "object", "x-kubernetes-validations": [
                {"rule": "!has(self.max) || !has(self.min) || self.min <= self.max", "message": "min must not exceed max"},
                {"rule": "!has(self.max) || self.max < 100", "messageExpression": "'at most ' + 'ninety-nine' + ' goes'", "fieldPath": ".max"}],
            "properties": {
                "min": {"type": "integer"}, "max": {"type": "integer"},
                "names": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}, "x-kubernetes-validations": [{"rule": "self.all(n, n.startsWith('x'))"}]},
                "text": {"type": "string", "maxLength": 20, "x-kubernetes-validations": [{"rule": "self != 'no'", "message": "say yes", "reason": "FieldValueForbidden"}]},
            }}),
        json!({}),
    )
    .await;
    let path = c.group(&format!("{group}/v1"), "things");
    for (spec, expected) in [
        (json!({"min": 2, "max": 1}), "is invalid: spec: Invalid value: min must not exceed max"),
        (json!({"max": 100}), "is invalid: spec.max: Invalid value: at most ninety-nine goes"),
        (
            json!({"names": ["xa", "b"]}),
            "is invalid: spec.names: Invalid value: failed rule: self.all(n, n.startsWith('x'))",
        ),
        (json!({"text": "no"}), "is invalid: spec.text: Forbidden: say yes"),
    ] {
        let message = c.post(&path, &thing(&group, spec.clone())).await.refused(422, "Invalid");
        assert!(
            message.ends_with(expected),
            "{spec}:\n  expected {expected}\n  got      {message}"
        );
    }
    c.post(&path, &thing(&group, json!({"min": 1, "max": 2, "names": ["x"], "text": "yes"})))
        .await
        .ok();
}

async fn rules_about_changes(c: Context) {
    let group = declare(
        &c,
        json!({"type": "object", "properties": {
            "fixed": {"type": "string", "maxLength": 9, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is immutable"}]},
            "ports": {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "required": ["name"], "properties": {
                "name": {"type": "string", "maxLength": 9}, "port": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "ports only grow"}]}}}},
        }}),
        json!({}),
    )
    .await;
    let path = c.group(&format!("{group}/v1"), "things");
    let item = format!("{path}/a");
    c.post(
        &path,
        &thing(
            &group,
            json!({"fixed": "x", "ports": [{"name": "a", "port": 5}, {"name": "b", "port": 1}]}),
        ),
    )
    .await
    .ok();
    let message =
        c.merge_patch(&item, &json!({"spec": {"fixed": "y"}})).await.refused(422, "Invalid");
    assert!(message.ends_with("spec.fixed: Invalid value: \"y\": fixed is immutable"), "{message}");
    c.merge_patch(
        &item,
        &json!({"spec": {"ports": [{"name": "b", "port": 1}, {"name": "a", "port": 6}]}}),
    )
    .await
    .ok();
    let message = c
        .merge_patch(&item, &json!({"spec": {"ports": [{"name": "a", "port": 2}]}}))
        .await
        .refused(422, "Invalid");
    assert!(
        message.ends_with("spec.ports[0].port: Invalid value: 2: ports only grow"),
        "{message}"
    );
}

async fn status_and_generation(c: Context) {
    let group =
        declare(&c, json!({"type": "object", "properties": {"n": {"type": "integer"}}}), json!({}))
            .await;
    let path = c.group(&format!("{group}/v1"), "things");
    let item = format!("{path}/a");
    let made = c.post(&path, &thing(&group, json!({"n": 1}))).await.ok();
    assert_eq!(made["metadata"]["generation"], 1);
    let labelled = c.merge_patch(&item, &json!({"metadata": {"labels": {"a": "b"}}})).await.ok();
    assert_eq!(labelled["metadata"]["generation"], 1);
    let changed =
        c.merge_patch(&item, &json!({"spec": {"n": 2}, "status": {"phase": "ignored"}})).await.ok();
    assert_eq!(changed["metadata"]["generation"], 2);
    assert!(changed.get("status").is_none());
    let told = c.merge_patch(&format!("{item}/status"), &json!({"spec": {"n": 9}, "metadata": {"labels": {"x": "y"}}, "status": {"phase": "Good"}})).await.ok();
    assert_eq!(
        (&told["spec"]["n"], &told["status"]["phase"], &told["metadata"]["generation"]),
        (&json!(2), &json!("Good"), &json!(2))
    );
    assert_eq!(told["metadata"]["labels"], json!({"a": "b"}));
    let mut replaced = told.clone();
    replaced["status"]["phase"] = json!("Better");
    let replaced = c.put(&format!("{item}/status"), &replaced).await.ok();
    assert_eq!(replaced["status"]["phase"], "Better");
    let mut kept = replaced.clone();
    kept.as_object_mut().unwrap().remove("status");
    assert_eq!(c.put(&item, &kept).await.ok()["status"]["phase"], "Better");
    kept["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let message = c.put(&item, &kept).await.refused(422, "Invalid");
    assert!(
        message.ends_with(
            "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
        ),
        "{message}"
    );
    assert_eq!(c.get(&format!("{item}/status")).await.ok()["status"]["phase"], "Better");
    c.get(&format!("{item}/scale")).await.refused(404, "NotFound");
}

async fn scale(c: Context) {
    let group = declare(
        &c,
        json!({"type": "object", "properties": {"replicas": {"type": "integer"}}}),
        json!({"subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}}),
    )
    .await;
    let path = c.group(&format!("{group}/v1"), "things");
    c.post(&path, &thing(&group, json!({"replicas": 2}))).await.ok();
    let scale = c.get(&format!("{path}/a/scale")).await.ok();
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(2)));
    let scale =
        c.merge_patch(&format!("{path}/a/scale"), &json!({"spec": {"replicas": 5}})).await.ok();
    assert_eq!(scale["spec"]["replicas"], 5);
    let object = c.get(&format!("{path}/a")).await.ok();
    assert_eq!(
        (&object["spec"]["replicas"], &object["metadata"]["generation"]),
        (&json!(5), &json!(2))
    );
}

async fn several_versions(c: Context) {
    let group = format!("{}.example.com", c.namespace);
    let version_of = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
    };
    let definition =
        definition(&group, json!([version_of("v1", true), version_of("v1beta1", false)]));
    c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    let (new, old) =
        (c.group(&format!("{group}/v1"), "things"), c.group(&format!("{group}/v1beta1"), "things"));
    c.eventually(&new, 200).await;
    c.eventually(&old, 200).await;
    let mut object = thing(&group, json!({"x": 1}));
    object["apiVersion"] = json!(format!("{group}/v1beta1"));
    let made = c.post(&old, &object).await.ok();
    assert_eq!(made["apiVersion"], format!("{group}/v1beta1"));
    let seen = c.get(&format!("{new}/a")).await.ok();
    assert_eq!(
        (&seen["apiVersion"], &seen["spec"], version(&seen)),
        (&json!(format!("{group}/v1")), &json!({"x": 1}), version(&made))
    );
}

async fn a_definition_takes_its_objects_along(c: Context) {
    let group = declare(
        &c,
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        json!({}),
    )
    .await;
    let path = c.group(&format!("{group}/v1"), "things");
    c.post(&path, &thing(&group, json!({}))).await.ok();
    let definition =
        format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.{group}");
    c.delete(&definition, &json!({})).await.ok();
    c.eventually(&definition, 404).await;
    c.eventually(&path, 404).await;
}
