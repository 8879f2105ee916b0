//! Whether the operator stays within the permissions that it says it needs.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock, Mutex},
};

use gatefleet_controllers::{Permission, permissions};
use http::{Method, Uri};

static PERMISSIONS: LazyLock<Vec<Permission>> = LazyLock::new(permissions);

/// What was asked for beyond them. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overreach(Arc<Mutex<BTreeSet<String>>>);

impl Overreach {
    /// Looks at one request.
    pub(crate) fn note(&self, method: &Method, uri: &Uri) {
        let Some((group, resource, verb)) = attributes(method, uri) else { return };
        let permitted = PERMISSIONS.iter().any(|permission| {
            permission.group == group
                && permission.resource == resource
                && permission.verbs.contains(&verb)
        });
        if !permitted {
            self.0.lock().unwrap().insert(format!("{verb} {resource} of group {group:?}"));
        }
    }

    /// All of it, in words.
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().cloned().collect()
    }
}

/// Group, resource and verb as RBAC sees a request; `None`: it is about no resource (`/version`).
fn attributes(method: &Method, uri: &Uri) -> Option<(String, String, &'static str)> {
    let mut parts = uri.path().trim_start_matches('/').split('/');
    let group = match parts.next()? {
        "api" => String::new(),
        "apis" => parts.next()?.to_owned(),
        _ => return None,
    };
    parts.next()?;
    let mut rest: Vec<&str> = parts.collect();
    if rest.first() == Some(&"namespaces") && rest.len() > 2 {
        rest.drain(..2);
    }
    let (resource, name) = (*rest.first()?, rest.get(1));
    let resource = rest.get(2).map_or(resource.to_owned(), |sub| format!("{resource}/{sub}"));
    let watches = uri.query().is_some_and(|query| query.contains("watch=true"));
    let verb = match *method {
        Method::GET if watches => "watch",
        Method::GET if name.is_none() => "list",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "unknown",
    };
    Some((group, resource, verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_rbac_reads_them() {
        let read = |method: Method, uri: &str| attributes(&method, &uri.parse().unwrap()).unwrap();
        let is = |group: &str, resource: &str, verb| (group.to_owned(), resource.to_owned(), verb);
        let ingresses = "/apis/networking.k8s.io/v1/namespaces/shop/ingresses";
        assert_eq!(
            read(Method::PATCH, &format!("{ingresses}/web/status?force=true")),
            is("networking.k8s.io", "ingresses/status", "patch")
        );
        assert_eq!(read(Method::GET, ingresses), is("networking.k8s.io", "ingresses", "list"));
        assert_eq!(read(Method::GET, "/api/v1/namespaces"), is("", "namespaces", "list"));
        assert_eq!(read(Method::GET, "/api/v1/namespaces/a"), is("", "namespaces", "get"));
        assert_eq!(read(Method::GET, "/api/v1/pods?x=1&watch=true"), is("", "pods", "watch"));
        let overreach = Overreach::default();
        overreach.note(&Method::DELETE, &"/api/v1/namespaces/a".parse().unwrap());
        overreach.note(&Method::GET, &"/version".parse().unwrap());
        overreach.note(&Method::GET, &"/api/v1/pods".parse().unwrap());
        assert_eq!(overreach.all(), ["delete namespaces of group \"\""]);
    }
}
