//! Large bodies: not a byte is lost, added or moved, whoever is slow and wherever somebody breaks off.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod support;

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use support::{Proxy, blocking, free_port, local, simple};

/// No multiple of a page, of a buffer or of a pipe.
const BODY_BYTES: usize = 3 * 1024 * 1024 + 17;

/// Bytes in which a gap or a repetition shows.
fn body() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..BODY_BYTES).map(|_| next()).collect()
}

/// Reads up to the empty line; what follows it is left unread.
fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

/// Answers each request with its own body, `pause` after each piece; with `cut` it breaks off in the middle.
fn echo(pause: Duration, cut: bool) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || echo_all(stream.unwrap(), pause, cut));
        }
    });
    address
}

fn echo_all(mut stream: TcpStream, pause: Duration, cut: bool) -> io::Result<()> {
    loop {
        read_head(&mut stream)?;
        let mut body = vec![0; BODY_BYTES];
        for piece in body.chunks_mut(200_000) {
            stream.read_exact(piece)?;
            thread::sleep(pause);
        }
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {BODY_BYTES}\r\n\r\n")?;
        for piece in body[..if cut { BODY_BYTES / 2 } else { BODY_BYTES }].chunks(150_000) {
            stream.write_all(piece)?;
            thread::sleep(pause);
        }
        if cut {
            return Ok(());
        }
    }
}

/// Sends the body and reads what comes back, as slowly as told.
fn round_trip(stream: &mut TcpStream, body: &[u8], pause: Duration) -> io::Result<Vec<u8>> {
    let mut sender = stream.try_clone()?;
    let sent = body.to_vec();
    let sending = thread::spawn(move || {
        write!(sender, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY_BYTES}\r\n\r\n")?;
        sender.write_all(&sent)
    });
    assert!(read_head(stream)?.starts_with("HTTP/1.1 200"));
    let mut received = vec![0; BODY_BYTES];
    let mut filled = 0;
    while filled < BODY_BYTES {
        let end = BODY_BYTES.min(filled + 100_000);
        match stream.read(&mut received[filled..end])? {
            0 => break,
            count => filled += count,
        }
        thread::sleep(pause);
    }
    sending.join().unwrap()?;
    received.truncate(filled);
    Ok(received)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_arrives_whole_both_ways_and_the_connection_goes_on() {
    let proxy = Proxy::start();
    for (slow_backend, slow_client) in [(0, 0), (2, 0), (0, 2)] {
        let port = free_port();
        let backend = echo(Duration::from_millis(slow_backend), false);
        proxy.serve(&simple(port, &[backend])).await;
        blocking(move || {
            let body = body();
            let mut client = TcpStream::connect(local(port)).unwrap();
            for _ in 0..3 {
                let pause = Duration::from_millis(slow_client);
                let received = round_trip(&mut client, &body, pause).unwrap();
                assert!(received == body, "{} of {BODY_BYTES} bytes, or others", received.len());
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_ends_the_connection_short() {
    let proxy = Proxy::start();
    let port = free_port();
    proxy.serve(&simple(port, &[echo(Duration::ZERO, true)])).await;
    blocking(move || {
        let body = body();
        let mut client = TcpStream::connect(local(port)).unwrap();
        let received = round_trip(&mut client, &body, Duration::ZERO).unwrap();
        assert!(received.len() <= BODY_BYTES / 2, "{} bytes", received.len());
        assert!(body.starts_with(&received));
    })
    .await;
}
