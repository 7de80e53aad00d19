//! containerd's own configuration, as far as it decides where registries are looked for.
//!
//! Three spellings of one plugin, by the version of the file; files that it imports count like the file itself. Only
//! looked at, never changed. In containerd 1.x a file that is imported replaces the whole section of a plugin, so that
//! one line more could take a cgroup driver away; 2.0 and later, which alone read version 3, merge key by key.

use std::path::Path;

use toml::{Table, Value};

use super::{NodesError, Place, Runtime};

/// The file, unless containerd is told otherwise.
pub const PATH: &str = "/etc/containerd/config.toml";

/// The name of our file in a folder that it imports.
pub const OUR_FILE: &str = "/50-consign.toml";

/// The plugin that pulls for Kubernetes: containerd 2.x, containerd 1.x, and files without a version.
const PLUGINS: [&str; 3] = ["io.containerd.cri.v1.images", "io.containerd.grpc.v1.cri", "cri"];

/// What the file and those it imports say together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerdConfig {
    /// Whether the file is there at all.
    pub exists: bool,
    /// The version of its format; 1 where it says none.
    pub version: i64,
    /// `config_path`: folders of hosts.toml, parted by colons.
    pub config_path: Option<String>,
    /// `registry.mirrors`, or TLS under `registry.configs`: the older way, which forbids the other.
    pub legacy: bool,
    /// Whether anything at all is said of the plugin that pulls.
    pub says_plugin: bool,
    /// Whether the part that serves Kubernetes is switched off.
    pub cri_disabled: bool,
    /// The patterns of files it imports.
    pub imports: Vec<String>,
}

impl ContainerdConfig {
    /// Reads the file and what it imports.
    pub fn read(place: &Place) -> Result<Self, NodesError> {
        let mut config = ContainerdConfig { version: 1, ..ContainerdConfig::default() };
        let Some(text) = place.look(PATH)? else { return Ok(config) };
        config.exists = true;
        let table = parse(place, PATH, &text)?;
        config.version = table.get("version").and_then(Value::as_integer).unwrap_or(1);
        config.imports = texts(table.get("imports"));
        config.cri_disabled = texts(table.get("disabled_plugins")).iter().any(|name| PLUGINS.contains(&name.as_str()));
        config.take(&table);
        for pattern in config.imports.clone() {
            // Our own file says what it says because of all the others.
            for path in imported(place, &pattern).into_iter().filter(|path| !path.ends_with(OUR_FILE)) {
                let text = place.look(&path)?.unwrap_or_default();
                config.take(&parse(place, &path, &text)?);
            }
        }
        Ok(config)
    }

    fn take(&mut self, table: &Table) {
        for plugin in PLUGINS {
            let Some(section) = table.get("plugins").and_then(|plugins| plugins.get(plugin)) else { continue };
            self.says_plugin = true;
            let Some(registry) = section.get("registry") else { continue };
            if let Some(path) = registry.get("config_path").and_then(Value::as_str).filter(|path| !path.is_empty()) {
                self.config_path = Some(path.to_owned());
            }
            let filled = |value: Option<&Value>| value.and_then(Value::as_table).is_some_and(|table| !table.is_empty());
            let with_tls = |configs: &Value| {
                configs.as_table().is_some_and(|all| all.values().any(|config| filled(config.get("tls"))))
            };
            self.legacy |= filled(registry.get("mirrors")) || registry.get("configs").is_some_and(with_tls);
        }
    }

    /// The name of the plugin that pulls, in files of this version.
    pub fn plugin(&self) -> &'static str {
        match (self.exists, self.version) {
            (true, 1) => "cri",
            (true, 2) => PLUGINS[1],
            (false, _) => PLUGINS[1],
            _ => PLUGINS[0],
        }
    }

    /// The lines that have to stand in the file.
    pub fn lines(&self, folder: &str) -> String {
        let quoted = Value::String(folder.to_owned());
        let plugin = self.plugin();
        let plugin = if plugin == "cri" { "cri".to_owned() } else { format!("\"{plugin}\"") };
        format!("[plugins.{plugin}.registry]\n  config_path = {quoted}\n")
    }

    /// The folder into which a file can be put that containerd reads as well; `None` where there is none, or where
    /// such a file would replace what is said of the plugin elsewhere.
    pub fn drop_in_folder(&self) -> Option<&str> {
        let folder_of = |pattern: &'_ String| {
            let (folder, name) = pattern.rsplit_once('/')?;
            let plain = folder.starts_with('/') && !folder.contains(['*', '?', '[', '\\']);
            (plain && name == "*.toml").then_some(folder.len())
        };
        let fits = self.version >= 3 || (self.version == 2 && !self.says_plugin);
        let found = self.imports.iter().filter(|_| fits).find_map(|pattern| Some((pattern, folder_of(pattern)?)));
        found.map(|(pattern, length)| &pattern[..length])
    }
}

