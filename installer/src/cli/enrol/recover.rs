//! `consign-site enrol --recover`

use std::collections::BTreeMap;

use consign_format::Name;
use consign_format::error::Failure;
use consign_terminal::Usage;

use super::{Arguments, read};
use crate::apply::Cluster;
use crate::cli::{Context, lookup, runtime, state_copy};
use crate::config::{HandoffKind, SiteConfig};
use crate::site::recover::{Again, Source};
use crate::site::{Damage, Recovered, Recovery, Site, recover};

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let root = arguments.root.as_deref().map(read).transpose()?;
    let again = root.as_deref().map(|root| again(context, arguments, root)).transpose()?;
    if again.is_none() && !(arguments.after.is_empty() && arguments.site.is_none()) {
        return Err(Usage {
            message: "floors and receipts from headquarters are for a recovery with its root".to_owned(),
            hint: Some("add --root FILE and --root-sha256, or leave them out".to_owned()),
        }
        .into());
    }
    let config = context.config()?;
    let copies = copies(context, arguments, &config)?;
    let now = context.machine.clocks.now();
    let recovery = Recovery { again, copies, now, random: &context.machine.random };
    let recovered = recover(&context.store, &recovery)?;
    if config.handoff == HandoffKind::Direct {
        let site = Site::open(context.store.clone())?;
        state_copy::keep(context, &site, &config, arguments.kubeconfig.as_deref());
    }
    context.terminal.result(&recovered, human(&recovered));
    Ok(())
}

fn again<'a>(context: &Context<'_>, arguments: &Arguments, root: &'a [u8]) -> Result<Again<'a>, Failure> {
    let site = arguments.site.clone().ok_or_else(|| Usage {
        message: "name the site".to_owned(),
        hint: Some("add --site NAME, as headquarters knows it".to_owned()),
    })?;
    let after = arguments.after.said(true, true)?.unwrap_or_default();
    let fingerprint = Some(arguments.fingerprint.get(context)?);
    Ok(Again { root, fingerprint, site, production: arguments.production, after })
}

/// What the cluster keeps of the domains whose files are lost. A cluster that cannot be asked has no copy.
fn copies(
    context: &Context<'_>,
    arguments: &Arguments,
    config: &SiteConfig,
) -> Result<BTreeMap<Name, Result<Vec<u8>, String>>, Failure> {
    let damage = Damage::look(&context.store);
    let lost: Vec<Name> = damage.lost().cloned().collect();
    if lost.is_empty() {
        return Ok(BTreeMap::new());
    }
    let lookup = lookup(context, arguments.kubeconfig.as_deref(), config);
    runtime::block_on(async {
        let cluster = match Cluster::connect(&lookup).await {
            Ok(cluster) => cluster,
            Err(error) => return Ok(lost.into_iter().map(|domain| (domain, Err(error.to_string()))).collect()),
        };
        let mut copies = BTreeMap::new();
        for domain in lost {
            let copy = match cluster.read_state_copy(&domain).await {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err("it holds none".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            copies.insert(domain, copy);
        }
        Ok(copies)
    })
}

fn human(recovered: &Recovered) -> String {
    let mut text = format!("site {} is recovered\nenrolment  {}", recovered.site, recovered.enrolment);
    for (domain, source) in &recovered.domains {
        let source = match source {
            Source::File => "its own file",
            Source::Cluster => "the copy in the cluster",
            Source::Headquarters => "the root and floors of headquarters",
        };
        text.push_str(&format!("\ndomain     {domain}, from {source}"));
    }
    recovered.used.iter().for_each(|words| text.push_str(&format!("\nalso       {words}")));
    for (domain, why) in &recovered.secrets {
        text.push_str(&format!("\nsecrets    of domain {domain} must be brought again: {why}"));
    }
    if recovered.new_key {
        text.push_str("\nThe site has new keys: bring the enrol-request to headquarters for a new site record.");
    }
    text
}
