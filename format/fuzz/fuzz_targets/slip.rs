//! libFuzzer calls `targets::slip` with what it makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consign_fuzz::targets::slip(bytes));