fn parse(place: &Place, path: &str, text: &str) -> Result<Table, NodesError> {
    text.parse::<Table>().map_err(|error| NodesError::Conflict {
        runtime: Runtime::Containerd,
        message: format!("{} is no TOML: {}", place.name(path).display(), error.message()),
        fix: "containerd itself will not start with it; mend it first".to_owned(),
    })
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let all = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The files that a pattern means: a path, or one star in the last part.
fn imported(place: &Place, pattern: &str) -> Vec<String> {
    let pattern = inside(place, pattern);
    let absolute = if pattern.starts_with('/') { pattern } else { format!("/etc/containerd/{pattern}") };
    let Some((folder, name)) = absolute.rsplit_once('/') else { return Vec::new() };
    match name.split_once('*') {
        None => Vec::from([absolute.clone()]),
        Some((start, ending)) => {
            let all = place.files(folder, ending);
            all.into_iter().filter(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with(start))).collect()
        }
    }
}

/// A path out of a configuration as a path of the node: one that names the root folder is taken without it.
pub(super) fn inside(place: &Place, path: &str) -> String {
    match Path::new(path).strip_prefix(place.root()) {
        Ok(rest) if !place.is_machine() => format!("/{}", rest.display()),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<ContainerdConfig, NodesError> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        ContainerdConfig::read(&Place::at(dir.path()).unwrap())
    }

    const V1: &str = "[plugins.cri.registry]\nconfig_path = \"/a\"\n";
    const V2: &str = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"/a\"\n";
    const V3: &str = "version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = \"/a:/b\"\n";

    #[test]
    fn three_versions_say_where_hosts_are() {
        for (text, version, path) in [(V1, 1, "/a"), (V2, 2, "/a"), (V3, 3, "/a:/b")] {
            let config = read(&[("etc/containerd/config.toml", text)]).unwrap();
            assert_eq!((config.version, config.config_path.as_deref()), (version, Some(path)), "{text}");
            assert!(!config.legacy && config.says_plugin);
            assert!(text.contains(config.lines("/a").lines().next().unwrap()), "{}", config.lines("/a"));
        }
        assert!(!read(&[]).unwrap().exists);
    }

    #[test]
    fn what_is_imported_counts() {
        let main = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n";
        let config = read(&[("etc/containerd/config.toml", main), ("etc/containerd/conf.d/a.toml", V2)]).unwrap();
        assert_eq!((config.config_path.as_deref(), config.drop_in_folder()), (Some("/a"), None));
        let alone = read(&[("etc/containerd/config.toml", main), ("etc/containerd/conf.d/a.yaml", V2)]).unwrap();
        assert_eq!(alone.drop_in_folder(), Some("/etc/containerd/conf.d"));
        let said = format!("{main}[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"pause\"\n");
        assert_eq!(read(&[("etc/containerd/config.toml", &said)]).unwrap().drop_in_folder(), None);
        let one = "version = 2\nimports = [\"/etc/containerd/one.toml\"]\n";
        assert_eq!(read(&[("etc/containerd/config.toml", one)]).unwrap().drop_in_folder(), None);
    }

    #[test]
    fn the_older_way_is_seen() {
        let cri = "plugins.\"io.containerd.grpc.v1.cri\".registry";
        for (more, legacy) in [
            (format!("[{cri}.mirrors.\"docker.io\"]\nendpoint = [\"https://m\"]\n"), true),
            (format!("[{cri}.configs.\"m\".tls]\nca_file = \"/ca\"\n"), true),
            (format!("[{cri}.configs.\"m\".auth]\nusername = \"u\"\n"), false),
            (format!("[{cri}.mirrors]\n"), false),
        ] {
            let config = read(&[("etc/containerd/config.toml", &format!("version = 2\n{more}"))]).unwrap();
            assert_eq!(config.legacy, legacy, "{more}");
        }
        let off = read(&[("etc/containerd/config.toml", "disabled_plugins = [\"cri\"]\n")]).unwrap();
        assert!(off.cri_disabled);
        assert!(matches!(read(&[("etc/containerd/config.toml", "[")]), Err(NodesError::Conflict { .. })));
    }
}
