//! What the commands have in common that work beside a folder of roots: where it is, who signs by it, and where what was
//! signed goes.

use std::path::{Path, PathBuf};

use consign_format::error::Failure;
use consign_format::trust::keys::Signer;
use consign_format::trust::roots::RootChain;
use consign_registry::durable;

use super::World;
use super::signing::KeyArgs;
use crate::sign;

/// Whose roots.
#[derive(Debug, clap::Args)]
pub(super) struct RootsArgs {
    /// The folder of the roots
    #[arg(long, default_value = sign::TRUST_FOLDER, value_name = "DIR")]
    trust: PathBuf,
}

/// Who signs a statement, and the file that gets it.
#[derive(Debug, clap::Args)]
pub(super) struct StatementArgs {
    #[command(flatten)]
    roots: RootsArgs,
    /// The file to write; without it one in this folder, named after what it is
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    keys: KeyArgs,
}

impl RootsArgs {
    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        &self.trust
    }

    /// The roots in it.
    pub(super) fn read(&self) -> Result<RootChain, Failure> {
        sign::read_roots(&self.trust)
    }

    /// The keys that were named, or the development key in the folder.
    pub(super) fn signers<'a>(
        &self,
        keys: &KeyArgs,
        world: &'a World<'_>,
    ) -> Result<Vec<Box<dyn Signer + 'a>>, Failure> {
        keys.open(world, Some(&self.trust.join(sign::DEVELOPMENT_KEY)))
    }
}

impl StatementArgs {
    /// Where the roots are.
    pub(super) fn roots(&self) -> &RootsArgs {
        &self.roots
    }

    /// Who signs.
    pub(super) fn signers<'a>(&self, world: &'a World<'_>) -> Result<Vec<Box<dyn Signer + 'a>>, Failure> {
        self.roots.signers(&self.keys, world)
    }

    /// Writes what was signed, under the name that was given or else this one; returns the file.
    pub(super) fn write(&self, name: String, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let path = self.output.clone().unwrap_or_else(|| name.into());
        durable::write_file(&path, bytes, 0o644)?;
        Ok(path)
    }
}
