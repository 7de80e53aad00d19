//! `explain CODE`: the section of `docs/errors.md` about one error, from inside the program.
//!
//! At a site there is no network to look anything up in, so the page is part of both programs.

use consign_format::error::{Failure, codes};

use crate::output::Usage;

/// The page that a test holds against the table of codes.
pub const PAGE: &str = include_str!("../../docs/errors.md");

/// Explains one code, or lists all of them with their exit codes when none is given.
///
/// A code in the form `error[code]`, as copied from a terminal, is understood.
///
/// # Errors
/// `usage` for a name that is no code; the hint names the nearest ones.
pub fn explain(code: Option<&str>) -> Result<String, Failure> {
    let Some(asked) = code else { return Ok(list()) };
    let name = asked.trim().trim_start_matches("error[").trim_end_matches([']', ':']);
    let known = codes::ALL.iter().find(|code| code.name == name);
    match known {
        Some(code) => {
            let text = section(name).unwrap_or("There is no explanation yet.");
            Ok(format!("error[{name}], exit code {}\n\n{text}", code.exit.code()))
        }
        None => Err(unknown(name).into()),
    }
}

/// The text under `## name` in the page, without the heading; `None` if there is no such section.
pub fn section(name: &str) -> Option<&'static str> {
    sections().find(|(heading, _)| *heading == name).map(|(_, text)| text)
}

/// Every section of the page that explains a code: heading and text, in order.
pub fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGE.split("\n## ").skip(1).map(|part| {
        let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
        (heading.trim(), text.trim())
    })
}

fn list() -> String {
    let mut codes: Vec<_> = codes::ALL.iter().collect();
    codes.sort_by_key(|code| (code.exit, code.name));
    let width = codes.iter().map(|code| code.name.len()).max().unwrap_or(0);
    let mut text = String::from("exit  code\n");
    for code in codes {
        let first = section(code.name).map(first_sentence).unwrap_or_default();
        text.push_str(&format!("{:>4}  {:width$}  {first}\n", code.exit.code(), code.name));
    }
    text.push_str("\nOne of them in full: explain CODE");
    text
}

fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.find(". ").map_or(line, |end| &line[..=end])
}

fn unknown(name: &str) -> Usage {
    let mut near: Vec<(usize, &str)> = codes::ALL.iter().map(|code| (distance(name, code.name), code.name)).collect();
    near.sort();
    near.truncate(3);
    let names: Vec<&str> = near.into_iter().map(|(_, name)| name).collect();
    Usage {
        message: format!("there is no error code `{name}`"),
        hint: Some(format!("did you mean {}? without a code, all are listed", names.join(", "))),
    }
}

/// Levenshtein distance; a code that contains what was typed counts as near.
fn distance(typed: &str, code: &str) -> usize {
    if !typed.is_empty() && code.contains(typed) {
        return 1;
    }
    let code: Vec<char> = code.chars().collect();
    let mut row: Vec<usize> = (0..=code.len()).collect();
    for (i, a) in typed.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in code.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[code.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_is_explained_however_it_was_copied() {
        for asked in ["io", "error[io]", " error[io]: "] {
            let text = explain(Some(asked)).unwrap();
            assert!(text.starts_with("error[io], exit code 1\n\nA file or folder"), "{asked}: {text}");
        }
    }

    #[test]
    fn an_unknown_code_names_its_neighbours() {
        let failure = explain(Some("digest-missmatch")).unwrap_err();
        assert_eq!(failure.code(), codes::USAGE);
        assert!(failure.hint().unwrap().starts_with("did you mean digest-mismatch, "), "{:?}", failure.hint());
    }

    #[test]
    fn the_list_has_every_code_once() {
        let text = explain(None).unwrap();
        for code in codes::ALL {
            let lines = text.lines().filter(|line| line.split_whitespace().nth(1) == Some(code.name));
            assert_eq!(lines.count(), 1, "{code}");
        }
    }

    #[test]
    fn distances() {
        for (a, b, far) in [("", "abc", 3), ("abc", "abc", 1), ("abd", "abc", 1), ("xyz", "abc", 3), ("ac", "abc", 1)] {
            assert_eq!(distance(a, b), far, "{a} {b}");
        }
    }
}
