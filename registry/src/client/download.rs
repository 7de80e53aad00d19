//! One blob, over as many connections as it takes.

use std::io::Write;

use consign_format::DigestWriter;
use futures_util::StreamExt;
use oci_client::Client;
use oci_client::client::BlobResponse;
use oci_client::errors::OciDistributionError;

/// A blob on its way, over as many connections as it takes.
pub(super) struct Download<'a> {
    pub(super) sink: DigestWriter<&'a mut (dyn Write + Send)>,
    pub(super) written: u64,
    pub(super) size: u64,
}

/// Why a connection ended before the blob did.
pub(super) enum Stop {
    Fault(OciDistributionError),
    Sink(std::io::Error),
    Long,
}

impl Download<'_> {
    /// Asks for the bytes that are missing and takes what comes.
    pub(super) async fn go_on(
        &mut self,
        client: &Client,
        image: &oci_client::Reference,
        digest: &str,
    ) -> Result<(), Stop> {
        if self.written == self.size && self.size > 0 {
            return Ok(());
        }
        let mut skip = 0;
        let mut stream = if self.written == 0 {
            client.pull_blob_stream_partial(image, digest, 0, None).await.map(|response| match response {
                BlobResponse::Full(stream) | BlobResponse::Partial(stream) => stream,
            })
        } else {
            client.pull_blob_stream_partial(image, digest, self.written, None).await.map(|response| match response {
                BlobResponse::Partial(stream) => stream,
                BlobResponse::Full(stream) => {
                    // No ranges there: what we have is read again and passed over.
                    skip = self.written;
                    stream
                }
            })
        }
        .map_err(Stop::Fault)?
        .stream;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Stop::Fault(OciDistributionError::IoError(error)))?;
            let pass = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= pass as u64;
            let fresh = &chunk[pass..];
            if self.written.saturating_add(fresh.len() as u64) > self.size {
                return Err(Stop::Long);
            }
            self.sink.write_all(fresh).map_err(Stop::Sink)?;
            self.written += fresh.len() as u64;
        }
        if self.written == self.size {
            return Ok(());
        }
        let cut = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        Err(Stop::Fault(OciDistributionError::IoError(cut)))
    }
}
