//! From text to types, with a finding for everything that cannot be honoured.

use gatefleet_ir::{Balance, Cors, Diagnostic, Reason, Redirect, Retry, RuleTimeouts, TlsRedirect};
use gatefleet_names::{Hostname, ObjectKey};
use ipnet::IpNet;
use std::{collections::BTreeMap, net::IpAddr};

use super::{
    Canary, Errors, HostWide,
    cors::parse_cors,
    redirect::parse_redirect,
    registry::{Guards, PREFIX, Treatment, mentions_access, treatment},
    upstream::{parse_body_bytes, parse_host, parse_retry, parse_timeouts},
};

/// What the annotations of one Ingress say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Annotations {
    pub(crate) canary: Option<Canary>,
    pub(crate) rewrite_target: Option<String>,
    pub(crate) use_regex: bool,
    pub(crate) tls_redirect: TlsRedirect,
    pub(crate) speech: Speech,
    pub(crate) source_ranges: Option<SourceRanges>,
    /// Instead of a backend.
    pub(crate) redirect: Option<Redirect>,
    pub(crate) host_wide: HostWide,
    pub(crate) timeouts: RuleTimeouts,
    pub(crate) retry: Option<Retry>,
    pub(crate) errors: Option<Errors>,
    pub(crate) cors: Option<Cors>,
    /// Of a request; 0: the fleet's limit.
    pub(crate) body_bytes: u64,
    /// Towards the backend; empty: the client's.
    pub(crate) host: String,
    /// Access control was asked for that is not served, or cannot be read.
    pub(crate) fail_closed: Option<&'static str>,
}

/// How a backend is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Speech {
    pub(crate) protocol: BackendProtocol,
    pub(crate) balance: Balance,
}

/// What is spoken to the backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum BackendProtocol {
    #[default]
    Http,
    /// With this name in the handshake, if any.
    Https(Option<String>),
    /// Known, but not served yet.
    NotServed,
}

/// Who may ask, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceRanges {
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
}

impl Annotations {
    /// Reads the annotations of `object`; every finding goes to `diagnostics`.
    pub(crate) fn parse(
        object: &ObjectKey,
        all: &BTreeMap<String, String>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut reader = Reader { object, all, diagnostics };
        let canary = Canary::parse(&mut reader);
        let mut fail_closed = reader.recognise(canary.is_some());
        if canary.is_some() {
            // As in nginx: the primary's annotations hold for its canaries too.
            return Self { canary, ..Self::default() };
        }
        let source_ranges = match reader.source_ranges() {
            Ok(ranges) => ranges,
            Err(reason) => {
                fail_closed = fail_closed.or(Some(reason));
                None
            }
        };
        Self {
            canary,
            rewrite_target: reader.rewrite_target(),
            use_regex: reader.boolean("use-regex", false),
            tls_redirect: reader.tls_redirect(),
            speech: reader.speech(),
            source_ranges,
            redirect: parse_redirect(&mut reader),
            host_wide: HostWide::parse(&mut reader),
            timeouts: parse_timeouts(&mut reader),
            retry: parse_retry(&mut reader),
            errors: Errors::parse(&mut reader),
            cors: parse_cors(&mut reader),
            body_bytes: parse_body_bytes(&mut reader),
            host: parse_host(&mut reader),
            fail_closed,
        }
    }
}

impl Default for Annotations {
    fn default() -> Self {
        Self {
            canary: None,
            rewrite_target: None,
            use_regex: false,
            tls_redirect: TlsRedirect::IfHostHasTls { trim_slash: true },
            speech: Speech::default(),
            source_ranges: None,
            redirect: None,
            host_wide: HostWide::default(),
            timeouts: RuleTimeouts::default(),
            retry: None,
            errors: None,
            cors: None,
            body_bytes: 0,
            host: String::new(),
            fail_closed: None,
        }
    }
}

/// Longest value that is repeated in every rule, in bytes.
const MAX_VALUE: usize = 1024;

/// A value has more than [`MAX_VALUE`] bytes.
pub(super) struct TooLong;

