//! A cluster to play with, the same that the suites use: `cargo run -p consign-tests --bin cluster`.
//!
//! Prints `KUBECONFIG=…` when it is ready and runs until Ctrl-C; pods get ready as they do in the suites.

use consign_tests::cluster::Cluster;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "a program for people and scripts")]
async fn main() -> std::io::Result<()> {
    let cluster = Cluster::start();
    println!("KUBECONFIG={}", cluster.kubeconfig().display());
    println!(
        "kubectl: {} kubectl",
        consign_tests::tools::Tool::Cluster.get().map_err(std::io::Error::other)?.display()
    );
    println!("Ctrl-C ends it");
    tokio::signal::ctrl_c().await
}
