//! The site's own certificate authority, as nodes are given it.

use super::{NodesError, Place};

/// Where the site keeps its authority's certificate; two of them while it is changed for a new one.
pub const PATH: &str = "/etc/consign/ca.crt";

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Reads the certificates of the site's authority; `None` where it has none. Nothing but certificates is taken out of
/// the file: what is copied to every node must hold no key.
pub fn read(place: &Place) -> Result<Option<String>, NodesError> {
    let Some(text) = place.look(PATH)? else { return Ok(None) };
    let unusable = |reason: &str| NodesError::Input { path: place.name(PATH), reason: reason.to_owned() };
    let mut certificates = String::new();
    for block in text.split(BEGIN).skip(1) {
        let (body, _) = block.split_once(END).ok_or_else(|| unusable("a certificate in it has no end"))?;
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '\n' | '\r');
        if !body.chars().all(is_base64) {
            return Err(unusable("a certificate in it is not PEM"));
        }
        certificates += &format!("{BEGIN}\n{}\n{END}\n", body.replace('\r', "").trim_matches('\n'));
    }
    if certificates.is_empty() { Err(unusable("it holds no certificate")) } else { Ok(Some(certificates)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> Result<Option<String>, NodesError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/consign")).unwrap();
        std::fs::write(dir.path().join("etc/consign/ca.crt"), text).unwrap();
        read(&Place::at(dir.path()).unwrap())
    }

    #[test]
    fn certificates_are_taken_and_nothing_else() {
        let key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
        let one = "-----BEGIN CERTIFICATE-----\nQUFB\n-----END CERTIFICATE-----\n";
        let two = "-----BEGIN CERTIFICATE-----\nQkJC\n-----END CERTIFICATE-----\n";
        let read = with(&format!("a comment\n{one}{key}\n{two}")).unwrap().unwrap();
        assert_eq!(read, format!("{one}{two}"));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(super::read(&Place::at(dir.path()).unwrap()).unwrap(), None);
    }

    #[test]
    fn what_holds_no_certificate_is_refused() {
        for text in
            ["", "x", "-----BEGIN CERTIFICATE-----\nQUFB", "-----BEGIN CERTIFICATE-----\n\"\n-----END CERTIFICATE-----"]
        {
            assert!(matches!(with(text), Err(NodesError::Input { .. })), "{text}");
        }
    }
}
