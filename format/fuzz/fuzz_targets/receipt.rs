//! libFuzzer calls `targets::receipt` with what it makes up.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| consign_fuzz::targets::receipt(bytes));
