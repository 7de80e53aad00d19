//! `consign-site serve`

use std::net::SocketAddr;
use std::sync::Arc;

use consign_format::error::{Code, Coded};
use consign_format::error::{Failure, codes};
use consign_registry::serve::{Event, OnEvent, ServeOptions, serve_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use super::{Context, runtime};
use crate::serve::{OnProblem, ServeError, SiteContent, listen, tls, users};
use crate::site::Site;

/// Connections that are served where the machine allows as many open files: one for the client, one for the blob.
const CONNECTIONS: usize = 1024;
/// Open files beside those of connections: the program's own.
const OTHER_FILES: u64 = 128;

/// Serves the registry that this site's nodes pull from, until Ctrl-C or SIGTERM.
///
/// The content is what the current, previous and staged releases hold; tags are those of the current ones. A running
/// registry notices an install at the next request. It speaks TLS with a certificate of the site's own authority, which
/// it makes at the first start; nodes trust /etc/consign/ca.crt. `/healthz` says whether it answers, `/metrics` what it
/// has done, in Prometheus' format.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The address to listen on; else what site.toml says. Port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDRESS:PORT", env = "CONSIGN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Serve without TLS. Clients check every blob by its digest in any case; names, tags and passwords are open to
    /// whoever is on the network.
    #[arg(long)]
    plain_http: bool,
    /// Write a line of JSON for every request, when its answer has ended, on standard error.
    #[arg(long)]
    access_log: bool,
}

#[derive(Debug, Serialize)]
struct Serving {
    listen: SocketAddr,
    tls: bool,
}

/// Serving ended in an error.
#[derive(Debug, thiserror::Error)]
#[error("the registry stopped")]
struct Stopped(#[source] std::io::Error);

impl Coded for Stopped {
    fn code(&self) -> Code {
        codes::CANNOT_LISTEN
    }
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let site = Site::open(context.store.clone())?;
    let mut config = context.config()?;
    if let Some(existing) = &config.registry.existing {
        return Err(ServeError::Elsewhere { url: existing.address.to_string() }.into());
    }
    config.registry.listen = arguments.listen.unwrap_or(config.registry.listen);
    config.registry.plain_http |= arguments.plain_http;
    let on_problem: OnProblem = Arc::new(|text: &str| line(&format!("warning: {}", text.escape_default())));
    let tls = if config.registry.plain_http { None } else { Some(tls(&site, &config, Arc::clone(&on_problem))?) };
    let on_event = arguments.access_log.then(|| Arc::new(log) as OnEvent);
    let connections = connections();
    let options = ServeOptions {
        tls,
        users: users(&config.registry)?,
        on_event,
        connections,
        connections_per_address: connections / 4,
        ..ServeOptions::default()
    };
    runtime::block_on_threads(async {
        let listener = listen(config.registry.listen).await?;
        let listen = listener.local_addr().unwrap_or(config.registry.listen);
        let tls = options.tls.is_some();
        if !tls && !listen.ip().is_loopback() {
            on_problem("other machines reach this registry, and it is served without TLS");
        }
        let scheme = if tls { "https" } else { "http" };
        context.terminal.result(&Serving { listen, tls }, format!("serving on {scheme}://{listen}"));
        let content = SiteContent::new(context.store.clone(), on_problem);
        serve_with(listener, Arc::new(content), options, stop()).await.map_err(Stopped)?;
        Ok(())
    })
}

/// Ready when somebody asks this program to end.
pub(super) async fn stop() {
    use tokio::signal::unix::{SignalKind, signal};
    // Without a signal handler the default ends the process, which is as good.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Raises the limit of open files as far as this process may, and returns how many connections that is.
fn connections() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let wanted = 2 * CONNECTIONS as u64 + OTHER_FILES;
    let reachable = limits.maximum.unwrap_or(u64::MAX).min(wanted);
    let now = limits.current.unwrap_or(u64::MAX);
    let raised = Rlimit { current: Some(reachable), maximum: limits.maximum };
    let files = if now < reachable && setrlimit(Resource::Nofile, raised).is_ok() { reachable } else { now };
    usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(CONNECTIONS).clamp(8, CONNECTIONS)
}

#[derive(Serialize)]
struct AccessLine<'a> {
    peer: SocketAddr,
    method: &'a str,
    target: &'a str,
    status: u16,
    /// Bytes of the body that were sent, of how many.
    sent: u64,
    length: u64,
    milliseconds: u128,
    whole: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn log(event: &Event) {
    let text = match event {
        Event::Ended { request, sent, took, whole } => serde_json::to_string(&AccessLine {
            peer: request.peer,
            method: &request.method,
            target: &request.target,
            status: request.status,
            sent: *sent,
            length: request.length,
            milliseconds: took.as_millis(),
            whole: *whole,
            agent: request.agent.as_deref(),
            error: request.error.as_deref(),
        }),
        Event::NotAccepted { peer, error } => serde_json::to_string(&serde_json::json!({"peer": peer, "error": error})),
        _ => return,
    };
    line(&text.unwrap_or_default());
}

#[expect(clippy::print_stderr, reason = "a server's log; the terminal cannot be shared with its threads")]
fn line(text: &str) {
    eprintln!("{text}");
}
