//! Redirects of rules and hosts, and other names of hosts.

use gatefleet_ir::{Reason, Redirect};
use gatefleet_names::HostPattern;

use super::parse::Reader;

/// nginx's variables that a Location may hold, and what they are called on the wire.
const VARIABLES: &[(&str, &str)] = &[
    ("scheme", "{scheme}"),
    ("host", "{host}"),
    ("http_host", "{authority}"),
    ("best_http_host", "{authority}"),
    ("request_uri", "{target}"),
    ("escaped_request_uri", "{target}"),
    ("uri", "{path}"),
    ("document_uri", "{path}"),
    ("args", "{query}"),
    ("query_string", "{query}"),
    ("is_args", "{?}"),
];

/// Names that one Ingress may add.
const MAX_ALIASES: usize = 100;

/// What holds for the whole host, whichever Ingress its rules are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct HostWide {
    /// Where exactly `/` leads to.
    pub(crate) app_root: Option<Redirect>,
    /// Names with the same rules.
    pub(crate) aliases: Vec<HostPattern>,
    /// `www.` before the name, or the name without it, leads to the name.
    pub(crate) www: bool,
}

impl HostWide {
    pub(super) fn parse(reader: &mut Reader<'_>) -> Self {
        Self {
            app_root: parse_app_root(reader),
            aliases: parse_aliases(reader),
            www: reader.boolean("from-to-www-redirect", false),
        }
    }
}

/// Where all requests for the rules of an Ingress are sent: as in nginx, the temporal redirect outranks the permanent one.
pub(super) fn parse_redirect(reader: &mut Reader<'_>) -> Option<Redirect> {
    let relative = reader.boolean("relative-redirects", false);
    let mut found = None;
    for (name, code, statuses, default) in [
        ("temporal-redirect", "temporal-redirect-code", 300..=307, 302),
        ("permanent-redirect", "permanent-redirect-code", 300..=308, 301),
    ] {
        let location = parse_location(reader, name, relative);
        let status = parse_status(reader, code, &statuses, default);
        match (location, &found) {
            (Some(location), None) => {
                found = Some(Redirect { status, location, ..Redirect::default() });
            }
            (Some(_), Some(_)) => {
                let message =
                    "temporal-redirect is set too, and outranks it: remove one of the two";
                reader.tell(name, Reason::AnnotationIgnored, message);
            }
            (None, _) if reader.text(code).is_some() && reader.text(name).is_none() => {
                let message = format!("{name} is not set: set it, or remove this");
                reader.tell(code, Reason::AnnotationIgnored, message);
            }
            (None, _) => {}
        }
    }
    found
}

fn parse_status(
    reader: &mut Reader<'_>,
    name: &str,
    statuses: &std::ops::RangeInclusive<i64>,
    default: u16,
) -> u16 {
    let said = reader.integer(name, default.into());
    let status = u16::try_from(said).ok().filter(|_| statuses.contains(&said));
    status.unwrap_or_else(|| {
        let expected = format!("a status from {} to {}", statuses.start(), statuses.end());
        reader.tell_invalid(name, &said.to_string(), &expected);
        default
    })
}

fn parse_location(reader: &mut Reader<'_>, name: &str, relative: bool) -> Option<String> {
    const EXPECTED: &str = "a URL of http or https, or an absolute path, in which only $scheme, $host, $http_host, \
                            $request_uri, $uri, $args and $is_args stand for something else";
    let text = reader.short_text(name).ok().flatten()?;
    let location = location(text).filter(|location| {
        location.starts_with('/')
            || ["http://", "https://", "{scheme}://"]
                .iter()
                .any(|start| location.strip_prefix(start).is_some_and(|rest| !rest.is_empty()))
    });
    match location {
        None => {
            reader.tell_invalid(name, text, EXPECTED);
            None
        }
        Some(path) if path.starts_with('/') && !relative => {
            Some(format!("{{scheme}}://{{authority}}{path}"))
        }
        location => location,
    }
}

fn parse_app_root(reader: &mut Reader<'_>) -> Option<Redirect> {
    const NAME: &str = "app-root";
    let text = reader.short_text(NAME).ok().flatten()?;
    let fits = text.starts_with('/') && text != "/" && !text.starts_with("//");
    match location(text).filter(|_| fits && !text.contains('$')) {
        None => {
            reader.tell_invalid(NAME, text, "an absolute path other than \"/\"");
            None
        }
        Some(path) => {
            let location = format!("{{scheme}}://{{authority}}{path}");
            Some(Redirect { status: 302, location, ..Redirect::default() })
        }
    }
}

fn parse_aliases(reader: &mut Reader<'_>) -> Vec<HostPattern> {
    const NAME: &str = "server-alias";
    let Some(text) = reader.text(NAME) else { return Vec::new() };
    let mut aliases = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if aliases.len() >= MAX_ALIASES {
            reader.tell_invalid(NAME, name, &format!("one of the first {MAX_ALIASES} names"));
            break;
        }
        match HostPattern::parse_ingress(name) {
            Ok(alias) if !aliases.contains(&alias) => aliases.push(alias),
            Ok(_) => {}
            Err(_) => {
                let expected =
                    "a DNS name, or one with \"*.\" in front (expressions are not served)";
                reader.tell_invalid(NAME, name, expected);
            }
        }
    }
    aliases
}

/// `text` with nginx's variables in the wire's spelling. `None`: it holds something else.
fn location(text: &str) -> Option<String> {
    let mut location = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('$') {
        location.push_str(literal_of_url(literal)?);
        let (name, after) = if let Some(braced) = after.strip_prefix('{') {
            braced.split_once('}')?
        } else {
            let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            after.split_at(end.unwrap_or(after.len()))
        };
        location.push_str(VARIABLES.iter().find(|(known, _)| *known == name)?.1);
        rest = after;
    }
    location.push_str(literal_of_url(rest)?);
    Some(location)
}

fn literal_of_url(text: &str) -> Option<&str> {
    let fits = |c: char| c.is_ascii_graphic() && !"{}\"<>\\^`|".contains(c);
    text.chars().all(fits).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_nginx_are_spelt_as_on_the_wire() {
        for (text, wanted) in [
            ("https://a.example/x?y=1#z", Some("https://a.example/x?y=1#z")),
            ("https://a.example$request_uri", Some("https://a.example{target}")),
            ("$scheme://${host}s/$uri$is_args$args", Some("{scheme}://{host}s/{path}{?}{query}")),
            ("/$hosts", None),
            ("/$", None),
            ("/${host", None),
            ("/{host}", None),
            ("/a b", None),
        ] {
            assert_eq!(location(text).as_deref(), wanted, "{text}");
        }
    }
}
