//! Kills at instants that nobody chose.

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use consign_installer::serve::SiteContent;
use consign_installer::site::Site as Enrolled;
use consign_installer::store::Store;
use consign_registry::serve::Content;
use consign_tests::command::Invocation;
use consign_tests::desk::Desk;
use consign_tests::site::Site;

use crate::ground::{Scenario, ground};

/// How many runs are killed, half of them fresh installs and half upgrades.
const KILLS: usize = 200;
/// Set to the number that a failed run printed, the same instants are drawn again.
const SEED: &str = "CONSIGN_SEED";

/// Draws numbers (SplitMix64); a test needs no better ones, and the same again for the same seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn seeded() -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let seed = std::env::var(SEED).map_or_else(|_| now(), |text| text.parse().expect("a number"));
        // Past the harness's capture: whoever sees a failure needs it, whichever test shows it.
        let _ = writeln!(std::io::stderr().lock(), "crash: {SEED}={seed}");
        Draw(seed)
    }

    pub(crate) fn below(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        Duration::from_nanos(z % (limit.as_nanos() as u64).max(1))
    }
}

/// How long the install takes; the longest of a few, so that its end is drawn as well.
fn duration(scenario: &Scenario) -> Duration {
    let run = |_| {
        let site = scenario.site();
        let begun = Instant::now();
        scenario.install(&site).succeeds();
        begun.elapsed()
    };
    (0..3).map(run).max().unwrap()
}

/// Runs a program and kills it after a while; whether it was still running.
pub(crate) fn kill_after(run: &Invocation, delay: Duration) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let mut child = run.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    let _ = child.kill();
    child.wait().unwrap().signal().is_some()
}

/// The same with an install.
fn kill_install(scenario: &Scenario, site: &Site, delay: Duration) -> bool {
    let temporary = site.root().with_extension("tmp");
    fs::create_dir(&temporary).unwrap();
    let was_running = kill_after(&scenario.install(site).env("TMPDIR", &temporary), delay);
    // Fails if anything is in it: nothing is written outside the site.
    fs::remove_dir(&temporary).unwrap();
    was_running
}

#[test]
fn a_run_killed_at_any_instant_is_resumed_by_running_again() {
    if !Desk::is_possible() {
        return;
    }
    let mut draw = Draw::seeded();
    let scenarios = [&ground().fresh, &ground().upgrade].map(|scenario| (scenario, duration(scenario)));
    let (mut killed, mut cut_short, mut runs) = (0, 0, 0);
    while killed < KILLS {
        let (scenario, longest) = &scenarios[runs % 2];
        runs += 1;
        assert!(runs < 20 * KILLS, "only {killed} of {runs} runs were still running when they were to be killed");
        let delay = draw.below(*longest);
        let site = scenario.site();
        if !kill_install(scenario, &site, delay) {
            continue;
        }
        killed += 1;
        cut_short += usize::from(!scenario.is_done(&site));
        let how = format!("{} killed after {delay:?}", scenario.name);
        scenario.check_cut_off(&site, &how);
        check_served(&site, &how);
        scenario.check_resumed(&site, &how);
    }
    let _ = writeln!(
        std::io::stderr().lock(),
        "crash: {killed} kills in {runs} runs within {:?}, {cut_short} before the end state",
        scenarios.map(|(_, longest)| longest)
    );
    assert!(cut_short > KILLS / 4, "only {cut_short} of {killed} kills came before the end: this shows nothing");
}

/// What a cut-off run left is a site: it opens, and what its products have is complete and served.
fn check_served(site: &Site, how: &str) {
    let store = || Store::at(site.root());
    Enrolled::open(store()).unwrap_or_else(|error| panic!("{how}: {error}"));
    let content = SiteContent::new(store(), std::sync::Arc::new(|problem: &str| panic!("{problem}")));
    let blobs = store().blobs().unwrap();
    for product in store().products().unwrap() {
        for release in product.held() {
            for named in store().read_names(&release.digest).unwrap() {
                let found = content.manifest(&named.host, &named.repository, &named.digest).unwrap();
                assert!(found.is_some(), "{how}: {} is not served", named.repository);
            }
            for blob in &store().read_release(&release.digest).unwrap().blobs {
                assert_eq!(blobs.rehash(&blob.digest).unwrap(), blob.size, "{how}: {}", blob.digest);
            }
        }
    }
}
