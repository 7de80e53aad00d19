//! The table of codes and the page that explains them say the same.

use std::collections::BTreeSet;

use consign_format::error::codes;
use consign_terminal::explain::{section, sections};

#[test]
fn every_code_is_explained_and_nothing_else_is() {
    let codes: BTreeSet<&str> = codes::ALL.iter().map(|code| code.name).collect();
    let explained: Vec<&str> = sections().map(|(name, _)| name).collect();
    let distinct: BTreeSet<&str> = explained.iter().copied().collect();
    assert_eq!(codes.len(), codes::ALL.len(), "a code is in the table twice");
    assert_eq!(explained.len(), distinct.len(), "a code is explained twice in docs/errors.md");
    let missing: Vec<_> = codes.difference(&distinct).collect();
    assert!(missing.is_empty(), "docs/errors.md lacks a `## CODE` section for {missing:?}");
    let unknown: Vec<_> = distinct.difference(&codes).collect();
    assert!(unknown.is_empty(), "docs/errors.md explains what is no code: {unknown:?}");
}

#[test]
fn every_explanation_names_the_exit_code_of_the_table() {
    for code in codes::ALL {
        let text = section(code.name).unwrap_or_default();
        let exit = format!("Exit {}", code.exit.code());
        let named = text.split(&exit).skip(1).any(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()));
        assert!(named, "docs/errors.md, section {code}: says nowhere `{exit}`");
    }
}

#[test]
fn codes_are_kebab_case() {
    for code in codes::ALL {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(code.name.chars().all(fits) && !code.name.contains("--"), "{code}");
    }
}
