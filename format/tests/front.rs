//! A head that waits beside a bundle: read in place of the bundle's own when it is whole and fits, passed by otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods)]

mod kit;

use std::io::{Cursor, Read, Seek, SeekFrom};

use consign_format::Limits;
use consign_format::archive::front::{Overlaid, is_whole};
use consign_format::archive::head::OpenedBundle;

fn read(file: &[u8], waiting: Option<&[u8]>) -> (Vec<u8>, bool) {
    let waiting = waiting.map(<[u8]>::to_vec);
    let mut overlaid = Overlaid::new(Cursor::new(file), waiting, &Limits::DEFAULT).unwrap();
    let mut bytes = Vec::new();
    overlaid.read_to_end(&mut bytes).unwrap();
    assert_eq!(overlaid.position(), bytes.len() as u64);
    (bytes, overlaid.is_overlaid())
}

#[test]
fn a_whole_head_is_read_and_a_torn_or_other_one_is_not() {
    let new = kit::parts().pack();
    let head = OpenedBundle::open(Cursor::new(&new), Limits::DEFAULT).unwrap().read_head().unwrap();
    let boundary = head.boundary() as usize;
    assert!(is_whole(&new[..boundary], &Limits::DEFAULT));
    for cut in [0, 1, 512, boundary / 2, boundary - 1, boundary] {
        let mut torn = new.clone();
        torn[cut..boundary].fill(0xaa);
        assert!(read(&torn, Some(&new[..boundary])) == (new.clone(), true), "{cut}");
        assert!(read(&torn, None) == (torn.clone(), false), "{cut}");
    }
    for waiting in [&new[..0], &new[..512], &new[..boundary - 512], &new[..boundary + 512], b"head"] {
        assert!(read(&new, Some(waiting)) == (new.clone(), false), "{} bytes", waiting.len());
    }
    // Where no payload begins at its end, it is another file's.
    let shifted = [&new[..boundary], &[0; 512], &new[boundary..]].concat();
    assert!(!read(&shifted, Some(&new[..boundary])).1);
    assert!(!read(&new[..boundary], Some(&new[..boundary])).1);

    let mut overlaid = Overlaid::new(Cursor::new(&new), Some(new[..boundary].to_vec()), &Limits::DEFAULT).unwrap();
    let mut part = [0; 1024];
    overlaid.seek(SeekFrom::Start(boundary as u64 - 512)).unwrap();
    overlaid.read_exact(&mut part).unwrap();
    assert_eq!(part, new[boundary - 512..boundary + 512]);
}
