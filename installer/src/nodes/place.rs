//! Paths below the root folder, such that no link leads out of it.
//!
//! Links inside are followed (`/var/snap/microk8s/current` is one), the last part never: what stands there is either a
//! file or nothing.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use consign_registry::durable::{DurableError, Step};

use super::NodesError;
use crate::store::state_file::read_bytes;

/// No file that a runtime is configured by is this long.
const LIMIT: u64 = 4 << 20;

/// The root folder of a node.
#[derive(Debug, Clone)]
pub struct Place {
    root: PathBuf,
}

/// A file as it is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

impl Place {
    /// The root folder, which must be there.
    pub fn at(root: &Path) -> Result<Self, NodesError> {
        let root = std::fs::canonicalize(root).map_err(|source| DurableError::io(Step::Read, root, source))?;
        Ok(Place { root })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this is the machine itself.
    pub fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// A path of the node as the node's programs know it: below the root folder, links as they are.
    pub fn name(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Where a path really is. Every folder above the last part is resolved and must be below the root folder.
    pub fn resolve(&self, path: &str) -> Result<PathBuf, NodesError> {
        let asked = self.name(path);
        let parts: Vec<Component<'_>> = Path::new(path.trim_start_matches('/')).components().collect();
        let Some((Component::Normal(last), folders)) = parts.split_last() else {
            return Err(NodesError::LeadsOut { path: asked });
        };
        let mut real = self.root.clone();
        for folder in folders {
            let Component::Normal(name) = folder else { return Err(NodesError::LeadsOut { path: asked }) };
            real.push(name);
            if metadata(&real)?.is_some_and(|found| found.is_symlink()) {
                real = std::fs::canonicalize(&real).map_err(|source| DurableError::io(Step::Read, &real, source))?;
            }
            if !real.starts_with(&self.root) {
                return Err(NodesError::LeadsOut { path: asked });
            }
            if metadata(&real)?.is_some_and(|found| !found.is_dir()) {
                return Err(DurableError::Unsafe { path: real, expected: "folder" }.into());
            }
        }
        Ok(real.join(last))
    }

    /// Reads a file; `None` where there is none. Anything but a file in its place is refused.
    pub fn read(&self, path: &str) -> Result<Option<Found>, NodesError> {
        let real = self.resolve(path)?;
        let Some(found) = metadata(&real)? else { return Ok(None) };
        if !found.is_file() {
            return Err(DurableError::Unsafe { path: real, expected: "file" }.into());
        }
        let mode = found.permissions().mode() & 0o7777;
        Ok(read_bytes(&real, LIMIT)?.map(|bytes| Found { bytes, mode }))
    }

    /// Reads a file as text; `None` where there is none. Links are followed wherever they lead, for it is only looked at.
    pub fn look(&self, path: &str) -> Result<Option<String>, NodesError> {
        let path = self.name(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(NodesError::Input { path, reason: "it is not UTF-8".to_owned() })
            }
            Err(source) => Err(DurableError::io(Step::Read, &path, source).into()),
        }
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.name(path).exists()
    }

    /// The files of a folder whose name ends so, in the order of their names, as paths of the node.
    pub fn files(&self, folder: &str, ending: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.name(folder)) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut found: Vec<String> =
            names.filter(|name| name.ends_with(ending)).map(|name| format!("{folder}/{name}")).collect();
        found.sort();
        found
    }
}

/// What stands at a path itself; `None` where there is nothing.
pub(super) fn metadata(path: &Path) -> Result<Option<Metadata>, NodesError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DurableError::io(Step::Read, path, error).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_and_refused_where_they_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path()).unwrap();
        std::fs::create_dir_all(dir.path().join("var/x1/args")).unwrap();
        symlink("x1", dir.path().join("var/current")).unwrap();
        symlink("/etc", dir.path().join("etc")).unwrap();
        let inside = place.resolve("/var/current/args/hosts.toml").unwrap();
        assert_eq!(inside, place.root().join("var/x1/args/hosts.toml"));
        for path in ["/etc/containerd/hosts.toml", "/../x", "/var/../../x", "/", ""] {
            assert!(matches!(place.resolve(path), Err(NodesError::LeadsOut { .. })), "{path}");
        }
    }

    #[test]
    fn only_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::at(dir.path()).unwrap();
        symlink("/etc/passwd", dir.path().join("link")).unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        assert!(place.read("/link").is_err());
        assert!(place.read("/file/below").is_err());
        assert_eq!(place.read("/absent/below").unwrap(), None);
        assert_eq!(place.read("/file").unwrap().unwrap().bytes, b"x");
    }
}