/// Reads single values, and tells what it cannot read.
pub(super) struct Reader<'a> {
    object: &'a ObjectKey,
    all: &'a BTreeMap<String, String>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    /// The trimmed value. As in nginx, an empty one is no value.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        let value = self.all.get(&format!("{PREFIX}{name}"))?.trim();
        (!value.is_empty()).then_some(value)
    }

    /// As [`Reader::text`], for values that are repeated in every rule. `Err`: it is too long, and that was told.
    pub(super) fn short_text(&mut self, name: &str) -> Result<Option<&'a str>, TooLong> {
        match self.text(name) {
            Some(text) if text.len() > MAX_VALUE => {
                self.tell_invalid(name, text, &format!("a value of at most {MAX_VALUE} bytes"));
                Err(TooLong)
            }
            text => Ok(text),
        }
    }

    pub(super) fn tell(&mut self, name: &str, reason: Reason, message: impl Into<String>) {
        let field = format!("metadata.annotations[{PREFIX}{name}]");
        self.diagnostics.push(Diagnostic::new(self.object, field, reason, message));
    }

    pub(super) fn tell_invalid(&mut self, name: &str, value: &str, expected: &str) {
        let shown: String = value.chars().take(80).collect();
        let message = format!("{shown:?} is not {expected}: the default holds; correct the value");
        self.tell(name, Reason::InvalidAnnotationValue, message);
    }

    /// As Go's `ParseBool`.
    pub(super) fn boolean(&mut self, name: &str, default: bool) -> bool {
        match self.text(name) {
            None => default,
            Some(text) => parse_bool(text).unwrap_or_else(|| {
                self.tell_invalid(name, text, "\"true\" or \"false\"");
                default
            }),
        }
    }

    pub(super) fn integer(&mut self, name: &str, default: i64) -> i64 {
        match self.text(name) {
            None => default,
            Some(text) => text.parse().unwrap_or_else(|_| {
                self.tell_invalid(name, text, "a whole number");
                default
            }),
        }
    }

    fn tls_redirect(&mut self) -> TlsRedirect {
        let trim_slash = !self.boolean("preserve-trailing-slash", false);
        let (always, with_tls) =
            (self.boolean("force-ssl-redirect", false), self.boolean("ssl-redirect", true));
        match (always, with_tls) {
            (true, _) => TlsRedirect::Always { trim_slash },
            (false, true) => TlsRedirect::IfHostHasTls { trim_slash },
            (false, false) => TlsRedirect::Never,
        }
    }

    fn rewrite_target(&mut self) -> Option<String> {
        let text = self.short_text("rewrite-target").ok().flatten()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "/$-_.~%!&'()*+,;=:@".contains(c);
        if text.starts_with('/') && text.chars().all(allowed) {
            return Some(text.to_owned());
        }
        self.tell_invalid("rewrite-target", text, "an absolute path, with $1 to $9 for groups");
        None
    }

    fn speech(&mut self) -> Speech {
        const NAME: &str = "load-balance";
        let balance = match self.text(NAME) {
            None | Some("round_robin") => Balance::RoundRobin,
            // Both send a request to the endpoint that can be expected to answer first.
            Some("ewma") => Balance::LeastRequest,
            Some(other) => {
                self.tell_invalid(NAME, other, "\"round_robin\" or \"ewma\"");
                Balance::RoundRobin
            }
        };
        Speech { protocol: self.backend_protocol(), balance }
    }

    fn backend_protocol(&mut self) -> BackendProtocol {
        const NAME: &str = "backend-protocol";
        let Some(text) = self.text(NAME) else { return BackendProtocol::Http };
        match text.to_ascii_uppercase().as_str() {
            "HTTP" => BackendProtocol::Http,
            "HTTPS" => BackendProtocol::Https(self.server_name()),
            "GRPC" | "GRPCS" | "AUTO_HTTP" | "FCGI" => {
                let message =
                    format!("{text} is not served: the backend answers 503; use HTTP or HTTPS");
                self.tell(NAME, Reason::FeatureNotServed, message);
                BackendProtocol::NotServed
            }
            _ => {
                self.tell_invalid(NAME, text, "HTTP or HTTPS");
                BackendProtocol::Http
            }
        }
    }

    /// As in nginx, a name is sent only where that is asked for.
    fn server_name(&mut self) -> Option<String> {
        const NAME: &str = "proxy-ssl-name";
        const SWITCH: &str = "proxy-ssl-server-name";
        let is_sent = match self.text(SWITCH) {
            None | Some("off") => false,
            Some("on") => true,
            Some(other) => {
                self.tell_invalid(SWITCH, other, "\"on\" or \"off\"");
                false
            }
        };
        let name = self.text(NAME);
        match (name.map(str::parse::<Hostname>), is_sent) {
            (Some(Ok(name)), true) => Some(name.to_string()),
            (Some(Ok(_)), false) => {
                let message = "it is sent only with proxy-ssl-server-name \"on\"";
                self.tell(NAME, Reason::AnnotationIgnored, message);
                None
            }
            (Some(Err(_)), _) => {
                self.tell_invalid(NAME, name.unwrap_or_default(), "a DNS name");
                None
            }
            (None, true) => {
                let message = "there is no name to send: set proxy-ssl-name";
                self.tell(SWITCH, Reason::AnnotationIgnored, message);
                None
            }
            (None, false) => None,
        }
    }

    fn source_ranges(&mut self) -> Result<Option<SourceRanges>, &'static str> {
        let allow_name = if self.text("allowlist-source-range").is_some() {
            "allowlist-source-range"
        } else {
            "whitelist-source-range"
        };
        let allow = self.networks(allow_name)?;
        let deny = self.networks("denylist-source-range")?;
        let any = !(allow.is_empty() && deny.is_empty());
        Ok(any.then_some(SourceRanges { allow, deny }))
    }

    fn networks(&mut self, name: &str) -> Result<Vec<IpNet>, &'static str> {
        let Some(text) = self.text(name) else { return Ok(Vec::new()) };
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parsed: Result<Vec<IpNet>, &str> =
            entries.map(|entry| parse_network(entry).ok_or(entry)).collect();
        match parsed {
            Ok(networks) if !networks.is_empty() => Ok(networks),
            parsed => {
                let wrong = parsed.err().unwrap_or(text);
                let shown: String = wrong.chars().take(80).collect();
                let message = format!(
                    "{shown:?} is no address or network such as \"10.0.0.0/8\": \
                     the rules of this Ingress answer 503 until it is corrected"
                );
                self.tell(name, Reason::AccessControlNotServed, message);
                Err("InvalidSourceRange")
            }
        }
    }

    /// Names every annotation that does not act; answers why access must be refused.
    fn recognise(&mut self, is_canary: bool) -> Option<&'static str> {
        let names: Vec<&'a str> =
            self.all.keys().filter_map(|key| key.strip_prefix(PREFIX)).collect();
        let mut closed = None;
        for name in names {
            let known = treatment(name);
            if is_canary && known.is_some() && !name.starts_with("canary") {
                self.tell(
                    name,
                    Reason::AnnotationIgnored,
                    "this is a canary: the annotations of the primary Ingress hold",
                );
                continue;
            }
            if !is_canary && name.starts_with("canary-") {
                self.tell(
                    name,
                    Reason::AnnotationIgnored,
                    "canary is not \"true\": this Ingress is an ordinary one",
                );
                continue;
            }
            match known {
                None => self.tell_unknown(name),
                Some(Treatment::Served) => {}
                Some(Treatment::NotServed) => {
                    self.tell_not_served(name, "is not served: the rules work without it");
                }
                Some(Treatment::Obsolete) => {
                    self.tell_not_served(
                        name,
                        "has no effect, in ingress-nginx neither: remove it",
                    );
                }
                Some(Treatment::Guard(guards)) => {
                    if self.text(name).is_some_and(|value| guards.hold(value)) {
                        closed = Some("AccessControlNotServed");
                        self.tell(name, Reason::AccessControlNotServed, "guards access and is not served: the rules of this Ingress answer 503; remove it if they may be open to everybody");
                    } else {
                        self.tell_not_served(name, "is not served: with this value it guards nothing, and the rules work without it");
                    }
                }
            }
        }
        closed
    }

    fn tell_not_served(&mut self, name: &str, message: &str) {
        self.tell(name, Reason::AnnotationNotServed, message);
    }

    fn tell_unknown(&mut self, name: &str) {
        self.tell(
            name,
            Reason::UnknownAnnotation,
            "ingress-nginx has no such annotation: correct the name or remove it",
        );
    }
}

