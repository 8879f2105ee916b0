//! The header that load balancers put in front of a connection to say who the client is
//! (haproxy.org, "The PROXY protocol", versions 1 and 2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

/// First bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1.
const LINE_MOST: usize = 107;
/// Longest rest of a header of version 2; balancers send less than 1 KiB of extensions.
const REST_MOST: usize = 4096;

/// Why a header cannot be believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    /// The connection ended or broke.
    #[error("the connection ended inside the PROXY header: {0}")]
    Io(#[from] io::Error),
    /// Neither version.
    #[error("no PROXY header where one is required")]
    Missing,
    /// The named version, but not its form.
    #[error("malformed PROXY header of version {0}")]
    Malformed(u8),
}

/// Takes the header off a connection: exactly its bytes. `None`: the balancer speaks for itself, say to check health.
pub(crate) async fn take(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut start = [0; SIGNATURE.len()];
    tcp.read_exact(&mut start).await?;
    if start == SIGNATURE {
        let mut head = [0; 4];
        tcp.read_exact(&mut head).await?;
        let [command, family, high, low] = head;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        if rest.len() > REST_MOST {
            return Err(HeaderError::Malformed(2));
        }
        tcp.read_exact(&mut rest).await?;
        return parse_v2(command, family, &rest).ok_or(HeaderError::Malformed(2));
    }
    if !start.starts_with(b"PROXY ") {
        return Err(HeaderError::Missing);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LINE_MOST {
            return Err(HeaderError::Malformed(1));
        }
        // What follows the line belongs to the client: one byte too many would be lost.
        line.push(tcp.read_u8().await?);
    }
    parse_v1(&line).ok_or(HeaderError::Malformed(1))
}

/// A whole line. The outer `None`: malformed.
#[expect(clippy::option_option, reason = "malformed differs from absent")]
fn parse_v1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let text = std::str::from_utf8(line).ok()?.strip_prefix("PROXY ")?.strip_suffix("\r\n")?;
    let mut words = text.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let source: IpAddr = words.next()?.parse().ok()?;
    let target: IpAddr = words.next()?.parse().ok()?;
    let port: u16 = words.next()?.parse().ok()?;
    let _target_port: u16 = words.next()?.parse().ok()?;
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    (fits && words.next().is_none()).then_some(Some(SocketAddr::new(source, port)))
}

/// Version 2 without its signature. The outer `None`: malformed.
#[expect(clippy::option_option, reason = "malformed differs from absent")]
fn parse_v2(command: u8, family: u8, rest: &[u8]) -> Option<Option<SocketAddr>> {
    match command {
        // LOCAL: whatever follows is to be skipped.
        0x20 => return Some(None),
        0x21 => {}
        _ => return None,
    }
    let ip: IpAddr = match family {
        0x11 => {
            let (source, _) = rest.get(..12)?.split_first_chunk::<4>()?;
            Ipv4Addr::from(*source).into()
        }
        0x21 => {
            let (source, _) = rest.get(..36)?.split_first_chunk::<16>()?;
            Ipv6Addr::from(*source).into()
        }
        // Datagrams, local sockets, and families to come: the real peer stays.
        _ => return Some(None),
    };
    let at = if ip.is_ipv4() { 8 } else { 32 };
    let (port, _) = rest.get(at..)?.split_first_chunk::<2>()?;
    Some(Some(SocketAddr::new(ip, u16::from_be_bytes(*port))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncWriteExt, net::TcpListener};

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// What is taken for a header, and what is left for the client.
    async fn taken(bytes: &[u8]) -> (Result<Option<SocketAddr>, HeaderError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        client.write_all(bytes).await.unwrap();
        drop(client);
        let taken = take(&mut server).await;
        let mut left = Vec::new();
        let _ = server.read_to_end(&mut left).await;
        (taken, left)
    }

    #[tokio::test]
    async fn headers_of_both_versions_say_who_the_client_is() {
        let v4 = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut v6 = vec![0; 36];
        v6[15] = 1;
        v6[32..34].copy_from_slice(&4660_u16.to_be_bytes());
        let extended = [&v4[..], &[4, 0, 1, 0]].concat();
        let one: Option<SocketAddr> = Some("192.0.2.1:4660".parse().unwrap());
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80\r\n".to_vec(), one),
            (b"PROXY TCP6 ::1 ::2 4660 80\r\n".to_vec(), Some("[::1]:4660".parse().unwrap())),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 x y z\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), one),
            (v2(0x21, 0x11, &extended), one),
            (v2(0x21, 0x21, &v6), Some("[::1]:4660".parse().unwrap())),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let (found, left) = taken(&[&header[..], b"GET /"].concat()).await;
            assert_eq!(found.unwrap(), expected, "{header:?}");
            assert_eq!(left, b"GET /", "{header:?}");
        }
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let long = [b"PROXY TCP4 ", &[b'1'; 200][..], b"\r\n"].concat();
        for header in [
            &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4660\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4660 80 9\r\n",
            b"PROXY TCP4 ::1 ::2 4660 80\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 99999 80\r\n",
            b"PROXY  TCP4 192.0.2.1 10.0.0.1 4660 80\r\n",
            &long,
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x11, &[0; 5000]),
            &SIGNATURE,
            b"PRO",
        ] {
            assert!(taken(header).await.0.is_err(), "{header:?}");
        }
    }
}
