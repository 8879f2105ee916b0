//! Body framing, sans-I/O: which of the bytes that arrived are body (RFC 9112 sections 6 and 7).

use super::scan::HeadScan;

/// Bytes of extensions that one chunk may have; they are dropped.
const EXTENSION_BYTES: u16 = 1024;

/// How the body of a message is framed, and how far it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Decoder {
    /// Complete.
    Done,
    /// Content-Length, and what is left of it.
    Length(u64),
    /// Chunked.
    Chunked(Chunked),
    /// Everything until the peer closes.
    UntilClose,
}

/// What the bytes at the front of the input are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// After `skip` bytes of framing: this many bytes of body.
    Data {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of body.
        length: usize,
    },
    /// After `skip` bytes of framing more input is needed.
    More {
        /// Bytes of framing.
        skip: usize,
    },
    /// After `skip` bytes the body ends; the last `trailers` of them are a trailer section.
    End {
        /// Bytes of framing.
        skip: usize,
        /// Bytes of the trailer section with its empty line; 0: none.
        trailers: usize,
    },
}

/// State of a chunked body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunked {
    state: State,
    left: u64,
    digits: u8,
    extension: u16,
    trailers: HeadScan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
}

impl Decoder {
    pub(crate) fn length(length: u64) -> Self {
        if length == 0 { Self::Done } else { Self::Length(length) }
    }

    pub(crate) fn chunked() -> Self {
        let trailers = HeadScan::default();
        Self::Chunked(Chunked { state: State::Size, left: 0, digits: 0, extension: 0, trailers })
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Judges the input, which begins behind everything that was skipped or consumed so far. Trailers of more
    /// than `max_trailers` bytes are refused.
    pub(crate) fn step(&mut self, input: &[u8], max_trailers: usize) -> Result<Step, &'static str> {
        match self {
            Self::Done => Ok(Step::End { skip: 0, trailers: 0 }),
            Self::UntilClose => Ok(data_or_more(0, input.len())),
            Self::Length(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                Ok(data_or_more(0, length))
            }
            Self::Chunked(chunked) => {
                let step = chunked.step(input, max_trailers)?;
                if matches!(step, Step::End { .. }) {
                    *self = Self::Done;
                }
                Ok(step)
            }
        }
    }

    /// Notes that `count` bytes of the last [`Step::Data`] are gone.
    pub(crate) fn consume(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        match self {
            Self::Done | Self::UntilClose => {}
            Self::Length(left) => *self = Self::length(left.saturating_sub(count)),
            Self::Chunked(chunked) => {
                chunked.left = chunked.left.saturating_sub(count);
                if chunked.left == 0 {
                    chunked.state = State::DataCr;
                }
            }
        }
    }
}

fn data_or_more(skip: usize, length: usize) -> Step {
    if length == 0 { Step::More { skip } } else { Step::Data { skip, length } }
}

