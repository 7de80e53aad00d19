//! `registry` in `site.toml`: the embedded one and where it listens, or one that the site already has.
//!
//! Both forms have one name, so that nobody can ask for both: a text is the URL of one that is there, a table has
//! either `listen` or `url`.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use consign_registry::push::Address;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The registry that nodes pull from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryConfig {
    /// The address that the embedded one listens on.
    pub listen: SocketAddr,
    /// The embedded one is served without TLS.
    pub plain_http: bool,
    /// Names and addresses by which nodes reach the embedded one: what its certificate is valid for, beside this
    /// machine's own name, the address to listen on, and loopback.
    pub names: BTreeSet<String>,
    /// A certificate to serve with instead of one by the site's own authority: PEM.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate: PEM.
    pub key: Option<PathBuf>,
    /// Who is let in by the embedded one: a file of `USER:HASH` lines; without it, everybody who reaches the address.
    pub users: Option<PathBuf>,
    /// The one that the site already has; then releases are pushed there.
    pub existing: Option<ExistingRegistry>,
}

/// A registry that the site already has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingRegistry {
    /// Where it is, and the path in it that everything lies under.
    pub address: Address,
    /// A PEM file of certificate authorities, in addition to those of the system.
    pub ca: Option<PathBuf>,
    /// Who we are there.
    pub login: LoginFile,
    /// Whether plain HTTP beyond this machine was asked for.
    plain_http: bool,
}

/// Where the login lies. Never in the configuration itself, which everybody may read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LoginFile {
    /// Nobody.
    #[default]
    None,
    /// A file with `USER:PASSWORD` on one line.
    Line(PathBuf),
    /// A login file of Docker or podman, with its helpers.
    Docker(PathBuf),
}

/// The table as it is written.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Table {
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    names: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    docker_config: Option<PathBuf>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    plain_http: bool,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        RegistryConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 5000)),
            plain_http: false,
            names: BTreeSet::new(),
            certificate: None,
            key: None,
            users: None,
            existing: None,
        }
    }
}

impl RegistryConfig {
    fn of(table: Table) -> Result<Self, String> {
        let unset = RegistryConfig::default();
        let Some(url) = table.url else {
            if table.ca.is_some() || table.credentials.is_some() || table.docker_config.is_some() {
                return Err("`ca`, `credentials` and `docker-config` go with `url`".to_owned());
            }
            let (listen, plain_http) = (table.listen.unwrap_or(unset.listen), table.plain_http);
            let Table { names, certificate, key, users, .. } = table;
            return Ok(RegistryConfig { listen, plain_http, names, certificate, key, users, existing: None });
        };
        let served = [table.listen.is_some(), table.certificate.is_some(), table.key.is_some(), table.users.is_some()];
        if served.contains(&true) || !table.names.is_empty() {
            let what = "`listen`, `names`, `certificate`, `key` and `users` (the embedded registry)";
            return Err(format!("either {what}, or `url` (one that is there already)"));
        }
        let address = Address::parse(&url, table.plain_http).map_err(|error| error.to_string())?;
        let login = match (table.credentials, table.docker_config) {
            (Some(_), Some(_)) => return Err("either `credentials` or `docker-config`".to_owned()),
            (Some(path), None) => LoginFile::Line(path),
            (None, Some(path)) => LoginFile::Docker(path),
            (None, None) => LoginFile::None,
        };
        let existing = ExistingRegistry { address, ca: table.ca, login, plain_http: table.plain_http };
        Ok(RegistryConfig { existing: Some(existing), ..unset })
    }

    fn table(&self) -> Table {
        let Some(existing) = &self.existing else {
            let RegistryConfig { listen, plain_http, names, certificate, key, users, .. } = self.clone();
            let listen = Some(listen);
            return Table { listen, plain_http, names, certificate, key, users, ..Table::default() };
        };
        let (credentials, docker_config) = match existing.login.clone() {
            LoginFile::None => (None, None),
            LoginFile::Line(path) => (Some(path), None),
            LoginFile::Docker(path) => (None, Some(path)),
        };
        let (url, ca, plain_http) = (Some(existing.address.to_string()), existing.ca.clone(), existing.plain_http);
        Table { url, ca, credentials, docker_config, plain_http, ..Table::default() }
    }
}

impl Serialize for RegistryConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.table().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RegistryConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not an untagged enum: that would say of every mistake only that nothing fits.
        deserializer.deserialize_any(EitherForm)
    }
}

struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = RegistryConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the URL of a registry, or a table")
    }

    fn visit_str<E: Error>(self, url: &str) -> Result<RegistryConfig, E> {
        RegistryConfig::of(Table { url: Some(url.to_owned()), ..Table::default() }).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RegistryConfig, A::Error> {
        RegistryConfig::of(Table::deserialize(MapAccessDeserializer::new(map))?).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::SiteConfig;

    fn read(text: &str) -> Result<SiteConfig, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
    }

    #[test]
    fn both_forms_are_read_and_written() {
        for (text, url) in [
            ("registry = \"https://harbor.site/consign\"", Some("https://harbor.site/consign")),
            ("registry = \"http://127.0.0.1:5000\"", Some("http://127.0.0.1:5000")),
            ("[registry]\nurl = \"https://h.site\"\nca = \"/ca\"\ncredentials = \"/c\"", Some("https://h.site")),
            ("[registry]\nurl = \"http://h.site\"\nplain-http = true\ndocker-config = \"/d\"", Some("http://h.site")),
            ("[registry]\nlisten = \"0.0.0.0:5000\"", None),
            ("[registry]\nplain-http = true\nnames = [\"registry.site\"]\nusers = \"/u\"", None),
            ("[registry]\ncertificate = \"/c\"\nkey = \"/k\"", None),
            ("", None),
        ] {
            let config = read(text).unwrap();
            let existing = config.registry.existing.as_ref();
            assert_eq!(existing.map(|existing| existing.address.to_string()).as_deref(), url, "{text}");
            assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, says) in [
            ("registry = \"harbor.site\"", "https://"),
            ("registry = \"http://harbor.site\"", "not encrypted"),
            ("registry = 5000", "a table"),
            ("[registry]\nurl = \"https://h.site\"\nlisten = \"127.0.0.1:5000\"", "either `listen`"),
            ("[registry]\nurl = \"https://h.site\"\nusers = \"/u\"", "either `listen`"),
            ("[registry]\nca = \"/ca\"", "go with `url`"),
            ("[registry]\nurl = \"https://h.site\"\ncredentials = \"/c\"\ndocker-config = \"/d\"", "`docker-config`"),
            ("[registry]\nuri = \"https://h.site\"", "unknown field `uri`"),
            ("[registry]\nurl = \"https://ada:secret@h.site\"", "file of credentials"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
