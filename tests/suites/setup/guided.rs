//! `consign-site` alone at a pseudo-terminal: a person who only ever presses Enter, from the stick to the receipt.

use std::fs;

use consign_tests::desk::Desk;
use consign_tests::site::Site;

use crate::pseudo::Pseudo;
use consign_tests::workshop::Workshop;

#[test]
fn enter_is_enough_from_the_stick_to_the_receipt() {
    if !Desk::is_possible() {
        return;
    }
    let workshop = Workshop::lamp();
    let site = Site::enrolled(workshop.root().parent().unwrap());
    let stick = site.root().join("stick");
    fs::create_dir(&stick).unwrap();
    let file = site.root().join("etc/consign/site.toml");
    let text = fs::read_to_string(&file).unwrap().replace("handoff = \"direct\"", "handoff = \"export\"");
    fs::write(file, format!("{text}\n[watch]\nfolders = ['{}']\n", stick.display())).unwrap();

    let mut person = Pseudo::start(&site.invoke([]));
    person.waits_for("Nothing is installed yet.");
    person.waits_for("Next: nothing is to be done. Put in a medium to install something");
    fs::copy(workshop.build("1.0.0", ""), stick.join("lamp.consign")).unwrap();
    person.waits_for("Enter: look again.");
    person.types("");
    person.waits_for("Next: check and load it; nothing that runs is touched");
    person.types("c");
    person.waits_for("[ ] 3. Ask whether the device is in use");
    person.types("");
    person.waits_for("lamp 1.0.0 is staged; nothing that runs was touched");
    person.waits_for("(that is: consign-site activate)");
    person.types("");
    person.waits_for("lamp 1.0.0 is installed");
    person.waits_for("Next: copy the receipts onto the medium, to be carried back");
    person.types("");
    person.waits_for("1 receipt is in");
    person.types("q");
    let (done, said) = person.ends();
    assert!(done && said.contains("lamp 1.0.0 runs and is healthy."), "{said}");
    assert_eq!(fs::read_dir(stick.join("consign-receipts")).unwrap().count(), 1);
}

#[test]
fn nobody_at_a_terminal_is_told_that_a_command_is_needed() {
    let site = Site::bare();
    site.invoke([]).fails("usage", 2);
}
