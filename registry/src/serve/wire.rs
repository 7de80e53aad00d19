//! The bytes of one connection. Plain, the kernel carries a file to the socket by itself; under TLS it cannot, and one
//! buffer a connection goes back and forth.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::body::FilePart;

/// The most that the kernel is asked to carry at once; it takes what the socket's buffer holds.
const CARRY: u64 = 1024 * 1024;
/// How much of a file is in memory per connection under TLS.
const CHUNK: u64 = 128 * 1024;

/// One connection.
pub(super) enum Wire {
    Plain(Arc<TcpStream>),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// Waits for bytes; 0: the client has ended.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Plain(stream) => loop {
                stream.readable().await?;
                match stream.try_read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                }
            },
            Wire::Tls(stream) => stream.read(buffer).await,
        }
    }

    /// Writes some of the bytes, at least one.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match self {
            Wire::Plain(stream) => loop {
                stream.writable().await?;
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => break written?,
                }
            },
            Wire::Tls(stream) => stream.write(bytes).await?,
        };
        if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
    }

    /// Waits until what was written has left this process.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(_) => Ok(()),
            Wire::Tls(stream) => stream.flush().await,
        }
    }

    /// Says that nothing more follows.
    pub(super) async fn finish(&mut self) -> io::Result<()> {
        match self {
            Wire::Plain(stream) => Ok(rustix::net::shutdown(&**stream, rustix::net::Shutdown::Write)?),
            Wire::Tls(stream) => stream.shutdown().await,
        }
    }
}

/// A file on its way to a client.
pub(super) struct Carrying {
    file: Arc<File>,
    at: u64,
    end: u64,
    /// Read and not yet written; under TLS only.
    buffer: Vec<u8>,
    written: usize,
}

impl Carrying {
    pub(super) fn new(FilePart { file, at, end }: FilePart) -> Self {
        Carrying { file, at, end, buffer: Vec::new(), written: 0 }
    }

    /// Carries some more, and returns how many bytes that were; 0: all of it is on its way. A file that is shorter
    /// than it was is an error: the client must not take the part for the whole.
    pub(super) async fn some(&mut self, wire: &mut Wire) -> io::Result<u64> {
        if let Wire::Plain(stream) = wire {
            return self.by_kernel(stream).await;
        }
        if self.written == self.buffer.len() {
            self.fill().await?;
        }
        let Some(rest) = self.buffer.get(self.written..).filter(|rest| !rest.is_empty()) else { return Ok(0) };
        let written = wire.write(rest).await?;
        self.written += written;
        Ok(written as u64)
    }

    async fn by_kernel(&mut self, stream: &Arc<TcpStream>) -> io::Result<u64> {
        if self.at >= self.end {
            return Ok(0);
        }
        loop {
            stream.writable().await?;
            let (to, file, mut at) = (Arc::clone(stream), Arc::clone(&self.file), self.at);
            let count = usize::try_from((self.end - at).min(CARRY)).unwrap_or(0);
            // On a thread that may block: the pages may still be on the disk.
            let carry = move || {
                let send = || Ok(rustix::fs::sendfile(&*to, &*file, Some(&mut at), count)?);
                to.try_io(Interest::WRITABLE, send)
            };
            match blocking(carry).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(carried) => {
                    self.at += carried as u64;
                    return Ok(carried as u64);
                }
            }
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let size = usize::try_from(self.end.saturating_sub(at).min(CHUNK)).unwrap_or(0);
        let mut buffer = std::mem::take(&mut self.buffer);
        self.written = 0;
        if size == 0 {
            return Ok(());
        }
        let read = move || {
            buffer.resize(size, 0);
            file.read_exact_at(&mut buffer, at).map(|()| buffer)
        };
        self.buffer = blocking(read).await?;
        self.at += size as u64;
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))
}
