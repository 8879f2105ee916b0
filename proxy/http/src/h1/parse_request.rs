//! Request heads: tokenised by `httparse`, judged here (RFC 9112, stricter where peers disagree).

use std::mem::MaybeUninit;

use super::{MAX_FIELDS, Rejection, options::Options, scan::has_bare_return, target};
use crate::{
    grammar,
    head::{Body, RequestHead, Version},
};

/// Judges one complete request head and fills `head` from it.
///
/// # Errors
/// The status and the reason that the client is told.
pub(crate) fn parse_request(
    text: &[u8],
    max_fields: usize,
    head: &mut RequestHead,
) -> Result<(), Rejection> {
    head.clear();
    if has_bare_return(text) {
        return Err(Rejection::bad("BareCarriageReturn"));
    }
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(text, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == text.len() => {}
        Ok(_) => return Err(Rejection::bad("BadHead")),
        Err(error) => return Err(rejection_of(error)),
    }
    let method = request.method.unwrap_or_default().as_bytes();
    let target = request.path.unwrap_or_default().as_bytes();
    head.store_line(method, target);
    if request.headers.len() > max_fields {
        return Err(Rejection { status: 431, reason: "TooManyFields" });
    }
    head.version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let mut seen = Seen::default();
    for field in request.headers.iter() {
        seen.take(field.name.as_bytes(), field.value, head)?;
    }
    seen.options.strip_named(request.headers, &mut head.fields);
    seen.judge_framing(head)?;
    seen.judge_line(method, target, head)?;
    seen.judge_upgrade(request.headers, head)
}

fn rejection_of(error: httparse::Error) -> Rejection {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Rejection { status: 431, reason: "TooManyFields" },
        Error::Version => Rejection { status: 505, reason: "VersionNotSupported" },
        Error::HeaderName => Rejection::bad("BadFieldName"),
        Error::HeaderValue => Rejection::bad("BadFieldValue"),
        Error::NewLine | Error::Status | Error::Token => Rejection::bad("BadRequestLine"),
    }
}

/// What the fields said that are not end-to-end.
#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a [u8]>,
    length: Option<u64>,
    chunked: bool,
    options: Options,
    expect: bool,
}

impl<'a> Seen<'a> {
    fn take(
        &mut self,
        name: &[u8],
        value: &'a [u8],
        head: &mut RequestHead,
    ) -> Result<(), Rejection> {
        match name.len() {
            2 if is(name, b"te") => head.accepts_trailers |= grammar::list_has(value, b"trailers"),
            4 if is(name, b"host") => {
                if self.host.replace(value).is_some() {
                    return Err(Rejection::bad("DuplicateHost"));
                }
            }
            6 if is(name, b"expect") => self.take_expect(value)?,
            10 if is(name, b"connection") => self.options.take(value).map_err(Rejection::bad)?,
            14 if is(name, b"content-length") => {
                let length = grammar::parse_length(value);
                let length = length.ok_or(Rejection::bad("BadContentLength"))?;
                if self.length.replace(length).is_some() {
                    return Err(Rejection::bad("DuplicateContentLength"));
                }
            }
            17 if is(name, b"transfer-encoding") => self.take_coding(value)?,
            // Hop-by-hop by definition, or dangerous to some application servers ("Proxy").
            5 if is(name, b"proxy") => {}
            7 if is(name, b"upgrade") => {}
            10 if is(name, b"keep-alive") => {}
            14 if is(name, b"http2-settings") => {}
            16 if is(name, b"proxy-connection") => {}
            19 if is(name, b"proxy-authorization") => {}
            _ => head.fields.push(name, grammar::trim(value)),
        }
        Ok(())
    }

    fn take_expect(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.expect || !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Rejection { status: 417, reason: "ExpectationFailed" });
        }
        self.expect = true;
        Ok(())
    }

    fn take_coding(&mut self, value: &[u8]) -> Result<(), Rejection> {
        if self.chunked {
            return Err(Rejection::bad("DuplicateTransferEncoding"));
        }
        if is(value, b"chunked") {
            self.chunked = true;
            return Ok(());
        }
        let unknown = grammar::is_token(value) && !grammar::list_has(value, b"chunked");
        Err(if unknown {
            Rejection { status: 501, reason: "UnknownTransferCoding" }
        } else {
            Rejection::bad("BadTransferEncoding")
        })
    }

    fn judge_framing(&self, head: &mut RequestHead) -> Result<(), Rejection> {
        head.body = match (self.chunked, self.length) {
            (true, Some(_)) => return Err(Rejection::bad("LengthAndTransferEncoding")),
            (true, None) if head.version == Version::Http10 => {
                return Err(Rejection::bad("TransferEncodingInHttp10"));
            }
            (true, None) => Body::Stream,
            (false, Some(length)) => Body::Length(length),
            (false, None) => Body::Empty,
        };
        let has_body = !matches!(head.body, Body::Empty | Body::Length(0));
        head.expects_continue = self.expect && has_body && head.version == Version::Http11;
        head.keep_alive = self.options.keeps_alive(head.version);
        Ok(())
    }

    fn judge_line(
        &self,
        method: &[u8],
        target: &[u8],
        head: &mut RequestHead,
    ) -> Result<(), Rejection> {
        if method.len() > 64 {
            return Err(Rejection::bad("BadMethod"));
        }
        if method == b"TRACE" && !matches!(head.body, Body::Empty | Body::Length(0)) {
            return Err(Rejection::bad("TraceWithBody"));
        }
        let form = target::split_target(method, target)?;
        let authority = match (self.host, form.authority) {
            (None, _) if head.version == Version::Http11 => {
                return Err(Rejection::bad("MissingHost"));
            }
            (Some(host), _) if !grammar::is_authority(host) => {
                return Err(Rejection::bad("BadHost"));
            }
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                return Err(Rejection::bad("HostDiffersFromTarget"));
            }
            (Some(host), _) => host,
            (None, authority) => authority.unwrap_or_default(),
        };
        head.store_target(form, authority)
    }

    /// An upgrade is offered onwards only when nothing but a plain 101 can follow from it: no body, no h2c.
    fn judge_upgrade(
        &self,
        fields: &[httparse::Header<'_>],
        head: &mut RequestHead,
    ) -> Result<(), Rejection> {
        let has_body = !matches!(head.body, Body::Empty | Body::Length(0));
        if !self.options.upgrade || has_body || head.version == Version::Http10 {
            return Ok(());
        }
        let mut offers = fields.iter().filter(|field| is(field.name.as_bytes(), b"upgrade"));
        let (Some(offer), None) = (offers.next(), offers.next()) else { return Ok(()) };
        let is_protocol =
            |element: &[u8]| element.splitn(2, |byte| *byte == b'/').all(grammar::is_token);
        if offer.value.is_empty() || !grammar::list(offer.value).all(is_protocol) {
            return Err(Rejection::bad("BadUpgrade"));
        }
        if !grammar::list_has(offer.value, b"h2c") {
            head.set_upgrade(offer.value);
        }
        Ok(())
    }
}

fn is(name: &[u8], lower: &[u8]) -> bool {
    name.eq_ignore_ascii_case(lower)
}
