//! Paths of an Ingress.

use gatefleet_ir::{
    Anchor, Filter, PathMatch, PathRewrite, Reason, Regex, RegexForm, Rewrite, TlsRedirect,
};

use crate::{
    annotations::Annotations,
    regex::{check_regex, escape},
};

/// Paths below it are never redirected to HTTPS: ACME's HTTP-01 challenge (RFC 8555 §8.3) comes in plaintext.
const CHALLENGE: &str = "/.well-known/acme-challenge";

/// One path of an Ingress.
pub(super) struct Path {
    pub(super) at: PathMatch,
    pub(super) form: RegexForm,
    /// It puts its whole host into regex mode.
    pub(super) regex_mode: bool,
    pub(super) rewrite: Option<Filter>,
    pub(super) tls_redirect: TlsRedirect,
}

/// The path of type `kind`, or why it cannot be served.
pub(super) fn parse_path(
    text: &str,
    kind: &str,
    annotations: &Annotations,
) -> Result<Path, (Reason, String)> {
    let text = if text.is_empty() { "/" } else { text };
    if !text.starts_with('/') {
        let message = format!("path {text:?} is not absolute: begin it with a slash");
        return Err((Reason::InvalidPath, message));
    }
    let at = match kind {
        "Exact" => PathMatch::Exact(text.to_owned()),
        "Prefix" | "ImplementationSpecific" | "" => PathMatch::prefix(text),
        other => {
            let message =
                format!("pathType {other:?} is none: use Exact, Prefix or ImplementationSpecific");
            return Err((Reason::InvalidPath, message));
        }
    };
    let target = annotations.rewrite_target.as_deref().filter(|target| *target != text);
    let regex_mode = annotations.use_regex || target.is_some();
    let pattern = match check_regex(text) {
        Ok(()) => text.to_owned(),
        Err(error) if regex_mode => {
            let message = format!("path {}: {error}; correct it", shorten(text));
            return Err((Reason::InvalidRegex, message));
        }
        // Another Ingress may put the host into regex mode: then this path still means itself.
        Err(_) => escape(text),
    };
    let form = RegexForm { text: text.to_owned(), pattern };
    let challenge = text.starts_with(CHALLENGE);
    let tls_redirect = if challenge { TlsRedirect::Never } else { annotations.tls_redirect };
    let rewrite = target.map(|target| rewrite(&form.pattern, target));
    Ok(Path { at, form, regex_mode, rewrite, tls_redirect })
}

fn rewrite(pattern: &str, target: &str) -> Filter {
    let regex = Regex { pattern: pattern.to_owned(), ignore_case: true, anchor: Anchor::None };
    let path = PathRewrite::Regex { regex, substitution: target.to_owned() };
    Filter::Rewrite(Rewrite { host: String::new(), path: Some(path) })
}

fn shorten(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}
