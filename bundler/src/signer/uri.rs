//! A key on a token by its URI (RFC 7512), as far as a signing key needs it:
//! `pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE`.

use std::path::PathBuf;

/// What a URI says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TokenUri {
    pub(super) token: Option<String>,
    pub(super) manufacturer: Option<String>,
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) object: Option<String>,
    pub(super) id: Option<Vec<u8>>,
    pub(super) module: Option<PathBuf>,
    pub(super) pin_source: Option<PathBuf>,
}

/// Parses a URI; what it says and is not understood is refused, not passed by.
pub(super) fn parse(uri: &str) -> Result<TokenUri, String> {
    let text = uri.strip_prefix("pkcs11:").ok_or("it does not begin with pkcs11:")?;
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let mut parsed = TokenUri::default();
    for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
        let (name, value) = decoded(attribute)?;
        match name {
            "token" => parsed.token = Some(string(value)?),
            "manufacturer" => parsed.manufacturer = Some(string(value)?),
            "model" => parsed.model = Some(string(value)?),
            "serial" => parsed.serial = Some(string(value)?),
            "object" => parsed.object = Some(string(value)?),
            "id" => parsed.id = Some(value),
            // The private key signs and the public key is read; a URI of either means the pair.
            "type" if matches!(value.as_slice(), b"private" | b"public") => {}
            other => return Err(format!("`{other}` is not understood")),
        }
    }
    for attribute in query.split('&').filter(|attribute| !attribute.is_empty()) {
        let (name, value) = decoded(attribute)?;
        match name {
            "module-path" => parsed.module = Some(string(value)?.into()),
            "pin-source" => {
                let source = string(value)?;
                parsed.pin_source = Some(source.strip_prefix("file:").unwrap_or(&source).into());
            }
            "pin-value" => return Err("a PIN on the command line is for everybody to see; use pin-source".to_owned()),
            other => return Err(format!("`{other}` is not understood")),
        }
    }
    if parsed.object.is_none() && parsed.id.is_none() {
        return Err("it names no key: object or id is missing".to_owned());
    }
    Ok(parsed)
}

fn decoded(attribute: &str) -> Result<(&str, Vec<u8>), String> {
    let (name, value) = attribute.split_once('=').ok_or_else(|| format!("`{attribute}` has no value"))?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(|| format!("`{value}` ends in the middle"))?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| format!("`{value}` has a % without two digits"))?;
        bytes.push(byte[0]);
        rest = after;
    }
    Ok((name, bytes))
}

fn string(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|_| "a value is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_uri() {
        let uri =
            "pkcs11:token=My%20token;object=release;id=%01%ff;type=private?module-path=/l/p.so&pin-source=file:/p";
        let parsed = parse(uri).unwrap();
        assert_eq!(parsed.token.as_deref(), Some("My token"));
        assert_eq!(parsed.id, Some(vec![1, 0xff]));
        assert_eq!(parsed.module, Some("/l/p.so".into()));
        assert_eq!(parsed.pin_source, Some("/p".into()));
        for refused in [
            "pkcs11:",
            "pkcs11:token=a",
            "pkcs11:object",
            "pkcs11:object=%2",
            "pkcs11:object=%zz",
            "pkcs11:object=%ff",
            "pkcs11:object=a;colour=red",
            "pkcs11:object=a?pin-value=1234",
            "file:a",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}
