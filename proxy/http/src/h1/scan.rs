//! Finds the end of a head in bytes that arrive piece by piece, without looking at any byte twice.

use crate::h1::Rejection;

/// How far a head was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HeadScan {
    scanned: usize,
    line_start: usize,
    leading: usize,
    /// One past the first line; 0: it is not complete.
    first_line: usize,
}

/// Where a head lies in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadBounds {
    /// Bytes of empty lines in front of it.
    pub(crate) leading: usize,
    /// One past its last byte.
    pub(crate) end: usize,
}

impl HeadScan {
    /// Looks at the input, which begins where it began at the last call. `blank_lines`: how many bytes of empty
    /// lines may stand in front (RFC 9112 section 2.2).
    pub(crate) fn find_end(
        &mut self,
        input: &[u8],
        blank_lines: usize,
    ) -> Result<Option<HeadBounds>, Rejection> {
        while let Some(at) = self.next_newline(input) {
            if at == 0 || input.get(at.saturating_sub(1)) != Some(&b'\r') {
                return Err(Rejection::bad("BareLineFeed"));
            }
            let is_empty = at.saturating_sub(self.line_start) == 1;
            let next = at.saturating_add(1);
            (self.scanned, self.line_start) = (next, next);
            match (is_empty, self.first_line > 0) {
                (true, true) => return Ok(Some(HeadBounds { leading: self.leading, end: next })),
                (true, false) if next > blank_lines => {
                    return Err(Rejection::bad("EmptyRequestLine"));
                }
                (true, false) => self.leading = next,
                (false, false) => self.first_line = next,
                (false, true) => {}
            }
        }
        self.scanned = input.len();
        Ok(None)
    }

    /// Whether the first line ends within so many bytes.
    pub(crate) fn first_line_fits(&self, bytes: usize) -> bool {
        (1..=bytes).contains(&self.first_line)
    }

    fn next_newline(&self, input: &[u8]) -> Option<usize> {
        let at = memchr::memchr(b'\n', input.get(self.scanned..)?)?;
        self.scanned.checked_add(at)
    }
}

/// Whether every CR stands before an LF, given that every LF stands behind a CR.
pub(crate) fn has_bare_return(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\r', head).count() != memchr::memchr_iter(b'\n', head).count()
}
