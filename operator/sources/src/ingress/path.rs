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
    /// `None`: no expression can stand for it.
    pub(super) form: Option<RegexForm>,
    /// It puts its whole host into regex mode.
    pub(super) regex_mode: bool,
    pub(super) rewrite: Option<Filter>,
    /// The rewrite names groups that the path does not have.
    pub(super) lost_groups: bool,
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
    let challenge = text.starts_with(CHALLENGE);
    let tls_redirect = if challenge { TlsRedirect::Never } else { annotations.tls_redirect };
    let mut path =
        Path { at, form: None, regex_mode, rewrite: None, lost_groups: false, tls_redirect };
    match check_regex(text) {
        Ok(groups) => {
            path.form = Some(RegexForm { text: text.to_owned(), pattern: text.to_owned() });
            if let Some(target) = target {
                let (target, lost) = substitution(groups, target);
                (path.rewrite, path.lost_groups) = (Some(rewrite(text, target)), lost);
            }
        }
        Err(error) if regex_mode => {
            let message = format!("path {}: {error}; correct it", shorten(text));
            return Err((Reason::InvalidRegex, message));
        }
        // Another Ingress may put the host into regex mode: then this path still means itself.
        Err(_) => {
            let pattern = escape(text);
            let fits = check_regex(&pattern).is_ok();
            path.form = fits.then(|| RegexForm { text: text.to_owned(), pattern });
        }
    }
    Ok(path)
}

fn rewrite(pattern: &str, substitution: String) -> Filter {
    let regex = Regex { pattern: pattern.to_owned(), ignore_case: true, anchor: Anchor::None };
    let path = PathRewrite::Regex { regex, substitution };
    Filter::Rewrite(Rewrite { host: String::new(), path: Some(path) })
}

/// The substitution that `target` stands for. As in nginx, a group that the path does not have stands for nothing, and
/// a dollar sign before anything else for itself. Answers whether a group was lost.
fn substitution(groups: usize, target: &str) -> (String, bool) {
    let (mut kept, mut lost) = (String::with_capacity(target.len()), false);
    let mut rest = target.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '$' {
            kept.push(c);
            continue;
        }
        match rest.next_if(|next| matches!(next, '1'..='9')) {
            // What follows must not become the name of a group once this one is gone.
            None => kept.push_str("$$"),
            Some(digit) if digit.to_digit(10).is_some_and(|group| group as usize <= groups) => {
                kept.extend([c, digit]);
            }
            Some(_) => lost = true,
        }
    }
    (kept, lost)
}

fn shorten(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_are_not_there_stand_for_nothing() {
        for (groups, target, kept, lost) in [
            (2, "/new/$1/$2", "/new/$1/$2", false),
            (1, "/new/$1/$2", "/new/$1/", true),
            (0, "/$1", "/", true),
            (0, "/$0/$/x$", "/$$0/$$/x$$", false),
            (0, "/$$11", "/$$1", true),
            (1, "/$$1", "/$$$1", false),
        ] {
            assert_eq!(substitution(groups, target), (kept.to_owned(), lost), "{target}");
        }
    }
}
