//! The steps outside of this program's own folders: the units of systemd, this node's container runtime.

use std::path::Path;

use consign_format::error::Failure;

use super::{Context, State, Steps, serves};
use crate::cli::nodes;
use crate::config::SiteConfig;
use crate::nodes::Place;
use crate::services::{ServiceManager, Systemctl};
use crate::units::{self, Became, REGISTRY, WATCH};

/// Writes the units, and starts the registry. Whether media are watched for is the administrator's decision.
pub(super) fn units(context: &Context<'_>, config: &SiteConfig, steps: &mut Steps<'_>) -> Result<(), Failure> {
    if config.tenant.is_some() {
        steps.tell("units", State::Skipped, "a tenant has none; a unit of the user's own may run consign-site serve");
        return Ok(());
    }
    let place = Place::at(context.store.root())?;
    // Below another folder an image of a machine is being made, and this program lies elsewhere in it.
    let program = context.machine.program.as_deref().filter(|_| place.is_machine());
    let texts = units::texts(program.unwrap_or(Path::new("")), serves(config));
    let files = units::write(&place, &texts, steps.dry_run)?;
    for file in files.iter().filter(|file| file.became == Became::LeftAlone) {
        context.terminal.warn(format!("{} is not as setup wrote it, and was left as it is", file.path.display()));
    }
    let changed = files.iter().any(|file| matches!(file.became, Became::Written | Became::Replaced));
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    steps.tell("units", if changed { State::Done } else { State::Found }, names.join("\n"));
    started(context, config, changed, steps)
}

fn started(context: &Context<'_>, config: &SiteConfig, changed: bool, steps: &mut Steps<'_>) -> Result<(), Failure> {
    let watch = format!("to let it take bundles from media: systemctl enable --now {WATCH}");
    let Some(manager) = Systemctl::of_machine(context.store.root()) else {
        steps.tell("start", State::ToDo, format!("no systemd is here: systemctl enable --now {REGISTRY}\n{watch}"));
        return Ok(());
    };
    if !steps.dry_run {
        if changed {
            manager.reload()?;
        }
        if serves(config) {
            start(&manager, changed)?;
        }
    }
    if serves(config) {
        steps.tell("start", State::Done, format!("{REGISTRY}\n{watch}"));
    } else {
        steps.tell("start", State::ToDo, watch);
    }
    Ok(())
}

/// A registry that serves already is not interrupted, unless its unit is another now.
fn start(manager: &dyn ServiceManager, changed: bool) -> Result<(), Failure> {
    let state = manager.state(REGISTRY)?;
    if !state.enabled {
        manager.enable(REGISTRY, true)?;
    }
    if !state.active || changed {
        manager.restart(REGISTRY)?;
    }
    Ok(())
}

/// Lets this machine's container runtime pull from the registry.
pub(super) fn node(context: &Context<'_>, config: &SiteConfig, steps: &mut Steps<'_>) -> Result<(), Failure> {
    let skipped = match (&config.tenant, &config.registry.existing) {
        (Some(_), _) => Some("a tenant's nodes belong to somebody else"),
        (_, Some(_)) if config.nodes.servers.is_empty() => {
            Some("let nodes pull: consign-site nodes write --server URL")
        }
        _ => None,
    };
    if let Some(why) = skipped {
        steps.tell("node", if config.tenant.is_some() { State::Skipped } else { State::ToDo }, why);
        return Ok(());
    }
    let own = || vec![format!("https://localhost:{}", config.registry.listen.port())];
    let servers = if config.nodes.servers.is_empty() { own() } else { config.nodes.servers.clone() };
    match nodes::set_up(context, servers, None, steps.dry_run)? {
        Some(text) => steps.tell("node", State::Done, text),
        None => steps.tell("node", State::Skipped, "no container runtime is here; on nodes: consign-site setup --join"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::services::ServicesError;
    use crate::store::units::UnitState;

    /// A service manager that remembers what it was asked to do.
    #[derive(Debug)]
    struct Asked(UnitState, Mutex<Vec<String>>);

    impl Asked {
        fn note(&self, what: String) -> Result<(), ServicesError> {
            self.1.lock().unwrap().push(what);
            Ok(())
        }
    }

    impl ServiceManager for Asked {
        fn state(&self, _: &str) -> Result<UnitState, ServicesError> {
            Ok(self.0)
        }

        fn reload(&self) -> Result<(), ServicesError> {
            self.note("reload".to_owned())
        }

        fn enable(&self, unit: &str, enable: bool) -> Result<(), ServicesError> {
            self.note(format!("{} {unit}", if enable { "enable" } else { "disable" }))
        }

        fn restart(&self, unit: &str) -> Result<(), ServicesError> {
            self.note(format!("restart {unit}"))
        }

        fn stop(&self, unit: &str) -> Result<(), ServicesError> {
            self.note(format!("stop {unit}"))
        }
    }

    #[test]
    fn a_registry_that_serves_is_not_interrupted() {
        for (enabled, active, changed, expected) in [
            (false, false, true, vec!["enable consign-registry.service", "restart consign-registry.service"]),
            (true, true, false, vec![]),
            (true, false, false, vec!["restart consign-registry.service"]),
            (true, true, true, vec!["restart consign-registry.service"]),
        ] {
            let manager = Asked(UnitState { enabled, active }, Mutex::default());
            start(&manager, changed).unwrap();
            assert_eq!(*manager.1.lock().unwrap(), expected);
        }
    }
}
