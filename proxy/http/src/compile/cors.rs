//! Which origins may read answers.

use gatefleet_snapshot::v1;

use super::{CompileError, filter::Pairs};
use crate::{
    grammar,
    head::{Fields, RequestHead},
};

/// Cross-origin resource sharing (the Fetch standard), as nginx does it.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: Origins,
    /// Set beside Access-Control-Allow-Origin.
    fields: Pairs,
}

#[derive(Debug)]
enum Origins {
    /// "*"
    Any,
    Some(Box<[Origin]>),
}

/// Compared in any case.
#[derive(Debug)]
enum Origin {
    Exact(Box<[u8]>),
    /// One label between both.
    OneLabel(Box<[u8]>, Box<[u8]>),
}

/// What a filter of this kind may write.
const FIELDS: [&[u8]; 6] = [
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-allow-headers",
    b"access-control-allow-methods",
    b"access-control-expose-headers",
    b"access-control-max-age",
];

impl Cors {
    /// Whether the proxy answers the request itself.
    pub(crate) fn answers(&self, request: &RequestHead) -> bool {
        request.method() == b"OPTIONS" && self.allowed(&request.fields).is_some()
    }

    /// Says in `response` who may read it, whatever the backend says.
    pub(crate) fn write(&self, request: &Fields, response: &mut Fields) {
        if let Origins::Some(_) = self.origins {
            // The answer depends on the origin, also for one that may not read it.
            response.push(b"vary", b"origin");
        }
        let Some(origin) = self.allowed(request) else { return };
        for name in FIELDS {
            response.remove(name);
        }
        response.push(b"access-control-allow-origin", origin);
        for (name, value) in &self.fields {
            response.push(name, value);
        }
    }

    /// What Access-Control-Allow-Origin says; `None`: the origin may not read.
    fn allowed<'a>(&self, request: &'a Fields) -> Option<&'a [u8]> {
        match &self.origins {
            Origins::Any => Some(b"*"),
            Origins::Some(origins) => {
                let origin = request.get(b"origin")?;
                origins.iter().any(|known| known.is(origin)).then_some(origin)
            }
        }
    }
}

impl Origin {
    fn is(&self, origin: &[u8]) -> bool {
        match self {
            Self::Exact(known) => known.eq_ignore_ascii_case(origin),
            Self::OneLabel(before, after) => {
                let Some((start, rest)) = origin.split_at_checked(before.len()) else {
                    return false;
                };
                let label = rest.len().checked_sub(after.len());
                let Some((label, end)) = label.and_then(|length| rest.split_at_checked(length))
                else {
                    return false;
                };
                let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
                start.eq_ignore_ascii_case(before)
                    && end.eq_ignore_ascii_case(after)
                    && !label.is_empty()
                    && label.iter().all(is_label)
            }
        }
    }
}

pub(super) fn compile_cors(source: &v1::Cors) -> Result<Cors, CompileError> {
    let origins = if source.allow_origins.iter().any(|origin| origin == "*") {
        Origins::Any
    } else {
        let compile = |(index, origin): (usize, &String)| {
            compile_origin(origin).map_err(|error| error.within(&format!("allow_origins[{index}]")))
        };
        Origins::Some(
            source.allow_origins.iter().enumerate().map(compile).collect::<Result<_, _>>()?,
        )
    };
    let mut fields = Vec::new();
    let mut add =
        |name: &[u8], value: String| fields.push((name.into(), value.into_bytes().into()));
    if source.allow_credentials {
        add(b"access-control-allow-credentials", "true".to_owned());
    }
    for (list, field, name) in [
        (&source.allow_methods, "allow_methods", &b"access-control-allow-methods"[..]),
        (&source.allow_headers, "allow_headers", b"access-control-allow-headers"),
        (&source.expose_headers, "expose_headers", b"access-control-expose-headers"),
    ] {
        for (index, word) in list.iter().enumerate() {
            if !grammar::is_token(word.as_bytes()) {
                let problem = format!("{word:?} is no method or header name");
                let at = format!("{field}[{index}]");
                return Err(CompileError::new(&at, problem, "use letters, digits and hyphens"));
            }
        }
        if !list.is_empty() {
            add(name, list.join(", "));
        }
    }
    if source.max_age_seconds > 0 {
        add(b"access-control-max-age", source.max_age_seconds.to_string());
    }
    Ok(Cors { origins, fields: fields.into() })
}

fn compile_origin(origin: &str) -> Result<Origin, CompileError> {
    let visible = origin.bytes().all(|byte| byte.is_ascii_graphic());
    let is_origin = origin == "null"
        || origin.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && !scheme.contains('*')
        });
    match origin.split_once('*') {
        _ if !visible || !is_origin => {}
        None => return Ok(Origin::Exact(origin.as_bytes().into())),
        Some((before, after))
            if before.ends_with("://") && after.starts_with('.') && !after.contains('*') =>
        {
            return Ok(Origin::OneLabel(before.as_bytes().into(), after.as_bytes().into()));
        }
        Some(_) => {}
    }
    let problem = format!("{origin:?} is no origin");
    let remedy = "write *, null, https://a.example or https://*.a.example, with a port if needed";
    Err(CompileError::new("", problem, remedy))
}
