//! Packed members whose frames are signed and wrong (RFC 8878).

use consign_format::Digest;
use consign_tests::forge::Forge;
use serde_json::{Value, json};

use super::ground::NEXT;
use super::trial::{Row, Trial, refusal};

pub(crate) const ROWS: &[Row] = &[
    Row { number: 24, lie: "a zstd bomb in a packed member", exits: &[11], show: bombs },
    Row { number: 25, lie: "a huge window, a dictionary, a skippable or second frame", exits: &[11], show: odd_frames },
];

/// What every member here must decode to: a thousand zeros.
const PLAIN: [u8; 1000] = [0; 1000];
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A frame of `count` blocks that each stand for `size` zeros.
fn frame(header: &[u8], count: u32, size: u32) -> Vec<u8> {
    let mut bytes = [MAGIC.as_slice(), header].concat();
    for n in 1..=count {
        let block = size << 3 | 1 << 1 | u32::from(n == count);
        bytes.extend_from_slice(&block.to_le_bytes()[..3]);
        bytes.push(0);
    }
    bytes
}

/// The header of a frame with a window of 2^`log` bytes that says it holds `size` bytes.
fn windowed(log: u8, size: u32) -> Vec<u8> {
    [&[0x80, (log - 10) << 3][..], &size.to_le_bytes()].concat()
}

/// The next release with a file that is carried as these frames, each signed by its length and digest.
fn carried(frames: &[Vec<u8>]) -> Vec<u8> {
    let listed: Vec<Value> =
        frames.iter().map(|frame| json!({"length": frame.len(), "sha256": Digest::of(frame)})).collect();
    Forge::new(NEXT).with(|forge| forge.content.packed_file("/opt/zeros", &PLAIN, &frames.concat(), &listed)).bundle()
}

fn bombs(trial: &mut Trial) {
    let expected = refusal(11, "archive-malformed", "a frame of packed/");
    let honest = [vec![0x20_u8 | 0x40], 744_u16.to_le_bytes().to_vec()].concat();
    let bundle = carried(&[frame(&honest, 1, 1000)]);
    for (what, header) in [
        ("that says a thousand bytes", windowed(20, 1000)),
        ("that says what it is", windowed(20, 1000 << 17)),
        ("that says nothing", vec![0x00, 10 << 3]),
    ] {
        // A thousand blocks of 128 KiB: 4 KB that stand for 131 MB.
        let bomb = frame(&header, 1000, 1 << 17);
        trial.refuses(what, &carried(&[bomb]), expected);
    }
    // The same frame made right is taken: it was the bomb that was refused.
    trial.prepares(&bundle);
}

fn odd_frames(trial: &mut Trial) {
    let expected = refusal(11, "archive-malformed", "a frame of packed/");
    let good = || frame(&windowed(20, 1000), 1, 1000);
    for log in [27, 31, 40] {
        let huge = frame(&windowed(log, 1000), 1, 1000);
        trial.refuses(&format!("a window of 2^{log}"), &carried(&[huge]), expected);
    }
    let dictionary = frame(&[&[0x81, 10 << 3, 7][..], &1000_u32.to_le_bytes()].concat(), 1, 1000);
    trial.refuses("a dictionary", &carried(&[dictionary]), expected);
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    trial.refuses("skippable before", &carried(&[[&skippable[..], &good()].concat()]), expected);
    trial.refuses("skippable behind", &carried(&[[good().as_slice(), &skippable].concat()]), expected);
    trial.refuses("skippable alone", &carried(&[skippable.to_vec()]), expected);
    trial.refuses("two frames as one", &carried(&[[good(), good()].concat()]), expected);
    trial.refuses("a byte behind", &carried(&[[good(), vec![0]].concat()]), expected);
    trial.refuses("cut short", &carried(&[good()[..good().len() - 1].to_vec()]), expected);
    let form = refusal(11, "document-malformed", "frames that do not add up");
    trial.refuses("one frame more", &carried(&[good(), good()]), form);
    trial.refuses("no frame", &carried(&[]), form);
    trial.prepares(&carried(&[good()]));
}
