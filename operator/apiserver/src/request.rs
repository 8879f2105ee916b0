//! What a request asks for: path, query and `Accept` header, parsed once.

use crate::error::{Answer, Failure};

/// A path of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/healthz`, `/livez`, `/readyz`, and their parts.
    Health,
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/GROUP`.
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`.
    Resources { group: String, version: String },
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/api/v1`, `/openapi/v3/apis/GROUP/VERSION`.
    OpenApi { group: String, version: String },
    /// A collection, an object or a subresource.
    Target(Target),
    /// Nothing that this server knows.
    Unknown,
}

/// The object or collection that a request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for cluster scope, and for lists across namespaces.
    pub(crate) namespace: String,
    pub(crate) plural: String,
    /// Empty for the collection.
    pub(crate) name: String,
    /// Empty for the object itself.
    pub(crate) subresource: String,
}

/// Parses a path.
pub(crate) fn parse_route(path: &str) -> Route {
    let parts: Vec<String> =
        path.split('/').filter(|p| !p.is_empty()).map(percent_decode).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz", ..] => Route::Health,
        ["version"] => Route::Version,
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["openapi", "v3"] => Route::OpenApiIndex,
        ["openapi", "v3", "api", version] => {
            Route::OpenApi { group: String::new(), version: (*version).to_owned() }
        }
        ["openapi", "v3", "apis", group, version] => {
            Route::OpenApi { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        ["api", version] => {
            Route::Resources { group: String::new(), version: (*version).to_owned() }
        }
        ["apis", group, version] => {
            Route::Resources { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        ["api", version, rest @ ..] => parse_target("", version, rest),
        ["apis", group, version, rest @ ..] => parse_target(group, version, rest),
        _ => Route::Unknown,
    }
}

fn parse_target(group: &str, version: &str, rest: &[&str]) -> Route {
    let (namespace, rest) = match rest {
        // `status` and `finalize` belong to the namespace object itself.
        ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return Route::Unknown,
    };
    Route::Target(Target {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    })
}

/// The parameters of a query string.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses `a=b&c=d`.
    pub(crate) fn parse(query: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (percent_decode(&name.replace('+', " ")), percent_decode(&value.replace('+', " ")))
        };
        Self(query.split('&').filter(|p| !p.is_empty()).map(pair).collect())
    }

    /// The first value of a parameter, empty if absent.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v)
    }

    /// Was the parameter given at all?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// A boolean; a parameter without a value is true, as in Kubernetes.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.has(name) && !matches!(self.get(name), "false" | "0" | "False" | "FALSE")
    }

    /// A number of at least zero.
    pub(crate) fn number(&self, name: &str) -> Answer<Option<u64>> {
        match self.get(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_ignored| {
                Failure::bad_request(format!(
                    "Invalid value: {text:?}: parameter {name} is no number"
                ))
            }),
        }
    }

    /// Does the request only ask what would happen?
    pub(crate) fn dry_run(&self) -> Answer<bool> {
        match self.get("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => Err(Failure::bad_request(format!(
                "dryRun: Invalid value: {other:?}: supported values: \"All\""
            ))),
        }
    }
}

/// Replaces `%41` by `A`; a broken escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let escape = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(byte) = escape {
            decoded.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The form in which the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Object,
    /// `meta.k8s.io/v1` `Table`.
    Table,
    /// `PartialObjectMetadata`, or a list of them.
    Metadata,
    /// Aggregated discovery.
    Discovery,
}

/// Chooses the first form in `Accept` that this server has. Protobuf is never answered: clients that
/// ask for it name JSON too.
pub(crate) fn parse_accept(accept: &str) -> Form {
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !matches!(media, "application/json" | "application/*" | "*/*") {
            continue;
        }
        let form = parts.find_map(|p| p.strip_prefix("as="));
        let version_2 = range.contains("v=v2");
        match form {
            None => return Form::Object,
            Some("Table") => return Form::Table,
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Form::Metadata,
            Some("APIGroupDiscoveryList") if version_2 && !range.contains("v=v2beta1") => {
                return Form::Discovery;
            }
            Some(_) => {}
        }
    }
    Form::Object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let target = |namespace: &str, plural: &str, name: &str, subresource: &str| {
            Route::Target(Target {
                group: String::new(),
                version: "v1".into(),
                namespace: namespace.into(),
                plural: plural.into(),
                name: name.into(),
                subresource: subresource.into(),
            })
        };
        for (path, route) in [
            ("/api/v1/pods", target("", "pods", "", "")),
            ("/api/v1/namespaces", target("", "namespaces", "", "")),
            ("/api/v1/namespaces/a", target("", "namespaces", "a", "")),
            ("/api/v1/namespaces/a/status", target("", "namespaces", "a", "status")),
            ("/api/v1/namespaces/a/pods", target("a", "pods", "", "")),
            ("/api/v1/namespaces/a/pods/b/log", target("a", "pods", "b", "log")),
            ("/api/v1/namespaces/a/pods/b%2Ec", target("a", "pods", "b.c", "")),
            ("/api/v1/namespaces/a/pods/b/c/d", Route::Unknown),
            ("/", Route::Unknown),
            ("/readyz/etcd", Route::Health),
        ] {
            assert_eq!(parse_route(path), route, "{path}");
        }
    }

    #[test]
    fn accept() {
        let aggregated =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        for (header, form) in [
            (aggregated, Form::Discovery),
            (table, Form::Table),
            ("application/vnd.kubernetes.protobuf,application/json", Form::Object),
            ("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Form::Metadata),
            ("", Form::Object),
        ] {
            assert_eq!(parse_accept(header), form, "{header}");
        }
    }

    #[test]
    fn queries() {
        let params = Params::parse("a=b%2Cc&watch&force=false&limit=x");
        assert_eq!(params.get("a"), "b,c");
        assert!(params.flag("watch"));
        assert!(!params.flag("force"));
        assert!(params.number("limit").is_err());
    }
}
