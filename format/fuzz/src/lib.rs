//! The fuzzed readers; a library of its own so that each target is one line.

pub mod targets;
