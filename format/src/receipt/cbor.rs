//! The little of CBOR (RFC 8949) that a slip needs: integers, bytes, text, null, arrays, each in its one shortest form.

/// Writes.
#[derive(Debug, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

const UINT: u8 = 0;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const NULL: u8 = 0xf6;

impl Writer {
    fn head(&mut self, major: u8, value: u64) {
        let major = major << 5;
        match value {
            0..24 => self.0.push(major | value as u8),
            24..0x100 => self.0.extend([major | 24, value as u8]),
            0x100..0x1_0000 => {
                self.0.push(major | 25);
                self.0.extend((value as u16).to_be_bytes());
            }
            0x1_0000..0x1_0000_0000 => {
                self.0.push(major | 26);
                self.0.extend((value as u32).to_be_bytes());
            }
            _ => {
                self.0.push(major | 27);
                self.0.extend(value.to_be_bytes());
            }
        }
    }

    pub(super) fn uint(&mut self, value: u64) {
        self.head(UINT, value);
    }

    pub(super) fn bytes(&mut self, value: &[u8]) {
        self.head(BYTES, value.len() as u64);
        self.0.extend(value);
    }

    pub(super) fn text(&mut self, value: &str) {
        self.head(TEXT, value.len() as u64);
        self.0.extend(value.as_bytes());
    }

    pub(super) fn array(&mut self, length: u64) {
        self.head(ARRAY, length);
    }

    pub(super) fn null(&mut self) {
        self.0.push(NULL);
    }
}

/// Reads. `None` for everything that [`Writer`] does not write; that a form is the shortest one is for the caller to see,
/// by writing it again.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn head(&mut self, major: u8) -> Option<u64> {
        let first = *self.take(1)?.first()?;
        if first >> 5 != major {
            return None;
        }
        let length = match first & 31 {
            small @ 0..24 => return Some(u64::from(small)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        Some(self.take(length)?.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    pub(super) fn uint(&mut self) -> Option<u64> {
        self.head(UINT)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.head(BYTES)?;
        self.take(usize::try_from(length).ok()?)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.head(TEXT)?;
        std::str::from_utf8(self.take(usize::try_from(length).ok()?)?).ok()
    }

    pub(super) fn array(&mut self, length: u64) -> Option<()> {
        (self.head(ARRAY)? == length).then_some(())
    }

    /// Whether null comes next; then it is passed.
    pub(super) fn null(&mut self) -> bool {
        let is_null = self.0.first() == Some(&NULL);
        if is_null {
            self.0 = &self.0[1..];
        }
        is_null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (value, expected) in [
            (0, "00"),
            (23, "17"),
            (24, "1818"),
            (1000, "1903e8"),
            (1_000_000, "1a000f4240"),
            (1_000_000_000_000, "1b000000e8d4a51000"),
        ] {
            let mut writer = Writer::default();
            writer.uint(value);
            assert_eq!(hex::encode(&writer.0), expected);
            assert_eq!(Reader(&writer.0).uint(), Some(value));
        }
        let mut writer = Writer::default();
        writer.array(3);
        writer.text("IETF");
        writer.bytes(&[1, 2]);
        writer.null();
        assert_eq!(hex::encode(&writer.0), "8364494554464201 02f6".replace(' ', ""));
        let mut reader = Reader(&writer.0);
        assert_eq!(
            (reader.array(3), reader.text(), reader.bytes(), reader.null()),
            (Some(()), Some("IETF"), Some(&[1, 2][..]), true)
        );
        assert!(
            Reader(&[0x5b, 255, 255, 255, 255, 255, 255, 255, 255]).bytes().is_none(),
            "a length out of this world"
        );
    }
}
