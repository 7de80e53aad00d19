//! Lies to the builder: names, manifests, registries, secrets. What it refuses never becomes a bundle.

use consign_format::{Digest, media_type};
use consign_tests::forge::Forge;
use consign_tests::forge::tape::Entry;
use serde_json::{Value, json};

use super::ground::NEXT;
use super::liar::{Honest, Liar};
use super::trial::{Row, Trial, refusal};
use super::workshop::Workshop;

pub(crate) const ROWS: &[Row] = &[
    Row { number: 16, lie: "upper case, no ASCII, two forms of one letter, RTL marks", exits: &[2, 11], show: letters },
    Row { number: 55, lie: "a bomb of YAML anchors in manifests", exits: &[11, 16], show: anchors },
    Row {
        number: 64,
        lie: "an index, manifest, configuration or layer of other bytes",
        exits: &[20],
        show: other_bytes,
    },
    Row {
        number: 65,
        lie: "wrong size or media type, schema 1, foreign layer, no child",
        exits: &[20],
        show: odd_images,
    },
    Row { number: 66, lie: "a tag that means two digests, or moves later", exits: &[0], show: moved_tag },
    Row { number: 67, lie: "other bytes for a digest; another tenant's blob", exits: &[20], show: tenants },
    Row { number: 74, lie: "a Secret with data in the shared part", exits: &[0, 1, 2], show: secrets },
];

fn letters(trial: &mut Trial) {
    let names =
        ["blobs/sha256/ABCDEF", "Index.json", "blobs/\u{e9}", "blobs/e\u{301}", "blobs/\u{202e}a", "blobs/a\u{200f}"];
    for name in names {
        let tape = || Forge::new(NEXT).tape();
        let at = tape().find("index.json");
        let renamed = tape().replace(at, |entry| entry.named(name.as_bytes()));
        trial.refuses(
            &format!("{name:?} for index.json"),
            &renamed.bytes(),
            refusal(11, "archive-malformed", "index.json"),
        );
        let more = tape().insert("metadata/timestamp.json", Entry::new("a", b"").named(name.as_bytes()));
        trial.refuses(&format!("{name:?} in the head"), &more.bytes(), refusal(11, "archive-malformed", "member name"));
        let signed =
            Forge::new(NEXT).lie("carriage.json", move |carriage| carriage["members"][3]["name"] = name.into());
        let expected = refusal(11, "document-malformed", "carriage.json");
        trial.refuses(&format!("{name:?} signed"), &signed.bundle(), expected);
    }
    // Of names that become paths at a site the builder takes none of these either.
    for name in ["Lamp", "l\u{e4}mp", "la\u{308}mp", "lamp\u{202e}"] {
        let workshop = Workshop::new();
        let file = workshop.path("tree/release.yaml");
        let release = std::fs::read_to_string(&file).unwrap().replace("product: lamp", &format!("product: \"{name}\""));
        std::fs::write(file, release).unwrap();
        workshop.refuses(trial, &format!("a product called {name:?}"), refusal(2, "config-malformed", "is not a name"));
    }
}

fn anchors(trial: &mut Trial) {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..10 {
        let alias = format!("*a{}", n - 1);
        bomb += &format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", "));
    }
    let deep = format!("a: {}{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("# {}\n", "x".repeat(65 << 20));
    let head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n";
    for (what, text, expected) in [
        ("ten to the tenth", &bomb, refusal(11, "yaml-malformed", "bomb.yaml")),
        ("10 000 deep", &deep, refusal(11, "yaml-malformed", "bomb.yaml")),
        ("65 MiB", &long, refusal(16, "over-limit", "`deploy` holds more than")),
    ] {
        let workshop = Workshop::new();
        workshop.write("deploy/bomb.yaml", &format!("{head}{text}"));
        workshop.refuses(trial, what, expected);
    }
    trial.notes("the site parses no YAML from a bundle");
}

/// A workshop with one Deployment of the liar's image.
fn workshop_of(liar: &Liar) -> Workshop {
    let workshop = Workshop::with_images(&format!("['{}']", liar.address()));
    let pod = json!({"containers": [{"name": "lamp", "image": liar.reference()}]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "lamp"},
        "spec": {
            "selector": {"matchLabels": {"app": "lamp"}},
            "template": {"metadata": {"labels": {"app": "lamp"}}, "spec": pod},
        },
    });
    workshop.write("deploy/lamp.yaml", &deployment.to_string());
    workshop
}

