//! A site can come into use while an apply is under way: it is asked between the stages, and its no is obeyed.

use std::sync::atomic::{AtomicUsize, Ordering};

use consign_format::error::{Code, Coded, Failure, codes};
use consign_installer::handoff::{GoAhead, Handoff, Policy, Stopped};
use futures_util::future::BoxFuture;
use serde_json::json;

use super::bench::*;

/// Says yes so many times, and no from then on.
struct Until {
    yes: usize,
    asked: AtomicUsize,
}

#[derive(Debug)]
struct InUse;

impl std::fmt::Display for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the scanner is in use")
    }
}

impl std::error::Error for InUse {}

impl Coded for InUse {
    fn code(&self) -> Code {
        codes::BUSY
    }
}

impl GoAhead for Until {
    fn may_go_on(&self) -> BoxFuture<'_, Result<(), Failure>> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { if asked < self.yes { Ok(()) } else { Err(InUse.into()) } })
    }
}

impl Until {
    fn yes(yes: usize) -> Self {
        Until { yes, asked: AtomicUsize::new(0) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apply_stops_between_stages_waves_and_pruning_and_the_next_one_finishes() {
    let mut bench = Bench::new().await;
    bench.apply(&release("between", vec![config_map("old")])).await.unwrap();
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "between"}, "value": 10});
    let mut late = config_map("late");
    late["metadata"]["annotations"] = json!({"argocd.argoproj.io/sync-wave": "1"});
    let next = release("between", vec![class, config_map("early"), late]);
    let there = || {
        ["priorityclass between", "cm early -n between", "cm late -n between", "cm old -n between"]
            .map(|what| live(what).is_some())
    };
    assert_eq!(there(), [false, false, false, true]);
    // Between the classes and the workloads, between two waves of these, before what left is removed.
    for (yes, stands) in
        [(0, [true, false, false, true]), (1, [true, true, false, true]), (2, [true, true, true, true])]
    {
        let until = Until::yes(yes);
        let stopped = bench.direct.apply(&next, &Policy::default(), &until, &mut |_| {}).await;
        let Stopped { failure, changes } = stopped.unwrap_err();
        assert_eq!((failure.code(), failure.to_string()), (codes::BUSY, "the scanner is in use".to_owned()));
        assert_eq!(changed(&changes).len(), 1, "each run does what one yes more allows: {:?}", changed(&changes));
        assert_eq!(there(), stands, "after {yes} times yes");
    }
    let until = Until::yes(3);
    bench.direct.apply(&next, &Policy::default(), &until, &mut |_| {}).await.unwrap();
    assert_eq!(there(), [true, true, true, false]);
    assert_eq!(until.asked.load(Ordering::Relaxed), 3, "the first stage is not asked about");

    // Going back asks nobody: it takes no question.
    let back = bench.rollback(&release("between", vec![config_map("old")])).await;
    assert!(back.health.is_healthy());
    assert_eq!(there(), [false, false, false, true]);
}
