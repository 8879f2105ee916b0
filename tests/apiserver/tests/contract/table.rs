//! Tables and metadata alone.

use http::Method;
use serde_json::{Value, json};

use crate::context::{Context, cases};

cases![built_in_tables, custom_columns, metadata_alone];

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

async fn table(c: &Context, path: &str) -> Value {
    c.send(Method::GET, path, "", TABLE, Vec::new()).await.ok()
}

fn columns(table: &Value) -> Vec<&str> {
    let definitions = table["columnDefinitions"].as_array().unwrap().iter();
    definitions.filter(|d| d["priority"] == 0).map(|d| d["name"].as_str().unwrap()).collect()
}

/// What kubectl shows of each kind.
fn columns_of_kinds(c: &Context) -> Vec<(String, Vec<&'static str>)> {
    vec![
        (
            c.group("apps/v1", "deployments"),
            vec!["Name", "Ready", "Up-to-date", "Available", "Age"],
        ),
        (c.core("pods"), vec!["Name", "Ready", "Status", "Restarts", "Age"]),
        (c.core("secrets"), vec!["Name", "Type", "Data", "Age"]),
        (c.core("events"), vec!["Last Seen", "Type", "Reason", "Object", "Message"]),
        (
            c.group("networking.k8s.io/v1", "ingresses"),
            vec!["Name", "Class", "Hosts", "Address", "Ports", "Age"],
        ),
        (
            "/apis/networking.k8s.io/v1/ingressclasses".into(),
            vec!["Name", "Controller", "Parameters", "Age"],
        ),
        ("/api/v1/namespaces".into(), vec!["Name", "Status", "Age"]),
        (c.group("apps/v1", "replicasets"), vec!["Name", "Desired", "Current", "Ready", "Age"]),
        (
            c.group("discovery.k8s.io/v1", "endpointslices"),
            vec!["Name", "AddressType", "Ports", "Endpoints", "Age"],
        ),
        (c.group("coordination.k8s.io/v1", "leases"), vec!["Name", "Holder", "Age"]),
        (
            c.group("policy/v1", "poddisruptionbudgets"),
            vec!["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"],
        ),
        (
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".into(),
            vec!["Name", "Created At"],
        ),
    ]
}

async fn built_in_tables(c: Context) {
    c.config_map("a", &json!({"k": "v", "l": "w"})).await;
    let maps =
        table(&c, &format!("{}?fieldSelector=metadata.name%3Da", c.core("configmaps"))).await;
    assert_eq!((&maps["kind"], &maps["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    assert_eq!(columns(&maps), ["Name", "Data", "Age"]);
    assert_eq!(maps["columnDefinitions"][0]["format"], "name");
    assert_eq!(
        (&maps["rows"][0]["cells"][0], &maps["rows"][0]["cells"][1]),
        (&json!("a"), &json!(2))
    );
    assert_eq!(maps["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = table(&c, &format!("{}?includeObject=Object", c.core("configmaps/a"))).await;
    assert_eq!(whole["rows"][0]["object"]["data"]["k"], "v");
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "NodePort", "ports": [{"port": 80, "nodePort": 31999}]}});
    let made = c.post(&c.core("services"), &service).await.ok();
    let services = table(&c, &c.core("services")).await;
    assert_eq!(columns(&services), ["Name", "Type", "Cluster-IP", "External-IP", "Port(s)", "Age"]);
    let cells = services["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(
        cells[..5],
        [
            json!("s"),
            json!("NodePort"),
            made["spec"]["clusterIP"].clone(),
            json!("<none>"),
            json!("80:31999/TCP")
        ]
    );
    for (path, expected) in columns_of_kinds(&c) {
        assert_eq!(columns(&table(&c, &path).await), expected, "{path}");
    }
}

async fn custom_columns(c: Context) {
    let group = format!("{}.example.com", c.namespace);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("things.{group}")},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Ready", "type": "string", "jsonPath": ".spec.conditions[?(@.type==\"Ready\")].status"},
                {"name": "Note", "type": "string", "priority": 1, "jsonPath": ".spec.note"},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]},
    });
    c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await.ok();
    let path = c.group(&format!("{group}/v1"), "things");
    c.eventually(&path, 200).await;
    let thing = json!({"apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": {"name": "a"},
        "spec": {"size": 3, "conditions": [{"type": "Other", "status": "x"}, {"type": "Ready", "status": "True"}]}});
    c.post(&path, &thing).await.ok();
    let shown = table(&c, &path).await;
    assert_eq!(columns(&shown), ["Name", "Size", "Ready", "Age"]);
    let cells = shown["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(cells[..4], [json!("a"), json!(3), json!("True"), Value::Null]);
    assert!(cells[4].as_str().unwrap().ends_with('s'), "{cells:?}");
}

async fn metadata_alone(c: Context) {
    let made = c.config_map("a", &json!({"k": "v"})).await;
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let one = c.send(Method::GET, &c.core("configmaps/a"), "", accept, Vec::new()).await.ok();
    assert_eq!(
        one,
        json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": made["metadata"]})
    );
    let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let list = c.send(Method::GET, &c.core("configmaps"), "", accept, Vec::new()).await.ok();
    assert_eq!(list["kind"], "PartialObjectMetadataList");
    assert!(list["items"].as_array().unwrap().iter().all(|i| i.get("data").is_none()));
}
