//! Real images: Debian packages, put together by umoci and skopeo, under the names that manifests call them by.
//!
//! Made once per machine, for they take minutes: in the cache folder of [`crate::tools`], complete or absent. They need
//! no right beyond the test's own, and apt's lists (`apt-get update`).

mod catalogue;
mod layout;
mod packages;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use consign_format::Digest;

use catalogue::{BASES, Base};
pub use catalogue::{Form, IMAGES, Image};
use layout::{Layout, Referrer};
use packages::Packages;
use serde::{Deserialize, Serialize};

use crate::registry::{DockerRegistry, Options};
use crate::tools;

/// The programs that make images, and where they come from.
const PROGRAMS: &[&str] = &["apt-get", "dpkg-deb", "tar", "umoci", "skopeo", "docker-registry", "curl"];

/// What to install where [`missing`] names something.
pub const HOW: &str = "on Debian: apt-get install curl docker-registry skopeo umoci";

/// The programs that this machine lacks, for `skip::unless`.
pub fn missing() -> Option<String> {
    let lacking = |name: &&&str| Command::new(name).arg("--version").output().is_err();
    let names: Vec<&str> = PROGRAMS.iter().filter(lacking).copied().collect();
    (!names.is_empty()).then(|| format!("not installed: {}", names.join(", ")))
}

/// The images of the catalogue, on disk: a registry's storage with all of them, and the layouts they came from.
#[derive(Debug)]
pub struct Images {
    folder: PathBuf,
}

impl Images {
    /// Makes them, if this machine has not yet. Whoever else wants them meanwhile waits.
    ///
    /// # Panics
    /// If a program is missing or fails; the message has what it said.
    pub fn get() -> Self {
        let pin = Digest::of(concat!(include_str!("images/catalogue.rs"), include_str!("images/layout.rs")).as_bytes());
        let cache = tools::cache().unwrap_or_else(|error| panic!("no images: {error}"));
        let folder = cache.join(format!("images-{}", &pin.hex()[..16]));
        if !folder.exists() {
            fs::create_dir_all(&cache).expect("a cache folder");
            let lock = File::create(cache.join("images.lock")).expect("a lock in the cache folder");
            lock.lock().expect("the lock");
            if !folder.exists() {
                // Past the test harness's capture: silence for minutes looks like a hang.
                let _ = writeln!(std::io::stderr().lock(), "making images from Debian packages (once; minutes)");
                let scratch = tempfile::tempdir_in(&cache).expect("a folder in the cache folder");
                make(scratch.path());
                fs::rename(scratch.path(), &folder).expect("images moved into place");
            }
        }
        Self { folder }
    }

    /// A registry that has every image of the catalogue, and takes no others. It starts in no time.
    ///
    /// An image's repository lies under a folder named after its host; [`mirrors`] says so to a build.
    pub fn registry(&self) -> DockerRegistry {
        DockerRegistry::with(Options { read_only: Some(self.folder.join("storage")), ..Options::default() })
    }

    /// As [`Self::registry`], with TLS or a password.
    pub fn registry_with(&self, options: Options) -> DockerRegistry {
        DockerRegistry::with(Options { read_only: Some(self.folder.join("storage")), ..options })
    }

    /// The digest of what a registry has under the name of `image`: of the index, where it is one.
    ///
    /// # Panics
    /// If there is no such image in the catalogue.
    pub fn digest(&self, reference: &str) -> String {
        let (repository, tag) = placed(reference).rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        let repositories = self.folder.join("storage/docker/registry/v2/repositories");
        let link = repositories.join(repository).join("_manifests/tags").join(tag).join("current/link");
        fs::read_to_string(&link).unwrap_or_else(|error| panic!("no image {reference}: {}: {error}", link.display()))
    }

    /// What skopeo calls the image, where it lies on disk.
    pub fn source(&self, reference: &str) -> String {
        let image = find(reference);
        source(&self.folder, image)
    }

    /// Pushes the image under a name of the caller's choice: `repository:tag` in `registry`, with what refers to it.
    pub fn push_as(&self, reference: &str, registry: &DockerRegistry, name: &str) {
        push(&self.folder, find(reference), registry, name);
    }
}

