//! Names of what a proxy must know beyond the base of the schema.
//!
//! A feature that later proxies learn gets a name here in the commit that adds it to the schema.

/// Listeners of protocol TLS: passthrough, or termination to TCP.
pub const LISTENER_TLS: &str = "listener.tls";
/// Listeners of protocol TCP.
pub const LISTENER_TCP: &str = "listener.tcp";
/// Listeners of protocol UDP.
pub const LISTENER_UDP: &str = "listener.udp";
/// Certificates of clients.
pub const LISTENER_CLIENT_VALIDATION: &str = "listener.client-validation";
/// Access decisions about every request of a listener.
pub const LISTENER_POLICIES: &str = "listener.policies";
/// A PROXY protocol header in front of connections.
pub const PROXY_PROTOCOL: &str = "listener.proxy-protocol";
/// Regular expressions as conditions on path, header or query.
pub const MATCH_REGEX: &str = "http.match.regex";
/// Rewrites by regular expression.
pub const REWRITE_REGEX: &str = "http.rewrite.regex";
/// Redirects to a Location that is written as a whole.
pub const REDIRECT_LOCATION: &str = "http.redirect.location";
/// Copies of requests to another backend.
pub const MIRROR: &str = "http.mirror";
/// Answers to cross-origin preflights.
pub const CORS: &str = "http.cors";
/// Canary alternatives of a forward action.
pub const ALTERNATIVES: &str = "http.alternatives";
/// Retries by response status.
pub const RETRY_STATUS: &str = "http.retry.status";
/// Retries after timeouts and malformed answers, and an end of all tries.
pub const RETRY_TIMEOUT: &str = "http.retry.timeout";
/// Timeouts of a rule for reading from and sending to the backend.
pub const TIMEOUTS_UPSTREAM: &str = "http.timeouts.upstream";
/// Errors that another backend answers.
pub const ERRORS: &str = "http.errors";
/// HTTP/2 without TLS towards backends.
pub const BACKEND_H2C: &str = "backend.h2c";
/// HTTP/2 or HTTP/1.1 towards backends by ALPN.
pub const BACKEND_ALPN: &str = "backend.alpn";
/// Backends that are DNS names.
pub const BACKEND_DNS: &str = "backend.dns";
/// Backends that take a labelled subset of their endpoints.
pub const BACKEND_SUBSET: &str = "backend.subset";
/// Balancing by the fewest requests in flight.
pub const BACKEND_LEAST_REQUEST: &str = "backend.least-request";
/// Certificates of the proxy towards backends.
pub const BACKEND_CLIENT_CERTIFICATE: &str = "backend.client-certificate";
/// Access by client address.
pub const SOURCE_RANGES: &str = "policy.source-ranges";

/// All of them.
pub const ALL: [&str; 23] = [
    LISTENER_TLS,
    LISTENER_TCP,
    LISTENER_UDP,
    LISTENER_CLIENT_VALIDATION,
    LISTENER_POLICIES,
    PROXY_PROTOCOL,
    MATCH_REGEX,
    REWRITE_REGEX,
    REDIRECT_LOCATION,
    MIRROR,
    CORS,
    ALTERNATIVES,
    RETRY_STATUS,
    RETRY_TIMEOUT,
    TIMEOUTS_UPSTREAM,
    ERRORS,
    BACKEND_H2C,
    BACKEND_ALPN,
    BACKEND_DNS,
    BACKEND_SUBSET,
    BACKEND_LEAST_REQUEST,
    BACKEND_CLIENT_CERTIFICATE,
    SOURCE_RANGES,
];