impl Chunked {
    fn step(&mut self, input: &[u8], max_trailers: usize) -> Result<Step, &'static str> {
        let mut skip = 0_usize;
        loop {
            if self.state == State::Data {
                let rest = input.len().saturating_sub(skip);
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest);
                return Ok(data_or_more(skip, length));
            }
            if self.state == State::Trailers {
                return self.find_trailers(input, skip, max_trailers);
            }
            let Some(byte) = input.get(skip) else { return Ok(Step::More { skip }) };
            self.frame(*byte)?;
            skip = skip.saturating_add(1);
        }
    }

    /// One byte of framing.
    fn frame(&mut self, byte: u8) -> Result<(), &'static str> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeLf,
            (State::Size, b';') if self.digits > 0 => {
                self.extension = 0;
                State::Extension
            }
            (State::Size, _) => return self.size_digit(byte),
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~') => return self.extension_byte(),
            (State::SizeLf, b'\n') => self.begin_data(),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                (self.left, self.digits) = (0, 0);
                State::Size
            }
            (State::Extension, _) => return Err("BadChunkExtension"),
            (State::SizeLf, _) => return Err("BareCarriageReturn"),
            _ => return Err("BadChunkEnd"),
        };
        Ok(())
    }

    fn size_digit(&mut self, byte: u8) -> Result<(), &'static str> {
        let digit = char::from(byte).to_digit(16).ok_or("BadChunkSize")?;
        self.digits = self.digits.saturating_add(1);
        if self.digits > 16 || self.left >= 1 << 59 {
            return Err("ChunkTooLarge");
        }
        self.left = self.left.wrapping_shl(4) | u64::from(digit);
        Ok(())
    }

    fn extension_byte(&mut self) -> Result<(), &'static str> {
        self.extension = self.extension.saturating_add(1);
        if self.extension > EXTENSION_BYTES { Err("ChunkExtensionTooLarge") } else { Ok(()) }
    }

    fn begin_data(&mut self) -> State {
        if self.left == 0 {
            self.trailers = HeadScan::default();
            State::Trailers
        } else {
            State::Data
        }
    }

    fn find_trailers(
        &mut self,
        input: &[u8],
        skip: usize,
        max: usize,
    ) -> Result<Step, &'static str> {
        let section = input.get(skip..).unwrap_or_default();
        if section.starts_with(b"\r\n") {
            return Ok(Step::End { skip: skip.saturating_add(2), trailers: 0 });
        }
        if section == b"\r" {
            return Ok(Step::More { skip });
        }
        // What lies beyond the limit is not looked at, so that the verdict does not depend on how much has arrived.
        let section = section.get(..=max).unwrap_or(section);
        match self.trailers.find_end(section, 0).map_err(|rejection| rejection.reason)? {
            Some(bounds) if bounds.end <= max => {
                Ok(Step::End { skip: skip.saturating_add(bounds.end), trailers: bounds.end })
            }
            Some(_) => Err("TrailersTooLarge"),
            None if section.len() > max => Err("TrailersTooLarge"),
            None => Ok(Step::More { skip }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body, trailer section, what follows.
    type Decoded = (Vec<u8>, Vec<u8>, Vec<u8>);

    /// Feeds the text in pieces of `size` bytes; returns the body, the trailer section and what is left.
    fn decode(text: &[u8], size: usize) -> Result<Decoded, &'static str> {
        let mut decoder = Decoder::chunked();
        let (mut body, mut held, mut fed) = (Vec::new(), Vec::new(), 0);
        loop {
            match decoder.step(&held, 100)? {
                Step::Data { skip, length } => {
                    body.extend_from_slice(&held[skip..skip + length]);
                    held.drain(..skip + length);
                    decoder.consume(length);
                }
                Step::More { skip } => {
                    held.drain(..skip);
                    if fed == text.len() {
                        return Err("incomplete");
                    }
                    let next = (fed + size).min(text.len());
                    held.extend_from_slice(&text[fed..next]);
                    fed = next;
                }
                Step::End { skip, trailers } => {
                    let section = held[skip - trailers..skip].to_vec();
                    let rest = [&held[skip..], &text[fed..]].concat();
                    return Ok((body, section, rest));
                }
            }
        }
    }

    #[test]
    fn decodes_in_pieces_of_any_size() {
        let text = b"3\r\nabc\r\nA;x=\"y z\"\r\n0123456789\r\n0\r\nx: y\r\n\r\nNEXT";
        for size in 1..=text.len() {
            let (body, trailers, rest) = decode(text, size).unwrap();
            assert_eq!(body, b"abc0123456789", "{size}");
            assert_eq!(trailers, b"x: y\r\n\r\n", "{size}");
            assert_eq!(rest, b"NEXT", "{size}");
        }
    }

    #[test]
    fn refuses_what_peers_read_differently() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(2000));
        let trailers = format!("0\r\nx: {}\r\n\r\n", "y".repeat(200));
        for (text, reason) in [
            ("g\r\n", "BadChunkSize"),
            ("\r\n", "BadChunkSize"),
            ("+1\r\na\r\n", "BadChunkSize"),
            ("0x1\r\na\r\n", "BadChunkSize"),
            (" 1\r\na\r\n", "BadChunkSize"),
            ("1 \r\na\r\n", "BadChunkSize"),
            ("1\na\r\n", "BadChunkSize"),
            (";x\r\n", "BadChunkSize"),
            ("1\rXa\r\n", "BareCarriageReturn"),
            ("1;a\nb\r\n", "BadChunkExtension"),
            ("1;a\rb\r\n", "BareCarriageReturn"),
            ("1;\0\r\na\r\n", "BadChunkExtension"),
            ("1;\u{7f}\r\na\r\n", "BadChunkExtension"),
            ("1\r\nab\r\n", "BadChunkEnd"),
            ("1\r\na\n\r\n", "BadChunkEnd"),
            ("1\r\na\rX", "BadChunkEnd"),
            ("fffffffffffffffff\r\n", "ChunkTooLarge"),
            ("8000000000000000\r\n", "ChunkTooLarge"),
            ("00000000000000001\r\n", "ChunkTooLarge"),
            ("0\r\nx: y\n\r\n", "BareLineFeed"),
            ("0\r\n\n", "BareLineFeed"),
            ("1\r\na\r\n", "incomplete"),
            (&long, "ChunkExtensionTooLarge"),
            (&trailers, "TrailersTooLarge"),
        ] {
            for size in [1, 7, 10_000] {
                let result = decode(text.as_bytes(), size).map(|_| ());
                assert_eq!(result, Err(reason), "{text:?} by {size}");
            }
        }
    }
}