/// The `images.mirrors` of a release: every host of the catalogue, led to `registry`.
pub fn mirrors(registry: &DockerRegistry) -> BTreeMap<String, String> {
    let hosts: BTreeSet<&str> = IMAGES.iter().map(|image| host(image.reference)).collect();
    hosts.into_iter().map(|host| (host.to_owned(), format!("{}/{}", registry.address(), folder_of(host)))).collect()
}

/// Copies by skopeo, all platforms, digests as they are.
///
/// # Panics
/// If skopeo fails; the message has what it said.
pub fn copy(from: &str, to: &str, flags: &[String]) {
    run(Command::new("skopeo").args(["copy", "--quiet", "--all", "--preserve-digests"]).args(flags).args([from, to]));
}

/// Runs it and returns what it printed.
///
/// # Panics
/// If it does not run or does not succeed; the message has what it said.
pub fn run(command: &mut Command) -> String {
    let said = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{command:?}: {}\n{out}\n{err}", said.status);
    out.into_owned()
}

fn make(folder: &Path) {
    let layout = Layout::create(&folder.join("layout"));
    make_bases(folder, &layout);
    for image in IMAGES {
        make_image(folder, &layout, image);
    }
    let options = Options { storage: Some(folder.join("storage")), ..Options::default() };
    let registry = DockerRegistry::with(options);
    for image in IMAGES {
        push(folder, image, &registry, &placed(image.reference));
    }
}

fn make_bases(folder: &Path, layout: &Layout) {
    let packages_folder = folder.join("packages");
    let packages = Packages::new(&packages_folder);
    // Before the download: apt names only files that it would still have to fetch.
    let closures: Vec<BTreeSet<String>> = BASES.iter().map(|base| packages.closure(base.packages)).collect();
    let names: Vec<&str> = BASES.iter().flat_map(|base| base.packages).copied().collect();
    packages.download(&names);
    for (Base { name, on_bottom, .. }, closure) in BASES.iter().zip(&closures) {
        let root = folder.join("root");
        fs::create_dir(&root).expect("a folder in the cache");
        if *on_bottom {
            layout.tag(BASES[0].name, name);
            closure.difference(&closures[0]).for_each(|file| packages.unpack(file, &root));
        } else {
            layout.new_image(name);
            closure.iter().for_each(|file| packages.unpack(file, &root));
        }
        layout.add_layer(name, &root);
        remove(&root);
    }
    remove(&packages_folder);
}

/// The image on its base, with one small layer of its own.
fn make_image(folder: &Path, layout: &Layout, image: &Image) {
    let tag = slug(image.reference);
    let root = folder.join("root");
    fs::create_dir_all(root.join("app")).expect("a folder in the cache");
    fs::write(root.join("app/about"), format!("{}\n", image.reference)).expect("a file in the cache");
    let mut variants = vec![(tag.clone(), "amd64")];
    if image.form == Form::Index {
        variants = ["amd64", "arm64"].map(|architecture| (format!("{tag}-{architecture}"), architecture)).to_vec();
    }
    for (tag, architecture) in &variants {
        // No arm64 packages: apt would need lists of its own for one static file.
        if *architecture == "amd64" {
            layout.tag(image.base, tag)
        } else {
            layout.new_image(tag)
        }
        layout.add_layer(tag, &root);
        layout.configure(tag, architecture, image.reference);
    }
    remove(&root);
    match image.form {
        Form::Oci => {}
        Form::Index => {
            let variants: Vec<(&str, &str)> = variants.iter().map(|(tag, of)| (tag.as_str(), *of)).collect();
            layout.add_index(&tag, &variants);
        }
        Form::Docker => {
            let from = format!("oci:{}:{tag}", folder.join("layout").display());
            let to = format!("dir:{}", folder.join(&tag).display());
            run(Command::new("skopeo").args(["copy", "--quiet", "--format=v2s2", &from, &to]));
        }
        Form::Signed => {
            let beside = Beside { referrer: layout.add_referrer(&tag), signature: layout.add_cosign_signature(&tag) };
            let text = serde_json::to_string(&beside).expect("JSON of strings");
            fs::write(folder.join(format!("{tag}.json")), text).expect("a file in the cache");
        }
    }
}

/// What travels with an image.
#[derive(Serialize, Deserialize)]
struct Beside {
    referrer: Referrer,
    /// The tag of a signature, as cosign makes it, in layout and registry alike.
    signature: String,
}

