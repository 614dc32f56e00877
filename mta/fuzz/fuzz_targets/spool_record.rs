//! `mta_fuzz::spool::record` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mta_fuzz::spool::record(bytes));
