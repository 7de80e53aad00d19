//! One blob into one repository: mounted from another one, or streamed from its file, going on where it was cut.
//!
//! The first try is one request with everything (POST, then PUT), which every registry knows and most clients do. If
//! it is cut, or a proxy finds it too large, the registry is asked how far it came, and the rest goes in pieces.

use std::time::Duration;

use consign_format::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderName, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode};
use tokio::sync::mpsc::unbounded_channel;
use url::Url;

use super::body::{content, next};
use super::error::PushError;
use super::fill::has_blob;
use super::login::Scope;
use super::wire::{Stalled, Trouble, Wire};
use crate::BlobFolder;

/// How much one request carries once a large one did not go through.
const PIECE: u64 = 16 << 20;
/// What a registry may ask for as the least of a piece; more than that is no piece.
const LARGEST_PIECE: u64 = 1 << 30;
/// When all is sent a registry may still have to move it; this many times the usual patience.
const SETTLING: u32 = 10;

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// How a blob came into its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It was there.
    WasThere,
    /// The registry took it from another repository of its own.
    Mounted,
    /// It was sent.
    Sent,
}

/// An upload under way.
struct Upload<'a> {
    wire: &'a Wire<'a>,
    repository: &'a str,
    blob: &'a Descriptor,
    blobs: &'a BlobFolder,
    what: String,
    scope: Scope,
    /// Is told how many bytes of the blob are sent, each once.
    tell: &'a (dyn Fn(u64) + Sync),
    told: u64,
}

/// Where an upload stands.
struct Session {
    location: Url,
    offset: u64,
    piece: Option<u64>,
}

/// What asking for a mount came to.
enum Mount {
    Done,
    /// It will not, and has opened an upload instead.
    Opened(Session),
    Refused,
}

/// What one request of an upload came to.
enum Step {
    Done,
    On(Session),
    TooLarge,
    Stopped(Trouble),
}

