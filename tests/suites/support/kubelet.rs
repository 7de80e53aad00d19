//! A kubelet that only knows logs: the API server asks it over TLS, as it asks every kubelet.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use consign_tests::cluster::Cluster;
use consign_tests::images::run;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Lets the cluster's one node have a kubelet that answers every request for a log by `log`, until the process ends.
pub(crate) fn answer_logs(cluster: &Cluster, log: fn(&str) -> Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    run(openssl.args(["-subj", "/CN=sim", "-keyout"]).arg(at("key")).arg("-out").arg(at("certificate")));
    let certificate = CertificateDer::from_pem_file(at("certificate")).unwrap();
    let key = PrivateKeyDer::from_pem_file(at("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || answer(stream, config, log));
        }
    });
    // By its address alone: the name `sim` is nobody's.
    let status = serde_json::json!({"status": {
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
    }});
    let patch = ["patch", "node", "sim", "--subresource=status", "--type=merge", "-p", &status.to_string()];
    run(cluster.kubectl().args(patch));
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, log: fn(&str) -> Vec<u8>) {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return;
        }
        request.push(byte[0]);
    }
    let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
    let body = log(&line);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).and_then(|()| stream.flush());
    stream.conn.send_close_notify();
    let _ = stream.flush();
}
