//! A registry that asks for tokens, as Harbor and GitLab do: one for each thing that is done, and no more than that.

use consign_format::error::{Coded, codes};
use consign_registry::push::{PushOptions, PushTarget, Removed};
use consign_tests::registry::{Options, PASSWORD, USER};
use consign_tests::token_service::TokenService;

use crate::goods::{Goods, Hasty, PREFIX, options};
use crate::registries::{can_run, newest};

fn with_password<'a>(address: &str, folder: &std::path::Path, patience: &'a Hasty, password: &str) -> PushOptions<'a> {
    let credentials = folder.join("credentials");
    std::fs::write(&credentials, format!("{USER}:{password}\n")).unwrap();
    PushOptions { credentials: Some(credentials), ..options(address, patience) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_what_a_token_is_asked_for() {
    if !can_run() {
        return;
    }
    let (folder, patience) = (tempfile::tempdir().unwrap(), Hasty::default());
    let service = TokenService::start(folder.path(), |_, _| true);
    let registry = newest(Options { further: service.configuration(), ..Options::default() });
    let target = PushTarget::new(with_password(&registry.address(), folder.path(), &patience, PASSWORD)).unwrap();
    target.ready().await.unwrap();
    let goods = Goods::whole();
    let moved = goods.push(&target).await.unwrap();
    assert!(moved.mounted.items > 0, "a mount needs a token for two repositories: {moved:?}");
    let again = goods.push(&target).await.unwrap();
    assert_eq!((again.sent.items, again.mounted.items), (0, 0), "{again:?}");
    let top = &goods.tops[0];
    let removed = target.remove_tag(&top.repository, &top.tags[0], &top.descriptor.digest).await.unwrap();
    assert_eq!(removed, Removed::Gone);

    let asked = service.asked();
    let app = format!("repository:{PREFIX}/docker.io/library/app");
    let multi = format!("repository:{PREFIX}/quay.io_443/team/multi");
    for scopes in [
        String::new(),
        format!("{app}:pull"),
        format!("{app}:pull,push"),
        format!("{multi}:pull,push {app}:pull"),
        format!("{app}:pull,push,delete"),
    ] {
        assert!(asked.contains(&scopes), "no `{scopes}` in {asked:?}");
    }
    assert!(asked.len() < 20, "a token is asked for once, and kept: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_look_elsewhere_still_pushes_and_whoever_may_not_remove_is_told() {
    if !can_run() {
        return;
    }
    let (folder, patience) = (tempfile::tempdir().unwrap(), Hasty::default());
    let service =
        TokenService::start(folder.path(), |repository, action| action != "delete" && repository != "others/secret");
    let registry = newest(Options { further: service.configuration(), ..Options::default() });
    let target = PushTarget::new(with_password(&registry.address(), folder.path(), &patience, PASSWORD)).unwrap();
    let (goods, scratch) = (Goods::whole(), format!("{PREFIX}/consign.internal/probe"));
    let plan = goods.plan();
    let known = plan.places().map(|(digest, _)| (digest, "others/secret".to_owned())).collect();
    let moved = target.push(&plan, &goods.blobs, &scratch, &known, &|_| {}).await.unwrap();
    assert!(moved.sent.items > 5, "{moved:?}");
    let denied = "repository:others/secret:pull";
    assert!(service.asked().iter().any(|scopes| scopes.ends_with(denied)), "nothing was tried to mount");
    let top = &goods.tops[0];
    let removed = target.remove_tag(&top.repository, &top.tags[0], &top.descriptor.digest).await.unwrap();
    assert_eq!(removed, Removed::NotAllowed);
    assert_eq!(target.resolve(&top.repository, &top.tags[0]).await.unwrap(), Some(top.descriptor.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_gives_no_token_or_too_little_is_believed() {
    if !can_run() {
        return;
    }
    let (folder, patience) = (tempfile::tempdir().unwrap(), Hasty::default());
    let service = TokenService::start(folder.path(), |_, action| action == "pull");
    let registry = newest(Options { further: service.configuration(), ..Options::default() });
    let target = PushTarget::new(with_password(&registry.address(), folder.path(), &patience, "wrong")).unwrap();
    assert_eq!(target.ready().await.unwrap_err().code(), codes::REGISTRY_UNAUTHORIZED);
    let target = PushTarget::new(with_password(&registry.address(), folder.path(), &patience, PASSWORD)).unwrap();
    target.ready().await.unwrap();
    let error = Goods::large(1000).push(&target).await.unwrap_err();
    assert_eq!(error.code(), codes::REGISTRY_UNAUTHORIZED, "{error:?}");
    assert!(patience.pauses().is_empty(), "a refusal is no matter of patience");
}
