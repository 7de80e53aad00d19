//! libFuzzer calls `targets::envelope` with what it makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consign_fuzz::targets::envelope(bytes));