/// Brings a blob into a repository that lacks it.
pub(super) async fn upload(
    wire: &Wire<'_>,
    repository: &str,
    blob: &Descriptor,
    blobs: &BlobFolder,
    from: Option<&str>,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Came, PushError> {
    let what = format!("push blob {} into {repository}", blob.digest);
    let scope = Scope::push(repository);
    let mut upload = Upload { wire, repository, blob, blobs, what, scope, tell, told: 0 };
    if let Some(from) = from {
        match upload.mount(from).await? {
            Mount::Done => return Ok(Came::Mounted),
            Mount::Opened(session) => return upload.send(session).await,
            Mount::Refused => {}
        }
    }
    let session = upload.open(None).await?;
    upload.send(session).await
}

impl Upload<'_> {
    /// Asks the registry to take it from another repository.
    async fn mount(&self, from: &str) -> Result<Mount, PushError> {
        let mut url = self.wire.url(&self.what, &format!("{}/blobs/uploads/", self.repository))?;
        let digest = self.blob.digest.to_string();
        url.query_pairs_mut().append_pair("mount", &digest).append_pair("from", from);
        let scope = Scope::mount(self.repository, from);
        let post = |client: &reqwest::Client| client.post(url.clone()).header(CONTENT_LENGTH, 0);
        let response = match self.wire.ask(&self.what, &scope, post).await {
            // Whoever may not read the other repository may still push into this one.
            Err(PushError::Unauthorized { .. }) => return Ok(Mount::Refused),
            other => other?,
        };
        match response.status() {
            StatusCode::CREATED => Ok(Mount::Done),
            StatusCode::ACCEPTED => Ok(Mount::Opened(self.session(&response, None)?)),
            _ => Ok(Mount::Refused),
        }
    }

    async fn open(&self, piece: Option<u64>) -> Result<Session, PushError> {
        let url = self.wire.url(&self.what, &format!("{}/blobs/uploads/", self.repository))?;
        let post = |client: &reqwest::Client| client.post(url.clone()).header(CONTENT_LENGTH, 0);
        let response = self.wire.ask(&self.what, &self.scope, post).await?;
        match response.status() {
            StatusCode::ACCEPTED => self.session(&response, piece),
            _ => Err(self.wire.refused(&self.what, response).await),
        }
    }

    fn session(&self, response: &Response, piece: Option<u64>) -> Result<Session, PushError> {
        let least = response.headers().get(CHUNK_MIN_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let piece = piece.map(|piece| piece.max(least.unwrap_or(0)).min(LARGEST_PIECE));
        Ok(Session { location: self.wire.location(&self.what, response)?, offset: 0, piece })
    }

    async fn send(&mut self, mut session: Session) -> Result<Came, PushError> {
        let (mut tries, mut renewed) = (self.wire.tries(), false);
        loop {
            let before = session.offset;
            match self.step(&session, &mut renewed).await? {
                Step::Done => return Ok(self.done()),
                Step::On(next) => (session, renewed) = (next, false),
                Step::TooLarge => session = self.open(Some(PIECE)).await?,
                Step::Stopped(Trouble::Renewed) => {}
                Step::Stopped(trouble) => {
                    self.wire.wait(&self.what, &mut tries, trouble).await?;
                    // It may be that only the answer was lost.
                    if has_blob(self.wire, self.repository, &self.blob.digest, self.blob.size).await? {
                        return Ok(self.done());
                    }
                    session = self.resume(&session).await?;
                }
            }
            if session.offset > before {
                tries.went_forward();
            }
        }
    }

    fn done(&mut self) -> Came {
        // The last answer may be here before the last count is.
        self.tell(self.blob.size);
        Came::Sent
    }

    /// The next request, and what its answer means.
    async fn step(&mut self, session: &Session, renewed: &mut bool) -> Result<Step, PushError> {
        let is_last = session.piece.is_none() || session.offset == self.blob.size;
        let sent = if is_last { self.finish(session, renewed).await } else { self.patch(session, renewed).await };
        let response = match sent {
            Ok(response) => response,
            Err(trouble) => return Ok(Step::Stopped(trouble)),
        };
        match response.status().as_u16() {
            200..=299 if is_last => Ok(Step::Done),
            202 => {
                let (location, offset) =
                    (self.wire.location(&self.what, &response)?, self.reached(&response, session)?);
                Ok(Step::On(Session { location, offset, piece: session.piece }))
            }
            413 if session.piece.is_none() => Ok(Step::TooLarge),
            // It has another idea of how far we are, or has forgotten all: as good as cut.
            404 | 416 => Ok(Step::Stopped(Trouble::Passing(None, Box::new(Lost(response.status()))))),
            _ => Err(self.refused(response).await),
        }
    }

    /// Asks how far the upload came and goes on there; where nobody knows, from the start.
    async fn resume(&self, session: &Session) -> Result<Session, PushError> {
        let get = |client: &reqwest::Client| client.get(session.location.clone());
        let response = self.wire.ask(&self.what, &self.scope, get).await?;
        if response.status() == StatusCode::NO_CONTENT
            && let Some(offset) = stored(&response).filter(|offset| *offset <= self.blob.size)
        {
            let location = self.wire.location(&self.what, &response).unwrap_or_else(|_| session.location.clone());
            return Ok(Session { location, offset, piece: Some(session.piece.unwrap_or(PIECE)) });
        }
        self.open(Some(PIECE)).await
    }

    /// The last request, with all that is not there yet.
    async fn finish(&mut self, session: &Session, renewed: &mut bool) -> Result<Response, Trouble> {
        let mut url = session.location.clone();
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        let request = self.wire.client.put(url).header(CONTENT_TYPE, OCTETS);
        self.body(request, session.offset, self.blob.size, renewed).await
    }

    /// One piece.
    async fn patch(&mut self, session: &Session, renewed: &mut bool) -> Result<Response, Trouble> {
        let end = self.end_of_piece(session);
        let request = self.wire.client.patch(session.location.clone()).header(CONTENT_TYPE, OCTETS);
        let request = request.header(CONTENT_RANGE, format!("{}-{}", session.offset, end - 1));
        self.body(request, session.offset, end, renewed).await
    }

    /// Sends bytes `from..to` of the file, and gives up when nothing moves.
    async fn body(
        &mut self,
        request: RequestBuilder,
        from: u64,
        to: u64,
        renewed: &mut bool,
    ) -> Result<Response, Trouble> {
        let (sent, mut moved) = unbounded_channel();
        let request = request.header(CONTENT_LENGTH, to - from);
        let request = if from == to {
            request
        } else {
            request.body(content(self.blobs, self.blob, from, to, sent).map_err(|error| Trouble::Final(error.into()))?)
        };
        let (wire, what, scope) = (self.wire, self.what.clone(), self.scope.clone());
        let sending = wire.once(&what, &scope, request, Duration::MAX, renewed);
        tokio::pin!(sending);
        let mut position = from;
        loop {
            let patience = wire.options.read_timeout * if position == to { SETTLING } else { 1 };
            tokio::select! {
                answer = &mut sending => return answer,
                Some(count) = next(&mut moved) => {
                    position += count;
                    self.tell(position);
                }
                () = tokio::time::sleep(patience) => return Err(Trouble::Passing(None, Box::new(Stalled(patience)))),
            }
        }
    }

    fn tell(&mut self, position: u64) {
        if position > self.told {
            (self.tell)(position - self.told);
            self.told = position;
        }
    }

    fn end_of_piece(&self, session: &Session) -> u64 {
        session.offset.saturating_add(session.piece.unwrap_or(PIECE)).min(self.blob.size)
    }

    /// How far a PATCH came: further than before, and no further than what was sent.
    fn reached(&self, response: &Response, session: &Session) -> Result<u64, PushError> {
        let end = self.end_of_piece(session);
        let reached = last_byte(response).map_or(Some(end), |last| last.checked_add(1));
        reached.filter(|reached| *reached > session.offset && *reached <= end).ok_or_else(|| {
            self.wire.protocol(&self.what, "it took a piece and says that it came to where no piece was")
        })
    }

    async fn refused(&self, response: Response) -> PushError {
        let error = self.wire.refused(&self.what, response).await;
        let wrong =
            matches!(&error, PushError::Refused { said, .. } if said.codes.iter().any(|code| code == "DIGEST_INVALID"));
        // The registry hashed what we sent: either our disk is bad, or what lies between.
        if wrong && let Err(damaged) = self.blobs.rehash(&self.blob.digest) {
            return damaged.into();
        }
        error
    }
}

const OCTETS: &str = "application/octet-stream";

/// An upload that its registry knows nothing of.
#[derive(Debug, thiserror::Error)]
#[error("it answered {0} in the middle of an upload")]
struct Lost(StatusCode);

/// The N of `Range: 0-N`.
fn last_byte(response: &Response) -> Option<u64> {
    let text = response.headers().get(RANGE)?.to_str().ok()?;
    text.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()
}

/// How many bytes an upload holds. `0-0` is what registries say of nothing, too.
fn stored(response: &Response) -> Option<u64> {
    match last_byte(response)? {
        0 => Some(0),
        last => last.checked_add(1),
    }
}
