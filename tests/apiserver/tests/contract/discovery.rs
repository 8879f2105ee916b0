//! Discovery, `OpenAPI`, version and health.

use http::Method;
use serde_json::{Value, json};

use crate::context::{Context, cases};

cases![legacy_lists, aggregated_lists, openapi_documents, version_and_health];

async fn legacy_lists(c: Context) {
    assert_eq!(c.get("/api").await.ok()["versions"], json!(["v1"]));
    let groups = c.get("/apis").await.ok();
    let group = |name: &str| {
        groups["groups"].as_array().unwrap().iter().find(|g| g["name"] == name).cloned()
    };
    assert_eq!(
        group("apps").unwrap()["preferredVersion"],
        json!({"groupVersion": "apps/v1", "version": "v1"})
    );
    let core = c.get("/api/v1").await.ok();
    let resource = |name: &str| {
        core["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned().unwrap()
    };
    let pods = resource("pods");
    assert_eq!(
        (&pods["kind"], &pods["shortNames"], &pods["categories"]),
        (&json!("Pod"), &json!(["po"]), &json!(["all"]))
    );
    assert_eq!(
        pods["verbs"],
        json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    );
    assert_eq!(resource("pods/log")["verbs"], json!(["get"]));
    assert_eq!(resource("namespaces")["namespaced"], false);
    let apps = c.get("/apis/apps/v1").await.ok();
    let scale = apps["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["name"] == "deployments/scale")
        .unwrap();
    assert_eq!(
        (&scale["kind"], &scale["group"], &scale["version"]),
        (&json!("Scale"), &json!("autoscaling"), &json!("v1"))
    );
    assert_eq!(c.get("/apis/absent.example.com").await.status, 404);
}

async fn aggregated_lists(c: Context) {
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    for path in ["/api", "/apis"] {
        let answer = c.send(Method::GET, path, "", accept, Vec::new()).await;
        let media = answer.headers["content-type"].to_str().unwrap().to_owned();
        assert!(media.contains("as=APIGroupDiscoveryList") && media.contains("v=v2"), "{media}");
        let list = answer.ok();
        assert_eq!(
            (&list["kind"], &list["apiVersion"]),
            (&json!("APIGroupDiscoveryList"), &json!("apidiscovery.k8s.io/v2"))
        );
        let resource = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|g| g["versions"].as_array().unwrap())
            .flat_map(|v| v["resources"].as_array().unwrap());
        let wanted = if path == "/api" { "services" } else { "deployments" };
        let found = resource.into_iter().find(|r| r["resource"] == wanted).unwrap();
        assert_eq!(found["scope"], "Namespaced");
        assert!(
            found["subresources"].as_array().unwrap().iter().any(|s| s["subresource"] == "status"),
            "{found}"
        );
    }
    let discovery =
        kube::discovery::Discovery::new(c.client.clone()).run_aggregated().await.unwrap();
    assert!(discovery.has_group("networking.k8s.io"));
}

async fn openapi_documents(c: Context) {
    let index = c.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let document = c.get(&url).await.ok();
    let path =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        path["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    assert!(path["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "fieldValidation"));
    let schema = &document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        schema["x-kubernetes-group-version-kind"],
        json!([{"group": "apps", "version": "v1", "kind": "Deployment"}])
    );
    let text = schema.to_string();
    assert!(text.contains("#/components/schemas/io.k8s.api.apps.v1.DeploymentSpec"), "{text}");
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for target in references(schema) {
            assert!(
                document["components"]["schemas"].get(&target).is_some(),
                "{name} names {target}, which is not there"
            );
        }
    }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let own = map
                .get("$ref")
                .and_then(Value::as_str)
                .map(|r| r.rsplit('/').next().unwrap().to_owned());
            own.into_iter().chain(map.values().flat_map(references)).collect()
        }
        Value::Array(list) => list.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

async fn version_and_health(c: Context) {
    let version = c.get("/version").await.ok();
    assert_eq!((&version["major"], &version["minor"]), (&json!("1"), &json!("36")));
    assert!(version["gitVersion"].as_str().unwrap().starts_with("v1.36."));
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(c.get(path).await.ok(), json!("ok"), "{path}");
    }
}
