//! One error, as text and as JSON. Pure: both return what would be printed.

use consign_format::error::Failure;
use schemars::JsonSchema;
use serde::Serialize;

/// Renders an error without colour: what happened, why, what to do next.
///
/// ```text
/// error[digest-mismatch]: blobs/sha256/… is not what was signed
/// caused by: …
/// hint: …
/// ```
pub fn report(failure: &Failure) -> String {
    render(failure, Style::PLAIN)
}

/// Renders an error with the labels in colour, for a terminal.
pub(crate) fn report_in_colour(failure: &Failure) -> String {
    render(failure, Style::COLOUR)
}

/// What `--json` prints where a command fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorDocument {
    /// The error that ended the command.
    pub error: ErrorBody,
}

/// One error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ErrorBody {
    /// The stable, kebab-case code; `explain CODE` tells more.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do next, where there is something sensible to say.
    pub hint: Option<String>,
    /// The exit code of the process.
    pub exit: u8,
}

/// An error as the document of `--json`.
pub fn report_json(failure: &Failure) -> ErrorDocument {
    ErrorDocument {
        error: ErrorBody {
            code: failure.code().name.to_owned(),
            message: failure.to_string(),
            causes: failure.causes(),
            hint: failure.hint(),
            exit: failure.code().exit.code(),
        },
    }
}

/// How labels are drawn. Only labels carry colour: a message can be copied as it is.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    error: &'static str,
    warning: &'static str,
    label: &'static str,
    off: &'static str,
}

impl Style {
    pub(crate) const PLAIN: Style = Style { error: "", warning: "", label: "", off: "" };
    pub(crate) const COLOUR: Style =
        Style { error: "\x1b[1;31m", warning: "\x1b[1;33m", label: "\x1b[1;36m", off: "\x1b[0m" };

    pub(crate) fn warning(self, text: &str) -> String {
        let Style { warning, off, .. } = self;
        format!("{warning}warning:{off} {}", escape_controls(text))
    }
}

fn render(failure: &Failure, style: Style) -> String {
    let Style { error, label, off, .. } = style;
    let mut text = format!("{error}error[{}]{off}: {}", failure.code(), escape_controls(&failure.to_string()));
    for cause in failure.causes() {
        text.push_str(&format!("\n{label}caused by{off}: {}", escape_controls(&cause)));
    }
    if let Some(hint) = failure.hint() {
        text.push_str(&format!("\n{label}hint{off}: {}", escape_controls(&hint)));
    }
    text
}

/// Makes control characters visible: names come from media that nobody trusts yet, and a terminal obeys
/// escape sequences. Line feeds and tabs stay.
pub fn escape_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if (character.is_control() && !matches!(character, '\n' | '\t')) || reorders {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use consign_format::error::{Code, Coded, codes};
    use serde_json::{Value, json};
    use std::error::Error;
    use std::fmt;

    #[derive(Debug)]
    struct Outer(Option<std::io::Error>, Option<&'static str>);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot read a.consign")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.as_ref().map(|cause| cause as _)
        }
    }
    impl Coded for Outer {
        fn code(&self) -> Code {
            codes::TRUNCATED
        }
        fn hint(&self) -> Option<String> {
            self.1.map(str::to_owned)
        }
    }

    #[test]
    fn what_why_and_next() {
        let failure = Failure::from(Outer(Some(std::io::Error::other("short read")), Some("copy it again")));
        assert_eq!(
            report(&failure),
            "error[truncated]: cannot read a.consign\ncaused by: short read\nhint: copy it again"
        );
        let document = |failure: &Failure| serde_json::to_value(report_json(failure)).unwrap();
        assert_eq!(
            document(&failure),
            json!({"error": {"code": "truncated", "message": "cannot read a.consign", "causes": ["short read"],
                "hint": "copy it again", "exit": 10}})
        );
        let bare = Failure::from(Outer(None, None));
        assert_eq!(report(&bare), "error[truncated]: cannot read a.consign");
        assert_eq!(document(&bare)["error"]["hint"], Value::Null);
    }

    #[test]
    fn colour_is_on_labels_only() {
        let failure = Failure::from(Outer(None, Some("x")));
        assert_eq!(
            report_in_colour(&failure),
            "\x1b[1;31merror[truncated]\x1b[0m: cannot read a.consign\n\x1b[1;36mhint\x1b[0m: x"
        );
    }

    #[test]
    fn names_from_outside_cannot_drive_the_terminal() {
        assert_eq!(escape_controls("a\x1b[2Jb\u{202e}c\nd\te"), "a\\u{1b}[2Jb\\u{202e}c\nd\te");
    }
}
