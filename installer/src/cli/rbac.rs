//! `consign-site rbac`

use std::collections::BTreeSet;
use std::path::PathBuf;

use consign_format::Name;
use consign_format::error::Failure;
use consign_terminal::Usage;

use super::{Context, lookup, runtime};
use crate::apply::Cluster;
use crate::apply::api_table::ApiTable;
use crate::config::{Namespace, SiteConfig};
use crate::desired::desired;
use crate::handoff::{GroupKind, ObjectKey};
use crate::rbac::{Grant, Subject, ordinary, plural};

/// Prints the Role that a tenant needs: in one namespace, what applying releases takes, and nothing else.
///
/// The cluster's administrator reads it and applies it: consign-site rbac --namespace lamp | kubectl apply -f -
///
/// With --product the Role holds the kinds of that product's releases in the store, to the letter: stage the release
/// first (consign-site stage --handoff export needs no rights in the cluster). Without it, the kinds that [allow] of
/// site.toml names, or those that ordinary releases have; Roles and their bindings are never among these. Rights to kinds
/// of others, such as custom resources, need a cluster that can say how it calls them. Where [apply] of site.toml says
/// pre-pull or require-zero-downtime, making pods is among them, and a ClusterRole to list nodes beside the Role.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The namespace; else that of [tenant] in site.toml.
    #[arg(long, value_name = "NAME")]
    namespace: Option<Namespace>,
    /// Only the kinds that this product's releases in the store have.
    #[arg(long, value_name = "NAME")]
    product: Option<Name>,
    /// The service account that is given the Role.
    #[arg(long, value_name = "NAME", default_value = "consign-site", conflicts_with = "user")]
    service_account: Name,
    /// The user who is given the Role, in the place of a service account.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The kubeconfig of a cluster that is asked what custom resources are called.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

pub(super) fn run(context: &Context<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let config = context.config()?;
    let from_file = config.tenant.as_ref().map(|tenant| tenant.namespace.clone());
    let namespace = arguments.namespace.clone().or(from_file).ok_or_else(|| Usage {
        message: "no namespace was given".to_owned(),
        hint: Some("say --namespace, or write it under [tenant] of site.toml".to_owned()),
    })?;
    let kinds = match &arguments.product {
        Some(product) => of_product(context, product)?,
        None => of_config(&config),
    };
    let account = || Subject::ServiceAccount(arguments.service_account.to_string());
    let subject = arguments.user.clone().map_or_else(account, Subject::User);
    let lease = config.interlock.lease.as_ref().filter(|lease| lease.namespace.as_str() == namespace.as_str());
    let lease = lease.map(|lease| lease.name.to_string());
    let written = resources(context, arguments, &config, kinds)?;
    let pre_pull = config.apply.pre_pulls();
    let document = Grant { namespace: namespace.to_string(), subject, written, lease, pre_pull }.document();
    context.terminal.result(&document, format!("{document:#}"));
    Ok(())
}

/// The kinds of every release that the site holds of a product.
fn of_product(context: &Context<'_>, product: &Name) -> Result<BTreeSet<GroupKind>, Failure> {
    let (store, mut kinds, mut known) = (&context.store, BTreeSet::new(), false);
    for state in store.products()?.into_iter().filter(|state| state.product == *product) {
        let blobs = store.blobs()?;
        for release in state.held() {
            known = true;
            let release = store.read_release(&release.digest)?;
            let objects = desired(&release, &|digest, limit| blobs.read(digest, limit))?.objects;
            // The namespace itself, which every release brings, is not a tenant's.
            let theirs = objects.iter().filter_map(ObjectKey::of).map(|key| key.kind);
            kinds.extend(theirs.filter(|kind| !kind.is("", "Namespace")));
            if !release.secrets.is_empty() {
                kinds.insert(GroupKind::new("", "Secret"));
            }
        }
    }
    let hint = "stage a release of it first: consign-site stage --handoff export FILE".to_owned();
    let unknown = || Usage { message: format!("no release of {product} is here"), hint: Some(hint) };
    if known { Ok(kinds) } else { Err(unknown().into()) }
}

/// What the administrator of the site allows, or what is ordinary.
fn of_config(config: &SiteConfig) -> BTreeSet<GroupKind> {
    let Some(allowed) = &config.allow.kinds else { return ordinary() };
    let read = |text: &String| match text.rsplit_once('/') {
        Some((group, kind)) => GroupKind::new(group, kind),
        None => {
            ordinary().into_iter().find(|kind| kind.kind == *text).unwrap_or_else(|| GroupKind::new("", text.as_str()))
        }
    };
    allowed.iter().map(read).collect()
}

/// Groups and plurals; the cluster is asked only about kinds that are not Kubernetes' own.
fn resources(
    context: &Context<'_>,
    arguments: &Arguments,
    config: &SiteConfig,
    kinds: BTreeSet<GroupKind>,
) -> Result<BTreeSet<(String, String)>, Failure> {
    let table = if kinds.iter().all(|kind| plural(kind).is_some()) {
        ApiTable::default()
    } else {
        let lookup = lookup(context, arguments.kubeconfig.as_deref(), config);
        runtime::block_on(async { Ok(ApiTable::discover(&Cluster::connect(&lookup).await?).await?) })?
    };
    let mut resources = BTreeSet::new();
    for kind in kinds {
        let served = table.preferred(&kind).filter(|served| served.namespaced);
        let plural = plural(&kind).map(str::to_owned).or_else(|| served.map(|served| served.resource.plural.clone()));
        let plural = plural.ok_or_else(|| Usage {
            message: format!("the cluster knows no kind {} that lies in namespaces", kind.to_dotted()),
            hint: Some("a tenant cannot have it; leave it out of the release and of [allow]".to_owned()),
        })?;
        resources.insert((kind.group, plural));
    }
    Ok(resources)
}
