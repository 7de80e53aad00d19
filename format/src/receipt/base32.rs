//! Text that people read out and phones read off: 32 letters and digits without those that are taken for others
//! (Douglas Crockford's), all of them in the cheap alphabet of QR codes (ISO/IEC 18004, alphanumeric).

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Writes bytes, the last character filled up with zero bits.
pub fn encode(bytes: &[u8]) -> String {
    let (mut out, mut held, mut bits) = (String::new(), 0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(digit(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(digit(held << (5 - bits)));
    }
    out
}

/// One character of a value below 32.
pub(super) fn digit(value: u32) -> char {
    char::from(ALPHABET[(value & 31) as usize])
}

/// The value of a character as somebody may have heard or typed it: in lower case, `O` for zero, `I` or `L` for one.
pub(super) fn value(character: char) -> Option<u32> {
    let character = match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().position(|one| char::from(*one) == character).map(|at| at as u32)
}

/// Reads what [`encode`] wrote; spaces and hyphens are passed over. `None` for other characters, and for bits too many.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for character in text.chars().filter(|c| !matches!(c, ' ' | '-' | '\n' | '\r' | '\t')) {
        held = (held << 5) | value(character)?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    (bits < 5 && held == 0).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_as_it_was_heard() {
        for length in 0..70_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(37) ^ length).collect();
            assert_eq!(decode(&encode(&bytes)), Some(bytes));
        }
        assert_eq!(encode(&[0xff, 0x00]), "ZW00");
        assert_eq!(decode("zw-oO"), Some(vec![0xff, 0]));
        assert_eq!(decode("ZW01"), None, "bits that are no byte must be zero");
        assert_eq!(decode("ZW0U"), None);
        assert_eq!(decode("ZW0"), None, "a character too few");
    }
}
