//! WebSocket frames (RFC 6455 section 5): just enough to send back what came.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// RFC 6455 section 1.3: what every server appends to the client's key.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
const LARGEST: u64 = 16 * 1024 * 1024;

/// `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`.
pub(crate) fn accept_key(key: &str) -> String {
    STANDARD.encode(crate::sha1::digest(format!("{key}{MAGIC}").as_bytes()))
}

/// Sends every frame back until the peer closes: a ping comes back as a pong, a close as a close.
///
/// # Errors
/// When the connection breaks, or a frame is larger than 16 MiB.
pub(crate) async fn echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) -> io::Result<()> {
    loop {
        let Some((first, payload)) = read_frame(&mut stream).await? else { return Ok(()) };
        let opcode = first & 0x0F;
        match opcode {
            PONG => continue,
            PING => write_frame(&mut stream, (first & 0xF0) | PONG, &payload).await?,
            _ => write_frame(&mut stream, first, &payload).await?,
        }
        if opcode == CLOSE {
            return stream.shutdown().await;
        }
    }
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 2];
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut head[1..]).await?;
    let length = match head[1] & 0x7F {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    if length > LARGEST {
        return Err(io::Error::other("frame larger than 16 MiB"));
    }
    let mut mask = [0; 4];
    if head[1] & 0x80 != 0 {
        stream.read_exact(&mut mask).await?;
    }
    let mut payload = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    stream.read_exact(&mut payload).await?;
    for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    Ok(Some((head[0], payload)))
}

async fn write_frame<S: AsyncWrite + Unpin>(
    stream: &mut S,
    first: u8,
    payload: &[u8],
) -> io::Result<()> {
    let mut frame = vec![first];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    stream.write_all(&frame).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_the_key_of_the_standard() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[tokio::test]
    async fn sends_back_every_length_form() {
        for size in [0, 5, 125, 126, 65_535, 65_536] {
            let (mut client, server) = tokio::io::duplex(1 << 20);
            let echo = tokio::spawn(echo(server));
            let payload = vec![7u8; size];
            write_frame(&mut client, 0x82, &payload).await.unwrap();
            assert_eq!(read_frame(&mut client).await.unwrap(), Some((0x82, payload)), "{size}");
            drop(client);
            echo.await.unwrap().unwrap();
        }
    }
}
