//! The bytes of a blob on their way into a request: read from its file as they are taken, and counted.

use std::io::{Seek, SeekFrom};

use consign_format::Descriptor;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::{BlobError, BlobFolder};

/// Bytes read from a file at once.
const BUFFER: usize = 128 << 10;

/// Bytes `from..to` of a blob. `sent` gets the count of every buffer that was taken.
pub(super) fn content(
    blobs: &BlobFolder,
    blob: &Descriptor,
    from: u64,
    to: u64,
    sent: UnboundedSender<u64>,
) -> Result<reqwest::Body, BlobError> {
    let mut file = blobs.open_blob(&blob.digest)?;
    file.seek(SeekFrom::Start(from)).map_err(|source| BlobError::Source { digest: blob.digest, source })?;
    let state = (tokio::fs::File::from_std(file), to - from, sent);
    Ok(reqwest::Body::wrap_stream(futures_util::stream::try_unfold(state, read_some)))
}

/// The next count; never ready again once there is none, so that the answer is waited for.
pub(super) async fn next(moved: &mut UnboundedReceiver<u64>) -> Option<u64> {
    match moved.recv().await {
        None => std::future::pending().await,
        some => some,
    }
}

async fn read_some(
    (mut file, left, sent): (tokio::fs::File, u64, UnboundedSender<u64>),
) -> std::io::Result<Option<(Vec<u8>, (tokio::fs::File, u64, UnboundedSender<u64>))>> {
    use tokio::io::AsyncReadExt as _;
    if left == 0 {
        return Ok(None);
    }
    let mut buffer = vec![0; usize::try_from(left).unwrap_or(BUFFER).min(BUFFER)];
    let count = file.read(&mut buffer).await?;
    if count == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    buffer.truncate(count);
    // Nobody counts any more when the request was given up.
    let _ = sent.send(count as u64);
    Ok(Some((buffer, (file, left - count as u64, sent))))
}