fn other_bytes(trial: &mut Trial) {
    let image = Honest::new("a layer");
    for what in ["index", "manifest", "configuration", "layer"] {
        let liar = Liar::new();
        liar.tell(&image);
        let lie = |bytes: &[u8]| {
            let mut lie = bytes.to_vec();
            let last = lie.len() - 2;
            lie[last] ^= 1;
            lie
        };
        match what {
            "index" => liar.manifest(&Digest::of(&image.index).to_string(), media_type::OCI_INDEX, &lie(&image.index)),
            "manifest" => {
                liar.manifest(
                    &Digest::of(&image.manifest).to_string(),
                    media_type::OCI_MANIFEST,
                    &lie(&image.manifest),
                );
            }
            "configuration" => liar.blob(&Digest::of(&image.config), &lie(&image.config)),
            _ => liar.blob(&Digest::of(&image.layer), &lie(&image.layer)),
        }
        let workshop = workshop_of(&liar);
        workshop.refuses(trial, &format!("an {what} of other bytes"), refusal(20, "registry-digest-mismatch", ""));
    }
    let liar = Liar::new();
    liar.tell(&image);
    let workshop = workshop_of(&liar);
    assert_eq!(workshop.build().exit, Some(0), "the honest image is built: it was the lie that was refused");
    signed_and_wrong(trial, refusal(20, "image-malformed", "which the release does not list so"), |manifest| {
        manifest["config"]["digest"] = json!(Digest::of(b"nowhere"));
    });
}

/// A release at the site that is approved and whose one further image is wrong.
fn signed_and_wrong(trial: &mut Trial, expected: super::trial::Refusal<'_>, lie: impl Fn(&mut Value)) {
    let forge = Forge::new(NEXT).with(|forge| {
        let image = Honest::new("another layer");
        forge.content.blob("config", media_type::OCI_CONFIG, &image.config);
        forge.content.blob("layer", media_type::OCI_LAYER_TAR, &image.layer);
        let mut manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
        lie(&mut manifest);
        forge.content.image_of("registry.example/wrong:1", media_type::OCI_MANIFEST, &manifest);
    });
    trial.refuses("approved and wrong", &forge.bundle(), expected);
    trial.notes("nothing tagged");
}

fn odd_images(trial: &mut Trial) {
    let image = Honest::new("a layer");
    let manifest: Value = serde_json::from_slice(&image.manifest).unwrap();
    let odd = |change: &dyn Fn(&mut Value)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest
    };
    let size: &dyn Fn(&mut Value) = &|manifest| manifest["layers"][0]["size"] = 3.into();
    let kind: &dyn Fn(&mut Value) = &|manifest| manifest["mediaType"] = media_type::OCI_INDEX.into();
    let schema1: &dyn Fn(&mut Value) = &|manifest| manifest["mediaType"] = media_type::DOCKER_SCHEMA1_SIGNED.into();
    let foreign: &dyn Fn(&mut Value) = &|manifest| {
        manifest["layers"][0]["mediaType"] = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip".into();
        manifest["layers"][0]["urls"] = json!(["https://elsewhere.example/layer"]);
    };
    let child: &dyn Fn(&mut Value) = &|manifest| manifest["layers"][0]["digest"] = json!(Digest::of(b"nowhere"));
    for (what, change, at_site) in [
        ("another size", size, "image-malformed"),
        ("another media type", kind, "image-malformed"),
        ("schema 1", schema1, "image-unsupported"),
        ("a foreign layer", foreign, "image-unsupported"),
        ("a missing child", child, "image-malformed"),
    ] {
        signed_and_wrong(trial, refusal(20, at_site, "registry.example/wrong:1"), change);
        let liar = Liar::new();
        liar.tell(&image);
        liar.tell_manifest(
            if what == "schema 1" { media_type::DOCKER_SCHEMA1_SIGNED } else { media_type::OCI_MANIFEST },
            &odd(change),
        );
        let workshop = workshop_of(&liar);
        let before = workshop.build();
        assert_eq!(before.exit, Some(20), "{what}: the builder refuses earlier\n{before}");
        assert!(!workshop.bundle().exists(), "{what}: a bundle was written");
    }
}

