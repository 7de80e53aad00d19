//! The header of an age file is measured before age parses it: age's parser begins anew with every line, so what it
//! costs grows with the square of what a stranger wrote (20 000 stanzas take minutes).

use std::io::{self, BufRead, BufReader, Read};

use consign_format::verify::Undecryptable;

/// Bytes in a header. Ours have some 350.
pub(crate) const LIMIT: u64 = 64 * 1024;
/// Stanzas in a header. Ours have two: the recipient's, and the random one ("grease") that age adds so that readers stay tolerant.
const STANZAS: usize = 64;

/// Reads a header to its end and returns its length; refuses one that is no header, or beyond the bounds.
pub(crate) fn measure(file: impl Read) -> io::Result<Result<u64, Undecryptable>> {
    let mut lines = BufReader::with_capacity(512, file.take(LIMIT));
    let (mut line, mut length, mut stanzas) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let begins = length == 0;
        length += lines.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            let over = lines.get_ref().limit() == 0;
            return Ok(Err(Undecryptable(if over { "its header is too long" } else { "its header has no end" })));
        }
        if begins && line != b"age-encryption.org/v1\n" {
            return Ok(Err(Undecryptable("it does not begin as an age file does")));
        }
        if line.starts_with(b"---") {
            return Ok(Ok(length));
        }
        stanzas += usize::from(line.starts_with(b"->"));
        if stanzas > STANZAS {
            return Ok(Err(Undecryptable("its header names too many recipients")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(stanzas: &str) -> String {
        let header = format!("age-encryption.org/v1\n{stanzas}");
        measure(header.as_bytes()).unwrap().map_or_else(|reason| reason.0.to_owned(), |_| "taken".to_owned())
    }

    #[test]
    fn headers_are_bounded_in_length_and_in_stanzas() {
        let stanza = "-> X25519 AAAA\nAAAA\n";
        assert_eq!(refused(&format!("{stanza}--- mac\n")), "taken");
        assert_eq!(refused(&format!("{}--- mac\n", stanza.repeat(64))), "taken");
        assert_eq!(refused(&format!("{}--- mac\n", stanza.repeat(65))), "its header names too many recipients");
        assert_eq!(refused(&"a".repeat(100_000)), "its header is too long");
        assert_eq!(refused(&"a\n".repeat(100_000)), "its header is too long");
        assert_eq!(refused(stanza), "its header has no end");
        assert!(measure(&b"PK\x03\x04\n"[..]).unwrap().is_err());
    }
}
