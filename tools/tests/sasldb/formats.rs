//! What is written in each format, read and carried on by the libraries that the format is from.

use std::fs;
use std::process::Output;

use credentials::sasldb::{self, Edit, Error, Format};

use super::{OURS, THEIRS, copy, lines, listed, passwords, run, set, succeeded, text, verified};

const BERKELEY: [&str; 14] = [
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
    "v1-converted.sasldb2",
];

#[test]
fn lists_what_the_original_lists_in_its_order() {
    for name in BERKELEY {
        let directory = tempfile::tempdir().unwrap();
        let path = copy(name, directory.path());
        assert_eq!(listed(OURS[1], &path), listed(THEIRS[1], &path), "{name}");
    }
}

#[test]
fn what_is_written_passes_libdb_and_goes_on_in_the_originals_hands() {
    for name in BERKELEY {
        let directory = tempfile::tempdir().unwrap();
        let path = copy(name, directory.path());
        let mut expected = passwords(&path);
        succeeded(&set(OURS[0], &path, "vic", "first"));
        verified(&path);
        assert_eq!(listed(OURS[1], &path), listed(THEIRS[1], &path), "{name}");
        expected.push((b"vic\0example.com\0userPassword".to_vec(), b"first".to_vec()));
        for number in 0..24 {
            let password = "x".repeat(number * 17 + 1);
            succeeded(&set(THEIRS[0], &path, &format!("theirs{number}"), &password));
            if number % 2 == 0 {
                let user = format!("theirs{number}@example.com");
                succeeded(&run(THEIRS[0], &["-d", "-f", text(&path), &user], b""));
            } else {
                let key = format!("theirs{number}\0example.com\0userPassword");
                expected.push((key.into_bytes(), password.into_bytes()));
            }
        }
        verified(&path);
        expected.sort();
        assert_eq!(passwords(&path), expected, "{name}");
        succeeded(&run(OURS[0], &["-d", "-f", text(&path), "vic@example.com"], b""));
        verified(&path);
    }
}

#[test]
fn large_files_pass_libdb() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    for count in [500, 5000] {
        sasldb::change(&path, Format::berkeley(), |records| {
            for number in 0..count {
                let user = format!("user{number}");
                let length = if number % 50 == 0 { 2048 } else { 9 };
                let key = sasldb::Key {
                    user: user.as_bytes(),
                    realm: b"example.com",
                    property: sasldb::USER_PASSWORD,
                };
                assert!(records.set(key, format!("{number:0length$}").as_bytes()));
            }
            Edit::Save(())
        })
        .unwrap();
        verified(&path);
        assert_eq!(lines(&listed(THEIRS[1], &path)), count);
    }
}

#[test]
fn lmdb_goes_on_in_liblmdbs_hands() {
    for name in ["basic.lmdb", "unicode.lmdb", "allprops.lmdb", "large.lmdb"] {
        let directory = tempfile::tempdir().unwrap();
        let path = copy(name, directory.path());
        let entries = passwords(&path).len() + 1;
        succeeded(&set(OURS[0], &path, "vic", "first"));
        let stat = run("mdb_stat", &["-n", text(&path)], b"");
        succeeded(&stat);
        let stat = String::from_utf8(stat.stdout).unwrap();
        assert!(stat.contains(&format!("Entries: {entries}\n")), "{name}: {stat}");
        let dump = run("mdb_dump", &["-n", text(&path)], b"");
        succeeded(&dump);
        assert_eq!(records(&dump), 2 * entries, "{name}");
        let more: String = (0..300)
            .map(|number| format!(" more{number}\\00r\\00userPassword\n value{number}\n"))
            .collect();
        let more = format!("VERSION=3\nformat=print\ntype=btree\nHEADER=END\n{more}DATA=END\n");
        succeeded(&run("mdb_load", &["-n", text(&path)], more.as_bytes()));
        assert_eq!(passwords(&path).len(), entries + 300, "{name}");
        succeeded(&run(OURS[0], &["-d", "-f", text(&path), "vic@example.com"], b""));
        assert_eq!(passwords(&path).len(), entries + 299, "{name}");
    }
}

/// The lines of a dump that are keys and values.
fn records(dump: &Output) -> usize {
    dump.stdout.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b" ")).count()
}

#[test]
fn gdbm_goes_on_in_libgdbms_hands() {
    for name in ["basic.gdbm", "unicode.gdbm", "allprops.gdbm", "large.gdbm", "numsync.gdbm"] {
        let directory = tempfile::tempdir().unwrap();
        let path = copy(name, directory.path());
        let entries = passwords(&path).len() + 1;
        succeeded(&set(OURS[0], &path, "vic", "first"));
        let count = run("gdbmtool", &["-r", text(&path), "count"], b"");
        succeeded(&count);
        let count = String::from_utf8(count.stdout).unwrap();
        assert!(count.contains(&format!(" {entries} ")), "{name}: {count}");
        // Keys without NULs, which gdbmtool's language cannot say; they are kept as bad keys.
        let script = directory.path().join("script");
        let store = |number| format!("store more{number} value{number}\n");
        fs::write(&script, (0..300).map(store).collect::<String>()).unwrap();
        succeeded(&run("gdbmtool", &["-f", text(&script), text(&path)], b""));
        assert_eq!(passwords(&path).len(), entries + 300, "{name}");
        succeeded(&set(OURS[0], &path, "vic", "second"));
        let fetch = |number| format!("fetch more{number}\ndelete more{number}\n");
        fs::write(&script, (0..300).map(fetch).collect::<String>()).unwrap();
        let fetched = run("gdbmtool", &["-f", text(&script), text(&path)], b"");
        succeeded(&fetched);
        assert!(fetched.stdout.starts_with(b"value0\nvalue1\n"), "{name}: {fetched:?}");
        assert_eq!(passwords(&path).len(), entries, "{name}");
    }
}

#[test]
fn a_reader_beside_the_original_sees_no_wrong_state() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    succeeded(&set(THEIRS[0], &path, "constant", "always there"));
    let theirs = {
        let path = path.clone();
        std::thread::spawn(move || {
            for number in 0..80 {
                let password = "y".repeat(number * 5 + 1);
                succeeded(&set(THEIRS[0], &path, &format!("user{number}"), &password));
            }
        })
    };
    let mut highest = 0;
    while !theirs.is_finished() {
        match sasldb::read(&path) {
            Ok(records) => {
                assert!(records.knows(b"constant", b"example.com"));
                let count = records.iter().count();
                assert!(count >= highest, "{count} after {highest}");
                highest = count;
            }
            Err(Error::Changing(_) | Error::Damaged(..)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    theirs.join().unwrap();
    assert_eq!(passwords(&path).len(), 81);
}
