//! Every annotation of ingress-nginx 1.15, and what becomes of it here.

/// What becomes of an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It acts.
    Served,
    /// It is reported, and its rules are served without it.
    NotServed,
    /// It guards access (when its value says so) and is not served: its rules answer 503.
    Guard(Guards),
    /// ingress-nginx itself has dropped it: it is reported, and has no effect.
    Obsolete,
}

/// When an annotation guards access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guards {
    /// Whenever it has a value.
    Always,
    /// Unless its value is false.
    UnlessFalse,
    /// Unless its value is `off`.
    UnlessOff,
    /// When its nginx directives could refuse a request.
    IfItMentionsAccess,
}

/// The prefix of all of them.
pub(crate) const PREFIX: &str = "nginx.ingress.kubernetes.io/";

/// Starts of nginx directives that refuse requests, decide who may pass, or could do anything.
const ACCESS_DIRECTIVES: &[&str] = &[
    "access_by_",
    "allow",
    "auth_",
    "content_by_",
    "deny",
    "include",
    "internal",
    "limit_except",
    "modsecurity",
    "rewrite_by_",
    "satisfy",
    "secure_link",
    "ssl_verify",
    "valid_referers",
];

/// Whether a snippet of nginx configuration could refuse a request. Statements begin after `;`, `{`, `}` and line
/// ends; a text in quotes may only make it look stricter than it is.
pub(crate) fn mentions_access(snippet: &str) -> bool {
    snippet.split([';', '{', '}', '\n']).any(|statement| {
        let mut words = statement.split_whitespace();
        let directive = words.next().unwrap_or_default().to_ascii_lowercase();
        // Redirects refuse nobody.
        let refuses =
            directive == "return" && !words.next().is_some_and(|status| status.starts_with('3'));
        refuses || ACCESS_DIRECTIVES.iter().any(|start| directive.starts_with(start))
    })
}

/// The treatment of an annotation, by its name without prefix.
pub(crate) fn treatment(name: &str) -> Option<Treatment> {
    let groups = [
        (SERVED, Treatment::Served),
        (NOT_SERVED, Treatment::NotServed),
        (GUARDS, Treatment::Guard(Guards::Always)),
        (SWITCHES, Treatment::Guard(Guards::UnlessFalse)),
        (MODES, Treatment::Guard(Guards::UnlessOff)),
        (SNIPPETS, Treatment::Guard(Guards::IfItMentionsAccess)),
        (OBSOLETE, Treatment::Obsolete),
    ];
    groups.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, treatment)| treatment)
}

const SERVED: &[&str] = &[
    "allowlist-source-range",
    "app-root",
    "backend-protocol",
    "canary",
    "canary-by-cookie",
    "canary-by-header",
    "canary-by-header-pattern",
    "canary-by-header-value",
    "canary-weight",
    "canary-weight-total",
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "cors-expose-headers",
    "cors-max-age",
    "custom-http-errors",
    "default-backend",
    "denylist-source-range",
    "enable-cors",
    "force-ssl-redirect",
    "from-to-www-redirect",
    "load-balance",
    "permanent-redirect",
    "permanent-redirect-code",
    "preserve-trailing-slash",
    "proxy-body-size",
    "proxy-connect-timeout",
    "proxy-next-upstream",
    "proxy-next-upstream-timeout",
    "proxy-next-upstream-tries",
    "proxy-read-timeout",
    "proxy-send-timeout",
    "proxy-ssl-name",
    "proxy-ssl-server-name",
    "relative-redirects",
    "rewrite-target",
    "server-alias",
    "ssl-redirect",
    "temporal-redirect",
    "temporal-redirect-code",
    "upstream-vhost",
    "use-regex",
    "whitelist-source-range",
];

const GUARDS: &[&str] = &[
    "auth-secret",
    "auth-tls-match-cn",
    "auth-tls-secret",
    "auth-type",
    "auth-url",
    "modsecurity-snippet",
    "satisfy",
];

const SWITCHES: &[&str] = &["enable-modsecurity", "enable-owasp-core-rules"];

const MODES: &[&str] = &["auth-tls-verify-client", "proxy-ssl-verify"];

const SNIPPETS: &[&str] =
    &["auth-snippet", "configuration-snippet", "server-snippet", "stream-snippet"];

