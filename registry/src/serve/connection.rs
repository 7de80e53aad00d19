//! Takes connections, bounded in number, time and size, and stops in order.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::answer::{Answer, answer};
use super::body::AnswerBody;
use super::stall::Stall;
use super::{Content, Event, ServeOptions};

/// The longest head of a request. A digest, a repository and a bearer token fit many times.
const HEAD_BYTES: usize = 16 * 1024;
/// The most headers of a request.
const HEADERS: usize = 64;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

struct Server {
    content: Arc<dyn Content>,
    options: ServeOptions,
}

pub(super) async fn accept_until(
    listener: TcpListener,
    content: Arc<dyn Content>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(options.connections));
    let grace = options.grace;
    let server = Arc::new(Server { content, options });
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let (server, stopped) = (Arc::clone(&server), stopped.clone());
                connections.spawn(async move {
                    server.take(stream, peer, stopped).await;
                    drop(place);
                });
            }
            Err(error) => {
                server.tell(&Event::NotAccepted { peer: None, error: error.to_string() });
                // Out of file descriptors, most likely: it passes when connections end.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    // No receiver is left when there is no connection left; then there is nobody to tell.
    let _ = stop.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // What is still under way after the grace is cut by dropping the set.
    let _ = tokio::time::timeout(grace, all_ended).await;
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

impl Server {
    fn tell(&self, event: &Event) {
        if let Some(on_event) = &self.options.on_event {
            on_event(event);
        }
    }

    async fn take(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, stopped: watch::Receiver<bool>) {
        let _ = stream.set_nodelay(true);
        let stream = Stall::new(stream, self.options.stall_timeout);
        let Some(tls) = &self.options.tls else { return self.converse(stream, peer, stopped).await };
        let handshake = tokio_rustls::TlsAcceptor::from(Arc::clone(tls)).accept(stream);
        match tokio::time::timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => self.converse(stream, peer, stopped).await,
            Ok(Err(error)) => self.tell(&Event::NotAccepted { peer: Some(peer), error: error.to_string() }),
            Err(_) => self.tell(&Event::NotAccepted { peer: Some(peer), error: "no TLS handshake in time".to_owned() }),
        }
    }

    async fn converse(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        let service = service_fn(|request| {
            let server = Arc::clone(self);
            async move { Ok::<_, Infallible>(server.respond(request, peer).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head_timeout)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        tokio::select! {
            // A client that goes away is no event: pulls are cut and resumed all the time.
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    }

    async fn respond(
        self: Arc<Self>,
        request: http::Request<Incoming>,
        peer: SocketAddr,
    ) -> http::Response<AnswerBody> {
        // The body of a request is of no use here; hyper ends the connection where one was not read.
        let (head, _) = request.into_parts();
        let (method, target) = (head.method.to_string(), head.uri.to_string());
        let server = Arc::clone(&self);
        let ask = move || answer(&*server.content, server.options.auth, &head.method, &head.uri, &head.headers);
        let answer = tokio::task::spawn_blocking(ask).await.unwrap_or_else(|stopped| Answer::broken(&stopped));
        let status = answer.response.status().as_u16();
        self.tell(&Event::Answered { peer, method, target, status, length: answer.length, error: answer.error });
        answer.response
    }
}
