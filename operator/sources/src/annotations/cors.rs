//! Which origins may read answers.

use gatefleet_ir::{Cors, Reason};

use super::parse::Reader;

/// nginx's defaults.
const METHODS: &str = "GET, PUT, POST, DELETE, PATCH, OPTIONS";
const HEADERS: &str = "DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,\
                       Range,Authorization";
const MAX_AGE: u32 = 1_728_000;

const OTHERS: [&str; 6] = [
    "cors-allow-credentials",
    "cors-allow-headers",
    "cors-allow-methods",
    "cors-allow-origin",
    "cors-expose-headers",
    "cors-max-age",
];

pub(super) fn parse_cors(reader: &mut Reader<'_>) -> Option<Cors> {
    if !reader.boolean("enable-cors", false) {
        for name in OTHERS {
            if reader.text(name).is_some() {
                let message = "enable-cors is not \"true\": set it, or remove this";
                reader.tell(name, Reason::AnnotationIgnored, message);
            }
        }
        return None;
    }
    let max_age = reader.integer("cors-max-age", MAX_AGE.into());
    Some(Cors {
        origins: parse_origins(reader),
        methods: parse_words(reader, "cors-allow-methods", METHODS),
        headers: parse_words(reader, "cors-allow-headers", HEADERS),
        expose: parse_words(reader, "cors-expose-headers", ""),
        credentials: reader.boolean("cors-allow-credentials", true),
        max_age: u32::try_from(max_age).unwrap_or_else(|_| {
            reader.tell_invalid("cors-max-age", &max_age.to_string(), "a number of seconds");
            MAX_AGE
        }),
    })
}

/// An origin that cannot be read is left out: if none is left, none may read.
fn parse_origins(reader: &mut Reader<'_>) -> Vec<String> {
    const NAME: &str = "cors-allow-origin";
    let Some(text) = reader.text(NAME) else { return vec!["*".to_owned()] };
    let mut origins = Vec::new();
    for origin in text.split(',').map(str::trim).filter(|origin| !origin.is_empty()) {
        if is_origin(origin) {
            origins.push(origin.to_owned());
        } else {
            let shown: String = origin.chars().take(80).collect();
            let message = format!(
                "{shown:?} is no origin such as \"https://shop.example\" or \"https://*.shop.example:8443\": it may not read \
                 answers; correct it"
            );
            reader.tell(NAME, Reason::InvalidAnnotationValue, message);
        }
    }
    origins
}

fn is_origin(text: &str) -> bool {
    if text == "*" || text == "null" {
        return true;
    }
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:[]".contains(c);
    !scheme.is_empty()
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !host.is_empty()
        && host.chars().all(fits)
}

fn parse_words(reader: &mut Reader<'_>, name: &str, default: &str) -> Vec<String> {
    let words = |text: &str| {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let Ok(Some(text)) = reader.short_text(name) else { return words(default) };
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let said = words(text);
    if said.iter().all(|word| word.chars().all(token)) {
        return said;
    }
    reader.tell_invalid(name, text, "a list of names with commas");
    words(default)
}
