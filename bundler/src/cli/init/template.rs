//! The `release.yaml` that `init` writes: short, with a comment where a decision was made for its author.

use consign_format::Name;

use crate::config::API_VERSION;
use crate::detect::{Candidate, Detected};

/// What goes into it.
pub(super) struct Release<'a> {
    pub(super) product: &'a Name,
    pub(super) version: &'a str,
    pub(super) kubernetes: &'a str,
    pub(super) detected: &'a Detected,
    pub(super) mirrors: &'a [(String, String)],
    pub(super) plain_http: &'a [String],
    pub(super) images_from: &'a [String],
}

pub(super) fn release_yaml(release: &Release<'_>) -> String {
    let namespace: String = release.product.as_str().replace('.', "-");
    let mut text = format!(
        "# What is delivered. Every field: docs/release-yaml.md
apiVersion: {API_VERSION}
product: {product}
version: {version}

# Only what is committed is read. `ref` can be a branch, a tag or a commit.
source: {{git: \".\", ref: HEAD}}

# Rendered for this Kubernetes; a site checks it before it applies anything.
kubernetes: {{version: {kubernetes}}}

# Created with the release, and set where an object names none.
namespace: {namespace}

render:
",
        product = quoted(release.product.as_str()),
        version = quoted(release.version),
        kubernetes = quoted(release.kubernetes),
        namespace = quoted(&namespace),
    );
    release.detected.candidates.iter().for_each(|found| text.push_str(&entry(found)));
    text.push_str(&images(release));
    text.push_str(&secrets(release.detected, &namespace));
    text.push_str(
        "
# When the release is not healthy in time: `rollback` to the last one, or `halt` and say so.
rollout: {onFailure: rollback, healthTimeout: 10m}
",
    );
    text
}

fn entry(found: &Candidate) -> String {
    match &found.left_out {
        Some(why) => format!("  # - path: {}   # {why}\n", quoted(&found.path)),
        None => format!("  - path: {}\n", quoted(&found.path)),
    }
}

fn images(release: &Release<'_>) -> String {
    let mut text = String::from(
        "
# Images are found in the manifests. `include` names those that only an operator knows, `fields` the fields of
# custom resources that hold one, such as [\"MyKind.spec.image\"].
images:
  platforms: [linux/amd64]
",
    );
    if !release.mirrors.is_empty() {
        text.push_str("  mirrors:\n");
        for (host, place) in release.mirrors {
            text.push_str(&format!("    {}: {}\n", quoted(host), quoted(place)));
        }
    }
    if !release.plain_http.is_empty() {
        let hosts: Vec<_> = release.plain_http.iter().map(|host| quoted(host)).collect();
        text.push_str(&format!("  plainHttp: [{}]\n", hosts.join(", ")));
    }
    if !release.images_from.is_empty() {
        text.push_str("  from:\n");
        release.images_from.iter().for_each(|path| text.push_str(&format!("    - path: {}\n", quoted(path))));
    }
    text
}

fn secrets(detected: &Detected, namespace: &str) -> String {
    if detected.secrets.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "
# These Secrets have data in the repository. `existing`: the site has them already. `generate`: made at the site.
# `shared` with a `reason`: carried as they are, readable by everybody who holds a bundle.
secrets:
",
    );
    for (place, name) in &detected.secrets {
        let place = if place.is_empty() { namespace } else { place };
        text.push_str(&format!("  - {{name: {}, namespace: {}, mode: existing}}\n", quoted(name), quoted(place)));
    }
    text
}

/// A text as YAML reads it back: plain where that is certain, else in double quotes, as JSON has them.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    let word = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(|c| plain(c) || c == '.');
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text);
    match word && !reserved {
        true => text.to_owned(),
        false => serde_json::Value::from(text).to_string(),
    }
}
