//! Filters: edits of heads, and redirects.

use gatefleet_matcher::Pattern;
use gatefleet_snapshot::v1::{self, filter, redirect, url_rewrite};

use super::{
    CompileError, Cors,
    cors::compile_cors,
    location::{LocationPart, compile_location},
    rule::final_status,
};
use crate::{connection::Scheme, grammar};

#[derive(Debug)]
pub(crate) enum Filter {
    RequestHeaders(HeaderEdit),
    ResponseHeaders(HeaderEdit),
    Rewrite(UrlRewrite),
    Redirect(Redirect),
    Cors(Cors),
}

/// remove, then set, then add. Names in lower case.
#[derive(Debug)]
pub(crate) struct HeaderEdit {
    pub(crate) remove: Box<[Box<[u8]>]>,
    pub(crate) set: Pairs,
    pub(crate) add: Pairs,
}

pub(super) type Pairs = Box<[(Box<[u8]>, Box<[u8]>)]>;

#[derive(Debug)]
pub(crate) struct UrlRewrite {
    pub(crate) host: Option<Box<[u8]>>,
    pub(crate) path: PathEdit,
}

#[derive(Debug)]
pub(crate) enum PathEdit {
    Keep,
    Full(Box<[u8]>),
    /// Without trailing slash.
    Prefix(Box<[u8]>),
    Regex(Pattern, Box<[Piece]>),
}

/// A piece of a substitution.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(Box<[u8]>),
    Group(usize),
}

#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) status: u16,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) host: Option<Box<[u8]>>,
    pub(crate) port: Option<u16>,
    pub(crate) path: RedirectPath,
    pub(crate) only_plaintext: bool,
    pub(crate) trim_slash: bool,
}

#[derive(Debug)]
pub(crate) enum RedirectPath {
    Keep,
    Full(Box<[u8]>),
    Prefix(Box<[u8]>),
    /// Not only the path: the whole Location.
    Location(Box<[LocationPart]>),
}

/// Fields that codecs write; no filter may.
const CODEC_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn compile_filters(
    sources: &[v1::Filter],
    only_prefixes: bool,
) -> Result<Box<[Filter]>, CompileError> {
    let compile = |(index, source)| {
        compile_filter(source, only_prefixes)
            .map_err(|error: CompileError| error.within(&format!("filters[{index}]")))
    };
    sources.iter().enumerate().map(compile).collect()
}

fn compile_filter(source: &v1::Filter, only_prefixes: bool) -> Result<Filter, CompileError> {
    let missing = |name: &str| {
        let problem = format!("this proxy cannot {name} yet");
        Err(CompileError::new(name, problem, "remove the filter or use a newer proxy"))
    };
    Ok(match &source.kind {
        Some(filter::Kind::RequestHeaders(edit)) => Filter::RequestHeaders(
            compile_edit(edit, true).map_err(|e| e.within("request_headers"))?,
        ),
        Some(filter::Kind::ResponseHeaders(edit)) => Filter::ResponseHeaders(
            compile_edit(edit, false).map_err(|e| e.within("response_headers"))?,
        ),
        Some(filter::Kind::UrlRewrite(rewrite)) => Filter::Rewrite(
            compile_rewrite(rewrite, only_prefixes).map_err(|e| e.within("url_rewrite"))?,
        ),
        Some(filter::Kind::Redirect(redirect)) => Filter::Redirect(
            compile_redirect(redirect, only_prefixes).map_err(|e| e.within("redirect"))?,
        ),
        Some(filter::Kind::Mirror(_)) => return missing("mirror"),
        Some(filter::Kind::Cors(cors)) => {
            Filter::Cors(compile_cors(cors).map_err(|e| e.within("cors"))?)
        }
        None => return missing("run a filter of unknown kind"),
    })
}

fn compile_edit(source: &v1::HeaderEdit, request: bool) -> Result<HeaderEdit, CompileError> {
    let remove = |(index, name): (usize, &String)| {
        compile_name(name, request).map_err(|e| e.within(&format!("remove[{index}]")))
    };
    Ok(HeaderEdit {
        remove: source.remove.iter().enumerate().map(remove).collect::<Result<_, _>>()?,
        set: compile_pairs(&source.set, "set", request)?,
        add: compile_pairs(&source.add, "add", request)?,
    })
}

pub(super) fn compile_pairs(
    sources: &[v1::Header],
    list: &str,
    request: bool,
) -> Result<Pairs, CompileError> {
    let compile = |(index, header): (usize, &v1::Header)| {
        let at = format!("{list}[{index}]");
        let name = compile_name(&header.name, request).map_err(|error| error.within(&at))?;
        let value = grammar::trim(header.value.as_bytes());
        if !grammar::is_field_value(value) {
            let problem = "control characters in a header value";
            return Err(CompileError::new(&at, problem, "use visible characters and spaces"));
        }
        Ok((name, value.into()))
    };
    sources.iter().enumerate().map(compile).collect()
}

