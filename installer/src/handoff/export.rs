//! The handoff `export`: the verified desired state in a folder, for somebody else to apply.
//!
//! `FOLDER/PRODUCT/` holds one object per file, JSON under names that end in `.yaml`, as in the state artifact; it is
//! replaced as a whole, in one step. Whether the objects become healthy is not known here, and not claimed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use consign_format::error::{Code, Coded, Failure, codes};
use consign_format::state::{self, StateError};
use consign_registry::durable::{DurableError, Folder, Step, create_dir, write_file};
use rustix::fs::{CWD, RenameFlags};
use serde_json::{Value, json};

use super::{
    Action, Always, ChangeSet, Desired, Event, GoAhead, Handoff, HealthReport, ObjectKey, OnEvent, Plan, Policy,
    RolledBack, Stopped,
};

/// The file by which a folder is known as ours. No tool that reads manifests reads it: it has no extension.
const MARKER: &str = ".consign-export";

/// The handoff `export`.
#[derive(Debug, Clone)]
pub struct Export {
    folder: PathBuf,
}

/// Why nothing was exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file system refused.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// A folder with other things in it stands where ours should.
    #[error("{} is not a folder that was exported here before, and is not replaced", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// An object has no kind or no name.
    #[error(transparent)]
    Object(#[from] StateError),
}

impl Coded for ExportError {
    fn code(&self) -> Code {
        match self {
            ExportError::Durable(error) => error.code(),
            ExportError::Foreign { .. } => codes::ALREADY_EXISTS,
            ExportError::Object(_) => codes::OBJECT_INVALID,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            ExportError::Durable(error) => error.hint(),
            ExportError::Foreign { .. } => Some("name another folder with --export-dir, or empty this one".to_owned()),
            ExportError::Object(_) => None,
        }
    }
}

/// File names and contents.
type Files = BTreeMap<String, Vec<u8>>;

impl Export {
    /// Exports into `FOLDER/PRODUCT`.
    pub fn new(folder: &Path) -> Self {
        Export { folder: folder.to_owned() }
    }

    /// The folder of one product.
    pub fn target(&self, product: &str) -> PathBuf {
        self.folder.join(product)
    }

    fn changes(&self, desired: &Desired) -> Result<ChangeSet, ExportError> {
        let target = self.target(&desired.product);
        let before: BTreeMap<ObjectKey, Value> = read_files(&target)?
            .values()
            .filter_map(|bytes| serde_json::from_slice::<Value>(bytes).ok())
            .filter_map(|object| Some((ObjectKey::of(&object)?, object)))
            .collect();
        let mut changes = ChangeSet::default();
        let mut stays = std::collections::BTreeSet::new();
        for object in &desired.objects {
            let Some(key) = ObjectKey::of(object) else { return Err(StateError::Nameless.into()) };
            let action = match before.get(&key) {
                None => Action::Created,
                Some(same) if same == object => Action::Unchanged,
                Some(_) => Action::Configured,
            };
            stays.insert(key.clone());
            changes.push(key, action, None);
        }
        for key in before.keys().filter(|key| !stays.contains(key)) {
            changes.push(key.clone(), Action::Deleted, None);
        }
        Ok(changes)
    }

    fn write(&self, desired: &Desired) -> Result<ChangeSet, ExportError> {
        let changes = self.changes(desired)?;
        let target = self.target(&desired.product);
        let files = files_of(desired)?;
        let fresh = self.folder.join(format!(".{}.new", desired.product));
        // What a run left that was cut off, on either side of the exchange.
        remove(&fresh)?;
        if read_files(&target)? == files {
            // That run's exchange may not be on the disk yet, and what follows says that it is.
            Folder::open(&self.folder)?.sync()?;
            return Ok(changes);
        }
        create_dir(&self.folder, 0o755)?;
        create_dir(&fresh, 0o755)?;
        for (name, content) in &files {
            write_file(&fresh.join(name), content, 0o644)?;
        }
        exchange(&fresh, &target)?;
        let folder = Folder::open(&self.folder)?;
        folder.sync()?;
        // What is left under the other name is what was replaced.
        if remove(&fresh)? {
            folder.sync()?;
        }
        Ok(changes)
    }
}

fn files_of(desired: &Desired) -> Result<Files, ExportError> {
    let mut files = Files::new();
    for (number, object) in desired.objects.iter().enumerate() {
        let name = state::file_name(number, object)?;
        let content =
            serde_json::to_vec_pretty(object).map_err(|source| StateError::Json { name: name.clone(), source })?;
        files.insert(name, content);
    }
    let marker = json!({"product": desired.product, "version": desired.version, "objects": desired.objects.len()});
    files.insert(MARKER.to_owned(), format!("{marker}\n").into_bytes());
    Ok(files)
}

