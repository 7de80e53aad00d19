//! What is secret here, learned so that it can be taken out wherever it stands: the site's own keys and passwords, and the
//! values of Secrets. Learned, never written.

use std::io::{self, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::archive::Archive;
use super::scrub::Scrubber;
use super::{Asked, clean};
use crate::apply::Cluster;
use crate::config::LoginFile;
use crate::doctor::cluster::{ask, items};
use crate::store::state_file::read_bytes;

/// No key and no file of passwords is longer.
const LIMIT: u64 = 1 << 20;

/// The site's own files with secrets in them. One that cannot be read has nothing that could leak from here.
pub(super) fn of_site(asked: &Asked<'_>, scrubber: &mut Scrubber) {
    let trust = asked.store.trust_dir();
    let mut files = vec![trust.join("site.key"), trust.join("site.age")];
    files.extend(["authority", "server"].map(|name| asked.store.dir().join("tls").join(name)));
    if let Some(config) = asked.config {
        files.extend(config.registry.key.clone());
        files.extend(config.registry.users.clone());
        files.extend(config.nodes.credentials.clone());
        files.extend(config.registry.existing.iter().filter_map(|existing| match &existing.login {
            LoginFile::None => None,
            LoginFile::Line(path) | LoginFile::Docker(path) => Some(path.clone()),
        }));
    }
    for file in &files {
        learn_file(file, scrubber);
    }
}

/// Every line, and what stands behind the first colon of one: `USER:PASSWORD`.
fn learn_file(file: &Path, scrubber: &mut Scrubber) {
    let Ok(Some(bytes)) = read_bytes(file, LIMIT) else { return };
    let text = String::from_utf8_lossy(&bytes);
    for line in text.lines().filter(|line| !line.starts_with("-----") && !line.starts_with('#')) {
        scrubber.learn(line.trim().as_bytes());
        if let Some((_, password)) = line.trim().split_once(':') {
            scrubber.learn(password.trim().as_bytes());
        }
    }
    // Documents: every text in them that is long enough to be a key.
    if let Ok(document) = serde_json::from_str::<Value>(text.lines().last().unwrap_or_default()) {
        learn_texts(&document, scrubber);
    }
}

fn learn_texts(value: &Value, scrubber: &mut Scrubber) {
    match value {
        Value::String(text) if text.len() >= 16 && !text.contains("BEGIN CERTIFICATE") => {
            scrubber.learn(text.as_bytes())
        }
        Value::Array(list) => list.iter().for_each(|one| learn_texts(one, scrubber)),
        Value::Object(fields) => fields.values().for_each(|one| learn_texts(one, scrubber)),
        _ => {}
    }
}

/// Reads the Secrets of the namespaces; gives back, by namespace, their names and keys, or why they could not be read.
pub(super) async fn of_cluster(
    cluster: &Cluster,
    namespaces: &[String],
    scrubber: &mut Scrubber,
) -> Vec<(String, Result<Vec<Value>, String>)> {
    let mut listed = Vec::new();
    for namespace in namespaces {
        let found = ask(cluster, &format!("/api/v1/namespaces/{namespace}/secrets?limit=500")).await;
        if let Ok(list) = &found {
            let data = items(list).iter().filter_map(|secret| secret["data"].as_object());
            for value in data.flat_map(|data| data.values()).filter_map(Value::as_str) {
                scrubber.learn(value.as_bytes());
                if let Ok(plain) = STANDARD.decode(value) {
                    scrubber.learn(&plain);
                }
            }
        }
        listed.push((namespace.clone(), found.map(|list| items(&list).iter().map(clean::keys_only).collect())));
    }
    listed
}

/// Names and keys, into the archive.
pub(super) fn add<W: Write>(
    listed: Vec<(String, Result<Vec<Value>, String>)>,
    archive: &mut Archive<W>,
) -> io::Result<()> {
    for (namespace, found) in listed {
        let name = format!("cluster/{namespace}/secrets.json");
        match found {
            Ok(secrets) => archive.add_json(&name, "names and keys of Secrets", &secrets)?,
            Err(why) => archive.missing(name, format!("{why}; so their values could not be looked for in logs")),
        }
    }
    Ok(())
}
