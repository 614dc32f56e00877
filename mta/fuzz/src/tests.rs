//! The same functions on stable: on what they were made for, on the same with damage, and on noise.

use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
    ("command_line", command_line),
    ("address", address),
    ("reply", reply),
    ("data", data),
    ("bdat", bdat),
    ("proxy_header", proxy_header),
    ("spool_record", spool::record),
];

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a target's fuzzing begins with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = here().join("seeds").join(target);
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn every_target_stands_in_the_manifest_and_has_seeds() {
    let manifest = fs::read_to_string(here().join("Cargo.toml")).unwrap();
    let listed: Vec<_> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"fuzz_targets/")).collect();
    let ours: Vec<String> = TARGETS.iter().map(|(name, _)| format!("{name}.rs\"")).collect();
    assert_eq!(listed, ours);
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        seeds.iter().for_each(|seed| target(seed));
    }
}

/// Or the fuzzing would never get beyond the checksums.
#[test]
fn seeds_of_the_spool_are_files_of_it() {
    let read = |seed: &Vec<u8>| {
        let message = spool::framed(mta::spool::record::MESSAGE, seed);
        let state = spool::framed(mta::spool::record::STATE, seed);
        mta::spool::record::read_envelope(message.as_slice()).is_ok()
            || mta::spool::record::read_state(state.as_slice()).is_ok()
    };
    assert!(seeds("spool_record").iter().all(read));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn noise_ends_in_an_answer(bytes in vec(any::<u8>(), 0..2000)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn damaged_seeds_end_in_an_answer(
        which in any::<prop::sample::Index>(), from in any::<prop::sample::Index>(), noise in vec(any::<u8>(), 0..8),
    ) {
        for (name, target) in TARGETS {
            let seeds = seeds(name);
            let mut bytes = seeds[which.index(seeds.len())].clone();
            let from = from.index(bytes.len() + 1);
            let length = noise.len().min(bytes.len() - from);
            bytes[from..from + length].copy_from_slice(&noise[..length]);
            target(&bytes);
            bytes.truncate(from);
            target(&bytes);
        }
    }
}