/// Reads a folder that was exported before; empty where there is none. A folder of somebody else's is refused.
fn read_files(target: &Path) -> Result<Files, ExportError> {
    let unreadable = |source| DurableError::io(Step::Read, target, source);
    let entries = match std::fs::read_dir(target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Files::new()),
        other => other.map_err(unreadable)?,
    };
    let mut files = Files::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let content = std::fs::read(entry.path()).map_err(unreadable)?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), content);
    }
    if !files.is_empty() && !files.contains_key(MARKER) {
        return Err(ExportError::Foreign { path: target.to_owned() });
    }
    Ok(files)
}

/// Removes a folder, and tells whether it was there.
fn remove(folder: &Path) -> Result<bool, ExportError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(DurableError::io(Step::Remove, folder, error).into()),
    }
}

/// Puts the new folder in the old one's place, in one step where the file system can.
fn exchange(fresh: &Path, target: &Path) -> Result<(), ExportError> {
    let failed = |error: rustix::io::Errno| ExportError::from(DurableError::io(Step::Rename, target, error));
    if !target.exists() {
        return rustix::fs::rename(fresh, target).map_err(failed);
    }
    match rustix::fs::renameat_with(CWD, fresh, CWD, target, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // Off-spec: a file system that cannot exchange leaves a moment without the folder.
            remove(target)?;
            rustix::fs::rename(fresh, target).map_err(failed)
        }
        other => other.map_err(failed),
    }
}

impl Handoff for Export {
    fn name(&self) -> &'static str {
        "export"
    }

    async fn plan(&self, desired: &Desired, _: &Policy, _: &mut OnEvent<'_>) -> Result<Plan, Failure> {
        files_of(desired).map_err(Failure::from)?;
        Ok(Plan { changes: self.changes(desired)?, predicted: Vec::new(), fields: Vec::new() })
    }

    /// One folder takes the place of another at once: there is nothing to ask in between.
    async fn apply(
        &self,
        desired: &Desired,
        _: &Policy,
        _: &dyn GoAhead,
        on: &mut OnEvent<'_>,
    ) -> Result<ChangeSet, Stopped> {
        match self.write(desired) {
            Ok(changes) => {
                if let Some(sealed) = &desired.sealed {
                    on(Event::Note(format!(
                        "not exported, because others could read them: {}",
                        sealed.names().join(", ")
                    )));
                }
                changes.entries.iter().for_each(|entry| on(Event::Object(entry.clone())));
                Ok(changes)
            }
            Err(error) => Err(Stopped { failure: error.into(), changes: ChangeSet::default() }),
        }
    }

    async fn await_healthy(&self, _: &Desired, _: Duration, _: &mut OnEvent<'_>) -> Result<HealthReport, Failure> {
        Ok(HealthReport::default())
    }

    async fn rollback(
        &self,
        previous: &Desired,
        policy: &Policy,
        _: Duration,
        on: &mut OnEvent<'_>,
    ) -> Result<RolledBack, Stopped> {
        let changes = self.apply(previous, policy, &Always, on).await?;
        Ok(RolledBack { changes, health: HealthReport::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desired(names: &[&str]) -> Desired {
        let object = |name: &&str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}});
        Desired {
            product: "p".to_owned(),
            version: "1".to_owned(),
            tooling: "0".to_owned(),
            namespace: None,
            objects: names.iter().map(object).collect(),
            secrets: Vec::new(),
            sealed: None,
            needs: Default::default(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_folder_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let export = Export::new(dir.path());
        let first = export.write(&desired(&["a", "b"])).unwrap().counts();
        assert_eq!((first.created, first.deleted), (2, 0));
        assert_eq!(
            names(&dir.path().join("p")),
            [".consign-export", "0000-configmap-n-a.yaml", "0001-configmap-n-b.yaml"]
        );
        std::fs::create_dir(dir.path().join(".p.new")).unwrap();
        assert!(export.write(&desired(&["a", "b"])).unwrap().is_unchanged());
        assert_eq!(names(dir.path()), ["p"], "what a run left that was cut off is gone");
        let second = export.write(&desired(&["b"])).unwrap().counts();
        assert_eq!((second.unchanged, second.deleted), (1, 1));
        assert_eq!(names(&dir.path().join("p")), [".consign-export", "0000-configmap-n-b.yaml"]);
        assert_eq!(names(dir.path()), ["p"], "nothing is left beside it");
    }

    #[test]
    fn somebody_elses_folder_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("p")).unwrap();
        std::fs::write(dir.path().join("p/thesis.txt"), b"x").unwrap();
        let refused = Export::new(dir.path()).write(&desired(&["a"])).unwrap_err();
        assert_eq!(refused.code(), codes::ALREADY_EXISTS);
        assert_eq!(names(&dir.path().join("p")), ["thesis.txt"]);
    }
}
