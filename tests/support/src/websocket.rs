//! A WebSocket client that is just enough to notice a lost message: one short text frame out, one back
//! (RFC 6455 section 5.2; frames up to 125 bytes, masked with zeros).

use std::{io, net::SocketAddr};

use crate::raw::Connection;

const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// An open WebSocket.
#[derive(Debug)]
pub struct WebSocket(Connection);

impl WebSocket {
    /// Connects and upgrades.
    ///
    /// # Errors
    ///
    /// When nobody answers, or anything but 101.
    pub fn open(address: SocketAddr, host: &str, path: &str) -> io::Result<Self> {
        let mut connection = Connection::open(address)?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        connection.send(head.as_bytes())?;
        let answer = connection.answer()?;
        // RFC 6455 section 1.3 computes this value from that very key.
        let accepted =
            answer.header("sec-websocket-accept") == Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        match (answer.status, accepted) {
            (101, true) => Ok(Self(connection)),
            _ => Err(io::Error::other(format!(
                "upgrade {host}{path}: {} {}",
                answer.status,
                answer.text()
            ))),
        }
    }

    /// Sends one text message of at most 125 bytes and returns the next one.
    ///
    /// # Errors
    ///
    /// When the connection is lost or the answer is no short text frame.
    pub fn exchange(&mut self, text: &str) -> io::Result<String> {
        let length = u8::try_from(text.len()).ok().filter(|length| *length <= 125);
        let length =
            length.ok_or_else(|| io::Error::other("send message: longer than 125 bytes"))?;
        let mut frame = vec![TEXT, MASKED | length, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.0.send(&frame)?;
        let head = self.0.take(2)?;
        if head[0] != TEXT || head[1] > 125 {
            return Err(io::Error::other(format!("receive message: unexpected frame {head:?}")));
        }
        let body = self.0.take(head[1].into())?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}
