//! Every format read and written: sound files, damaged ones, and noise.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::error::Fault;
use super::fields::Order;
use super::records::{Format, Kind, Record, Records};
use super::*;

/// Every file that must be read, by name.
const SOUND: [&str; 23] = [
    "empty.sasldb2",
    "basic.sasldb2",
    "unicode.sasldb2",
    "many150.sasldb2",
    "deleted.sasldb2",
    "scram.sasldb2",
    "allprops.sasldb2",
    "allprops-page512.sasldb2",
    "allprops-chksum.sasldb2",
    "allprops-bigendian.sasldb2",
    "allprops-bigendian-chksum1024.sasldb2",
    "long-page512.sasldb2",
    "long-page65536.sasldb2",
    "badkeys.sasldb2",
    "v1.sasldb",
    "v1-converted.sasldb2",
    "basic.gdbm",
    "unicode.gdbm",
    "allprops.gdbm",
    "numsync.gdbm",
    "basic.lmdb",
    "unicode.lmdb",
    "allprops.lmdb",
];

/// The large ones, with which mutation takes a while.
const LARGE: [&str; 2] = ["large.gdbm", "large.lmdb"];

pub(super) fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests-data/sasldb").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(sample(name)).unwrap()
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\' {
            let hex = std::str::from_utf8(&after[1..3]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &after[3..];
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// The records that `NAME.txt` tells of, by raw key.
pub(super) fn expected(name: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let text = std::fs::read_to_string(sample(&format!("{name}.txt"))).unwrap();
    text.lines()
        .map(|line| {
            let fields: Vec<_> = line.split('\t').map(unescape).collect();
            match fields.as_slice() {
                [mark, key, value] if mark == b"#badkey" => (key.clone(), value.clone()),
                [user, realm, property, value] => {
                    ([&user[..], realm, property].join(&0), value.clone())
                }
                _ => panic!("{name}: {line}"),
            }
        })
        .collect()
}

fn by_key(records: &Records) -> BTreeMap<Vec<u8>, Vec<u8>> {
    records.iter().map(|record| (record.raw_key().to_vec(), record.value().to_vec())).collect()
}

#[test]
fn every_sound_file_gives_its_records() {
    for name in SOUND.into_iter().chain(LARGE) {
        let records = read(&sample(name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(by_key(&records), expected(name), "{name}");
        assert_eq!(records.iter().count(), expected(name).len(), "{name}");
        let format = records.format().to_string();
        let extension = name.rsplit('.').next().unwrap();
        assert_eq!(format, extension.replace("sasldb2", "berkeley").replace("sasldb", "berkeley"));
    }
}

#[test]
fn bad_keys_are_kept_and_counted() {
    let records = read(&sample("badkeys.sasldb2")).unwrap();
    assert_eq!((records.iter().count(), records.bad_keys()), (5, 3));
}

#[test]
fn what_is_no_sasldb_is_refused_by_name() {
    let refused = |name| read(&sample(name)).map(|_| ()).unwrap_err();
    assert!(matches!(refused("notahash-btree.db"), Error::UnknownFormat(_)));
    assert!(matches!(refused("garbage.sasldb2"), Error::UnknownFormat(_)));
    assert!(matches!(refused("zero-length.sasldb2"), Error::Empty(_)));
    assert!(matches!(refused("truncated.sasldb2"), Error::Damaged(..)));
    assert!(matches!(refused("no-such-file"), Error::Missing(_)));
    assert!(matches!(read(&sample("")).map(|_| ()), Err(Error::NotAFile(_))));
}

/// One changed byte of `allprops.sasldb2` or its like, and what it must be called.
#[test]
fn foreign_features_are_named() {
    let with = |name: &str, at: usize, byte: u8| {
        let mut bytes = bytes_of(name);
        bytes[at] = byte;
        super::records(&bytes).map(|_| ()).unwrap_err()
    };
    let unsupported = |fault| matches!(fault, Fault::Unsupported(_));
    assert!(unsupported(with("basic.sasldb2", 16, 7)), "version 7");
    assert!(unsupported(with("basic.sasldb2", 24, 1)), "encryption");
    assert!(unsupported(with("basic.sasldb2", 26, 2)), "partitions");
    assert!(unsupported(with("basic.sasldb2", 48, 1)), "duplicates");
    assert!(unsupported(with("basic.sasldb2", 92, 0)), "another hash");
    assert!(unsupported(with("basic.gdbm", 0, 0xcd)), "32-bit GDBM");
    assert!(unsupported(with("basic.lmdb", 20, 2)), "another LMDB");
    assert!(unsupported(with("basic.lmdb", 4096 + 88 + 4, 4)), "LMDB with duplicates");
}

#[test]
fn a_record_that_vanished_is_damage() {
    // The first bucket's page, as if a disk had lost it; its number is all that tells it from a fresh one.
    for name in ["basic.sasldb2", "many150.sasldb2"] {
        let mut bytes = bytes_of(name);
        bytes[4096..8192].fill(0);
        assert_eq!(
            super::records(&bytes).err(),
            Some(Fault::Damaged(0, "records are missing")),
            "{name}"
        );
    }
}

#[test]
fn checksums_find_every_flipped_bit_of_a_page_in_use() {
    for (name, page_size) in
        [("allprops-chksum.sasldb2", 4096), ("allprops-bigendian-chksum1024.sasldb2", 1024)]
    {
        let sound = bytes_of(name);
        // Of the metadata's room for a longer sum, four bytes are used.
        for at in (page_size..sound.len()).chain(0..496) {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            assert!(super::records(&bytes).is_err(), "{name} at {at}");
        }
    }
}

/// Marsaglia's xorshift: the same mutations in every run.
struct Mutations(u64);

impl Mutations {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(below).unwrap()).unwrap()
    }
}

/// Whatever a mutation did, what comes out is bounded by the file and consists of its bytes.
fn holds(bytes: &[u8], what: &str) {
    let Ok(records) = super::records(bytes) else { return };
    let total: usize =
        records.iter().map(|record| record.raw_key().len() + record.value().len()).sum();
    assert!(total <= bytes.len(), "{what}: {total} bytes out of {}", bytes.len());
    for record in records.iter() {
        assert!(!record.value().starts_with(b"never stored"), "{what}");
    }
}

#[test]
fn damage_at_every_sector_neither_panics_nor_hangs_nor_invents() {
    for name in SOUND.into_iter().chain(LARGE) {
        let sound = bytes_of(name);
        for at in (0..sound.len()).step_by(512) {
            for cut in [at, at + 1, at + 511] {
                let short = &sound[..cut.min(sound.len() - 1)];
                holds(short, name);
                // GDBM files are not a whole number of anything, and of LMDB's last pages some may be free.
                if name.contains("sasldb") {
                    assert!(super::records(short).is_err(), "{name} cut at {cut}");
                }
            }
            for flip in [1, 0x80, 0xff] {
                let mut bytes = sound.clone();
                bytes[at] ^= flip;
                holds(&bytes, name);
            }
            let mut bytes = sound.clone();
            let end = bytes.len().min(at + 512);
            bytes[at..end].fill(0xff);
            holds(&bytes, name);
            bytes[at..end].fill(0);
            holds(&bytes, name);
        }
    }
}

#[test]
fn thousands_of_mutations_neither_panic_nor_hang_nor_invent() {
    let mut mutations = Mutations(0x9e37_79b9_7f4a_7c15);
    for name in SOUND {
        let sound = bytes_of(name);
        for _ in 0..1500 {
            let mut bytes = sound.clone();
            for _ in 0..=mutations.next(4) {
                // Mostly where structure is: the first bytes of a page.
                let page = mutations.next(bytes.len().div_ceil(512)) * 512;
                let reach = [8, 40, 160, 512][mutations.next(4)];
                let at = (page + mutations.next(reach)).min(bytes.len() - 1);
                bytes[at] = u8::try_from(mutations.next(256)).unwrap();
            }
            holds(&bytes, name);
        }
    }
}

fn records_of(map: &BTreeMap<Vec<u8>, Vec<u8>>) -> Vec<Record> {
    map.iter().map(|(key, value)| Record::new(key, value)).collect()
}

/// Keys of up to 511 bytes as LMDB needs them, values that cross pages.
fn some_records() -> impl Strategy<Value = BTreeMap<Vec<u8>, Vec<u8>>> {
    let key = prop_oneof![4 => vec(any::<u8>(), 1..60), 1 => vec(any::<u8>(), 60..511)];
    let value = prop_oneof![
        6 => vec(any::<u8>(), 0..40),
        2 => vec(any::<u8>(), 100..1200),
        1 => vec(any::<u8>(), 1200..9000),
    ];
    prop_oneof![
        btree_map(key.clone(), value, 0..60),
        btree_map(key, vec(any::<u8>(), 0..9), 0..900)
    ]
}

fn shapes() -> Vec<Format> {
    let mut shapes = vec![Format::gdbm(), Format::lmdb()];
    shapes
        .push(Format(Kind::Gdbm(gdbm::Shape { block_size: 512, variant: gdbm::Variant::Numsync })));
    shapes.push(Format(Kind::Lmdb(lmdb::Shape {
        page_size: 2048,
        transaction: 77,
        ..lmdb::Shape::default()
    })));
    for (version, page_size) in [(8, 4096), (9, 512), (9, 4096), (10, 65536)] {
        for order in [Order::Little, Order::Big] {
            for checksums in [berkeley::Checksums::Absent, berkeley::Checksums::Present] {
                let shape = berkeley::Shape { order, version, page_size, checksums };
                shapes.push(Format(Kind::Berkeley(shape)));
            }
        }
    }
    shapes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read_again(map in some_records()) {
        for format in shapes() {
            let file = format.encode(&records_of(&map), [7; 20]).unwrap();
            let records = super::records(&file).unwrap_or_else(|fault| panic!("{format:?}: {fault:?}"));
            prop_assert_eq!(by_key(&records), map.clone(), "{:?}", format);
            match (records.format().0, format.0) {
                (Kind::Lmdb(read), Kind::Lmdb(written)) => {
                    prop_assert!(read.transaction > written.transaction);
                    prop_assert!(read.map_size >= u64::try_from(file.len()).unwrap());
                }
                (read, written) => prop_assert_eq!(read, written),
            }
        }
    }

    #[test]
    fn anything_behind_a_magic_is_taken_or_refused(bytes in vec(any::<u8>(), 0..20_000)) {
        let mut bytes = bytes;
        holds(&bytes, "noise");
        for (at, magic) in [
            (12, 0x0006_1561_u32),
            (0, 0x1357_9acf),
            (0, 0x1357_9ad1),
            (16, 0xbeef_c0de),
        ] {
            if let Some(slot) = bytes.get_mut(at..at + 4) {
                slot.copy_from_slice(&magic.to_le_bytes());
                holds(&bytes, "noise behind a magic");
            }
        }
    }
}

#[test]
fn records_that_a_format_cannot_hold_are_refused() {
    let long = [Record::new(&[b'k'; 512], b"")];
    assert!(matches!(Format::lmdb().encode(&long, [0; 20]), Err(Fault::Unfit(_))));
    assert!(Format::berkeley().encode(&long, [0; 20]).is_ok());
    assert!(Format::gdbm().encode(&long, [0; 20]).is_ok());
}

#[test]
fn nothing_of_an_old_value_is_left_in_what_is_written() {
    for name in ["deleted.sasldb2", "large.gdbm", "large.lmdb"] {
        let mut records = read(&sample(name)).unwrap();
        let gone: Vec<_> = records.as_slice().iter().map(|one| one.value().to_vec()).collect();
        let users: Vec<_> = records
            .iter()
            .filter_map(Record::key)
            .map(|key| (key.user.to_vec(), key.realm.to_vec()))
            .collect();
        for (user, realm) in users {
            assert!(records.remove_user(&user, &realm));
        }
        let file = records.format().encode(records.as_slice(), [1; 20]).unwrap();
        for value in gone {
            let found = file.windows(value.len()).any(|window| window == value);
            assert!(!found, "{name}: a deleted password is still in the file");
        }
    }
}
