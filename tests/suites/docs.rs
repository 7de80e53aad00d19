//! Docs that lead somewhere: every link ends at a file, every page is in the book.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use consign_tests::generated::root;

/// All Markdown that people read, as paths in the repository.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "schemas/README.md"]
        .map(|name| root().join(name))
        .to_vec();
    pages.extend(markdown_in(&root().join("docs")));
    pages
}

fn markdown_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(markdown_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

/// The targets of `[text](target)` outside fenced blocks.
fn links(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    let after_brackets = outside.flat_map(|part| part.split("](").skip(1));
    after_brackets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target)).collect()
}

/// How mdBook and forges name the anchor of a heading.
fn anchor(heading: &str) -> String {
    let lower = heading.trim().to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for target in links(&text).into_iter().filter(|target| !target.contains("://")) {
            let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
            let file = if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(file.exists(), "{}: `{target}` leads nowhere", page.display());
            if !fragment.is_empty() {
                let there = fs::read_to_string(&file).unwrap();
                let headings = there.lines().filter(|line| line.starts_with('#'));
                let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#')));
                assert!(anchors.any(|a| a == fragment), "{}: no heading for `{target}`", page.display());
            }
        }
    }
}

#[test]
fn every_page_is_in_the_book() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> = links(&summary).into_iter().map(|target| docs.join(target)).collect();
    for page in markdown_in(&docs).into_iter().filter(|page| !page.ends_with("SUMMARY.md")) {
        assert!(listed.contains(&page), "docs/SUMMARY.md does not list {}", page.display());
    }
}

#[test]
fn nothing_in_the_docs_was_left_open() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for word in ["TODO", "FIXME", "XXX", "TBD"] {
            assert!(!text.contains(word), "{}: {word}", page.display());
        }
    }
}

#[test]
fn links_and_anchors_are_read_as_forges_read_them() {
    assert_eq!(links("a [b](c.md) `x`\n```\n[no](no.md)\n```\n[d](e.md#f)"), ["c.md", "e.md#f"]);
    assert_eq!(anchor(" What is *not* trusted, and why"), "what-is-not-trusted-and-why");
}
