//! `consign init`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::trust::roots::RootChain;
use consign_format::{Digest, Name};
use consign_registry::durable;
use consign_terminal::Usage;
use serde::Serialize;

use super::keys::made_text;
use super::{World, plain};
use crate::config;
use crate::detect::{self, Detected, Kind};
use crate::development::{self, Made};
use crate::sign;

mod template;

/// Finds the charts, kustomizations and manifests of this repository, writes release.yaml for them, and makes a
/// development root and key in trust/.
///
/// Read release.yaml, change what is not meant, commit the manifests, and run `consign build`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder
    #[arg(default_value = ".", value_name = "DIR")]
    folder: PathBuf,
    /// The name of the product; without it the folder's name
    #[arg(long, value_name = "NAME")]
    product: Option<Name>,
    /// The version of the release
    #[arg(long, default_value = "0.1.0", value_name = "VERSION")]
    release: String,
    /// The Kubernetes version to render for
    #[arg(long, default_value = "1.33", value_name = "MAJOR.MINOR")]
    kubernetes: String,
    /// Fetch a registry's images from another place: HOST=HOST[:PORT][/PREFIX]; may be given several times
    #[arg(long, value_name = "HOST=PLACE", value_parser = mirror)]
    mirror: Vec<(String, String)>,
    /// Speak to this registry without TLS: HOST[:PORT]; may be given several times
    #[arg(long, value_name = "HOST")]
    plain_http: Vec<String>,
    /// Take images from an OCI layout folder, an OCI archive or a `docker save` archive; may be given several times
    #[arg(long, value_name = "PATH")]
    images_from: Vec<String>,
    /// The domain of the development root; without it the product's name
    #[arg(long, value_name = "NAME")]
    domain: Option<Name>,
}

fn mirror(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((host, place)) if !host.is_empty() && !place.is_empty() => Ok((host.to_owned(), place.to_owned())),
        _ => Err("write HOST=PLACE, such as docker.io=registry.corp/docker".to_owned()),
    }
}

/// Why nothing was initialised.
#[derive(Debug, thiserror::Error)]
enum InitError {
    #[error("{path} is already there")]
    Exists { path: String },
    #[error("there are no charts, kustomizations or manifests in {path}")]
    NothingFound { path: String },
}

impl Coded for InitError {
    fn code(&self) -> Code {
        match self {
            InitError::Exists { .. } => codes::ALREADY_EXISTS,
            InitError::NothingFound { .. } => codes::NOTHING_FOUND,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            InitError::Exists { .. } => "edit it, or remove it and run `consign init` again".to_owned(),
            InitError::NothingFound { .. } => {
                "run it in a repository with Kubernetes manifests; docs/release-yaml.md shows a release.yaml to write by hand"
                    .to_owned()
            }
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    file: String,
    product: Name,
    render: Vec<String>,
    left_out: BTreeMap<String, String>,
    root: Made,
}

pub(super) fn run(args: &Args, world: &World<'_>) -> Result<(), Failure> {
    let folder = args.folder.as_path();
    let file = plain(&folder.join(config::FILE));
    if file.symlink_metadata().is_ok() {
        return Err(InitError::Exists { path: file.display().to_string() }.into());
    }
    let detected = detect::detect(folder);
    if detected.candidates.is_empty() {
        return Err(InitError::NothingFound { path: folder.display().to_string() }.into());
    }
    let product = match &args.product {
        Some(product) => product.clone(),
        None => product_of(folder)?,
    };
    let text = template::release_yaml(&template::Release {
        product: &product,
        version: &args.release,
        kubernetes: &args.kubernetes,
        detected: &detected,
        mirrors: &args.mirror,
        plain_http: &args.plain_http,
        images_from: &args.images_from,
    });
    // What is written must be what `build` reads; a mistake of the flags shows here.
    config::parse(&file.display().to_string(), &text)?;
    durable::write_new_file(&file, text.as_bytes(), 0o644)?;
    let root = root(&plain(&folder.join(sign::TRUST_FOLDER)), args.domain.as_ref().unwrap_or(&product), world)?;
    say(&file, product, &detected, root, world);
    Ok(())
}

/// The folder's name as far as a name may have its characters.
fn product_of(folder: &Path) -> Result<Name, Failure> {
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = full.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let short: String = plain.trim_matches('-').chars().take(40).collect();
    let usage = |_| Usage {
        message: format!("`{name}`, the folder's name, gives no name for the product"),
        hint: Some("give it with --product NAME".to_owned()),
    };
    Ok(short.trim_matches('-').parse::<Name>().map_err(usage)?)
}

/// Makes a root, or takes the one that is there.
fn root(trust: &Path, domain: &Name, world: &World<'_>) -> Result<Made, Failure> {
    if !trust.join("1.root.json").is_file() {
        return development::make(trust, domain, world.now, &development::seed()?);
    }
    let roots: RootChain = sign::read_roots(trust)?;
    Ok(Made {
        root: trust.join("1.root.json").display().to_string(),
        key: trust.join(sign::DEVELOPMENT_KEY).display().to_string(),
        domain: roots.domain().clone(),
        fingerprint: Digest::of(&roots.files()[0]),
    })
}

fn say(file: &Path, product: Name, detected: &Detected, root: Made, world: &World<'_>) {
    let mut lines = vec![format!("wrote {} for {product}", file.display())];
    for found in &detected.candidates {
        let kind = match found.kind {
            Kind::Kustomize => "kustomization",
            Kind::Helm => "chart",
            Kind::Plain => "manifests",
        };
        let left_out = found.left_out.as_ref().map(|why| format!(", left out: {why}")).unwrap_or_default();
        lines.push(format!("  {kind:13}{}{left_out}", found.path));
    }
    lines.push(made_text(&root));
    lines.push("next: read release.yaml, then `consign build`".to_owned());
    let (out, kept): (Vec<_>, Vec<_>) = detected.candidates.iter().partition(|found| found.left_out.is_some());
    let done = Done {
        file: file.display().to_string(),
        product,
        render: kept.iter().map(|found| found.path.clone()).collect(),
        left_out: out.iter().map(|f| (f.path.clone(), f.left_out.clone().unwrap_or_default())).collect(),
        root,
    };
    world.terminal.result(&done, lines.join("\n"));
}
