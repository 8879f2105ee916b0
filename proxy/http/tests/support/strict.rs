//! An independent judge of what reached a backend: RFC 9112 to the letter, written without looking at the engine.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::missing_errors_doc,
    missing_docs,
    unreachable_pub,
    reason = "shared by several test binaries"
)]

/// One message as the backend must read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub method: String,
    pub target: String,
    pub body: Vec<u8>,
    pub complete: bool,
}

/// Splits a connection into requests. The last one may be cut off; everything that is there must be strict.
pub fn check(bytes: &[u8]) -> Result<Vec<Message>, String> {
    let mut rest = bytes;
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (message, after) = one(rest)?;
        messages.push(message);
        rest = after;
    }
    Ok(messages)
}

fn one(bytes: &[u8]) -> Result<(Message, &[u8]), String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Err(format!("head without end: {:?}", String::from_utf8_lossy(bytes)));
    };
    let mut lines = split_lines(&bytes[..end])?;
    let first = lines.remove(0);
    let parts: Vec<&[u8]> = first.split(|b| *b == b' ').collect();
    let [method, target, b"HTTP/1.1"] = parts[..] else {
        return Err(format!("request line {:?}", String::from_utf8_lossy(first)));
    };
    if method.is_empty() || !method.iter().all(|b| tchar(*b)) {
        return Err("method".into());
    }
    if target.is_empty() || !target.iter().all(|b| b.is_ascii_graphic() && !b"#\\".contains(b)) {
        return Err(format!("target {:?}", String::from_utf8_lossy(target)));
    }
    if target[0] != b'/' && target != b"*" {
        return Err("target form".into());
    }
    let framing = fields(&lines)?;
    let (body, complete, after) = body(framing, &bytes[end + 4..])?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((Message { method: text(method), target: text(target), body, complete }, after))
}

#[derive(Clone, Copy)]
enum Framing {
    None,
    Length(usize),
    Chunked,
}

fn fields(lines: &[&[u8]]) -> Result<Framing, String> {
    let (mut hosts, mut lengths, mut codings) = (0, Vec::new(), 0);
    for line in lines {
        let colon = line.iter().position(|b| *b == b':').ok_or("no colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().all(|b| tchar(*b)) {
            return Err(format!("name {:?}", String::from_utf8_lossy(name)));
        }
        if !value.iter().all(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..=0xff)) {
            return Err(format!("value {:?}", String::from_utf8_lossy(value)));
        }
        match name.to_ascii_lowercase().as_slice() {
            b"host" => {
                hosts += 1;
                let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(b);
                if !value.iter().all(allowed) {
                    return Err("host".into());
                }
            }
            b"content-length" => {
                if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                    return Err("content-length".into());
                }
                let text = String::from_utf8_lossy(value).into_owned();
                lengths.push(text.parse::<usize>().map_err(|e| e.to_string())?);
            }
            b"transfer-encoding" => {
                codings += 1;
                if value != b"chunked" {
                    return Err("transfer-encoding".into());
                }
            }
            _ => {}
        }
    }
    match (hosts, lengths.as_slice(), codings) {
        (1, [], 0) => Ok(Framing::None),
        (1, [length], 0) => Ok(Framing::Length(*length)),
        (1, [], 1) => Ok(Framing::Chunked),
        other => Err(format!("hosts, lengths, codings: {other:?}")),
    }
}

type Body<'a> = (Vec<u8>, bool, &'a [u8]);

fn body(framing: Framing, bytes: &[u8]) -> Result<Body<'_>, String> {
    match framing {
        Framing::None => Ok((Vec::new(), true, bytes)),
        Framing::Length(length) if bytes.len() < length => Ok((bytes.to_vec(), false, &[])),
        Framing::Length(length) => Ok((bytes[..length].to_vec(), true, &bytes[length..])),
        Framing::Chunked => chunks(bytes),
    }
}

fn chunks(mut bytes: &[u8]) -> Result<Body<'_>, String> {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(bytes, b"\r\n") else {
            let partial = bytes.iter().all(|b| b.is_ascii_hexdigit() || *b == b'\r');
            return if partial { Ok((body, false, &[])) } else { Err("chunk size".into()) };
        };
        let digits = &bytes[..end];
        if digits.is_empty() || digits.len() > 16 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(format!("chunk size {:?}", String::from_utf8_lossy(digits)));
        }
        let text = String::from_utf8_lossy(digits).into_owned();
        let size = usize::from_str_radix(&text, 16).map_err(|e| e.to_string())?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            return trailers(body, bytes);
        }
        if bytes.len() < size + 2 {
            body.extend_from_slice(&bytes[..bytes.len().min(size)]);
            return Ok((body, false, &[]));
        }
        body.extend_from_slice(&bytes[..size]);
        if &bytes[size..size + 2] != b"\r\n" {
            return Err("chunk end".into());
        }
        bytes = &bytes[size + 2..];
    }
}

fn trailers(body: Vec<u8>, bytes: &[u8]) -> Result<Body<'_>, String> {
    if let Some(rest) = bytes.strip_prefix(b"\r\n") {
        return Ok((body, true, rest));
    }
    let end = find(bytes, b"\r\n\r\n").ok_or("trailers without end")?;
    for line in split_lines(&bytes[..end])? {
        let colon = line.iter().position(|b| *b == b':').ok_or("trailer without colon")?;
        let name = line[..colon].to_ascii_lowercase();
        let forbidden: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
        if name.is_empty() || !name.iter().all(|b| tchar(*b)) || forbidden.contains(&&*name) {
            return Err(format!("trailer {:?}", String::from_utf8_lossy(&name)));
        }
    }
    Ok((body, true, &bytes[end + 4..]))
}

/// Lines between CRLFs; a CR or LF alone is an error.
fn split_lines(text: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = find(rest, b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    if lines.iter().any(|line| line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))) {
        return Err("bare CR, LF or NUL".into());
    }
    Ok(lines)
}

fn tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
