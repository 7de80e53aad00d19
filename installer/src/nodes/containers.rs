//! podman, skopeo and CRI-O: registries.conf.d. They know no `?ns=`, so the upstream host stands in the path.
//!
//! Each upstream host is a prefix that is led to the site (`location`), so the upstream is never asked. With several
//! servers the last one is the location and the others are mirrors, which are asked before it, in their order.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use consign_registry::serve::lookup::host_in_path;
use toml::{Table, Value};

use super::{Advice, HEADER, NodesError, Place, Runtime, Setup, Wanted, text};

/// Where the two read their registries.
pub const FOLDER: &str = "/etc/containers/registries.conf.d";
/// Our file in it.
pub const FILE: &str = "/etc/containers/registries.conf.d/50-consign.conf";
/// Where authorities lie, one folder per registry.
pub(super) const CERTIFICATES: &str = "/etc/containers/certs.d";
/// The logins of root; podman has no file for all users.
pub(super) const LOGINS: &str = "/root/.config/containers/auth.json";
/// The logins that CRI-O is pointed at.
const CRIO_LOGINS: &str = "/etc/crio/consign-auth.json";
const CRIO_FOLDER: &str = "/etc/crio/crio.conf.d";

/// What a node with podman or CRI-O should have.
pub fn wanted(runtime: Runtime, setup: &Setup, place: &Place) -> Result<Wanted, NodesError> {
    refuse_others(runtime, setup, place)?;
    let mut wanted = Wanted::default();
    let crio = runtime == Runtime::Crio;
    wanted.file(runtime, FILE, registries(setup), false, crio);
    if let Some(certificates) = setup.needed_authority() {
        for server in setup.servers.iter().filter(|server| server.tls()) {
            let path = format!("{CERTIFICATES}/{}/ca.crt", server.address());
            wanted.file(runtime, path, format!("{HEADER}{certificates}"), false, false);
        }
    }
    if setup.credentials.is_some() {
        let path = if crio { CRIO_LOGINS } else { LOGINS };
        wanted.file(runtime, path, logins(setup), true, crio);
        if crio {
            refuse_other_logins(place)?;
            let quoted = Value::String(text(place.name(CRIO_LOGINS))?);
            let content = format!("{HEADER}[crio.image]\nglobal_auth_file = {quoted}\n");
            wanted.file(runtime, format!("{CRIO_FOLDER}/50-consign.conf"), content, false, true);
        } else {
            wanted.advice.push(only_root());
        }
    }
    Ok(wanted)
}

fn only_root() -> Advice {
    Advice {
        runtime: Runtime::Podman,
        message: "podman has no login for all users; root's is written".to_owned(),
        fix: "other users log in themselves: podman login HOST:PORT".to_owned(),
        needed: false,
    }
}

fn registries(setup: &Setup) -> String {
    let mut out = HEADER.to_owned();
    let Some((last, mirrors)) = setup.servers.split_last() else { return out };
    let insecure = |tls: bool| if tls { "" } else { "insecure = true\n" };
    for host in &setup.hosts {
        let place = |address: &str| Value::String(format!("{address}/{}", host_in_path(host)));
        let prefix = Value::String(host.clone());
        let _ = write!(out, "\n[[registry]]\nprefix = {prefix}\nlocation = {}\n", place(last.address()));
        out += insecure(last.tls());
        for mirror in mirrors {
            let _ = write!(out, "[[registry.mirror]]\nlocation = {}\n", place(mirror.address()));
            out += insecure(mirror.tls());
        }
    }
    out
}

/// A login file of containers/image; JSON has no comments, so nothing in it says whose it is.
pub(super) fn logins(setup: &Setup) -> String {
    let Some(credentials) = &setup.credentials else { return String::new() };
    let one = |address: &str| (address.to_owned(), serde_json::json!({"auth": credentials.encoded()}));
    let auths: serde_json::Map<_, _> = setup.servers.iter().map(|server| one(server.address())).collect();
    format!("{:#}\n", serde_json::json!({"auths": auths}))
}

/// Another file that speaks of a host of ours, or of a part of it, would win or lose by its name or by its prefix:
/// neither is left to chance.
fn refuse_others(runtime: Runtime, setup: &Setup, place: &Place) -> Result<(), NodesError> {
    let mut files = place.files(FOLDER, ".conf");
    files.retain(|path| path != FILE);
    files.push("/etc/containers/registries.conf".to_owned());
    for path in files {
        let Some(content) = place.look(&path)? else { continue };
        let spoken = prefixes(&content);
        let mine = |prefix: &String| setup.hosts.contains(prefix.split('/').next().unwrap_or(prefix));
        if let Some(prefix) = spoken.iter().find(|prefix| mine(prefix)) {
            return Err(NodesError::Conflict {
                runtime,
                message: format!("{} says already where `{prefix}` is", place.name(&path).display()),
                fix: "take that [[registry]] out of the file, then run again".to_owned(),
            });
        }
    }
    Ok(())
}

/// The prefixes that a registries.conf speaks of. What is no TOML says nothing; podman will complain of it itself.
fn prefixes(content: &str) -> BTreeSet<String> {
    let table = content.parse::<Table>().unwrap_or_default();
    let registries = table.get("registry").and_then(Value::as_array).cloned().unwrap_or_default();
    let of = |registry: &Value| {
        let said = |key: &str| registry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        said("prefix").or(said("location")).map(str::to_owned)
    };
    registries.iter().filter_map(of).collect()
}

fn refuse_other_logins(place: &Place) -> Result<(), NodesError> {
    let mut files = place.files(CRIO_FOLDER, ".conf");
    files.retain(|path| !path.ends_with("/50-consign.conf"));
    files.push("/etc/crio/crio.conf".to_owned());
    for path in files {
        let table = place.look(&path)?.and_then(|text| text.parse::<Table>().ok()).unwrap_or_default();
        let file = table.get("crio").and_then(|crio| crio.get("image")).and_then(|image| image.get("global_auth_file"));
        if file.and_then(Value::as_str).is_some_and(|file| !file.is_empty()) {
            return Err(NodesError::Conflict {
                runtime: Runtime::Crio,
                message: format!("{} names a global_auth_file", place.name(&path).display()),
                fix: "put the login for the site's registry into that file and leave --credentials-file out".to_owned(),
            });
        }
    }
    Ok(())
}