const NOT_SERVED: &[&str] = &[
    "affinity",
    "affinity-canary-behavior",
    "affinity-mode",
    "auth-always-set-cookie",
    "auth-cache-duration",
    "auth-cache-key",
    "auth-keepalive",
    "auth-keepalive-requests",
    "auth-keepalive-share-vars",
    "auth-keepalive-timeout",
    "auth-method",
    "auth-proxy-set-headers",
    "auth-realm",
    "auth-request-redirect",
    "auth-response-headers",
    "auth-secret-type",
    "auth-signin",
    "auth-signin-redirect-param",
    "auth-tls-error-page",
    "auth-tls-pass-certificate-to-upstream",
    "auth-tls-verify-depth",
    "client-body-buffer-size",
    "connection-proxy-header",
    "custom-headers",
    "disable-proxy-intercept-errors",
    "enable-access-log",
    "enable-global-auth",
    "enable-opentelemetry",
    "enable-rewrite-log",
    "fastcgi-index",
    "fastcgi-params-configmap",
    "http2-push-preload",
    "limit-allowlist",
    "limit-burst-multiplier",
    "limit-connections",
    "limit-rate",
    "limit-rate-after",
    "limit-rpm",
    "limit-rps",
    "limit-whitelist",
    "mirror-host",
    "mirror-request-body",
    "mirror-target",
    "modsecurity-transaction-id",
    "opentelemetry-operation-name",
    "opentelemetry-trust-incoming-span",
    "proxy-buffer-size",
    "proxy-buffering",
    "proxy-buffers-number",
    "proxy-busy-buffers-size",
    "proxy-cookie-domain",
    "proxy-cookie-path",
    "proxy-http-version",
    "proxy-max-temp-file-size",
    "proxy-redirect-from",
    "proxy-redirect-to",
    "proxy-request-buffering",
    "proxy-ssl-ciphers",
    "proxy-ssl-protocols",
    "proxy-ssl-secret",
    "proxy-ssl-verify-depth",
    "service-upstream",
    "session-cookie-change-on-failure",
    "session-cookie-conditional-samesite-none",
    "session-cookie-domain",
    "session-cookie-expires",
    "session-cookie-max-age",
    "session-cookie-name",
    "session-cookie-partitioned",
    "session-cookie-path",
    "session-cookie-samesite",
    "session-cookie-secure",
    "ssl-ciphers",
    "ssl-passthrough",
    "ssl-prefer-server-ciphers",
    "upstream-hash-by",
    "upstream-hash-by-subset",
    "upstream-hash-by-subset-size",
    "use-port-in-redirects",
    "x-forwarded-prefix",
];

const OBSOLETE: &[&str] = &[
    "add-base-url",
    "enable-influxdb",
    "enable-opentracing",
    "enable-websockets",
    "global-rate-limit",
    "global-rate-limit-key",
    "global-rate-limit-window",
    "grpc-backend",
    "opentracing-trust-incoming-span",
    "secure-backends",
    "session-cookie-hash",
];

/// One row of the list of annotations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServedAnnotation {
    /// Without the prefix `nginx.ingress.kubernetes.io/`.
    pub name: &'static str,
    /// Whether it acts.
    pub served: bool,
    /// Whether its rules answer 503 while it is not served (for some, depending on the value).
    pub fails_closed: bool,
}

/// Every annotation that is recognised, ascending by name.
#[must_use]
pub fn served_annotations() -> Vec<ServedAnnotation> {
    let row =
        |name: &&'static str, served, fails_closed| ServedAnnotation { name, served, fails_closed };
    let mut rows: Vec<_> = SERVED.iter().map(|name| row(name, true, false)).collect();
    rows.extend(NOT_SERVED.iter().map(|name| row(name, false, false)));
    for guards in [GUARDS, SWITCHES, MODES, SNIPPETS] {
        rows.extend(guards.iter().map(|name| row(name, false, true)));
    }
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_annotation_stands_in_one_list() {
        let rows = served_annotations();
        let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len(), "an annotation stands twice");
        assert_eq!(names.len(), 139, "137 names of ingress-nginx and two aliases");
        for obsolete in OBSOLETE {
            assert!(!names.contains(obsolete), "{obsolete}");
        }
    }
}
