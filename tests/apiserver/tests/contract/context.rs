//! What every case gets: a client, a namespace, and raw requests.

use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};

/// One case: its name and what it does.
pub(crate) type Case = (&'static str, fn(Context) -> BoxFuture<'static, ()>);

/// Names cases after their functions.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(crate) const CASES: &[$crate::context::Case] = &[
            $((concat!(module_path!(), "::", stringify!($name)), |c| Box::pin($name(c)))),*
        ];
    };
}
pub(crate) use cases;

/// Which server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Embedded,
    Real,
}

/// The surroundings of a case.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) server: Server,
    pub(crate) client: kube::Client,
    pub(crate) namespace: String,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    /// The answer, if it is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }

    /// The message of a refusal with this code and reason.
    #[track_caller]
    pub(crate) fn refused(&self, code: u16, reason: &str) -> String {
        assert_eq!(
            (self.status.as_u16(), &self.body["reason"]),
            (code, &json!(reason)),
            "{}",
            self.body
        );
        self.body["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The texts of `Warning` headers.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let values = self.headers.get_all("warning").iter();
        values.map(|v| v.to_str().unwrap().replace("\\\"", "\"")).collect()
    }
}

impl Context {
    /// Makes the namespace of a case.
    pub(crate) async fn new(server: Server, client: kube::Client, case: &str) -> Self {
        let stem = case.rsplit("::").next().unwrap().replace('_', "-").to_lowercase();
        let stem: String = stem.chars().take(50).collect();
        let context = Self { server, client, namespace: stem.clone() };
        context
            .post(
                "/api/v1/namespaces",
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": stem}}),
            )
            .await
            .ok();
        context
    }

    /// `/api/v1/namespaces/NS/PLURAL`.
    pub(crate) fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    /// `/apis/GROUP/VERSION/namespaces/NS/PLURAL`.
    pub(crate) fn group(&self, group_version: &str, plural: &str) -> String {
        format!("/apis/{group_version}/namespaces/{}/{plural}", self.namespace)
    }

    /// Sends a request whose body has a media type.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        media: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", accept)
            .header("user-agent", "contract/1");
        if !media.is_empty() {
            request = request.header("content-type", media);
        }
        let response = self.client.send(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Answer { status: parts.status, body, headers: parts.headers }
    }

    async fn json(&self, method: Method, path: &str, media: &str, body: &Value) -> Answer {
        self.send(method, path, media, "application/json", body.to_string().into_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", "application/json", Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::POST, path, "application/json", body).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.json(Method::PUT, path, "application/json", body).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.json(Method::DELETE, path, "application/json", options).await
    }

    pub(crate) async fn json_patch(&self, path: &str, patch: &Value) -> Answer {
        self.json(Method::PATCH, path, "application/json-patch+json", patch).await
    }

    pub(crate) async fn merge_patch(&self, path: &str, patch: &Value) -> Answer {
        self.json(Method::PATCH, path, "application/merge-patch+json", patch).await
    }

    pub(crate) async fn strategic_patch(&self, path: &str, patch: &Value) -> Answer {
        self.json(Method::PATCH, path, "application/strategic-merge-patch+json", patch).await
    }

    /// Server-side apply; `path` may carry parameters besides the manager.
    pub(crate) async fn apply(&self, path: &str, manager: &str, body: &Value) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{separator}fieldManager={manager}");
        self.json(Method::PATCH, &path, "application/apply-patch+yaml", body).await
    }

    /// Makes a `ConfigMap`.
    pub(crate) async fn config_map(&self, name: &str, data: &Value) -> Value {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        self.post(&self.core("configmaps"), &map).await.ok()
    }

    /// Asks again until the answer has a status.
    pub(crate) async fn eventually(&self, path: &str, status: u16) -> Answer {
        let start = Instant::now();
        loop {
            let answer = self.get(path).await;
            if answer.status.as_u16() == status {
                return answer;
            }
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{path} never answered {status}: {answer:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `metadata.resourceVersion`.
#[track_caller]
pub(crate) fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().expect("an object with a version").to_owned()
}
