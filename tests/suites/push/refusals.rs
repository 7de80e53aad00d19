//! Registries that will not, or must not be believed: a clear error, and as little as possible has been touched.

use consign_format::error::{Coded, codes};
use consign_registry::push::{Address, PushError, PushOptions, PushTarget};
use consign_tests::meddler::{Fate, Meddler};
use consign_tests::registry::{DockerRegistry, Options, PASSWORD, USER};

use crate::goods::{Goods, Hasty, PREFIX, target};
use crate::registries::{can_run, is_there, newest};

/// Found with one tiny index, before anything of the release is pushed.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_with_gaps_is_refused_before_anything_is_pushed() {
    if !can_run() {
        return;
    }
    for registry in [DockerRegistry::start(), newest(Options::default())] {
        let (proxy, patience) = (Meddler::idle(&registry.address()), Hasty::default());
        let error = Goods::sparse().push(&target(&proxy.address(), &patience)).await.unwrap_err();
        assert_eq!(error.code(), codes::SPARSE_INDEX_REFUSED, "{error:?}");
        let hint = error.hint().unwrap();
        for remedy in ["platforms: none", "images.platforms", "listen"] {
            assert!(hint.contains(remedy), "{hint}");
        }
        let asked: Vec<String> = proxy.asked().into_iter().map(|asked| asked.method + " " + &asked.target).collect();
        assert_eq!(asked.len(), 1, "{asked:?}");
        let probe = format!("PUT /v2/{PREFIX}/consign.internal/probe/manifests/sha256:");
        assert!(asked[0].starts_with(&probe), "{asked:?}");
        // The registry's own log says the same.
        let log = registry.log();
        assert!(log.contains("consign.internal/probe"), "{log}");
        assert!(!log.contains("blobs/uploads"), "{log}");
    }
}

/// Where the registry takes them, nothing of the trial is left.
#[tokio::test(flavor = "multi_thread")]
async fn the_trial_leaves_nothing() {
    if !can_run() {
        return;
    }
    let registry = newest(Options { takes_sparse: true, ..Options::default() });
    let (proxy, patience) = (Meddler::idle(&registry.address()), Hasty::default());
    Goods::sparse().push(&target(&proxy.address(), &patience)).await.unwrap();
    let asked: Vec<_> =
        proxy.asked().into_iter().filter(|asked| asked.target.contains("consign.internal/probe")).collect();
    let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(methods, ["PUT", "DELETE"]);
    let at = asked[0].target.rsplit('/').next().unwrap();
    let there = target(&registry.address(), &patience).resolve(&format!("{PREFIX}/consign.internal/probe"), at).await;
    assert_eq!(there.unwrap(), None);
}

