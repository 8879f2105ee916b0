//! What Connection says (RFC 9110 section 7.6.1).

use crate::{
    grammar,
    head::{Fields, Version},
};

/// The options of all Connection fields of a head.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    persistence: Option<Persistence>,
    /// `upgrade` is among them.
    pub(crate) upgrade: bool,
    names_fields: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Persistence {
    Close,
    KeepAlive,
}

impl Options {
    /// Takes one field value.
    pub(crate) fn take(&mut self, value: &[u8]) -> Result<(), &'static str> {
        for token in grammar::list(value) {
            if !grammar::is_token(token) {
                return Err("BadConnection");
            }
            if token.eq_ignore_ascii_case(b"close") {
                self.persistence = Some(Persistence::Close);
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.persistence.get_or_insert(Persistence::KeepAlive);
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_fields = true;
            }
        }
        Ok(())
    }

    /// Whether the sender of this version keeps the connection open.
    pub(crate) fn keeps_alive(self, version: Version) -> bool {
        match self.persistence {
            Some(Persistence::Close) => false,
            Some(Persistence::KeepAlive) => true,
            None => version != Version::Http10,
        }
    }

    /// Removes the fields that Connection names.
    pub(crate) fn strip_named(self, received: &[httparse::Header<'_>], fields: &mut Fields) {
        if !self.names_fields {
            return;
        }
        let connection =
            |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("connection");
        for field in received.iter().filter(connection) {
            for token in grammar::list(field.value) {
                fields.retain(|kept| !kept.name.eq_ignore_ascii_case(token));
            }
        }
    }
}
