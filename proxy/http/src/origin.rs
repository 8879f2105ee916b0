//! Who the client is, and what the backend is told about it.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

use crate::{
    connection::{ConnectionInfo, Scheme},
    grammar,
    head::{Fields, RequestHead},
    random,
    settings::Settings,
};

/// The client behind trusted proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its address.
    pub(crate) client: IpAddr,
    /// The scheme it used.
    pub(crate) scheme: Scheme,
    /// The peer is a trusted proxy, so its forwarding headers are kept.
    pub(crate) trusted: bool,
}

/// Finds the client by `trusted_proxies` and `hops`.
pub(crate) fn find_origin(
    head: &RequestHead,
    info: &ConnectionInfo,
    settings: &Settings,
) -> Origin {
    let peer = info.peer.ip().to_canonical();
    let is_trusted =
        |address: IpAddr| settings.trusted_proxies.iter().any(|range| range.contains(&address));
    let by_count = settings.trusted_proxies.is_empty() && settings.hops > 0;
    if !by_count && !is_trusted(peer) {
        return Origin { client: peer, scheme: info.scheme(), trusted: false };
    }
    let client = walk_back(&head.fields, peer, |hop, address| {
        if settings.hops > 0 { hop < settings.hops } else { is_trusted(address) }
    });
    let forwarded = head.fields.get(b"x-forwarded-proto").and_then(|value| {
        let first = grammar::list(value).next()?;
        [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|scheme| first.eq_ignore_ascii_case(scheme.as_str().as_bytes()))
    });
    Origin { client, scheme: forwarded.unwrap_or(info.scheme()), trusted: true }
}

/// From the right of X-Forwarded-For, as long as the address that vouches for the next one is believed.
fn walk_back(
    fields: &Fields,
    peer: IpAddr,
    mut believes: impl FnMut(u32, IpAddr) -> bool,
) -> IpAddr {
    let mut client = peer;
    let mut hop = 0_u32;
    // Several fields are one list; the last of them stands to the right.
    let mut skip = 0_usize;
    loop {
        let Some(value) = nth_from_right(fields, skip) else { return client };
        if !believes(hop, client) {
            return client;
        }
        let Some(address) = parse_address(value) else { return client };
        client = address;
        hop = hop.saturating_add(1);
        skip = skip.saturating_add(1);
    }
}

fn nth_from_right(fields: &Fields, skip: usize) -> Option<&[u8]> {
    let total = fields.values(b"x-forwarded-for").flat_map(grammar::list).count();
    let index = total.checked_sub(skip)?.checked_sub(1)?;
    fields.values(b"x-forwarded-for").flat_map(grammar::list).nth(index)
}

/// An address, with or without port.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| bracketed?.parse().ok());
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

/// Fields that say who the client is: only a trusted proxy may send them.
fn is_forwarding(name: &[u8]) -> bool {
    let same = |known: &[u8]| {
        name.len() == known.len()
            && name
                .iter()
                .zip(known)
                .all(|(byte, known)| byte == known || (*byte == b'_' && *known == b'-'))
    };
    match name.first() {
        Some(b'x') => {
            name.get(..12).is_some_and(|start| {
                start
                    .iter()
                    .zip(b"x-forwarded-")
                    .all(|(byte, known)| byte == known || (*byte == b'_' && *known == b'-'))
            }) || [
                &b"x-real-ip"[..],
                b"x-request-id",
                b"x-scheme",
                b"x-original-forwarded-for",
                b"x-forwarded",
            ]
            .into_iter()
            .any(same)
        }
        Some(b'f') => name == b"forwarded",
        _ => false,
    }
}

/// Writes X-Forwarded-*, X-Real-IP and X-Request-ID. A trusted proxy's values are continued, anybody else's
/// are removed; spellings with underscores, which some servers read as the same names, always are.
pub(crate) fn write_origin(head: &mut RequestHead, info: &ConnectionInfo, origin: Origin) {
    let trusted = origin.trusted;
    head.fields
        .retain(|field| !is_forwarding(field.name) || (trusted && !field.name.contains(&b'_')));
    if !trusted || !keep_request_id(head) {
        head.fields.remove(b"x-request-id");
        head.fields.push(b"x-request-id", &random::request_id());
    }
    let peer = info.peer.ip().to_canonical();
    head.fields.append_to_list(b"x-forwarded-for", format_args!("{peer}"));
    head.fields.remove(b"x-real-ip");
    head.fields.push_display(b"x-real-ip", format_args!("{}", origin.client));
    head.fields.remove(b"x-forwarded-proto");
    head.fields.push(b"x-forwarded-proto", origin.scheme.as_str().as_bytes());
    if head.fields.get(b"x-forwarded-host").is_none() {
        head.push_forwarded_host();
    }
    if head.fields.get(b"x-forwarded-port").is_none() {
        let port = info.advertised_port;
        head.fields.push_display(b"x-forwarded-port", format_args!("{port}"));
    }
}

/// An id from a trusted proxy is kept when it is one short word.
fn keep_request_id(head: &RequestHead) -> bool {
    let mut ids = head.fields.values(b"x-request-id");
    let is_word = |id: &[u8]| {
        (1..=128).contains(&id.len())
            && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(byte))
    };
    ids.next().is_some_and(is_word) && ids.next().is_none()
}