fn with_login<'a>(
    registry: &DockerRegistry,
    line: &str,
    folder: &std::path::Path,
    patience: &'a Hasty,
) -> PushOptions<'a> {
    let address = Address::parse(&format!("{}/{PREFIX}", registry.url()), false).unwrap();
    let file = folder.join("credentials");
    std::fs::write(&file, line).unwrap();
    let mut options = PushOptions::new(address, patience);
    options.ca_files.extend(registry.authority());
    options.credentials = (!line.is_empty()).then_some(file);
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_needed_where_one_is_set() {
    if !can_run() {
        return;
    }
    let registry = newest(Options { tls: true, password: true, ..Options::default() });
    let (folder, patience) = (tempfile::tempdir().unwrap(), Hasty::default());
    let goods = Goods::large(1000);
    for (line, had_login) in [("", false), ("carrier:wrong\n", true), ("nobody:x", true)] {
        let target = PushTarget::new(with_login(&registry, line, folder.path(), &patience)).unwrap();
        for error in [target.ready().await.unwrap_err(), goods.push(&target).await.unwrap_err()] {
            let fits = matches!(&error, PushError::Unauthorized { had_login: had, .. } if *had == had_login);
            assert!(fits, "{line:?}: {error:?}");
            assert!(!format!("{error:?} {error} {:?}", error.hint()).contains("wrong"), "the password is told");
        }
    }
    let right = with_login(&registry, &format!("{USER}:{PASSWORD}\n"), folder.path(), &patience);
    let docker =
        PushOptions { credentials: None, docker_config: Some(registry.docker_config(folder.path())), ..right.clone() };
    for options in [right, docker] {
        let target = PushTarget::new(options).unwrap();
        target.ready().await.unwrap();
        goods.push(&target).await.unwrap();
        assert!(target.missing(&goods.plan()).await.unwrap().is_empty());
    }
    assert!(patience.pauses().is_empty(), "a wrong login was tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_nobody_known_is_no_matter_of_patience() {
    if !can_run() {
        return;
    }
    let registry = newest(Options { tls: true, ..Options::default() });
    let other = newest(Options { tls: true, ..Options::default() });
    let (folder, patience) = (tempfile::tempdir().unwrap(), Hasty::default());
    let mut options = with_login(&registry, "", folder.path(), &patience);
    for authority in [None, other.authority()] {
        options.ca_files = authority.into_iter().collect();
        let error = PushTarget::new(options.clone()).unwrap().ready().await.unwrap_err();
        assert!(matches!(error, PushError::Untrusted { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("ca = FILE"), "{error:?}");
    }
    assert!(patience.pauses().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_there_is_told_from_who_is_no_registry() {
    if !can_run() {
        return;
    }
    let registry = newest(Options::default());
    let (proxy, patience) = (Meddler::before(&registry.address(), |_| Fate::Answer(404, "")), Hasty::default());
    let error = target(&proxy.address(), &patience).ready().await.unwrap_err();
    assert_eq!(error.code(), codes::REGISTRY_PROTOCOL, "{error:?}");
    let gone = registry.address();
    drop(registry);
    let error = target(&gone, &patience).ready().await.unwrap_err();
    assert_eq!(error.code(), codes::REGISTRY_UNREACHABLE, "{error:?}");
    assert_eq!(patience.pauses().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_takes_nothing_says_why() {
    if !can_run() {
        return;
    }
    let storage = tempfile::tempdir().unwrap();
    let registry = newest(Options { read_only: Some(storage.path().to_owned()), ..Options::default() });
    let patience = Hasty::default();
    let error = Goods::large(1000).push(&target(&registry.address(), &patience)).await.unwrap_err();
    assert_eq!(error.code(), codes::REGISTRY_REFUSED, "{error:?}");
    assert!(error.to_string().contains("405"), "{error}");
}

/// Whoever changes a manifest on its way, or says that less is there than was sent, is found out.
#[tokio::test(flavor = "multi_thread")]
async fn a_liar_is_found_by_reading_back() {
    if !can_run() {
        return;
    }
    type Rule = fn(&consign_tests::meddler::Asked) -> Fate;
    let rules: [(&str, Rule); 3] = [
        ("other bytes", |asked| match asked.method == "GET" && asked.target.contains("/manifests/") {
            true => Fate::Change(|body| String::from_utf8_lossy(&body).replace("linux", "plan9").into_bytes()),
            false => Fate::Pass,
        }),
        ("another length", |asked| match asked.method == "HEAD" && asked.target.contains("/blobs/") {
            true => Fate::Answer(200, ""),
            false => Fate::Pass,
        }),
        ("forgets", |asked| match asked.method.as_str() {
            "HEAD" if asked.target.contains("/blobs/") => Fate::Answer(404, ""),
            _ => Fate::Pass,
        }),
    ];
    let registry = newest(Options::default());
    for (lie, rule) in rules {
        let (proxy, patience) = (Meddler::before(&registry.address(), rule), Hasty::default());
        let error = Goods::whole().push(&target(&proxy.address(), &patience)).await.unwrap_err();
        assert_eq!(error.code(), codes::REGISTRY_CHANGED_CONTENT, "{lie}: {error:?}");
    }
    // The registry itself is sound.
    let goods = Goods::whole();
    goods.push(&target(&registry.address(), &Hasty::default())).await.unwrap();
    is_there(&registry, &goods);
}
