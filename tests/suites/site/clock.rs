//! A site whose clock says 1970, or 2099, decides like any other.

use std::path::Path;

use consign_tests::site::Site;
use consign_tests::skip;

use crate::workshop::{FOR_ALL, Workshop};

const FAKETIME: &str = "/usr/bin/faketime";

#[test]
fn clocks_at_1970_and_2099_decide_the_same() {
    if !skip::unless(Path::new(FAKETIME).exists(), "faketime is not installed", "apt-get install faketime") {
        return;
    }
    let workshop = Workshop::new();
    let (old, new) = (workshop.build("1.0.0", FOR_ALL), workshop.build("1.1.0", FOR_ALL));
    let story = |clock: Option<&str>| {
        let site = Site::enrolled(&workshop.at("trust"));
        let at = |bundle: &Path| {
            let install = site.export(bundle);
            let install = clock.map_or_else(|| site.export(bundle), |clock| install.under([FAKETIME, clock]));
            install.run().exit
        };
        let exits = [at(&old), at(&new), at(&old), at(&new)];
        let receipt = site.status()["lastReceipt"].clone();
        (exits, receipt["outcome"].clone(), receipt["clock"].clone())
    };
    let (usual, outcome, clock) = story(None);
    assert_eq!(usual, [Some(0), Some(0), Some(13), Some(0)]);
    assert_eq!(clock["quality"], "plausible");
    for when in ["1970-01-02 00:00:00", "2099-06-01 00:00:00"] {
        let (exits, said, clock) = story(Some(when));
        assert_eq!((exits, &said), (usual, &outcome), "at {when}");
        assert_eq!(clock["quality"], "suspect", "the receipt says that the clock is not to be believed, at {when}");
    }
}
