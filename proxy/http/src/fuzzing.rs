//! What must hold for any bytes: run by the fuzz targets in `fuzz/`, and by a test over their corpus.
//!
//! Each function panics when a property is violated.

use crate::{
    h1::{
        Decoder, HeadScan, Step, parse_request, parse_response, parse_trailers, write_request,
        write_response,
    },
    head::{Body, Fields, RequestHead, ResponseHead},
};

/// A request head that is accepted is emitted in a form that is accepted again, with the same meaning.
///
/// # Panics
/// When the property is violated.
pub fn request_head(input: &[u8]) {
    let Some(end) = scan_alike(input, 4) else { return };
    let mut first = RequestHead::default();
    if parse_request(input.get(end..).unwrap_or_default(), 100, &mut first).is_err() {
        return;
    }
    let mut emitted = Vec::new();
    write_request(&first, &mut emitted);
    if first.authority().is_empty() {
        // HTTP/1.0 without Host: the exchange names one before it emits.
        return;
    }
    let mut second = RequestHead::default();
    let result = parse_request(&emitted, 256, &mut second);
    assert!(result.is_ok(), "{result:?}: {}", String::from_utf8_lossy(&emitted));
    assert_eq!(first.method(), second.method());
    assert_eq!(first.target(), second.target());
    assert_eq!(first.host(), second.host());
    assert_eq!(first.body, second.body);
    assert_eq!(first.expects_continue, second.expects_continue);
    assert_eq!(first.upgrade(), second.upgrade());
    assert!(first.fields.iter().eq(second.fields.iter()));
}

/// The same for a response head.
///
/// # Panics
/// When the property is violated.
pub fn response_head(input: &[u8]) {
    let Some(end) = scan_alike(input, 0) else { return };
    let mut first = ResponseHead::default();
    let asked = Default::default();
    let text = input.get(end..).unwrap_or_default();
    if parse_response(text, 100, asked, &mut first).is_err() || first.body == Body::Stream {
        return;
    }
    let mut emitted = Vec::new();
    write_response(&first, first.body, crate::h1::Persistence::Keep, &mut emitted);
    let mut second = ResponseHead::default();
    let result = parse_response(&emitted, 256, asked, &mut second);
    assert!(result.is_ok(), "{result:?}: {}", String::from_utf8_lossy(&emitted));
    assert_eq!(first.status, second.status);
    assert!(first.fields.iter().eq(second.fields.iter()));
}

/// Whether a head is found does not depend on the pieces in which it arrives. Returns where it begins, when the
/// input is exactly one head.
fn scan_alike(input: &[u8], blank_lines: usize) -> Option<usize> {
    let whole = HeadScan::default().find_end(input, blank_lines);
    let mut scan = HeadScan::default();
    let mut pieces = Ok(None);
    for length in 0..=input.len() {
        pieces = scan.find_end(input.get(..length).unwrap_or_default(), blank_lines);
        if !matches!(pieces, Ok(None)) {
            break;
        }
    }
    assert_eq!(whole, pieces);
    whole.ok().flatten().filter(|bounds| bounds.end == input.len()).map(|bounds| bounds.leading)
}

/// A chunked body decodes alike in pieces of any size; its trailers never panic.
///
/// # Panics
/// When the property is violated.
pub fn chunked_body(input: &[u8]) {
    let whole = decode(input, input.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(whole, decode(input, size), "in pieces of {size}");
    }
}

/// Body, bytes behind it, and how it ended.
fn decode(input: &[u8], size: usize) -> (Vec<u8>, usize, Result<bool, &'static str>) {
    let mut decoder = Decoder::chunked();
    let (mut body, mut at, mut arrived) = (Vec::new(), 0_usize, 0_usize);
    loop {
        let here = input.get(at..arrived).unwrap_or_default();
        match decoder.step(here, 256) {
            Err(reason) => return (body, 0, Err(reason)),
            Ok(Step::More { skip }) => {
                at = at.saturating_add(skip);
                if arrived == input.len() {
                    return (body, 0, Ok(false));
                }
                arrived = arrived.saturating_add(size).min(input.len());
            }
            Ok(Step::Data { skip, length }) => {
                at = at.saturating_add(skip);
                let end = at.saturating_add(length);
                body.extend_from_slice(input.get(at..end).unwrap_or_default());
                decoder.consume(length);
                at = end;
            }
            Ok(Step::End { skip, trailers }) => {
                at = at.saturating_add(skip);
                let section = input.get(at.saturating_sub(trailers)..at).unwrap_or_default();
                let mut fields = Fields::default();
                let result = match trailers {
                    0 => Ok(()),
                    _ => parse_trailers(section, 100, &mut fields),
                };
                return (body, input.len().saturating_sub(at), result.map(|()| true));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    type Target = fn(&[u8]);

    const TARGETS: [(&str, Target); 3] = [
        ("request_head", super::request_head),
        ("response_head", super::response_head),
        ("chunked_body", super::chunked_body),
    ];

    #[test]
    fn the_corpus_holds() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
        for (name, target) in TARGETS {
            let entries: Vec<_> = std::fs::read_dir(root.join(name)).unwrap().collect();
            assert!(entries.len() >= 8, "{name}: {}", entries.len());
            for entry in entries {
                target(&std::fs::read(entry.unwrap().path()).unwrap());
            }
        }
    }

    /// Pieces of messages, so that random input gets deeper than the first byte.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let words = select(vec![
            "GET ",
            "POST ",
            "/",
            "/a/../b",
            "*",
            " HTTP/1.1\r\n",
            " HTTP/1.0\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 304 \r\n",
            "Host: a\r\n",
            "Host: A.b:80\r\n",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Connection: upgrade, x\r\n",
            "Upgrade: a/1\r\n",
            "X: y\r\n",
            "Expect: 100-continue\r\n",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            ":",
            " ",
            "\t",
            "0",
            "5",
            "5;a=b",
            "hello",
            "ff",
            "0\r\n\r\n",
            "X",
            "\0",
            "%2e",
            "?",
            "#",
            "http://a",
        ]);
        let piece = prop_oneof![
            8 => words.prop_map(|word| word.as_bytes().to_vec()),
            1 => vec(any::<u8>(), 0..4),
        ];
        vec(piece, 0..14).prop_map(|pieces| pieces.concat())
    }

    /// `PROPTEST_CASES` asks for more.
    fn cases() -> u32 {
        std::env::var("PROPTEST_CASES").map_or(4000, |number| number.parse().unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

        #[test]
        fn random_bytes_hold(input in pieces()) {
            for (_, target) in TARGETS {
                target(&input);
            }
        }
    }
}
