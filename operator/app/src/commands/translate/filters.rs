//! What is done with requests on their way, in words.

use gatefleet_snapshot::v1::{self, filter, redirect, rule, url_rewrite};

/// Everything but the target.
pub(super) fn with(rule: &v1::Rule) -> impl Iterator<Item = String> {
    let kinds = rule.filters.iter().filter_map(|filter| filter.kind.as_ref());
    let limit = rule.max_request_body_bytes;
    let body = match limit {
        0 => None,
        u64::MAX => Some("bodies of any size".to_owned()),
        bytes => Some(format!("bodies of at most {bytes} bytes")),
    };
    let timeouts = rule.timeouts.as_ref().map(|_| "own timeouts".to_owned());
    let retry = rule.retry.as_ref().map(|retry| match retry.attempts {
        0 => "no retries".to_owned(),
        attempts => format!("{attempts} retries"),
    });
    let errors = rule
        .errors
        .as_ref()
        .map(|errors| format!("errors by {}", errors.backend.trim_start_matches("backend/")));
    let filters: Vec<String> = kinds.map(|kind| filtered(kind, rule)).collect();
    filters.into_iter().chain([body, timeouts, retry, errors].into_iter().flatten())
}

fn filtered(kind: &filter::Kind, rule: &v1::Rule) -> String {
    match kind {
        filter::Kind::RequestHeaders(_) => "request headers edited".to_owned(),
        filter::Kind::ResponseHeaders(_) => "response headers edited".to_owned(),
        filter::Kind::UrlRewrite(rewrite) => rewritten(rewrite),
        // What is redirected needs no target, except when only a part of the requests is.
        filter::Kind::Redirect(redirect) => {
            let condition = if redirect.only_plaintext { "plaintext " } else { "" };
            let rest = matches!(rule.action, Some(rule::Action::Forward(_)));
            if rest { format!("{condition}{}", redirected(redirect)) } else { redirected(redirect) }
        }
        filter::Kind::Mirror(mirror) => {
            format!("copied to {}", mirror.backend.trim_start_matches("backend/"))
        }
        filter::Kind::Cors(_) => "CORS".to_owned(),
    }
}

fn rewritten(rewrite: &v1::UrlRewrite) -> String {
    let path = rewrite.path.as_ref().map(|path| match path {
        url_rewrite::Path::Full(path) | url_rewrite::Path::Prefix(path) => path.clone(),
        url_rewrite::Path::Regex(regex) => regex.substitution.clone(),
    });
    let host = (!rewrite.host.is_empty()).then(|| format!("Host {}", rewrite.host));
    let path = path.map(|path| format!("path {path}"));
    let parts: Vec<String> = [host, path].into_iter().flatten().collect();
    format!("sent with {}", parts.join(" and "))
}

/// `308 to https`
pub(super) fn redirected(redirect: &v1::Redirect) -> String {
    let status = if redirect.status == 0 { 302 } else { redirect.status };
    let path = redirect.path.as_ref().map(|path| match path {
        redirect::Path::Full(path) | redirect::Path::Prefix(path) => path.clone(),
        redirect::Path::Location(location) => location.clone(),
    });
    let place = [redirect.host.clone(), path.unwrap_or_default()].concat();
    let to = if place.is_empty() { &redirect.scheme } else { &place };
    format!("{status} to {to}")
}
