//! Large plaintext bodies move from socket to socket within the kernel (splice(2)), through a pipe.
//!
//! Below [`WORTHWHILE`] copying is cheaper: two more system calls for each piece.

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// Fewer bytes than this are copied.
pub(crate) const WORTHWHILE: u64 = 64 * 1024;
/// What a pipe holds.
const PIPE_BYTES: usize = 256 * 1024;
/// Empty pipes that a thread keeps.
const KEPT: usize = 32;

thread_local! {
    #[expect(clippy::vec_box, reason = "a pump holds the box, so it is lent as one")]
    static PIPES: RefCell<Vec<Box<Pipe>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes on their way from one socket to another.
#[derive(Debug)]
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
}

impl Pipe {
    /// An empty pipe; `None` where there is no descriptor or no room for one (`pipe(7)`: fs.pipe-user-pages-soft).
    pub(crate) fn lend() -> Option<Box<Self>> {
        PIPES.with_borrow_mut(Vec::pop).or_else(|| {
            let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
            fcntl_setpipe_size(&writer, PIPE_BYTES).ok()?;
            Some(Box::new(Self { reader, writer, held: 0 }))
        })
    }

    /// Takes a pipe back; one with bytes of a broken body in it is closed.
    pub(crate) fn give_back(self: Box<Self>) {
        PIPES.with_borrow_mut(|kept| {
            if self.held == 0 && kept.len() < KEPT {
                kept.push(self);
            }
        });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes at most `most` bytes off the socket into the empty pipe. Only then does "would block" mean that the socket
    /// has none. 0: the peer sends nothing more.
    pub(crate) fn poll_fill(
        &mut self,
        from: &TcpStream,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(PIPE_BYTES);
        loop {
            ready!(from.poll_read_ready(cx))?;
            let result = from.try_io(Interest::READABLE, || {
                Ok(splice(from, None, &self.writer, None, most, flags())?)
            });
            match result {
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(count) => {
                    self.held = count;
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }

    /// Gives some of what the pipe holds to the socket.
    pub(crate) fn poll_drain(
        &mut self,
        into: &TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(into.poll_write_ready(cx))?;
            let result = into.try_io(Interest::WRITABLE, || {
                Ok(splice(&self.reader, None, into, None, self.held, flags())?)
            });
            match result {
                Err(error) if is_transient(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.held = self.held.saturating_sub(count);
                    return Poll::Ready(Ok(count));
                }
            }
        }
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::NONBLOCK | SpliceFlags::MOVE
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
