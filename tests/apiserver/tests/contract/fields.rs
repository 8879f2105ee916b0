//! Field validation: unknown and duplicate fields, ignored, warned of or refused.

use http::Method;
use serde_json::json;

use crate::context::{Answer, Context, cases};

cases![built_in_kinds, custom_kinds, patches_too, wrong_types_are_refused, protobuf_bodies];

async fn post(c: &Context, path: &str, validation: &str, body: &str) -> Answer {
    let path = format!(
        "{path}?dryRun=All{}{validation}",
        if validation.is_empty() { "" } else { "&fieldValidation=" }
    );
    c.send(Method::POST, &path, "application/json", "application/json", body.into()).await
}

async fn built_in_kinds(c: Context) {
    let body = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"a","bogus":1},"spec":{"ports":[{"port":80,"por":1}],"selctor":{},"type":"ClusterIP","type":"ClusterIP"}}"#;
    let path = c.core("services");
    let strict = post(&c, &path, "Strict", body).await.refused(400, "BadRequest");
    assert!(
        strict.starts_with(
            "Service in version \"v1\" cannot be handled as a Service: strict decoding error: "
        ),
        "{strict}"
    );
    for finding in [
        "duplicate field \"spec.type\"",
        "unknown field \"metadata.bogus\"",
        "unknown field \"spec.ports[0].por\"",
        "unknown field \"spec.selctor\"",
    ] {
        assert!(strict.contains(finding), "{finding} in {strict}");
    }
    for validation in ["Warn", ""] {
        let warned = post(&c, &path, validation, body).await;
        let warnings = warned.warnings();
        assert!(
            warnings.iter().any(|w| w == "299 - \"unknown field \"spec.selctor\"\""),
            "{warnings:?}"
        );
        assert!(
            warnings.iter().any(|w| w == "299 - \"duplicate field \"spec.type\"\""),
            "{warnings:?}"
        );
        assert!(warned.ok()["spec"].get("selctor").is_none());
    }
    let ignored = post(&c, &path, "Ignore", body).await;
    assert!(ignored.warnings().is_empty());
    assert!(ignored.ok()["metadata"].get("bogus").is_none());
}

async fn custom_kinds(c: Context) {
    let group = format!("{}.example.com", c.namespace);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"known": {"type": "string"}}}}}}}]},
    });
    c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    let path = c.group(&format!("{group}/v1"), "things");
    c.eventually(&path, 200).await;
    let body = format!(
        r#"{{"apiVersion":"{group}/v1","kind":"Thing","metadata":{{"name":"a"}},"spec":{{"known":"x","knwon":"y"}}}}"#
    );
    let strict = post(&c, &path, "Strict", &body).await.refused(400, "BadRequest");
    assert!(strict.contains("strict decoding error: unknown field \"spec.knwon\""), "{strict}");
    let warned = post(&c, &path, "Warn", &body).await;
    assert_eq!(warned.warnings(), ["299 - \"unknown field \"spec.knwon\"\""]);
    assert_eq!(warned.ok()["spec"], json!({"known": "x"}));
    assert!(post(&c, &path, "Ignore", &body).await.warnings().is_empty());
}

async fn patches_too(c: Context) {
    c.config_map("a", &json!({})).await;
    let path = format!("{}?fieldValidation=Strict", c.core("configmaps/a"));
    let refused = c.merge_patch(&path, &json!({"dta": {"k": "v"}})).await;
    assert!(
        refused.body["message"].as_str().unwrap().contains("unknown field \"dta\""),
        "{refused:?}"
    );
    let warned = c.merge_patch(&c.core("configmaps/a"), &json!({"dta": {"k": "v"}})).await;
    assert_eq!(warned.warnings(), ["299 - \"unknown field \"dta\"\""]);
}

async fn wrong_types_are_refused(c: Context) {
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":1}}"#;
    let refused = post(&c, &c.core("configmaps"), "", body).await.refused(400, "BadRequest");
    assert!(
        refused.starts_with("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: "),
        "{refused}"
    );
    for (body, status) in [
        ("{", 400),
        ("[]", 400),
        (r#"{"apiVersion":"v1","kind":"Secret"}"#, 400),
        // Bodies of built-in kinds may leave their type out; this one lacks a name.
        ("{}", 422),
        (r#"{"kind":"ConfigMap"}"#, 422),
    ] {
        let answer = post(&c, &c.core("configmaps"), "", body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
    }
}

/// A length-delimited protobuf field.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![(number << 3) | 2, u8::try_from(bytes.len()).unwrap()];
    out.extend_from_slice(bytes);
    out
}

async fn protobuf_bodies(c: Context) {
    const MEDIA: &str = "application/vnd.kubernetes.protobuf";
    let meta = [field(1, b"s"), field(11, &[field(1, b"l"), field(2, b"1")].concat())].concat();
    let secret =
        [field(1, &meta), field(2, &[field(1, b"k"), field(2, b"v")].concat()), vec![5 << 3, 0]]
            .concat();
    let envelope = |kind: &[u8]| {
        let types = [field(1, b"v1"), field(2, kind)].concat();
        [b"k8s\0".to_vec(), field(1, &types), field(2, &secret)].concat()
    };
    let made = c
        .send(Method::POST, &c.core("secrets"), MEDIA, "application/json", envelope(b"Secret"))
        .await
        .ok();
    assert_eq!(made["data"], json!({"k": "dg=="}));
    assert_eq!(made["metadata"]["labels"], json!({"l": "1"}));
    assert_eq!((&made["type"], &made["immutable"]), (&json!("Opaque"), &json!(false)));
    for body in [
        b"k8s\0".to_vec(),
        b"{}".to_vec(),
        envelope(b"Secret")[..20].to_vec(),
        envelope(b"Nonsense"),
    ] {
        let refused =
            c.send(Method::POST, &c.core("secrets"), MEDIA, "application/json", body.clone()).await;
        assert!(refused.status.is_client_error(), "{body:?}: {refused:?}");
    }
}
