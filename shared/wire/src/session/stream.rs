//! An open stream of bytes. What they mean is not known here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{io, mem};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::conn::{GOODBYE, Heard, MUCH, TOO_MUCH};
use crate::causes::cause;
use crate::dialer::Stream;

/// Bytes read at a time.
const READ: usize = 8 << 10;

/// An open stream.
pub(super) struct Streamed {
    stream: Stream,
    read: Box<[u8]>,
    out: BytesMut,
    unflushed: bool,
    broken: bool,
}

impl Streamed {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, read: vec![0; READ].into(), out: BytesMut::new(), unflushed: false, broken: false }
    }

    /// Puts bytes behind those that wait to be written.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Whether the other side takes what we write.
    pub(super) fn keeps_up(&self) -> bool {
        self.out.len() < MUCH
    }

    /// The buffer that [`Heard::Bytes`] speaks of, until it is given back.
    pub(super) fn lend(&mut self) -> Box<[u8]> {
        mem::take(&mut self.read)
    }

    /// Takes the buffer back, unless it is another connection's.
    pub(super) fn give_back(&mut self, buffer: Box<[u8]>) {
        if self.read.is_empty() {
            self.read = buffer;
        }
    }

    /// Sends what was written, then closes. Reads on until the other side closes too: bytes left unread would make the
    /// kernel reset the connection, and the other side might lose our last words.
    pub(super) async fn goodbye(mut self) {
        let words = async {
            self.stream.write_all(&self.out).await?;
            self.stream.shutdown().await?;
            while self.stream.read(&mut self.read).await? > 0 {}
            io::Result::Ok(())
        };
        if !self.broken {
            // It is over either way.
            let _ = timeout(GOODBYE, words).await;
        }
    }

    /// Writes what waits, and meanwhile waits for bytes, if they are wanted.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, wanted: bool) -> Poll<Heard> {
        if self.out.len() > TOO_MUCH {
            return Poll::Ready(Heard::End("the other side takes nothing any more".into()));
        }
        if let Poll::Ready(Err(_)) = self.poll_out(cx) {
            // What the other side said before it went is still to be read; its end is told by the reading half.
            self.broken = true;
            self.out = BytesMut::new();
            self.unflushed = false;
        }
        if !wanted {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(&mut self.read);
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
            Ok(()) if buffer.filled().is_empty() => Heard::End("the other side closed the connection".into()),
            Ok(()) => Heard::Bytes(buffer.filled().len()),
            Err(error) => Heard::End(cause(&error)),
        })
    }

    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}
