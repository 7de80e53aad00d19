//! What a kit says to the person at the site.

use consign_format::kit::Kit;

/// The page in the folder. It names no fingerprint: who exchanges the folder would exchange it as well.
pub(super) fn readme(kit: &Kit) -> String {
    let Kit { site, domain, keys, .. } = kit;
    let request = if *keys { "" } else { " --output DIR/enrol-request.json" };
    let back = if *keys {
        ""
    } else {
        "\n   Bring enrol-request.json back to headquarters, and read the words that\n   are printed at the end to them by telephone.\n"
    };
    format!(
        "This folder makes a machine site {site} of domain {domain}.

It is for this one site; hand it over like a key. DIR is where it lies now.

1. Enrol the machine:

     consign-site enrol --kit DIR{request}

   Type the twelve words from the letter when you are asked for the root's
   fingerprint. The letter has come by another path than this folder. If the
   words do not fit, stop and call headquarters.
{back}
2. Install what was carried in:

     consign-site install /media/usb

Remove this folder from the medium afterwards.
"
    )
}

/// The letter. It travels by another path than the folder.
pub(super) fn letter(kit: &Kit, words: &str) -> String {
    let mut lines = String::new();
    for (number, word) in (1..).zip(words.split(' ')) {
        let end = if number % 4 == 0 { "\n" } else { "" };
        lines.push_str(&format!("{number:>4}  {word:<10}{end}"));
    }
    let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
    format!(
        "For whoever makes a machine site {} of domain {}.

Print this letter and send it by another path than the folder of the site.
The root of trust has this fingerprint:

{}

consign-site enrol asks for these words. If they do not fit, the folder is not
the one that was prepared for you: stop, and call headquarters.
",
        kit.site,
        kit.domain,
        lines.join("\n")
    )
}
