//! Response heads, by the same grammar as requests: what is ambiguous is answered 502.

use std::mem::MaybeUninit;

use super::{MAX_FIELDS, body::Decoder, options::Options, scan::has_bare_return};
use crate::{
    grammar,
    head::{Body, ResponseHead, Version},
    peer::StreamError,
};

/// What decides whether a response has a body (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Asked {
    /// The request was HEAD.
    pub(crate) head: bool,
    /// The request offered an upgrade.
    pub(crate) upgrade: bool,
}

type Malformed = StreamError;

fn bad(reason: &'static str) -> Malformed {
    StreamError::Malformed(reason)
}

/// Judges one complete response head, fills `head` from it, and says how its body is framed.
pub(crate) fn parse_response(
    text: &[u8],
    max_fields: usize,
    asked: Asked,
    head: &mut ResponseHead,
) -> Result<Decoder, Malformed> {
    head.clear();
    if has_bare_return(text) {
        return Err(bad("BareCarriageReturn"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        text,
        &mut fields,
    );
    match parsed {
        Ok(httparse::Status::Complete(length)) if length == text.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(StreamError::HeadTooLarge),
        _ => return Err(bad("BadHead")),
    }
    if response.headers.len() > max_fields {
        return Err(StreamError::HeadTooLarge);
    }
    head.version = if response.version == Some(1) { Version::Http11 } else { Version::Http10 };
    head.status =
        response.code.filter(|code| (100..=999).contains(code)).ok_or(bad("BadStatus"))?;
    head.reason = head.fields.store(response.reason.unwrap_or_default().as_bytes());
    let mut seen = Seen::default();
    for field in response.headers.iter() {
        seen.take(field.name.as_bytes(), field.value, head)?;
    }
    seen.options.strip_named(response.headers, &mut head.fields);
    seen.judge(asked, head)
}

#[derive(Default)]
struct Seen<'a> {
    length: Option<u64>,
    chunked: bool,
    options: Options,
    upgrade: Option<&'a [u8]>,
}

impl<'a> Seen<'a> {
    fn take(
        &mut self,
        name: &[u8],
        value: &'a [u8],
        head: &mut ResponseHead,
    ) -> Result<(), Malformed> {
        match name.len() {
            7 if is(name, b"upgrade") => {
                if self.upgrade.replace(value).is_some() {
                    return Err(bad("DuplicateUpgrade"));
                }
            }
            10 if is(name, b"connection") => self.options.take(value).map_err(bad)?,
            14 if is(name, b"content-length") => {
                let length = grammar::parse_length(value).ok_or(bad("BadContentLength"))?;
                if self.length.replace(length).is_some() {
                    return Err(bad("DuplicateContentLength"));
                }
            }
            17 if is(name, b"transfer-encoding") => {
                if self.chunked || !is(value, b"chunked") {
                    return Err(bad("BadTransferEncoding"));
                }
                self.chunked = true;
            }
            2 if is(name, b"te") => {}
            10 if is(name, b"keep-alive") => {}
            16 if is(name, b"proxy-connection") => {}
            _ => head.fields.push(name, grammar::trim(value)),
        }
        Ok(())
    }

    fn judge(&self, asked: Asked, head: &mut ResponseHead) -> Result<Decoder, Malformed> {
        if self.chunked && (self.length.is_some() || head.version == Version::Http10) {
            return Err(bad("AmbiguousLength"));
        }
        head.keep_alive = self.options.keeps_alive(head.version);
        if head.status == 101 {
            let protocol = self.upgrade.filter(|_| self.options.upgrade && asked.upgrade);
            let protocol = protocol.ok_or(bad("UnwantedUpgrade"))?;
            head.upgrade = Some(head.fields.store(protocol));
        }
        let no_framing = head.status < 200 || head.status == 204;
        head.bodiless = asked.head || no_framing || head.status == 304;
        head.body = match (no_framing, self.chunked, self.length) {
            (true, false, None | Some(0)) => Body::Empty,
            (true, ..) => return Err(bad("LengthWithoutBody")),
            (false, false, Some(length)) => Body::Length(length),
            (false, false, None) if head.bodiless => Body::Empty,
            (false, ..) => Body::Stream,
        };
        Ok(match (head.bodiless, head.body) {
            (true, _) | (false, Body::Empty) => Decoder::Done,
            (false, Body::Length(length)) => Decoder::length(length),
            (false, Body::Stream) if self.chunked => Decoder::chunked(),
            (false, Body::Stream) => Decoder::UntilClose,
        })
    }
}

fn is(name: &[u8], lower: &[u8]) -> bool {
    name.eq_ignore_ascii_case(lower)
}
