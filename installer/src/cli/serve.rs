//! `consign-site serve`

use std::net::SocketAddr;
use std::sync::Arc;

use consign_format::error::{Code, Coded};
use consign_format::error::{Failure, codes};
use consign_registry::serve::{Event, OnEvent, ServeOptions, serve_with};
use serde::Serialize;

use super::{Context, runtime};
use crate::serve::{SiteContent, listen};
use crate::site::Site;

/// Serves the registry that this site's nodes pull from, until Ctrl-C.
///
/// The content is what the current, previous and staged releases hold; tags are those of the current ones. A running
/// registry notices an install at the next request. TLS comes with a later version: until then it listens on this
/// machine alone, unless --plain-http says that the network is trusted. Pulls by digest are checked by the client
/// in any case.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The address to listen on; else what site.toml says. Port 0 takes a free one and prints it.
    #[arg(long, value_name = "ADDRESS:PORT", env = "CONSIGN_LISTEN")]
    listen: Option<SocketAddr>,
    /// Serve without TLS to other machines too.
    #[arg(long)]
    plain_http: bool,
    /// Say a line for every request.
    #[arg(long, short)]
    verbose: bool,
}

#[derive(Debug, Serialize)]
struct Serving {
    listen: SocketAddr,
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
    Site::open(context.store.clone())?;
    let address = match arguments.listen {
        Some(address) => address,
        None => context.config()?.registry.listen,
    };
    runtime::block_on_threads(async {
        let listener = listen(address, arguments.plain_http).await?;
        let listen = listener.local_addr().unwrap_or(address);
        context.terminal.result(&Serving { listen }, format!("serving on http://{listen}"));
        let content = SiteContent::new(context.store.clone(), Box::new(complain));
        let options = ServeOptions { on_event: arguments.verbose.then(log), ..ServeOptions::default() };
        let stop = async {
            // Without a signal handler the default ends the process, which is as good.
            let _ = tokio::signal::ctrl_c().await;
        };
        serve_with(listener, Arc::new(content), options, stop).await.map_err(Stopped)?;
        Ok(())
    })
}

#[expect(clippy::print_stderr, reason = "a server's log; the terminal cannot be shared with its threads")]
fn complain(text: &str) {
    eprintln!("warning: {}", text.escape_default());
}

fn log() -> OnEvent {
    #[expect(clippy::print_stderr, reason = "a server's log; the terminal cannot be shared with its threads")]
    Arc::new(|event: &Event| match event {
        Event::Answered { peer, method, target, status, length, error } => {
            let why = error.as_ref().map(|error| format!(" ({})", error.escape_default())).unwrap_or_default();
            eprintln!("{peer} {method} {} {status} {length}{why}", target.escape_default());
        }
        Event::NotAccepted { error, .. } => eprintln!("connection not accepted: {}", error.escape_default()),
        _ => {}
    })
}
