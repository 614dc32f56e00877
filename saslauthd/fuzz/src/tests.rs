//! The same functions on stable: on what they were made for, on the same with damage, and on noise.

use std::fs;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 25] = [
    ("mux", mux),
    ("pwcheck", pwcheck),
    ("operator", operator),
    ("requests", requests),
    ("messages", messages),
    ("shadow", shadow),
    ("sasldb_berkeley", sasldb_berkeley),
    ("sasldb_gdbm", sasldb_gdbm),
    ("sasldb_lmdb", sasldb_lmdb),
    ("config", config),
    ("hash", hash),
    ("query", query),
    ("names", names),
    ("sasl_plain", sasl::plain),
    ("sasl_login", sasl::login),
    ("sasl_external", sasl::external),
    ("sasl_cram_md5", sasl::cram_md5),
    ("sasl_digest_md5", sasl::digest_md5),
    ("sasl_scram", sasl::scram),
    ("auth_server", dovecot::auth_server),
    ("auth_client", dovecot::auth_client),
    ("userdb", dovecot::userdb),
    ("access_map", policy::access_map),
    ("policy_request", policy::policy_request),
    ("certificate", policy::certificate),
];

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What a target's fuzzing begins with.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let databases = here().join("../credentials/tests-data/sasldb");
    let directory = match target.strip_prefix("sasldb_") {
        Some(_) => databases,
        None => here().join("seeds").join(target),
    };
    let files = fs::read_dir(&directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|file| file.extension().is_none_or(|e| e != "txt" && e != "md"))
        .map(|file| fs::read(file).unwrap())
        .collect()
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

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
