//! Message heads, free of any wire format.
//!
//! A head owns its text and keeps spans into it, so that it can be lent from a pool, edited in place
//! and read after the connection's buffer has moved on. Framing, Host and hop-by-hop fields are not in
//! [`Fields`]: they are attributes of the head, and each codec writes them anew.

/// A piece of the head's text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    end: usize,
}

/// Version of HTTP that a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As in a status line or an access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// How a head announces its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Nothing announced: a request without body, a 204, a 1xx.
    #[default]
    Empty,
    /// Content-Length, 0 included.
    Length(u64),
    /// Of unknown length: chunked, until close, or HTTP/2 without Content-Length.
    Stream,
}

/// One field, its name in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Lower case.
    pub name: &'a [u8],
    /// Without white space around it.
    pub value: &'a [u8],
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    name: Span,
    value: Span,
}

/// End-to-end fields in the order in which they arrived.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    text: Vec<u8>,
    slots: Vec<Slot>,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.slots.clear();
    }

    /// Bytes of text that it has room for.
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    pub(crate) fn store(&mut self, text: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(text);
        Span { start, end: self.text.len() }
    }

    pub(crate) fn store_lower(&mut self, text: &[u8]) -> Span {
        let span = self.store(text);
        if let Some(stored) = self.text.get_mut(span.start..span.end) {
            stored.make_ascii_lowercase();
        }
        span
    }

    /// Stores what `write` appends.
    pub(crate) fn store_with<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Span, E> {
        let start = self.text.len();
        write(&mut self.text)?;
        Ok(Span { start, end: self.text.len() })
    }

    pub(crate) fn read(&self, span: Span) -> &[u8] {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Appends a field; the name is put into lower case.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let name = self.store_lower(name);
        let value = self.store(value);
        self.slots.push(Slot { name, value });
    }

    /// Appends a field whose value is what `write` appends.
    pub(crate) fn push_with(&mut self, name: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let name = self.store_lower(name);
        let start = self.text.len();
        write(&mut self.text);
        self.slots.push(Slot { name, value: Span { start, end: self.text.len() } });
    }

    /// Removes every field of this name (lower case).
    pub fn remove(&mut self, name: &[u8]) {
        self.retain(|field| field.name != name);
    }

    /// Leaves one field of this name (lower case).
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.push(name, value);
    }

    /// Keeps the fields for which `keep` holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Field<'_>) -> bool) {
        let text = &self.text;
        let read = |span: Span| text.get(span.start..span.end).unwrap_or_default();
        self.slots.retain(|slot| keep(Field { name: read(slot.name), value: read(slot.value) }));
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.slots
            .iter()
            .map(|slot| Field { name: self.read(slot.name), value: self.read(slot.value) })
    }

    /// Values of this name (lower case), in order.
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |field| field.name == name).map(|field| field.value)
    }

    /// The first value of this name (lower case).
    pub fn get<'a>(&'a self, name: &'a [u8]) -> Option<&'a [u8]> {
        self.values(name).next()
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

/// The head of a request.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    /// Version of the peer that sent it.
    pub version: Version,
    /// End-to-end fields without Host.
    pub fields: Fields,
    /// The announced body.
    pub body: Body,
    /// `Expect: 100-continue`.
    pub expects_continue: bool,
    /// The peer can take trailers (`TE: trailers`).
    pub accepts_trailers: bool,
    pub(crate) method: Span,
    pub(crate) target: Span,
    pub(crate) received_target: Span,
    pub(crate) authority: Span,
    pub(crate) host: Span,
    pub(crate) upgrade: Option<Span>,
    pub(crate) keep_alive: bool,
}

impl RequestHead {
    /// Empties it for the next request; keeps its memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// The method, as sent.
    pub fn method(&self) -> &[u8] {
        self.fields.read(self.method)
    }

    /// Path and query ("*" for the asterisk form), after rewrites.
    pub fn target(&self) -> &[u8] {
        self.fields.read(self.target)
    }

    /// Path and query as received.
    pub fn received_target(&self) -> &[u8] {
        self.fields.read(self.received_target)
    }

