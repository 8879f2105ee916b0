//! Rules: which requests, what happens to them, and where they go.

use std::{collections::BTreeMap, sync::Arc};

use gatefleet_names::{PortNumber, Weight};
use ipnet::IpNet;

/// Which requests. All conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// On the path.
    pub path: PathMatch,
    /// `None`: every method.
    pub method: Option<String>,
    /// On headers, names in lower case.
    pub headers: Vec<ValueMatch>,
    /// On query parameters.
    pub query: Vec<ValueMatch>,
}

impl Match {
    /// Every request with such a path.
    #[must_use]
    pub fn path(path: PathMatch) -> Self {
        Self { path, method: None, headers: Vec::new(), query: Vec::new() }
    }

    /// Whether it takes every request.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::path(PathMatch::Prefix("/".to_owned()))
    }
}

/// A condition on the path, in the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathMatch {
    /// This path.
    Exact(String),
    /// Element-wise: "/a" fits "/a", "/a/" and "/a/b", not "/ab". Without trailing slash, except "/" itself.
    Prefix(String),
    /// A regular expression.
    Regex(Regex),
}

impl PathMatch {
    /// A prefix; trailing slashes say nothing and are left out.
    #[must_use]
    pub fn prefix(text: &str) -> Self {
        let trimmed = text.trim_end_matches('/');
        Self::Prefix(if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() })
    }

    /// The path or the pattern.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text,
            Self::Regex(regex) => &regex.pattern,
        }
    }
}

/// A regular expression of linear-time syntax (no look-around, no back-references).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Regex {
    /// The expression.
    pub pattern: String,
    /// Whether `A` fits `a`.
    pub ignore_case: bool,
    /// Where it must fit.
    pub anchor: Anchor,
}

/// Where a regular expression must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anchor {
    /// Anywhere in the text.
    None,
    /// From the start.
    Start,
    /// The whole text.
    Full,
}

/// A condition on a header or a query parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueMatch {
    /// Of the header or parameter.
    pub name: String,
    /// On its value.
    pub value: ValueCondition,
    /// Holds when the condition does not.
    pub invert: bool,
}

/// A condition on a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueCondition {
    /// Equal.
    Exact(String),
    /// Fits.
    Regex(Regex),
    /// Is there at all.
    Present,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Stable; in the log and in metrics: `Ingress/shop/web/0`.
    pub name: String,
    /// Before the action, in this order.
    pub filters: Vec<Filter>,
    /// What the request must pass, before the filters.
    pub policies: Vec<Arc<Policy>>,
    /// In the end.
    pub action: Action,
    /// Instead of the tier's. Milliseconds; 0: the tier's.
    pub timeouts: RuleTimeouts,
    /// `None`: the engine's default.
    pub retry: Option<Retry>,
    /// `None`: errors are passed on.
    pub errors: Option<ErrorService>,
    /// Bytes that a request body may have; 0: the tier's.
    pub body_bytes: u64,
}

/// A backend that answers errors of a rule's backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorService {
    /// Who answers.
    pub backend: ServiceBackend,
    /// Answers with one of these are replaced.
    pub statuses: Vec<u16>,
    /// Instead of a backend that does not exist or has no endpoints.
    pub no_endpoints: bool,
    /// Name and value, sent along.
    pub headers: Vec<(String, String)>,
}

/// Timeouts of one rule in milliseconds; 0: the tier's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleTimeouts {
    /// From the complete request head to the last byte of the response.
    pub request: u32,
    /// Without any byte in either direction.
    pub idle: u32,
    /// Until a connection to an endpoint stands.
    pub connect: u32,
    /// Without any byte of the response while it is the backend's turn.
    pub read: u32,
    /// Until the backend takes more of the request.
    pub send: u32,
}

/// When a request is sent again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one word of `proxy_next_upstream`")]
pub struct Retry {
    /// Tries after the first.
    pub attempts: u32,
    /// After an answer with one of these.
    pub statuses: Vec<u16>,
    /// When no connection could be made, other than in time.
    pub connect_failure: bool,
    /// When the connection was lost before an answer.
    pub reset: bool,
    /// When there was no connection, or no answer, in time.
    pub timeout: bool,
    /// When the answer violates HTTP.
    pub malformed: bool,
    /// Also requests that are not idempotent.
    pub non_idempotent: bool,
    /// Milliseconds after the first try, from which on no other begins; 0: no limit.
    pub total: u32,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// To a backend.
    Forward(Forward),
    /// To another URL.
    Redirect(Redirect),
    /// Answered at once.
    Direct(Direct),
}

/// Where requests go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forward {
    /// By weight.
    pub backends: Vec<WeightedBackend>,
    /// Asked first, in this order.
    pub alternatives: Vec<Alternative>,
}

/// A canary. Steps in order, each final when it decides: header, cookie, weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alternative {
    /// By weight.
    pub backends: Vec<WeightedBackend>,
    /// Lower case.
    pub header: Option<HeaderStep>,
    /// Name of the cookie that says `always` or `never`.
    pub cookie: Option<String>,
    /// Share of the requests: weight / total.
    pub weight: u32,
    /// At least 100.
    pub weight_total: u32,
}

/// The header of a canary.
#[derive(Clone, Debug, PartialEq)]
pub struct HeaderStep {
    /// Lower case.
    pub name: String,
    /// What it must say.
    pub value: HeaderStepValue,
}

/// What the header of a canary must say.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderStepValue {
    /// `always` takes, `never` leaves, anything else is for the next step.
    AlwaysOrNever,
    /// Equal takes, anything else is for the next step.
    Exact(String),
    /// A fit takes, anything else is for the next step.
    Pattern(Regex),
}