fn push(folder: &Path, image: &Image, registry: &DockerRegistry, name: &str) {
    let flags = registry.skopeo_flags("dest");
    let address = registry.address();
    copy(&source(folder, image), &format!("docker://{address}/{name}"), &flags);
    if image.form != Form::Signed {
        return;
    }
    let text = fs::read(folder.join(format!("{}.json", slug(image.reference)))).expect("a file in the cache");
    let Beside { referrer, signature } = serde_json::from_slice(&text).expect("what we wrote");
    let (repository, _) = name.rsplit_once(':').expect("a name with a tag");
    let layout = folder.join("layout");
    let from = |tag: &str| format!("oci:{}:{tag}", layout.display());
    copy(&from(&signature), &format!("docker://{address}/{repository}:{signature}"), &flags);
    copy(&from(&referrer.tag), &format!("docker://{address}/{repository}@{}", referrer.digest), &flags);
    // Not by skopeo: Debian's drops `artifactType` from the entries of an index, and then says it may not.
    run(Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "-X", "PUT", "--data-binary", &referrer.index])
        .args(["-H", &format!("Content-Type: {}", layout::INDEX)])
        .args(registry.curl_flags())
        .arg(format!("{}/v2/{repository}/manifests/{}", registry.url(), referrer.fallback)));
}

fn source(folder: &Path, image: &Image) -> String {
    let tag = slug(image.reference);
    match image.form {
        Form::Docker => format!("dir:{}", folder.join(tag).display()),
        _ => format!("oci:{}:{tag}", folder.join("layout").display()),
    }
}

fn find(reference: &str) -> &'static Image {
    let found = IMAGES.iter().find(|image| image.reference == reference);
    found.unwrap_or_else(|| panic!("no image {reference} in the catalogue"))
}

fn host(reference: &str) -> &str {
    reference.split_once('/').expect("a reference in full").0
}

/// `docker.io/library/nginx:1.22`, as repository and tag in a registry that stands in for all hosts.
fn placed(reference: &str) -> String {
    let (host, rest) = reference.split_once('/').expect("a reference in full");
    format!("{}/{rest}", folder_of(host))
}

fn folder_of(host: &str) -> String {
    host.replace(':', "-")
}

fn slug(reference: &str) -> String {
    reference.replace(['/', ':'], "-")
}

fn remove(folder: &Path) {
    // Packages bring folders without write permission for their owner; whoever is not root could not empty them.
    run(Command::new("chmod").args(["-R", "u+rwX"]).arg(folder));
    fs::remove_dir_all(folder).unwrap_or_else(|error| panic!("cannot remove {}: {error}", folder.display()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip;

    #[test]
    fn every_image_is_served_under_its_name() {
        if !skip::unless(missing().is_none(), &missing().unwrap_or_default(), HOW) {
            return;
        }
        let images = Images::get();
        let registry = images.registry();
        for image in IMAGES {
            let at = format!("docker://{}/{}", registry.address(), placed(image.reference));
            let raw = run(Command::new("skopeo").args(["inspect", "--raw", "--tls-verify=false", &at]));
            assert_eq!(Digest::of(raw.as_bytes()).to_string(), images.digest(image.reference), "{at}");
            let expected = match image.form {
                Form::Docker => "application/vnd.docker.distribution.manifest.v2+json",
                Form::Index => "application/vnd.oci.image.index.v1+json",
                Form::Oci | Form::Signed => "application/vnd.oci.image.config.v1+json",
            };
            assert!(raw.contains(expected), "{at}: {raw}");
        }
    }

    #[test]
    fn what_refers_to_an_image_is_pushed_with_it() {
        if !skip::unless(missing().is_none(), &missing().unwrap_or_default(), HOW) {
            return;
        }
        let images = Images::get();
        let registry = DockerRegistry::with(Options { tls: true, password: true, ..Options::default() });
        images.push_as("quay.io/lumen/archive:2.3.1", &registry, "corp/archive:1");
        let said = run(Command::new("skopeo")
            .arg("list-tags")
            .args(["--tls-verify=false", &format!("--creds={}:{}", crate::registry::USER, crate::registry::PASSWORD)])
            .arg(format!("docker://{}/corp/archive", registry.address())));
        let tag = images.digest("quay.io/lumen/archive:2.3.1").replace(':', "-");
        for expected in ["\"1\"", &format!("\"{tag}\""), &format!("\"{tag}.sig\"")] {
            assert!(said.contains(expected), "no {expected} in {said}");
        }
    }
}
