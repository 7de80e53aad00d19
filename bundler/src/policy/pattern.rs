//! Patterns of image references: `quay.io/lumen/*`, `docker.io/library/nginx:1.*`, `registry.example/**`.

use std::str::FromStr;

use consign_format::Reference;

/// Stars take time that grows with every further one; nobody writes this many.
const STARS: usize = 8;

/// A pattern. `*` stands for anything but `/`, `**` for anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    name: String,
    /// Without one, every tag fits, and none.
    tag: Option<String>,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern of image references: {reason}")]
pub struct PatternError {
    text: String,
    reason: &'static str,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let refuse = |reason| Err(PatternError { text: text.to_owned(), reason });
        if text.contains('@') {
            return refuse("a digest fits one image only, and a signature says more");
        }
        if text.bytes().filter(|byte| *byte == b'*').count() > STARS {
            return refuse("it has too many stars");
        }
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"*._-/:".contains(&byte);
        if text.is_empty() || !text.bytes().all(known) {
            return refuse("it holds what no reference holds");
        }
        // A colon behind the last slash parts the tag; one before it is a port.
        let behind = text.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match text[behind..].split_once(':') {
            Some((last, tag)) => (format!("{}{last}", &text[..behind]), Some(tag.to_owned())),
            None => (text.to_owned(), None),
        };
        let host = name.split('/').next().unwrap_or_default();
        if !name.contains('/') && !name.contains("**") {
            return refuse("write the reference in full, with its host: docker.io/library/nginx");
        }
        if !host.contains(['.', ':', '*']) && host != "localhost" {
            return refuse("write the reference in full, with its host: docker.io/library/nginx");
        }
        Ok(Pattern { text: text.to_owned(), name, tag })
    }
}

impl Pattern {
    /// Tells whether a reference fits.
    pub fn fits(&self, reference: &Reference) -> bool {
        let tag = match (&self.tag, &reference.tag) {
            (None, _) => true,
            (Some(pattern), Some(tag)) => glob(pattern.as_bytes(), tag.as_bytes()),
            (Some(_), None) => false,
        };
        tag && glob(self.name.as_bytes(), reference.name().as_bytes())
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|taken| glob(rest, &text[taken..])),
        [b'*', rest @ ..] => {
            let within = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=within).any(|taken| glob(rest, &text[taken..]))
        }
        [first, rest @ ..] => text.first() == Some(first) && glob(rest, &text[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stop_at_slashes_and_tags_count_only_where_they_are_said() {
        for (pattern, reference, fits) in [
            ("quay.io/lumen/*", "quay.io/lumen/archive:2.3.1", true),
            ("quay.io/lumen/*", "quay.io/lumen/tools/archive:1", false),
            ("quay.io/lumen/**", "quay.io/lumen/tools/archive:1", true),
            ("quay.io/lumen/*", "quay.io/lumen-evil/archive:1", false),
            ("quay.io/lumen/archive", "quay.io/lumen/archive:1", true),
            ("quay.io/lumen/archive", "quay.io/lumen/archive2:1", false),
            ("quay.io/lumen/archive:2.*", "quay.io/lumen/archive:2.3.1", true),
            ("quay.io/lumen/archive:2.*", "quay.io/lumen/archive:3.0", false),
            ("docker.io/library/*", "nginx:1.22", true),
            ("registry.example:5000/a/*", "registry.example:5000/a/b:1", true),
            ("registry.example:5000/a/*", "registry.example/a/b:1", false),
            ("**", "ghcr.io/a/b/c:1", true),
            ("*.example/*", "registry.example/app:1", true),
        ] {
            let (parsed, reference): (Pattern, Reference) = (pattern.parse().unwrap(), reference.parse().unwrap());
            assert_eq!(parsed.fits(&reference), fits, "{pattern} {reference}");
        }
    }

    #[test]
    fn what_can_fit_nothing_is_refused() {
        for text in ["", "nginx", "nginx:1", "library/nginx", "a.b/c@sha256:0", "a.b/ c", "a.b/*********"] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }
}