    /// The target up to the query.
    pub fn path(&self) -> &[u8] {
        let target = self.target();
        split_query(target).0
    }

    /// What follows the question mark.
    pub fn query(&self) -> Option<&[u8]> {
        split_query(self.target()).1
    }

    /// Host with port, as sent; empty for an HTTP/1.0 request without Host.
    pub fn authority(&self) -> &[u8] {
        self.fields.read(self.authority)
    }

    /// Host in lower case without port and trailing dot.
    pub fn host(&self) -> &[u8] {
        self.fields.read(self.host)
    }

    /// The protocol that the client wants to switch to.
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.fields.read(span))
    }

    /// Sets method, target (origin form, or "*") and authority of a request that no HTTP/1.1 parser made, judged
    /// by the same grammar.
    ///
    /// # Errors
    /// One word that says which rule is violated.
    pub fn set_line(
        &mut self,
        method: &[u8],
        target: &[u8],
        authority: &[u8],
    ) -> Result<(), &'static str> {
        if !crate::grammar::is_token(method) {
            return Err("BadMethod");
        }
        if !crate::grammar::is_authority(authority) {
            return Err("BadHost");
        }
        if !target.iter().all(|byte| matches!(byte, 0x21..=0x7e | 0x80..)) {
            return Err("BadTarget");
        }
        let form = crate::h1::split_target(method, target).map_err(|rejection| rejection.reason)?;
        if form.authority.is_some() {
            return Err("BadTarget");
        }
        self.store_line(method, target);
        self.store_target(form, authority).map_err(|rejection| rejection.reason)
    }

    /// Stores method and target as received: what is told about a request, refused or not.
    pub(crate) fn store_line(&mut self, method: &[u8], target: &[u8]) {
        self.method = self.fields.store(method);
        self.received_target = self.fields.store(target);
    }

    /// Stores the canonical form of a target that was judged, and where the request goes.
    pub(crate) fn store_target(
        &mut self,
        form: crate::h1::Target<'_>,
        authority: &[u8],
    ) -> Result<(), crate::h1::Rejection> {
        self.target = self.fields.store_with(|text| {
            if form.needs_slash {
                text.push(b'/');
            }
            crate::h1::write_canonical(form.path_and_query, text)
        })?;
        self.authority = self.fields.store(authority);
        self.host = self.fields.store_lower(gatefleet_matcher::trim_host(authority));
        Ok(())
    }

    /// X-Forwarded-Host with the authority: the text is there already.
    pub(crate) fn push_forwarded_host(&mut self) {
        let name = self.fields.store(b"x-forwarded-host");
        self.fields.slots.push(Slot { name, value: self.authority });
    }

    pub(crate) fn set_target(&mut self, target: &[u8]) {
        self.target = self.fields.store(target);
    }

    pub(crate) fn set_authority(&mut self, authority: &[u8]) {
        self.authority = self.fields.store(authority);
    }

    pub(crate) fn set_upgrade(&mut self, protocol: &[u8]) {
        self.upgrade = Some(self.fields.store(protocol));
    }
}

/// The head of a response.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// Version of the peer that sent it.
    pub version: Version,
    /// End-to-end fields.
    pub fields: Fields,
    /// The announced body.
    pub body: Body,
    /// The announced body does not follow (HEAD, 204, 304, 1xx).
    pub bodiless: bool,
    pub(crate) reason: Span,
    pub(crate) upgrade: Option<Span>,
    pub(crate) keep_alive: bool,
}

impl ResponseHead {
    /// Empties it for the next response; keeps its memory.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::default() };
    }

    /// The reason phrase as sent; may be empty.
    pub fn reason(&self) -> &[u8] {
        self.fields.read(self.reason)
    }

    /// The protocol that a 101 switches to.
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.fields.read(span))
    }

    /// 1xx, but not 101.
    pub fn is_informational(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Path, and query if there is a question mark.
pub(crate) fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target).and_then(|at| target.split_at_checked(at)) {
        Some((path, query)) => (path, query.get(1..)),
        None => (target, None),
    }
}