fn compile_name(name: &str, request: bool) -> Result<Box<[u8]>, CompileError> {
    let lower = name.to_ascii_lowercase();
    if !grammar::is_token(lower.as_bytes()) {
        let problem = format!("{name:?} is no header name");
        return Err(CompileError::new("name", problem, "use letters, digits and hyphens"));
    }
    if CODEC_FIELDS.contains(&lower.as_str()) {
        let problem = format!("{name} is written by the proxy itself");
        return Err(CompileError::new("name", problem, "remove it"));
    }
    if request && lower == "host" {
        let remedy = "use url_rewrite.host";
        return Err(CompileError::new("name", "Host is no ordinary field", remedy));
    }
    Ok(lower.into_bytes().into())
}

fn compile_rewrite(
    source: &v1::UrlRewrite,
    only_prefixes: bool,
) -> Result<UrlRewrite, CompileError> {
    let path = match &source.path {
        None => PathEdit::Keep,
        Some(url_rewrite::Path::Full(path)) => PathEdit::Full(compile_path(path, "full")?),
        Some(url_rewrite::Path::Prefix(prefix)) => {
            PathEdit::Prefix(compile_prefix(prefix, only_prefixes)?)
        }
        Some(url_rewrite::Path::Regex(regex)) => {
            let (pattern, pieces) = compile_regex(regex).map_err(|e| e.within("regex"))?;
            PathEdit::Regex(pattern, pieces)
        }
    };
    Ok(UrlRewrite { host: compile_host(&source.host)?, path })
}

fn compile_regex(source: &v1::RegexRewrite) -> Result<(Pattern, Box<[Piece]>), CompileError> {
    let default = v1::RegexMatch::default();
    let pattern = Pattern::compile(source.r#match.as_ref().unwrap_or(&default))
        .map_err(|error| CompileError::from(error.within("match")))?;
    let pieces = compile_substitution(&source.substitution);
    let highest = pieces.iter().map(|piece| if let Piece::Group(n) = piece { *n } else { 0 }).max();
    if let Some(group) = highest.filter(|group| *group > pattern.group_count()) {
        let problem =
            format!("${group} does not exist: the pattern has {} groups", pattern.group_count());
        return Err(CompileError::new(
            "substitution",
            problem,
            "add the group or lower the number",
        ));
    }
    Ok((pattern, pieces))
}

/// `$1` to `$9` are groups, `$$` is a dollar sign; any other dollar sign is text.
fn compile_substitution(text: &str) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let marked = bytes.next_if(|next| byte == b'$' && matches!(next, b'$' | b'1'..=b'9'));
        let Some(digit) = marked.filter(|next| *next != b'$') else {
            literal.push(byte);
            continue;
        };
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
        }
        pieces.push(Piece::Group(usize::from(digit.wrapping_sub(b'0'))));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal.into()));
    }
    pieces.into()
}

pub(super) fn compile_redirect(
    source: &v1::Redirect,
    only_prefixes: bool,
) -> Result<Redirect, CompileError> {
    let scheme = match source.scheme.as_str() {
        "" => None,
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        other => {
            let problem = format!("{other:?} is no scheme that can be redirected to");
            return Err(CompileError::new("scheme", problem, "use http or https"));
        }
    };
    let port = u16::try_from(source.port).map_err(|_out_of_range| {
        CompileError::new("port", format!("{} is no port", source.port), "use 1 to 65535")
    })?;
    Ok(Redirect {
        status: final_status(if source.status == 0 { 302 } else { source.status }, 300..=308)?,
        scheme,
        host: compile_host(&source.host)?,
        port: (port > 0).then_some(port),
        path: match &source.path {
            None => RedirectPath::Keep,
            Some(redirect::Path::Full(path)) => RedirectPath::Full(compile_path(path, "full")?),
            Some(redirect::Path::Prefix(prefix)) => {
                RedirectPath::Prefix(compile_prefix(prefix, only_prefixes)?)
            }
            Some(redirect::Path::Location(text)) => RedirectPath::Location(compile_location(text)?),
        },
        only_plaintext: source.only_plaintext,
        trim_slash: source.trim_slash,
    })
}

fn compile_host(host: &str) -> Result<Option<Box<[u8]>>, CompileError> {
    if host.is_empty() {
        return Ok(None);
    }
    if !grammar::is_authority(host.as_bytes()) {
        let problem = format!("{host:?} is no host name");
        return Err(CompileError::new("host", problem, "use letters, digits, hyphens and dots"));
    }
    Ok(Some(host.as_bytes().into()))
}

fn compile_prefix(prefix: &str, only_prefixes: bool) -> Result<Box<[u8]>, CompileError> {
    if !only_prefixes {
        let problem = "a matched prefix is replaced, but the rule has matches without one";
        return Err(CompileError::new("prefix", problem, "use full, or match by path.prefix only"));
    }
    let path = if prefix.is_empty() { "/" } else { prefix };
    let path = compile_path(path, "prefix")?;
    Ok(path.strip_suffix(b"/").unwrap_or(&path).into())
}

fn compile_path(path: &str, field: &str) -> Result<Box<[u8]>, CompileError> {
    let visible = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if path.starts_with('/') && visible {
        return Ok(path.as_bytes().into());
    }
    let problem = format!("{path:?} is no path");
    Err(CompileError::new(field, problem, "begin with a slash, percent-encode what is not ASCII"))
}