impl Guards {
    fn hold(self, value: &str) -> bool {
        match self {
            Self::Always => true,
            Self::UnlessFalse => parse_bool(value) != Some(false),
            Self::UnlessOff => !value.eq_ignore_ascii_case("off"),
            Self::IfItMentionsAccess => mentions_access(value),
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn parse_network(text: &str) -> Option<IpNet> {
    let network = text.parse().ok();
    network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_guards_when_it_could_refuse() {
        for (snippet, guards) in [
            ("more_set_headers \"X-Robots-Tag: none\";", false),
            ("proxy_set_header X-Team shop;", false),
            ("add_header Last-Modified $date_gmt;", false),
            ("if ($host = a) { return 301 https://b; }", false),
            ("# deny nobody\nproxy_set_header X-Allow all;", false),
            ("location /x { internal; }", true),
            ("proxy_hide_header X;\n  Deny all;", true),
            ("deny all;", true),
            ("if ($http_x_key != secret) { return 403; }", true),
            ("access_by_lua_block { ngx.exit(403) }", true),
        ] {
            assert_eq!(Guards::IfItMentionsAccess.hold(snippet), guards, "{snippet}");
        }
    }

    #[test]
    fn switches_guard_unless_they_are_off() {
        assert!(Guards::UnlessFalse.hold("true") && Guards::UnlessFalse.hold("yes"));
        assert!(!Guards::UnlessFalse.hold("false") && !Guards::UnlessOff.hold("off"));
    }

    #[test]
    fn networks_are_written_without_host_bits() {
        let text = |entry| parse_network(entry).map(|network| network.to_string());
        assert_eq!(text("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(text("fd00::1").as_deref(), Some("fd00::1/128"));
        assert_eq!(text("10.0.0.0/33"), None);
    }
}
