//! The volumes of a bundle, as files in a folder: found by their names, opened without following a link, put together.
//!
//! Names only tell where to look. Which volume a file is, it says itself, and that is held against the others.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use consign_format::archive::volumes::{
    Hint, Joined, Map, MissingVolumes, VOLUME_MEMBER, VolumeError, bundle_name, check_volume, claims,
};
use consign_format::error::{Code, Coded, codes};

use crate::durable::{DurableError, Folder, parent_of};

/// Why volumes cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum VolumesError {
    /// One of them cannot be opened.
    #[error(transparent)]
    Durable(#[from] DurableError),
    /// The folder cannot be read.
    #[error("cannot read the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder has no volumes, or those of several bundles.
    #[error("{} holds {}", path.display(), held(.names))]
    Which {
        /// The folder.
        path: PathBuf,
        /// The names of the bundles, ascending.
        names: Vec<String>,
    },
    /// Something is wrong with one.
    #[error("{} cannot be used", path.display())]
    Volume {
        /// The volume.
        path: PathBuf,
        /// What is wrong.
        source: VolumeError,
    },
    /// Some are not here, and all are needed.
    #[error("{} is not whole", path.display())]
    Missing {
        /// The bundle.
        path: PathBuf,
        /// What is missing.
        source: MissingVolumes,
    },
}

fn held(names: &[String]) -> String {
    match names {
        [] => "no volumes".to_owned(),
        names => format!("volumes of {} bundles: {}", names.len(), names.join(", ")),
    }
}

impl Coded for VolumesError {
    fn code(&self) -> Code {
        match self {
            VolumesError::Durable(error) => error.code(),
            VolumesError::Folder { .. } => codes::IO,
            VolumesError::Which { .. } => codes::WHICH_BUNDLE,
            VolumesError::Volume { source, .. } => source.code(),
            VolumesError::Missing { .. } => codes::VOLUME_MISSING,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            VolumesError::Durable(error) => return error.hint(),
            VolumesError::Folder { .. } => "check the path, and that the medium is mounted",
            VolumesError::Which { .. } => "name one volume of the bundle; the others are found beside it",
            VolumesError::Volume { source, .. } => return source.hint(),
            VolumesError::Missing { .. } => MissingVolumes::HINT,
        };
        Some(hint.to_owned())
    }
}

/// Volumes that are of one bundle.
#[derive(Debug)]
pub struct Volumes {
    /// Their bytes as the bundle's.
    pub joined: Joined<File>,
    /// Where the bundle would lie if it were whole.
    pub bundle: PathBuf,
    /// Why one of the files beside them is not put to them. The bundle must not be taken; what its head says of roots
    /// counts all the same, for else a torn volume could hold back a revocation.
    pub trouble: Option<VolumesError>,
}

impl Volumes {
    /// Demands that there is no trouble.
    ///
    /// # Errors
    /// The trouble.
    pub fn sound(self) -> Result<Self, VolumesError> {
        match self.trouble {
            Some(trouble) => Err(trouble),
            None => Ok(self),
        }
    }
}

/// Tells a volume by its first bytes. What cannot be read is none; whoever reads on says why.
pub fn is_volume(file: &File) -> bool {
    let mut name = [0; VOLUME_MEMBER.len() + 1];
    file.read_exact_at(&mut name, 0).is_ok_and(|()| name.strip_suffix(&[0]) == Some(VOLUME_MEMBER.as_bytes()))
}

/// The bundles of which a folder has volumes, by name, and the first volume of each.
///
/// # Errors
/// [`VolumesError::Folder`].
pub fn bundles_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>, VolumesError> {
    let mut bundles = BTreeMap::new();
    for name in files_in(folder)? {
        if let Some(bundle) = name.to_str().and_then(bundle_name) {
            bundles.entry(bundle.to_owned()).or_insert_with(|| folder.join(&name));
        }
    }
    Ok(bundles)
}

