//! Large content through little memory, and a run that is killed in the middle of a push.

use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;

use consign_format::media_type;
use consign_tests::forge::Forge;
use consign_tests::forge::content::{IMAGE, manifest};
use consign_tests::meddler::{Fate, Meddler};
use consign_tests::registry::Options;
use consign_tests::skip;

use crate::registries::{can_run, newest};
use crate::site::{Place, digest, image_of, url};

const LAYERS: u8 = 4;
const LAYER: usize = 64 << 20;
/// DESIGN §9.
const CEILING_KIB: u64 = 64 << 10;

/// Four layers at once, each from its file.
#[test]
fn a_quarter_of_a_gigabyte_fits_through_64_mebibytes() {
    let has_time = Path::new("/usr/bin/time").exists();
    if !skip::unless(has_time, "/usr/bin/time is not installed", "apt-get install time") || !can_run() {
        return;
    }
    let (place, registry) = (Place::enrolled(), newest(Options::default()));
    place.configure(&url(&registry));
    let forge = Forge::new(1).with(|forge| {
        let layers: Vec<_> =
            (0..LAYERS).map(|n| forge.content.blob("layer", media_type::OCI_LAYER_TAR, &vec![n; LAYER])).collect();
        let config =
            forge.content.blob("config", media_type::OCI_CONFIG, b"{\"architecture\":\"amd64\",\"os\":\"linux\"}");
        forge.content.image_of("registry.example/big:1", media_type::OCI_MANIFEST, &manifest(&config, &layers));
    });
    let measured = place.site.root().join("measured");
    let install = place.install(&forge).under(["/usr/bin/time", "-v", "-o"]).under([&measured]);
    install.succeeds().says("sent");
    let text = std::fs::read_to_string(&measured).unwrap();
    let peak = text.lines().find_map(|line| line.trim().strip_prefix("Maximum resident set size (kbytes): "));
    let peak: u64 = peak.unwrap_or_else(|| panic!("{text}")).parse().unwrap();
    // Past the harness's capture: the number is worth reading when all is well.
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr().lock(),
        format_args!("install and push of {} bytes: peak memory {peak} KiB\n", usize::from(LAYERS) * LAYER),
    );
    assert!(peak <= CEILING_KIB, "peak memory is {peak} KiB");
    assert_eq!(digest(&registry, "registry.example/big:1"), forge.content.fields["images"][1]["digest"]);
}

/// Killed while the third blob is on its way: nothing is staged, and the next run goes on with what is missing.
#[test]
fn a_push_that_is_killed_goes_on() {
    if !can_run() {
        return;
    }
    let (place, registry) = (Place::enrolled(), newest(Options::default()));
    let ((arrived, arrives), (killed, is_killed)) = (channel(), channel::<()>());
    let (uploads, is_killed) = (AtomicUsize::new(0), Mutex::new(is_killed));
    let proxy = Meddler::before(&registry.address(), move |asked| {
        let is_upload = asked.method == "PUT" && asked.target.contains("/blobs/uploads/");
        if !is_upload || uploads.fetch_add(1, Ordering::Relaxed) != 2 {
            return Fate::Pass;
        }
        // Until its sender is killed; whoever comes later passes.
        let _ = arrived.send(());
        let _ = is_killed.lock().map(|is_killed| is_killed.recv());
        Fate::Drop
    });
    place.configure(&format!("registry = \"http://{}/project\"", proxy.address()));
    let forge = Forge::new(1);
    let mut run = place.install(&forge).command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    arrives.recv().unwrap();
    let is_stored = |line: &str| line.contains("method=PUT") && line.contains("status=201");
    while !registry.log().lines().any(is_stored) {
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    drop(killed);
    assert_eq!(place.site.status()["products"], serde_json::json!([]), "staged before it was pushed");
    let done = place.install(&forge).succeeds();
    assert!(!done.to_string().contains("registry: 4 blobs"), "what was there was sent again: {done}");
    assert_eq!(digest(&registry, IMAGE), image_of(&forge));
}
