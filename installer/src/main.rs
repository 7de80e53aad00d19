//! `consign-site`: what a site runs. All it does here is to hand the machine to the library: clocks, randomness,
//! environment, standard streams.

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use consign_installer::cli::{Cli, Machine, run};
use consign_installer::clock::Clocks;

fn main() -> ExitCode {
    // The one TLS implementation of the house; a second call would find it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let started = Instant::now();
    #[expect(clippy::disallowed_methods, reason = "this is the main that takes the time")]
    let wall = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let machine = Machine {
        clocks: Clocks { wall: Box::new(wall), monotonic: Box::new(move || started.elapsed()) },
        random: |buffer| getrandom::fill(buffer).map_err(std::io::Error::other),
        program: std::env::current_exe().ok(),
        kubeconfig: std::env::var_os("KUBECONFIG"),
        service: std::env::var("KUBERNETES_SERVICE_HOST").ok().zip(std::env::var("KUBERNETES_SERVICE_PORT").ok()),
    };
    match consign_terminal::parse::<Cli>(std::env::args_os()) {
        Ok(cli) => run(cli, &machine),
        Err(exit) => exit,
    }
}