/// Opens the volumes of the one bundle of which a folder has any.
///
/// # Errors
/// [`VolumesError`].
pub fn open_folder(folder: &Path) -> Result<Volumes, VolumesError> {
    let names: Vec<String> = bundles_in(folder)?.into_keys().collect();
    let which = |names| VolumesError::Which { path: folder.to_owned(), names };
    let [name] = names.as_slice() else { return Err(which(names)) };
    open_named(folder, name, None)
}

/// Opens a volume and those beside it that have the same bundle's name.
///
/// # Errors
/// [`VolumesError`]; a volume of another bundle under that name is not passed over.
pub fn open(volume: &Path) -> Result<Volumes, VolumesError> {
    let (folder, name) = (parent_of(volume), volume.file_name().unwrap_or_default());
    match name.to_str().and_then(bundle_name) {
        Some(bundle) => open_named(&folder, bundle, Some(name.to_owned())),
        // Under another name nobody knows what belongs to it.
        None => put_together(&folder, &name.to_string_lossy(), vec![name.to_owned()]),
    }
}

/// `wanted` is looked at first: the others must be of its bundle.
fn open_named(folder: &Path, bundle: &str, wanted: Option<OsString>) -> Result<Volumes, VolumesError> {
    let mut names = files_in(folder)?;
    names.retain(|name| name.to_str().and_then(bundle_name) == Some(bundle));
    names.sort_by_key(|name| (wanted.as_ref() != Some(name), name.clone()));
    put_together(folder, bundle, names)
}

fn put_together(folder: &Path, bundle: &str, names: Vec<OsString>) -> Result<Volumes, VolumesError> {
    // The folder itself may be reached by a link, as mounted media are; what lies in it may not.
    let at = folder.canonicalize().map_err(|source| VolumesError::Folder { path: folder.to_owned(), source })?;
    let handle = Folder::open(&at)?;
    let (mut map, mut files, mut foreign, mut trouble) = (None::<Map>, BTreeMap::new(), Vec::new(), None);
    for name in names {
        let path = folder.join(&name);
        let refused = |source| VolumesError::Volume { path: path.clone(), source };
        let Some(mut file) = handle.open_file(&name)? else { continue };
        let hint = match check_volume(&mut file).map_err(refused) {
            Ok(hint) => hint,
            Err(error) => {
                trouble.get_or_insert(error);
                continue;
            }
        };
        let number = hint.number;
        match &mut map {
            None => map = Some(Map::new(hint)),
            Some(map) if !map.is_of(&hint) => {
                foreign.push((path, hint, file));
                continue;
            }
            Some(map) => match map.add(hint).map_err(refused) {
                Ok(_) => {}
                Err(error) => {
                    trouble.get_or_insert(error);
                    continue;
                }
            },
        }
        files.entry(number).or_insert(file);
    }
    let Some(map) = map else {
        return Err(trouble.unwrap_or(VolumesError::Which { path: folder.to_owned(), names: Vec::new() }));
    };
    let foreign = foreign.into_iter().next();
    let trouble = trouble.or_else(|| foreign.map(|(path, hint, file)| foreigner(path, &hint, file, &map, &mut files)));
    Ok(Volumes { joined: Joined::new(map, files), bundle: folder.join(bundle), trouble })
}

/// Says which volume is wanted in the place of a foreign one.
fn foreigner(path: PathBuf, hint: &Hint, mut file: File, map: &Map, files: &mut BTreeMap<u64, File>) -> VolumesError {
    let claimed = files.values_mut().next().map(|file| claims(file, map.wanted()));
    let claimed = claimed.unwrap_or_default();
    let wanted = match map.missing().first() {
        Some(missing) => format!("{} of {} of {claimed}", missing.numbers(), map.of()),
        None => format!("no more than the {} of {claimed}", map.of()),
    };
    let found = format!("volume {} of {} of {}", hint.number, hint.of, claims(&mut file, hint));
    VolumesError::Volume { path, source: VolumeError::Foreign { wanted, found } }
}

/// What may be a volume: what Finder and friends leave beside a file begins with a dot.
fn files_in(folder: &Path) -> Result<Vec<OsString>, VolumesError> {
    let failed = |source| VolumesError::Folder { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if !name.as_encoded_bytes().starts_with(b".") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
