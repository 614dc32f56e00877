//! `mta_fuzz::command_line` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mta_fuzz::command_line(bytes));
