//! The `Range` header (RFC 9110 §14), for resumed downloads.

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// No header, or one that may be passed over: other units, several ranges, bad form (RFC 9110 §14.2).
    Whole,
    /// From the first byte to before the second number.
    Part(u64, u64),
    /// Nothing of it is there: 416.
    Nothing,
}

/// Reads a header against the size of what it is about.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) =
        header.and_then(|header| header.trim().strip_prefix("bytes=")).and_then(|range| range.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number beyond u64 is a number all the same, and beyond every size.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first, last) {
        (first, "") if digits(first) => part(number(first), size, size),
        (first, last) if digits(first) && digits(last) => {
            let (first, last) = (number(first), number(last));
            if last < first { Wanted::Whole } else { part(first, last.saturating_add(1).min(size), size) }
        }
        ("", last) if digits(last) => match number(last) {
            0 => Wanted::Nothing,
            suffix => part(size.saturating_sub(suffix), size, size),
        },
        _ => Wanted::Whole,
    }
}

fn part(start: u64, end: u64, size: u64) -> Wanted {
    if start < size { Wanted::Part(start, end) } else { Wanted::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let huge = format!("bytes=0-{}0", u64::MAX);
        for (header, expected) in [
            ("bytes=0-", Wanted::Part(0, 10)),
            ("bytes=3-", Wanted::Part(3, 10)),
            ("bytes=3-5", Wanted::Part(3, 6)),
            ("bytes=9-9", Wanted::Part(9, 10)),
            ("bytes=3-99", Wanted::Part(3, 10)),
            (huge.as_str(), Wanted::Part(0, 10)),
            ("bytes=-4", Wanted::Part(6, 10)),
            ("bytes=-40", Wanted::Part(0, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=1-2,4-5", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
