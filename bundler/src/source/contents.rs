//! Finds paths of `release.yaml` in a tree that was written out, and says why one cannot be used.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use super::export::TreeError;

/// What was written out, and what was left.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) submodules: BTreeSet<String>,
    pub(super) pointers: BTreeSet<String>,
}

impl Contents {
    /// Finds a path as written in `release.yaml`, relative to `prefix`, in the tree at `root`.
    pub(super) fn find(&self, root: &Path, prefix: &Path, path: &str) -> Result<PathBuf, TreeError> {
        let outside = || TreeError::Outside { path: path.to_owned() };
        let inner = inside(&prefix.join(path)).ok_or_else(outside)?;
        if let Some(submodule) = self.submodules.iter().find(|submodule| inner.starts_with(submodule)) {
            return Err(TreeError::Submodule { path: path.to_owned(), submodule: submodule.clone() });
        }
        let found = root.join(&inner);
        if !found.exists() {
            return Err(TreeError::NotFound { path: path.to_owned() });
        }
        match self.pointers.iter().find(|pointer| Path::new(pointer).starts_with(&inner)) {
            Some(pointer) => Err(TreeError::LfsPointer { path: pointer.clone() }),
            None => Ok(found),
        }
    }
}

impl Contents {
    /// Sees that a path below `root` is neither in a submodule nor a pointer itself.
    pub(super) fn vouch(&self, root: &Path, path: &Path) -> Result<(), TreeError> {
        let Some(inner) = path.strip_prefix(root).ok().and_then(inside) else { return Ok(()) };
        let shown = || inner.display().to_string();
        if let Some(submodule) = self.submodules.iter().find(|submodule| inner.starts_with(submodule)) {
            return Err(TreeError::Submodule { path: shown(), submodule: submodule.clone() });
        }
        match inner.to_str().is_some_and(|inner| self.pointers.contains(inner)) {
            true => Err(TreeError::LfsPointer { path: shown() }),
            false => Ok(()),
        }
    }
}

/// Resolves `.` and `..` of a relative path; nothing if it leaves where it starts.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inner = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inner.push(name),
            Component::CurDir => {}
            Component::ParentDir if inner.pop() => {}
            _ => return None,
        }
    }
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn paths_are_found_from_the_prefix() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("app/deploy")).unwrap();
        fs::write(root.path().join("app/deploy/a.yaml"), "").unwrap();
        let contents = Contents {
            submodules: BTreeSet::from(["app/vendor".to_owned()]),
            pointers: BTreeSet::from(["big/model.bin".to_owned()]),
        };
        fs::create_dir_all(root.path().join("big")).unwrap();
        let find = |path: &str| contents.find(root.path(), Path::new("app"), path);
        assert_eq!(find("deploy").unwrap(), root.path().join("app/deploy"));
        assert_eq!(find("../app/deploy/a.yaml").unwrap(), root.path().join("app/deploy/a.yaml"));
        assert!(matches!(find("../../etc"), Err(TreeError::Outside { .. })));
        assert!(matches!(find("/etc"), Err(TreeError::Outside { .. })));
        assert!(matches!(find("none"), Err(TreeError::NotFound { .. })));
        assert!(matches!(find("vendor/lib"), Err(TreeError::Submodule { .. })));
        assert!(matches!(find("../big"), Err(TreeError::LfsPointer { .. })));
        assert!(matches!(find(".."), Err(TreeError::LfsPointer { .. })));
    }
}
