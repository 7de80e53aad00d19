//! Registries that fail and come back: they are waited for, and nothing is sent twice that need not be.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use consign_registry::push::PushError;
use consign_tests::meddler::{Asked, Fate, Meddler};
use consign_tests::registry::{DockerRegistry, Options};

use crate::goods::{Goods, Hasty, target};
use crate::registries::{can_run, is_there, newest};

const MIB: usize = 1 << 20;
/// Three pieces: 16, 16 and 8 MiB.
const LARGE: usize = 40 * MIB;

fn is_upload(asked: &Asked) -> bool {
    asked.length > MIB && asked.target.contains("/blobs/uploads/")
}

/// Everything is refused once with `Retry-After`, dropped once, and its answer lost once.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_refuses_drops_and_loses_is_survived() {
    if !can_run() {
        return;
    }
    for registry in [DockerRegistry::start(), newest(Options::default())] {
        let uploads = AtomicUsize::new(0);
        let proxy = Meddler::before(&registry.address(), move |asked| {
            // The path of an upload is new with each; were it met with all this every time, it would never end.
            let is_session = asked.target.contains("/blobs/uploads/") && asked.method != "POST";
            match if is_session { uploads.fetch_add(1, Ordering::Relaxed) } else { asked.before } {
                0 => Fate::Answer(429, "Retry-After: 9\r\n"),
                1 => Fate::Drop,
                2 => Fate::LoseAnswer,
                3 => Fate::Answer(503, ""),
                _ => Fate::Pass,
            }
        });
        let (goods, patience) = (Goods::whole(), Hasty::default());
        let target = target(&proxy.address(), &patience);
        target.ready().await.unwrap();
        goods.push(&target).await.unwrap();
        is_there(&registry, &goods);
        let asked: Vec<Duration> = patience.pauses();
        let obeyed = asked.iter().filter(|pause| **pause >= Duration::from_secs(9)).count();
        let is_session = |asked: &Asked| asked.target.contains("/blobs/uploads/") && asked.method != "POST";
        let refused = proxy.asked().iter().filter(|asked| asked.before == 0 && !is_session(asked)).count() + 1;
        assert!(obeyed >= refused, "{obeyed} of {refused} times was Retry-After kept to: {asked:?}");
    }
}

/// A registry that asks for a day, or that does not come back, ends the push in an error that says so.
#[tokio::test(flavor = "multi_thread")]
async fn patience_has_an_end() {
    if !can_run() {
        return;
    }
    let registry = newest(Options::default());
    for (status, headers, pauses) in [(503, "", 5), (429, "Retry-After: 86400\r\n", 0), (500, "Retry-After: 1\r\n", 5)]
    {
        let proxy = Meddler::before(&registry.address(), move |asked| match asked.method.as_str() {
            "POST" => Fate::Answer(status, headers),
            _ => Fate::Pass,
        });
        let patience = Hasty::default();
        let mut options = crate::goods::options(&proxy.address(), &patience);
        options.workers = 1;
        let target = consign_registry::push::PushTarget::new(options).unwrap();
        let error = Goods::large(MIB).push(&target).await.unwrap_err();
        assert!(matches!(error, PushError::Unreachable { .. }), "{error:?}");
        assert_eq!(patience.pauses().len(), pauses, "{status} {headers}");
    }
}

/// What goes in pieces goes on where it was cut: the piece that never arrived is the only one that is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_was_cut() {
    if !can_run() {
        return;
    }
    for registry in [DockerRegistry::start(), newest(Options::default())] {
        let proxy = Meddler::before(&registry.address(), |asked| match (asked.method.as_str(), &asked.range) {
            ("PUT", None) if asked.length == LARGE => Fate::Answer(413, ""),
            // The path of an upload is its own, so this is its second piece, the first time.
            ("PATCH", _) if asked.before == 1 => Fate::Drop,
            _ => Fate::Pass,
        });
        let (goods, patience) = (Goods::large(LARGE), Hasty::default());
        let target = target(&proxy.address(), &patience);
        let told = AtomicU64::new(0);
        goods.push_counting(&target, &told).await.unwrap();
        is_there(&registry, &goods);
        assert_eq!(told.into_inner(), goods.plan().bytes(), "what was sent twice was counted twice");
        let asked = proxy.asked();
        let ranges: Vec<&str> = asked.iter().filter_map(|asked| asked.range.as_deref()).collect();
        assert_eq!(
            ranges,
            ["0-16777215", "16777216-33554431", "16777216-33554431", "33554432-41943039"],
            "a piece that had arrived was sent again, or the one that was lost was not"
        );
        assert_eq!(patience.pauses().len(), 1);
    }
}

/// Whether the answer to a piece or the piece itself is lost, in the end everything is there.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_lost_the_content_is_whole() {
    if !can_run() {
        return;
    }
    for registry in [DockerRegistry::start(), newest(Options::default())] {
        let proxy = Meddler::before(&registry.address(), |asked| match asked.method.as_str() {
            "PUT" if asked.length == LARGE => Fate::CutBody(MIB),
            "PATCH" if asked.before == 0 => Fate::CutBody(5 * MIB),
            "PATCH" if asked.before == 1 && is_upload(asked) => Fate::LoseAnswer,
            _ => Fate::Pass,
        });
        let (goods, patience) = (Goods::large(LARGE), Hasty::default());
        // Each upload is cut in the middle of its first piece: with a registry that cannot go on there, it never ends.
        let pushed = goods.push(&target(&proxy.address(), &patience)).await;
        assert!(matches!(pushed, Err(PushError::Unreachable { .. })) || pushed.is_ok(), "{pushed:?}");
        // The next run, over a better line.
        goods.push(&target(&registry.address(), &Hasty::default())).await.unwrap();
        is_there(&registry, &goods);
    }
}

/// What is there although nobody said so is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_costs_no_second_upload() {
    if !can_run() {
        return;
    }
    let registry = newest(Options::default());
    let proxy = Meddler::before(&registry.address(), |asked| match asked.method.as_str() {
        "PUT" => Fate::LoseAnswer,
        _ => Fate::Pass,
    });
    let (goods, patience) = (Goods::large(MIB), Hasty::default());
    // No manifest is ever acknowledged, so it ends in an error; the blobs are there by then.
    let error = goods.push(&target(&proxy.address(), &patience)).await.unwrap_err();
    assert!(error.to_string().contains("push project/site/quay.io/team/large:sha256:"), "{error}");
    let uploads = proxy.asked().iter().filter(|asked| asked.method == "POST").count();
    assert_eq!(uploads, goods.plan().places().count(), "a blob was sent twice");
}

/// A proxy that takes no large requests gets small ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_goes_in_pieces() {
    if !can_run() {
        return;
    }
    let registry = newest(Options::default());
    let proxy = Meddler::before(&registry.address(), |asked| match asked.length {
        length if length > 20 * MIB => Fate::Answer(413, ""),
        _ => Fate::Pass,
    });
    let (goods, patience) = (Goods::large(LARGE), Hasty::default());
    goods.push(&target(&proxy.address(), &patience)).await.unwrap();
    is_there(&registry, &goods);
    assert_eq!(proxy.asked().iter().filter(|asked| asked.method == "PATCH").count(), 3);
    assert!(patience.pauses().is_empty(), "too large is no reason to wait");
}
