//! An admission webhook over TLS that decides as a test says: allows, changes, denies, or never answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::images::run;

/// What the API server asks about, as far as a rule looks at it.
#[derive(Debug, Clone)]
pub struct Review {
    /// The object's name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Whether nothing will be written.
    pub dry_run: bool,
}

/// What is answered.
pub enum Verdict {
    /// Go ahead.
    Allow,
    /// Go ahead, with this JSON patch. Only a mutating webhook may say so.
    Patch(Value),
    /// No, for this reason.
    Deny(&'static str),
    /// Nothing, until the API server has given up.
    Silence,
}

/// The webhook. It lives as long as the test's process.
pub struct Webhook {
    address: SocketAddr,
    certificate: String,
}

impl Webhook {
    /// One that keeps its key in `folder`.
    ///
    /// # Panics
    /// If `openssl` fails.
    pub fn start(folder: &Path, rule: impl Fn(&Review) -> Verdict + Send + Sync + 'static) -> Self {
        let (key, certificate) = (folder.join("webhook.key"), folder.join("webhook.crt"));
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        make.args(["-subj", "/CN=webhook", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"]).arg(&key);
        run(make.arg("-out").arg(&certificate));
        let chain = vec![CertificateDer::from_pem_file(&certificate).expect("PEM")];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("TLS").with_no_client_auth();
        let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(&key).expect("PEM"));
        let (config, rule) = (Arc::new(config.expect("a key that fits")), Arc::new(rule));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the address just bound");
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (config, rule) = (Arc::clone(&config), Arc::clone(&rule));
                std::thread::spawn(move || {
                    // The API server opens connections that it does not use.
                    let _ = answer(client, config, &*rule);
                });
            }
        });
        Self { address, certificate: fs::read_to_string(certificate).expect("just made") }
    }

    /// The configuration that has it asked, for a second, before config maps are created in this namespace.
    pub fn validating(&self, name: &str, namespace: &str) -> Value {
        self.configuration("ValidatingWebhookConfiguration", name, namespace, &["CREATE"], &["configmaps"])
    }

    /// The configuration that lets it change, within a second, what is created or updated in this namespace.
    pub fn mutating(&self, name: &str, namespace: &str, resources: &[&str]) -> Value {
        self.configuration("MutatingWebhookConfiguration", name, namespace, &["CREATE", "UPDATE"], resources)
    }

    fn configuration(&self, kind: &str, name: &str, namespace: &str, operations: &[&str], resources: &[&str]) -> Value {
        let rules = json!([{"apiGroups": ["", "apps"], "apiVersions": ["v1"], "operations": operations, "resources": resources}]);
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "webhooks": [{
                "name": format!("{name}.example.org"), "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 1, "failurePolicy": "Fail", "rules": rules,
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "clientConfig": {
                    "url": format!("https://{}/", self.address), "caBundle": STANDARD.encode(&self.certificate)}}]})
    }
}

fn answer(client: TcpStream, config: Arc<ServerConfig>, rule: &dyn Fn(&Review) -> Verdict) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut client = StreamOwned::new(connection, client);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|n| n.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    let request = serde_json::from_slice::<Value>(&body)?["request"].take();
    let name = request["name"].as_str().unwrap_or_default().to_owned();
    let kind = request["kind"]["kind"].as_str().unwrap_or_default().to_owned();
    let verdict = rule(&Review { name, kind, dry_run: request["dryRun"] == true });
    let response = match verdict {
        Verdict::Allow => json!({"uid": request["uid"], "allowed": true}),
        Verdict::Patch(patch) => {
            let patch = STANDARD.encode(patch.to_string());
            json!({"uid": request["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch})
        }
        Verdict::Deny(why) => json!({"uid": request["uid"], "allowed": false, "status": {"code": 403, "message": why}}),
        Verdict::Silence => return std::io::copy(&mut client, &mut std::io::sink()).map(drop),
    };
    let body =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
    write!(client, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    client.conn.send_close_notify();
    client.flush()
}
