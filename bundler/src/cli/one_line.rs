//! Text of strangers, kept on the line it stands on.

/// Makes every control character visible, line feeds and tabs too: a field of a file that a courier carried must not
/// write lines of its own into what a person reads before signing.
pub(super) fn one_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn no_field_begins_a_line_of_its_own() {
        assert_eq!(one_line("a\n  root\tb\r\u{1b}[2K\u{2028}é"), "a\\u{a}  root\\u{9}b\\u{d}\\u{1b}[2K\\u{2028}é");
    }
}
