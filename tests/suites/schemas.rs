//! What is generated is what is checked in.

use std::collections::BTreeSet;
use std::fs;

use consign_tests::generated::{self, Generated, root};

fn assert_current(files: &[Generated], chore: &str) {
    for Generated { path, text } in files {
        let there = fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(there == *text, "{path} is not what the types say: run `cargo xtask {chore}` and look at the diff");
    }
}

#[test]
fn schemas_are_what_the_types_say() {
    let files = generated::schemas();
    assert_current(&files, "schemas");
    let made: BTreeSet<String> = files.into_iter().map(|file| file.path).collect();
    for entry in fs::read_dir(root().join("schemas")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let generated = made.contains(&format!("schemas/{name}"));
        assert!(generated || name == "README.md", "schemas/{name} is made by nobody");
    }
}

#[test]
fn the_command_line_reference_is_what_the_programs_say() {
    assert_current(&generated::docs(), "docs");
}