/// A backend and its share.
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedBackend {
    /// Its share.
    pub weight: Weight,
    /// Where to.
    pub backend: Backend,
    /// Only for requests that go there.
    pub filters: Vec<Filter>,
}

/// A target of requests. An invalid one stays in the model and answers for exactly its weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// A port of a Service.
    Service(ServiceBackend),
    /// The reference is broken.
    Invalid {
        /// HTTP status of the answer.
        status: u16,
        /// One CamelCase word for log and page.
        reason: &'static str,
    },
}

/// A port of a Service, with how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceBackend {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
    /// Port of the Service (not of its pods).
    pub port: PortNumber,
    /// Tells apart the ways in which one port is used; part of the resource's name. Equal variants of one port must
    /// have equal settings. Empty: the plain way.
    pub variant: String,
    /// Where its endpoints come from.
    pub addresses: Addresses,
    /// What is spoken.
    pub protocol: AppProtocol,
    /// Which endpoint a request goes to.
    pub balance: Balance,
    /// `None`: plaintext.
    pub tls: Option<BackendTls>,
    /// Only endpoints with all of these labels; empty: all.
    pub subset: BTreeMap<String, String>,
}

/// Where endpoints come from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addresses {
    /// The EndpointSlices of the Service.
    Slices,
    /// A name that the proxy resolves (`ExternalName`).
    Dns(String),
}

/// Which endpoint of a backend a request goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Balance {
    /// The next one.
    #[default]
    RoundRobin,
    /// One that is busy with few requests.
    LeastRequest,
}

/// What is spoken to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AppProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2 in plaintext, known beforehand.
    H2c,
}

/// TLS towards a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendTls {
    /// SNI and the name that is verified. Empty: neither.
    pub server_name: String,
    /// Trust bundles that must have signed; empty: the system's.
    pub trust_bundles: Vec<String>,
    /// No verification at all.
    pub insecure_skip_verify: bool,
}

/// A change to a request or response.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Of the request towards the backend.
    RequestHeaders(HeaderEdit),
    /// Of the response towards the client.
    ResponseHeaders(HeaderEdit),
    /// Of path and host towards the backend.
    Rewrite(Rewrite),
    /// Ends the request if it acts.
    Redirect(Redirect),
    /// Which origins may read answers.
    Cors(Cors),
    /// A copy to another backend.
    Mirror {
        /// Where to.
        backend: ServiceBackend,
        /// Share of the requests: numerator and denominator; denominator 0: every request.
        share: (u32, u32),
    },
}

/// Cross-origin resource sharing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// `*`, `null`, or `scheme://host[:port]` with `*.` for one label.
    pub origins: Vec<String>,
    /// Allowed methods.
    pub methods: Vec<String>,
    /// Allowed request headers.
    pub headers: Vec<String>,
    /// Response headers that scripts may read.
    pub expose: Vec<String>,
    /// Whether cookies and the like may be sent.
    pub credentials: bool,
    /// Seconds that a browser may remember it; 0: not said.
    pub max_age: u32,
}

/// Remove, then set, then add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdit {
    /// Name and value.
    pub set: Vec<(String, String)>,
    /// Name and value.
    pub add: Vec<(String, String)>,
    /// Names.
    pub remove: Vec<String>,
}

/// A change of the URL towards the backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rewrite {
    /// Replaces Host; empty: as it is.
    pub host: String,
    /// Replaces the path; `None`: as it is.
    pub path: Option<PathRewrite>,
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq)]
pub enum PathRewrite {
    /// The whole path.
    Full(String),
    /// The matched prefix.
    Prefix(String),
    /// The whole path becomes the substitution, with `$1`…`$9` from the first hit; `$$` is a dollar sign.
    Regex {
        /// What is looked for.
        regex: Regex,
        /// What the path becomes.
        substitution: String,
    },
}

/// An answer with a Location.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Empty: as in the request.
    pub scheme: String,
    /// Empty: as in the request.
    pub host: String,
    /// 0: as advertised.
    pub port: u16,
    /// Empty: as in the request.
    pub path: String,
    /// Only plaintext requests.
    pub only_plaintext: bool,
    /// Without one trailing slash.
    pub trim_slash: bool,
    /// The Location as a whole, instead of scheme, host, port and path; empty: made of these. `{scheme}`, `{host}`,
    /// `{authority}`, `{target}`, `{path}`, `{query}` and `{?}` stand for parts of the request.
    pub location: String,
}

impl Redirect {
    /// nginx's redirect of plaintext requests to HTTPS.
    #[must_use]
    pub fn to_https(trim_slash: bool) -> Self {
        Self {
            status: 308,
            scheme: "https".to_owned(),
            only_plaintext: true,
            trim_slash,
            ..Self::default()
        }
    }
}

/// An answer without a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    /// HTTP status.
    pub status: u16,
    /// One CamelCase word for log and page.
    pub reason: &'static str,
}

/// An access decision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    /// Unique in the tier; part of the resource's name: `NAMESPACE/INGRESS/source-ranges`.
    pub name: String,
    /// What is decided.
    pub decision: Decision,
}

/// What a policy decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Nobody passes: somebody asked for an access control that cannot be served.
    FailClosed {
        /// One CamelCase word for log and page.
        reason: &'static str,
    },
    /// By address of the client; deny is asked first, a non-empty allow refuses the rest.
    SourceRanges {
        /// Who passes.
        allow: Vec<IpNet>,
        /// Who does not.
        deny: Vec<IpNet>,
    },
}
