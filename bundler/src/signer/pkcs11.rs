//! A key that never leaves its token: PKCS#11, mechanism `CKM_EDDSA` (PKCS#11 3.0 §2.3.14).
//!
//! The module is a shared library of the token's maker, loaded into this process: it is named by whoever signs, never
//! looked for.

use std::path::Path;

use consign_format::trust::keys::{SignError, Signer};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use cryptoki::types::AuthPin;
use zeroize::Zeroizing;

use super::uri::{self, TokenUri};
use super::{Access, Secret, SignerError};

/// One key of a token, with a session that is logged in.
pub struct TokenKey {
    session: Session,
    key: ObjectHandle,
    public: [u8; 32],
}

/// Opens the key that a URI means.
///
/// # Errors
/// [`SignerError`].
pub fn open(selector: &str, access: Access<'_>) -> Result<TokenKey, SignerError> {
    let unclear = |reason| SignerError::Selector { selector: selector.to_owned(), reason };
    let uri = uri::parse(selector).map_err(unclear)?;
    let module = uri.module.as_deref().ok_or_else(|| unclear("it names no module-path".to_owned()))?;
    let module = load(module)?;
    let (slot, info) = slot(&module, &uri, selector)?;
    let session = module.open_ro_session(slot).map_err(token)?;
    if info.login_required() {
        login(&session, &uri, &info, access)?;
    }
    let key = one(&session, &uri, ObjectClass::PRIVATE_KEY, selector)?;
    let public = one(&session, &uri, ObjectClass::PUBLIC_KEY, selector)?;
    let public = public_key(&session, public)?;
    Ok(TokenKey { session, key, public })
}

fn token(error: TokenError) -> SignerError {
    SignerError::Token { reason: error.to_string() }
}

fn load(path: &Path) -> Result<Pkcs11, SignerError> {
    let module = Pkcs11::new(path)
        .map_err(|error| SignerError::Token { reason: format!("{} is no module: {error}", path.display()) })?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // Already: two keys of one token.
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
        Err(error) => Err(token(error)),
    }
}

fn slot(module: &Pkcs11, uri: &TokenUri, selector: &str) -> Result<(Slot, TokenInfo), SignerError> {
    let mut found = Vec::new();
    for slot in module.get_slots_with_token().map_err(token)? {
        let info = module.get_token_info(slot).map_err(token)?;
        let is = |wanted: &Option<String>, has: &str| wanted.as_deref().is_none_or(|wanted| wanted == has.trim_end());
        let is_wanted = is(&uri.token, info.label())
            && is(&uri.manufacturer, info.manufacturer_id())
            && is(&uri.model, info.model())
            && is(&uri.serial, info.serial_number());
        if is_wanted && info.token_initialized() {
            found.push((slot, info));
        }
    }
    match found.len() {
        1 => found.pop().ok_or_else(|| SignerError::Token { reason: "it went away".to_owned() }),
        count => Err(SignerError::Token { reason: format!("`{selector}` means {count} tokens; it has to be one") }),
    }
}

fn login(session: &Session, uri: &TokenUri, info: &TokenInfo, access: Access<'_>) -> Result<(), SignerError> {
    let what = format!("the PIN of token {}", info.label().trim_end());
    let pin: Secret = match &uri.pin_source {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = Zeroizing::new(text.map_err(|source| SignerError::Io { path: path.clone(), source })?);
            Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        None => (access.secret)(&what)?.ok_or_else(|| SignerError::NoSecret { what: what.clone() })?,
    };
    match session.login(UserType::User, Some(&AuthPin::new(pin.as_str().into()))) {
        Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(TokenError::Pkcs11(RvError::PinIncorrect | RvError::PinLenRange | RvError::PinInvalid, _)) => {
            Err(SignerError::WrongSecret { what })
        }
        Err(error) => Err(token(error)),
    }
}

fn one(session: &Session, uri: &TokenUri, class: ObjectClass, selector: &str) -> Result<ObjectHandle, SignerError> {
    let mut wanted = vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC_EDWARDS)];
    wanted.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    wanted.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let found = session.find_objects(&wanted).map_err(token)?;
    match found.as_slice() {
        [one] => Ok(*one),
        _ => Err(SignerError::Which {
            place: format!("the token ({class})"),
            selector: selector.to_owned(),
            found: found.len(),
        }),
    }
}

/// `CKA_EC_POINT`: the 32 bytes, as most tokens have it inside a DER octet string.
fn public_key(session: &Session, object: ObjectHandle) -> Result<[u8; 32], SignerError> {
    let attributes = session.get_attributes(object, &[AttributeType::EcPoint]).map_err(token)?;
    let point = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::EcPoint(point) => Some(point),
        _ => None,
    });
    let point = point.unwrap_or_default();
    let bare = point.strip_prefix(&[0x04, 0x20]).unwrap_or(&point);
    bare.try_into().map_err(|_| SignerError::Token { reason: "its public key is not one of Ed25519".to_owned() })
}

impl Signer for TokenKey {
    fn public(&self) -> [u8; 32] {
        self.public
    }

    fn sign(&self, bytes: &[u8]) -> Result<[u8; 64], SignError> {
        let mechanism = Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure));
        let signature = self.session.sign(&mechanism, self.key, bytes);
        let signature = signature.map_err(|error| SignError::Signer(format!("PKCS#11 token: {error}")))?;
        let length = signature.len();
        signature.try_into().map_err(|_| SignError::Signer(format!("PKCS#11 token: a signature of {length} bytes")))
    }
}
