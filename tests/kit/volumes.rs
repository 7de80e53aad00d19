//! A release whose bundle is worth cutting, and its volumes, cut by the real program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::command::{Invocation, consign};
use crate::forge::Forge;

/// Bytes that look like a layer: no two stretches of them alike.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_be_bytes()[..5]);
    }
    bytes.truncate(length);
    bytes
}

/// A good release with images whose layers are this long.
pub fn release(sequence: u64, layers: &[usize]) -> Forge {
    Forge::new(sequence).with(|forge| {
        for (n, length) in layers.iter().enumerate() {
            let layer = noise(sequence * 100 + n as u64, *length);
            forge.content.image(&format!("registry.example/part-{n}:1"), &layer);
        }
    })
}

/// The size of volumes that have this much room beside the head of a bundle, which each repeats.
pub fn size(forge: &Forge, room: u64) -> u64 {
    forge.tape().boundary() + 2048 + room
}

/// `consign split`, not run yet.
pub fn split(bundle: &Path, size: u64, into: &Path) -> Invocation {
    consign(["split"]).arg(bundle).option("--size", size.to_string()).option("--output", into)
}

/// Writes the bundle of a release and cuts it; returns the volumes in order. They lie in `folder`.
pub fn cut(forge: &Forge, room: u64, folder: &Path) -> Vec<PathBuf> {
    let whole = tempfile::tempdir().expect("a temporary folder");
    let bundle = whole.path().join("lamp.consign");
    fs::write(&bundle, forge.bundle()).expect("a bundle");
    let done = split(&bundle, size(forge, room), folder).arg("--json").succeeds().json();
    let volumes = done["volumes"].as_array().expect("volumes").clone();
    volumes.iter().map(|volume| volume["path"].as_str().expect("a path").into()).collect()
}
