//! Takes connections, bounded in number and time, and stops in order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::conversation::Conversation;
use super::metrics::Metrics;
use super::places::Places;
use super::wire::Wire;
use super::{Content, Event, ServeOptions};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What the kernel may hold of an answer on its way to one client: bounds its memory, and lets a slow client be seen.
const SEND_BUFFER: usize = 256 * 1024;
/// The answer to a client that has all the connections it may have.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// What every connection needs.
pub(super) struct Server {
    pub(super) content: Arc<dyn Content>,
    pub(super) options: ServeOptions,
    pub(super) metrics: Arc<Metrics>,
    places: Arc<Places>,
}

pub(super) async fn accept_until(
    listener: TcpListener,
    content: Arc<dyn Content>,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let all = Arc::new(Semaphore::new(options.connections));
    let places = Places::new(options.connections_per_address);
    let grace = options.grace;
    let server = Arc::new(Server { content, options, metrics: Arc::default(), places });
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &all) => accepted,
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
                server.not_accepted(None, error.to_string());
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
    all: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(all).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

impl Server {
    pub(super) fn tell(&self, event: &Event) {
        if let Some(on_event) = &self.options.on_event {
            on_event(event);
        }
    }

    fn not_accepted(&self, peer: Option<SocketAddr>, error: String) {
        self.metrics.refused();
        self.tell(&Event::NotAccepted { peer, error });
    }

    async fn take(&self, stream: TcpStream, peer: SocketAddr, stopped: watch::Receiver<bool>) {
        let Some(_place) = self.places.take(peer.ip()) else {
            let _ = stream.try_write(TOO_MANY);
            return self.not_accepted(Some(peer), "too many connections from this address".to_owned());
        };
        let _open = self.metrics.connection();
        // Wishes, both: a kernel that has other rules serves as well.
        let _ = stream.set_nodelay(true);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
        match self.wire(stream).await {
            Ok(wire) => Conversation::new(self, wire, peer, stopped).hold().await,
            Err(error) => self.not_accepted(Some(peer), error.to_string()),
        }
    }

    async fn wire(&self, stream: TcpStream) -> io::Result<Wire> {
        let Some(tls) = &self.options.tls else { return Ok(Wire::Plain(Arc::new(stream))) };
        let handshake = tokio_rustls::TlsAcceptor::from(Arc::clone(tls)).accept(stream);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in time");
        let stream = tokio::time::timeout(HANDSHAKE, handshake).await.map_err(late)??;
        Ok(Wire::Tls(Box::new(stream)))
    }
}
