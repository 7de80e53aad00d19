//! TLS by the site's own authority, and a password: what `nodes write` says of both is understood by the runtimes.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use consign_installer::Store;
use consign_installer::serve::SiteContent;
use consign_registry::serve::{ServeOptions, Users, serve_with};
use consign_tests::images::run;
use consign_tests::skip;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::oneshot;

use crate::containerd::Containerd;
use crate::podman::prepare;
use crate::release::{IMAGES, Ward};

/// An authority of a site, and its certificate for 127.0.0.1.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, more: &[&str]| {
            let (key, crt) = (format!("{name}.key"), format!("{name}.crt"));
            let mut command = Command::new("openssl");
            command.current_dir(folder.path()).args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
            command.args(["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", &key, "-out", &crt]);
            run(command.args(more));
        };
        make("ca", &["-subj", "/CN=site authority"]);
        let issue = ["-CA", "ca.crt", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
        make("server", &[&["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"][..], &issue].concat());
        Authority(folder)
    }

    fn certificate(&self) -> String {
        std::fs::read_to_string(self.0.path().join("ca.crt")).unwrap()
    }

    fn server(&self) -> rustls::ServerConfig {
        let file = |name: &str| self.0.path().join(name);
        let chain = CertificateDer::pem_file_iter(file("server.crt")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        builder.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap()
    }
}

/// The site's content over TLS and behind a password. Dropping it stops it.
struct Registry {
    server: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Registry {
    fn start(root: &Path, authority: &Authority) -> Self {
        let tls = Some(Arc::new(authority.server()));
        let users = Some(Arc::new(Users::parse(&Users::line("node", "se:cret").unwrap()).unwrap()));
        let options = ServeOptions { tls, users, ..ServeOptions::default() };
        let content = Arc::new(SiteContent::new(Store::at(root), Arc::new(|problem: &str| panic!("{problem}"))));
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                tell.send(listener.local_addr().unwrap()).unwrap();
                serve_with(listener, content, options, async { drop(stopped.await) }).await.unwrap();
            });
        });
        Registry { server: format!("https://{}", told.recv().unwrap()), stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn can_run() -> bool {
    let there = Command::new("openssl").arg("version").output().is_ok();
    skip::unless(there, "openssl is not installed", "apt-get install openssl")
}

fn write(ward: &Ward, runtime: &str, server: &str, authority: &str) {
    let root = ward.site.root();
    std::fs::create_dir_all(root.join("etc/consign")).unwrap();
    std::fs::write(root.join("etc/consign/ca.crt"), authority).unwrap();
    std::fs::write(root.join("credentials"), "node:se:cret\n").unwrap();
    let write = ward.site.invoke(["nodes", "write", "--runtime", runtime, "--server", server]);
    write.option("--credentials-file", root.join("credentials")).succeeds();
}

/// The authority alone, then two of them while one takes the other's place, then a stranger's.
#[test]
fn containerd_trusts_the_sites_authority_and_gives_the_password() {
    if !can_run() {
        return;
    }
    let (ward, authority, next) = (Ward::new(), Authority::new(), Authority::new());
    let Some(daemon) = Containerd::start(ward.site.root(), None) else { return };
    let registry = Registry::start(ward.site.root(), &authority);
    write(&ward, "containerd", &registry.server, &authority.certificate());
    run(&mut daemon.pull(IMAGES[0]));
    write(&ward, "containerd", &registry.server, &format!("{}{}", next.certificate(), authority.certificate()));
    run(&mut daemon.pull(IMAGES[1]));
    write(&ward, "containerd", &registry.server, &next.certificate());
    assert!(!daemon.pull(IMAGES[2]).output().unwrap().status.success(), "a stranger's certificate was trusted");
}

#[test]
fn the_check_says_whether_authority_and_password_are_right() {
    if !can_run() {
        return;
    }
    let (ward, authority, stranger) = (Ward::new(), Authority::new(), Authority::new());
    let registry = Registry::start(ward.site.root(), &authority);
    prepare(ward.site.root());
    write(&ward, "podman", &registry.server, &authority.certificate());
    let check = || ward.site.invoke(["nodes", "check", "--runtime", "podman"]).env("HOME", ward.site.root());
    let said = check().succeeds();
    said.says(&format!("{} has", registry.server));
    if Command::new("podman").arg("--version").output().is_ok() {
        said.says("podman pulls");
    }
    std::fs::write(ward.site.root().join("credentials"), "node:wrong\n").unwrap();
    check().fails("node-check", 20);
    write(&ward, "podman", &registry.server, &stranger.certificate());
    check().fails("node-check", 20).says("answers and is trusted");
}
