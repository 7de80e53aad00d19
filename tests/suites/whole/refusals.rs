//! A bundle that is not, byte for byte, what was signed: the program says so, with the right code, and what the site
//! keeps and serves is as before. (Every single byte is flipped at the level of the library, beside the format.)

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use consign_tests::desk::Desk;
use consign_tests::sample::replace;
use consign_tests::site::Site;
use consign_tests::untouched::Untouched;

/// A small release, as bytes, and a site that has the one before it.
struct Small {
    desk: Desk,
    bundle: PathBuf,
    bytes: Vec<u8>,
    /// Name, start of the header, size of the content.
    members: Vec<(String, usize, usize)>,
}

fn small() -> &'static Small {
    static SMALL: OnceLock<Small> = OnceLock::new();
    SMALL.get_or_init(|| {
        let mut desk = Desk::sample();
        // No image at all: what a site has already it does not read again, and would not notice damage to.
        let before = desk.build_next("2026.11.1", |tree| {
            let release = tree.join("release.yaml");
            for path in ["deploy/models", "deploy/archive/overlays/hospital"] {
                replace(&release, &format!("  - path: {path}\n"), "");
            }
            replace(
                &release,
                "  - path: charts/viewer\n    helm: {release: viewer, values: [values/hospital.yaml]}\n",
                "",
            );
            replace(&release, "  - path: deploy/plain", "  - path: deploy/plain/network.yaml");
            replace(&release, "  fields: [\"models.lumen.example/Model.spec.image\"]\n", "");
            replace(&release, "  - {path: tools/lumenctl, to: /usr/local/bin/lumenctl, mode: \"0755\"}\n", "  []\n");
        });
        fs::rename(&before, before.with_extension("before")).unwrap();
        // One DaemonSet, and its image of a megabyte.
        let bundle = desk.build_next("2026.11.2", |tree| {
            replace(&tree.join("release.yaml"), "deploy/plain/network.yaml", "deploy/plain/node-agent.yaml");
        });
        let bytes = fs::read(&bundle).unwrap();
        let members = members(&bytes);
        Small { desk, bundle, bytes, members }
    })
}

impl Small {
    /// A site with the release before.
    fn site(&self) -> Site {
        let site = Site::enrolled(&self.desk.trust());
        let before = self.bundle.with_file_name("lumen-2026.11.1.before");
        site.export(&before).succeeds();
        site
    }
}

/// The members of a tar file, read by nobody's code but this test's.
fn members(bytes: &[u8]) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 512 <= bytes.len() && bytes[at] != 0 {
        let text = |range: std::ops::Range<usize>| {
            let field = &bytes[at + range.start..at + range.end];
            String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap()).trim().to_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).expect("an octal size");
        found.push((text(0..100), at, size));
        at += 512 + size.div_ceil(512) * 512;
    }
    found
}

/// Tries a spoiled bundle on the site; returns the exit code and the name of the error.
fn refused(site: &Site, bytes: &[u8], what: &str) -> (i32, String) {
    let file = tempfile::Builder::new().suffix(".consign").tempfile().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let outcome = site.export(file.path()).run();
    let name = outcome.stderr.split_once("error[").and_then(|(_, rest)| rest.split_once(']')).map(|(name, _)| name);
    let name = name.unwrap_or_else(|| panic!("{what} was not refused\n{outcome}")).to_owned();
    (outcome.exit.unwrap_or_else(|| panic!("{what}: {outcome}")), name)
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    if !Desk::is_possible() {
        return;
    }
    let small = small();
    let site = small.site();
    let before = Untouched::of(&site);
    let served = site.serve();
    let state = "consign.internal/state/lumen:2026.11.1";
    let manifest = served.manifest(state);
    let mut spoiled = small.bytes.clone();
    let mut seen = BTreeMap::<i32, usize>::new();
    for (name, header, size) in &small.members {
        let content = header + 512;
        // Name, mode, size, check sum, kind, the rest; then the content's first, middle and last byte, and its padding.
        let mut places = vec![*header, header + 104, header + 130, header + 150, header + 156, header + 500];
        places.extend([content, content + size / 2, content + size.saturating_sub(1)].iter().filter(|_| *size > 0));
        places.extend((size % 512 != 0).then_some(content + size));
        for at in places {
            let what = format!("byte {} of {name}", at - header);
            spoiled[at] ^= 1 << (at % 8);
            let (exit, error) = refused(&site, &spoiled, &what);
            spoiled[at] = small.bytes[at];
            let blob = name.starts_with("blobs/") || name.starts_with("packed/") || name.ends_with(".json");
            let expected: &[i32] = match at - header {
                0..512 => &[10, 11, 12, 14, 16],
                _ if name.starts_with("metadata/") || name == "consign-format" => &[10, 11, 12, 14, 16],
                offset if blob && offset - 512 < *size => &[10],
                _ => &[10, 11],
            };
            assert!(expected.contains(&exit), "{what}: {error}, exit code {exit}, expected {expected:?}");
            *seen.entry(exit).or_default() += 1;
        }
    }
    for exit in [10, 11, 12] {
        assert!(seen.contains_key(&exit), "no flip ended with {exit}: {seen:?}");
    }
    before.check(&site, "flips");
    assert_eq!(served.manifest(state), manifest);
    assert_eq!(site.status()["products"][0]["current"]["release"]["version"], "2026.11.1");
}

#[test]
fn a_cut_bundle_is_refused_wherever_it_ends() {
    if !Desk::is_possible() {
        return;
    }
    let small = small();
    let site = small.site();
    let before = Untouched::of(&site);
    let mut ends: Vec<usize> = vec![1, 511, small.bytes.len() - 1, small.bytes.len() - 512, small.bytes.len() - 1024];
    for (_, header, size) in &small.members {
        // Before the header, in it, after it, in the content, after it.
        ends.extend([*header, header + 100, header + 512, header + 512 + size / 2, header + 512 + size]);
    }
    ends.sort_unstable();
    ends.dedup();
    for end in ends.into_iter().filter(|end| *end < small.bytes.len()) {
        let what = format!("the first {end} bytes");
        let (exit, error) = refused(&site, &small.bytes[..end], &what);
        assert_eq!((exit, error.as_str()), (10, "truncated"), "{what}");
    }
    before.check(&site, "cuts");
}

#[test]
fn an_appended_byte_is_refused() {
    if !Desk::is_possible() {
        return;
    }
    let small = small();
    let site = small.site();
    let before = Untouched::of(&site);
    for more in [&[0_u8][..], b"x", &[0; 512], &[0; 10240]] {
        let what = format!("{} bytes more", more.len());
        let (exit, error) = refused(&site, &[&small.bytes, more].concat(), &what);
        assert_eq!((exit, error.as_str()), (11, "archive-malformed"), "{what}");
    }
    before.check(&site, "appended bytes");
    // The same bundle, whole, is taken: it was the damage that was refused.
    site.export(&small.bundle).succeeds();
}
