//! One connection: requests one after the other, an answer to each, at the pace of a client that is not too slow.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::USER_AGENT;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::answer::{Answer, Answers};
use super::body::AnswerBody;
use super::connection::Server;
use super::head::{self, HEAD_BYTES, Head, Malformed};
use super::pace::Pace;
use super::wire::{Carrying, Wire};
use super::{Event, Request};

/// How much is asked of a connection at a time: the head of a request, nearly always.
const HEARD_AT_ONCE: usize = 2048;
/// What is still read of a body that nobody wants, so that the client gets to read the answer.
const LINGER_BYTES: usize = 256 * 1024;
/// And how long.
const LINGER: Duration = Duration::from_secs(1);

/// A connection and what has been heard on it.
pub(super) struct Conversation<'a> {
    server: &'a Server,
    wire: Wire,
    peer: SocketAddr,
    stopped: watch::Receiver<bool>,
    heard: Vec<u8>,
}

/// What a client said, or did not.
enum Heard {
    Head(Box<Head>),
    Malformed(Malformed),
    /// It left, said nothing for too long, or there is a stop.
    Nothing,
}

impl<'a> Conversation<'a> {
    pub(super) fn new(server: &'a Server, wire: Wire, peer: SocketAddr, stopped: watch::Receiver<bool>) -> Self {
        Conversation { server, wire, peer, stopped, heard: Vec::new() }
    }

    /// Answers until somebody ends it. A client that goes away is no event: pulls are cut and resumed all the time.
    pub(super) async fn hold(mut self) {
        let (mut body, mut again) = (false, true);
        while again {
            again = match self.hear().await {
                Heard::Nothing => return,
                Heard::Malformed(Malformed(status)) => {
                    self.server.metrics.answered(status.as_u16());
                    let _ = self.write(&head::write(status, &http::HeaderMap::new(), true)).await;
                    body = true;
                    false
                }
                Heard::Head(head) => {
                    body = head.body;
                    let last = head.last || *self.stopped.borrow();
                    self.respond(head, last).await && !last
                }
            };
        }
        let _ = self.end(body).await;
    }

    /// Waits for the head of a request.
    async fn hear(&mut self) -> Heard {
        let mut stopped = self.stopped.clone();
        let head_timeout = self.server.options.head_timeout;
        tokio::select! {
            // What has come in full before a stop is still answered.
            biased;
            heard = timeout(head_timeout, self.hear_on()) => heard.unwrap_or(Heard::Nothing),
            _ = stopped.wait_for(|stopped| *stopped) => Heard::Nothing,
        }
    }

    async fn hear_on(&mut self) -> Heard {
        loop {
            match Head::parse(&self.heard) {
                Ok(Some((head, taken))) => {
                    self.heard.drain(..taken);
                    return Heard::Head(Box::new(head));
                }
                Err(malformed) => return Heard::Malformed(malformed),
                Ok(None) => {}
            }
            let known = self.heard.len();
            self.heard.resize((known + HEARD_AT_ONCE).min(HEAD_BYTES), 0);
            let read = self.wire.read(&mut self.heard[known..]).await;
            self.heard.truncate(known + read.as_ref().map_or(0, |read| *read));
            if !matches!(read, Ok(1..)) {
                return Heard::Nothing;
            }
        }
    }

    /// Answers one request; tells whether all of the answer was sent.
    async fn respond(&mut self, head: Box<Head>, last: bool) -> bool {
        let since = Instant::now();
        let agent = head.headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
        let (method, target) = (head.method.to_string(), head.uri.to_string());
        let Answer { response, length, error } = self.answer(head).await;
        let status = response.status().as_u16();
        let request = Request { peer: self.peer, method, target, agent, status, length, error };
        self.server.metrics.answered(status);
        self.server.tell(&Event::Answered(request.clone()));
        let mut sent = 0;
        let whole = self.send(response, last, &mut sent).await.is_ok();
        self.server.metrics.ended(sent, whole);
        self.server.tell(&Event::Ended { request, sent, took: since.elapsed(), whole });
        whole
    }

    async fn answer(&self, head: Box<Head>) -> Answer {
        let (content, users) = (Arc::clone(&self.server.content), self.server.options.users.clone());
        let metrics = Arc::clone(&self.server.metrics);
        let ask = move || {
            let answers = Answers { content: &*content, users: users.as_deref(), metrics: &metrics };
            answers.answer(&head.method, &head.uri, &head.headers)
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or_else(|stopped| Answer::broken(&stopped))
    }

    async fn send(&mut self, response: http::Response<AnswerBody>, last: bool, sent: &mut u64) -> io::Result<()> {
        let (parts, body) = response.into_parts();
        let mut first = head::write(parts.status, &parts.headers, last);
        let head = first.len() as u64;
        let part = match body {
            AnswerBody::Empty => None,
            AnswerBody::Bytes(bytes) => {
                first.extend_from_slice(&bytes);
                None
            }
            AnswerBody::File(part) => Some(part),
        };
        let written = self.write(&first).await;
        *sent = written.as_ref().map_or(0, |()| first.len() as u64 - head);
        written?;
        match part {
            Some(part) => self.carry(Carrying::new(part), sent).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut pace = Pace::new(self.server.options.pace_window);
        while !bytes.is_empty() {
            let written = pace.within(self.wire.write(bytes)).await?;
            pace.note(written as u64);
            bytes = bytes.get(written..).unwrap_or_default();
        }
        pace.within(self.wire.flush()).await
    }

    async fn carry(&mut self, mut carrying: Carrying, sent: &mut u64) -> io::Result<()> {
        let mut pace = Pace::new(self.server.options.pace_window);
        loop {
            match pace.within(carrying.some(&mut self.wire)).await? {
                0 => return pace.within(self.wire.flush()).await,
                carried => {
                    pace.note(carried);
                    *sent += carried;
                }
            }
        }
    }

    /// Ends the connection. Closed while a body is still coming, it would take the answer with it (RFC 9112 §9.6).
    async fn end(&mut self, body: bool) -> io::Result<()> {
        timeout(LINGER, self.wire.finish()).await.unwrap_or(Ok(()))?;
        let drain = async {
            let (mut buffer, mut left) = ([0; HEARD_AT_ONCE], LINGER_BYTES);
            while let Ok(read @ 1..) = self.wire.read(&mut buffer).await
                && read <= left
            {
                left -= read;
            }
        };
        if body {
            let _ = timeout(LINGER, drain).await;
        }
        Ok(())
    }
}
