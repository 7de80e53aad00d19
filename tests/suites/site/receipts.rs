//! The receipts of a site, as headquarters finds them.

use std::fs;

use consign_tests::site::Site;

use crate::workshop::{FOR_ALL, Workshop, words_of};

#[test]
fn headquarters_tells_missing_receipts_from_forged_ones() {
    let workshop = Workshop::new();
    let (site, other) = (Site::bare(), Site::bare());
    let mut records = Vec::new();
    for (site, name) in [(&site, "ward-7"), (&other, "ward-8")] {
        let request = workshop.at(&format!("{name}.json"));
        let enrol = site.invoke(["enrol", "--site", name]).option("--root", workshop.root()).option("-o", &request);
        enrol.option("--root-words", workshop.root_words()).succeeds();
        let record = workshop.at(&format!("{name}.record.json"));
        let make = workshop.consign(["site", "record"]).arg(&request).option("--fingerprint", words_of(&request));
        make.option("--output", &record).succeeds();
        records.push(record);
    }
    let first = workshop.build("1.0.0", FOR_ALL);
    let second = workshop.build("1.1.0", FOR_ALL);
    for bundle in [&first, &second, &second] {
        site.export(bundle).succeeds();
    }
    other.export(&first).succeeds();
    let back = workshop.at("back");
    site.invoke(["receipts", "export"]).arg(&back).succeeds();
    let check = || workshop.consign(["site", "receipts", "back"]).option("--record", &records[0]);
    check().succeeds().says("3 receipts of site ward-7 hold");

    let files: Vec<_> = fs::read_dir(&back).unwrap().map(|entry| entry.unwrap().path()).collect();
    let numbered =
        |n: u32| files.iter().find(|path| path.to_str().unwrap().ends_with(&format!("00000{n}.json"))).unwrap();
    let good = fs::read(numbered(2)).unwrap();
    fs::remove_file(numbered(2)).unwrap();
    check().succeeds().says("receipt 2 is missing");
    let report = check().arg("--json").succeeds().json();
    assert_eq!(report["chains"][0]["gaps"], serde_json::json!([[2, 2]]));

    // Made up: the outcome is another. Then another site's, then one played back under another name.
    let forged = String::from_utf8(good.clone()).unwrap().replace("\"sequence\":1", "\"sequence\":2");
    fs::write(numbered(2), forged).unwrap();
    check().fails("receipts-refused", 12).says("000002.json");
    fs::write(numbered(2), &good).unwrap();
    let theirs = workshop.at("theirs");
    other.invoke(["receipts", "export"]).arg(&theirs).succeeds();
    let stray = fs::read_dir(&theirs).unwrap().next().unwrap().unwrap().path();
    fs::copy(&stray, back.join("stray.json")).unwrap();
    check().fails("receipts-refused", 12).says("stray.json");
    fs::copy(numbered(2), back.join("stray.json")).unwrap();
    check().succeeds().says("3 receipts of site ward-7 hold").says("once more");
    workshop.consign(["site", "receipts", "back"]).option("--record", &records[1]).fails("receipts-refused", 12);
}