impl Fields {
    /// Appends a field whose value is formatted in place.
    pub(crate) fn push_display(&mut self, name: &[u8], value: std::fmt::Arguments<'_>) {
        self.push_with(name, |text| {
            let mut text = Formatter(text);
            // Writing to a vector cannot fail.
            let _ = text.write_fmt(value);
        });
    }

    /// Joins all values of a list field and appends one element.
    fn append_to_list(&mut self, name: &[u8], element: std::fmt::Arguments<'_>) {
        if self.get(name).is_none() {
            return self.push_display(name, element);
        }
        let mut joined = crate::buffer::lend_text();
        for value in self.values(name) {
            joined.extend_from_slice(value);
            joined.extend_from_slice(b", ");
        }
        let _ = Formatter(&mut joined).write_fmt(element);
        self.set(name, &joined);
        crate::buffer::return_text(joined);
    }
}

struct Formatter<'a>(&'a mut Vec<u8>);

impl Write for Formatter<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(peer: &str) -> ConnectionInfo {
        ConnectionInfo {
            peer: SocketAddr::new(peer.parse().unwrap(), 1),
            local: "127.0.0.1:2".parse().unwrap(),
            scope: "s".into(),
            listener: "l".into(),
            advertised_port: 8080,
            advertised: Default::default(),
            tls: None,
        }
    }

    fn settings(trusted: &[&str], hops: u32) -> Settings {
        let trusted_proxies = trusted.iter().map(|range| range.parse().unwrap()).collect();
        Settings { trusted_proxies, hops, ..Settings::default() }
    }

    #[test]
    fn finds_the_client() {
        let chain = "6.6.6.6, 9.9.9.9, 10.0.0.2";
        for (peer, trusted, hops, forwarded, client) in [
            ("1.2.3.4", &[][..], 0, chain, "1.2.3.4"),
            ("::ffff:1.2.3.4", &[], 0, "", "1.2.3.4"),
            ("1.2.3.4", &["10.0.0.0/8"], 0, chain, "1.2.3.4"),
            ("10.0.0.1", &["10.0.0.0/8"], 0, chain, "9.9.9.9"),
            ("10.0.0.1", &["10.0.0.0/8"], 0, "", "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.0/8"], 0, "junk, 10.0.0.3", "10.0.0.3"),
            ("10.0.0.1", &["10.0.0.0/8"], 0, "[2001:db8::1]:443", "2001:db8::1"),
            ("1.2.3.4", &[], 1, chain, "10.0.0.2"),
            ("1.2.3.4", &[], 2, chain, "9.9.9.9"),
            ("1.2.3.4", &[], 9, chain, "6.6.6.6"),
            ("10.0.0.1", &["10.0.0.1/32"], 2, chain, "9.9.9.9"),
        ] {
            let mut head = RequestHead::default();
            if !forwarded.is_empty() {
                head.fields.push(b"x-forwarded-for", forwarded.as_bytes());
            }
            let origin = find_origin(&head, &info(peer), &settings(trusted, hops));
            assert_eq!(
                origin.client,
                client.parse::<IpAddr>().unwrap(),
                "{peer} {trusted:?} {hops}"
            );
        }
    }

    fn names_and_values(head: &RequestHead) -> Vec<String> {
        head.fields
            .iter()
            .filter(|field| field.name != b"x-request-id")
            .map(|f| {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                format!("{}: {}", text(f.name), text(f.value))
            })
            .collect()
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let mut head = RequestHead::default();
        head.set_line(b"GET", b"/", b"a.example:81").unwrap();
        for name in [
            "X-Forwarded-For",
            "X_Forwarded_For",
            "X-Forwarded-Prefix",
            "x-forwarded_proto",
            "Forwarded",
            "X-Real-IP",
            "X_Real_IP",
            "X-Request-ID",
            "X-Scheme",
        ] {
            head.fields.push(name.as_bytes(), b"evil");
        }
        head.fields.push(b"x-mine", b"1");
        let origin = find_origin(&head, &info("1.2.3.4"), &settings(&[], 0));
        write_origin(&mut head, &info("1.2.3.4"), origin);
        assert_eq!(head.fields.values(b"x-request-id").count(), 1);
        assert_eq!(head.fields.get(b"x-request-id").unwrap().len(), 32);
        assert_eq!(
            names_and_values(&head),
            [
                "x-mine: 1",
                "x-forwarded-for: 1.2.3.4",
                "x-real-ip: 1.2.3.4",
                "x-forwarded-proto: http",
                "x-forwarded-host: a.example:81",
                "x-forwarded-port: 8080",
            ]
        );
    }

    #[test]
    fn a_trusted_proxy_is_continued() {
        let mut head = RequestHead::default();
        head.set_line(b"GET", b"/", b"inner").unwrap();
        for (name, value) in [
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-for", "10.0.0.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-port", "443"),
            ("x-request-id", "abc-1"),
            ("x_forwarded_for", "evil"),
        ] {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        let info = info("10.0.0.1");
        let origin = find_origin(&head, &info, &settings(&["10.0.0.0/8"], 0));
        assert_eq!(origin.scheme, Scheme::Https);
        write_origin(&mut head, &info, origin);
        assert_eq!(head.fields.get(b"x-request-id"), Some(&b"abc-1"[..]));
        assert_eq!(
            names_and_values(&head),
            [
                "x-forwarded-host: outer",
                "x-forwarded-port: 443",
                "x-forwarded-for: 9.9.9.9, 10.0.0.9, 10.0.0.1",
                "x-real-ip: 9.9.9.9",
                "x-forwarded-proto: https",
            ]
        );
    }
}