fn moved_tag(trial: &mut Trial) {
    let liar = Liar::new();
    let (first, second) = (Honest::new("a layer"), Honest::new("another layer"));
    liar.tell(&first);
    let workshop = workshop_of(&liar);
    workshop.builds(trial, "the first");
    liar.tell(&second);
    std::fs::rename(workshop.bundle(), workshop.path("first.consign")).unwrap();
    workshop.builds(trial, "after the tag moved");
    let images = |bundle: &std::path::Path| {
        let said = workshop.consign(&["inspect", "--json"]).arg(bundle).succeeds().json();
        said["release"]["images"][0]["digest"].as_str().unwrap().to_owned()
    };
    let digest = Digest::of(&first.index).to_string();
    assert_eq!(images(&workshop.bundle()), digest, "the lock decides, not the tag");
    // At the site the object names the digest, and a tag of another release does not change what that is.
    let site = consign_tests::site::Site::enrolled(&workshop.path("tree/trust"));
    site.export(&workshop.bundle()).succeeds();
    let objects = site.exported("lamp");
    let texts = std::fs::read_dir(objects)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap_or_default());
    assert!(texts.into_iter().any(|text| text.contains(&format!("app:1@{digest}"))), "deployed by digest");
    trial.notes("deployed by digest alone");
}

fn tenants(trial: &mut Trial) {
    let image = Honest::new("a layer");
    let liar = Liar::new();
    liar.tell(&image);
    liar.manifest(
        &Digest::of(&image.index).to_string(),
        media_type::OCI_INDEX,
        b"{\"schemaVersion\":2,\"manifests\":[]}",
    );
    workshop_of(&liar).refuses(trial, "other bytes", refusal(20, "registry-digest-mismatch", ""));
    // A second tenant's blobs are not to be had through the first one's repository, nor to be mounted into it.
    let ground = trial.ground();
    let other = Forge::new(1).with(|forge| {
        forge.content.name_product("mains");
        forge.content.image("registry.example/mains:1", b"of the other tenant");
    });
    let medium = super::ground::Medium::of(&other.bundle());
    ground.site.export(medium.path()).succeeds();
    let served = ground.site.serve();
    let secret = Digest::of(b"of the other tenant");
    let blob = |repository: &str| served.get(&format!("/v2/registry.example/{repository}/blobs/{secret}")).0;
    assert_eq!((blob("mains"), blob("app")), (200, 404), "a blob is served in its own repository alone");
    let mount = format!("/v2/registry.example/app/blobs/uploads/?mount={secret}&from=registry.example/mains");
    let (status, _) = served.ask("POST", &mount);
    assert!(matches!(status, 404 | 405), "mounting is off, and answered with {status}");
    assert_eq!(blob("app"), 404);
    trial.notes("no mount; a blob in its own repository alone");
}

fn secrets(trial: &mut Trial) {
    let secret = |rest: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: lamp}}\n{rest}\n");
    for (what, rest) in [("data", "data: {key: c2VjcmV0}"), ("stringData", "stringData: {key: secret}")] {
        let workshop = Workshop::new();
        workshop.write("deploy/secret.yaml", &secret(rest));
        workshop.refuses(trial, what, refusal(1, "secret-with-data", "lamp"));
        workshop.declare("secrets: [{name: lamp, mode: shared}]\n");
        workshop.refuses(trial, &format!("{what}, shared without a reason"), refusal(2, "secret-rule", "reason"));
        workshop.declare("");
        let file = workshop.path("tree/release.yaml");
        let release =
            std::fs::read_to_string(&file).unwrap().replace("mode: shared", "mode: shared, reason: a licence");
        std::fs::write(file, release).unwrap();
        workshop.builds(trial, &format!("{what}, shared with a reason"));
    }
    for (what, text) in [
        ("an empty Secret", secret("")),
        (
            "by SOPS",
            secret(
                "data: {key: 'ENC[AES256_GCM,data:eA==,iv:eA==,tag:eA==,type:str]'}\nsops: {mac: 'ENC[x]', version: 3.9.0}",
            ),
        ),
    ] {
        let workshop = Workshop::new();
        workshop.write("deploy/secret.yaml", &text);
        workshop.builds(trial, what);
    }
    trial.notes("no value in any message");
}
