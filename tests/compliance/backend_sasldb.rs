//! Accounts of sasldb through the daemon: which record counts, realms, damaged and missing files; and the
//! mechanism `getpwent`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use harness::accounts::quick_hash;
use harness::{Account, Daemon, Sandbox, Subject, sasldb};

use crate::suite::{Case, Listed, case, compare, listed};

/// A file of tests/fixtures/sasldb, or one made here, and one question to the daemon.
struct Ask {
    file: &'static str,
    login: &'static str,
    password: &'static str,
    realm: &'static str,
}

/// `user realm password` with `/` between; a realm may be empty.
fn ask(file: &'static str, question: &'static str) -> Ask {
    let mut parts = question.splitn(3, '/');
    let mut next = || parts.next().unwrap();
    Ask { file, login: next(), realm: next(), password: next() }
}

/// File, question, answer.
const QUESTIONS: &[(&str, &str, &str)] = &[
    ("basic.sasldb2", "alice/example.com/secret1", "OK"),
    ("basic.sasldb2", "alice/example.org/other realm pw", "OK"),
    ("basic.sasldb2", "alice/example.org/secret1", "NO"),
    ("basic.sasldb2", "alice/example.com/other realm pw", "NO"),
    ("basic.sasldb2", "alice/example.net/secret1", "NO"),
    ("basic.sasldb2", "alice//secret1", "NO"),
    ("basic.sasldb2", "alice/EXAMPLE.COM/secret1", "NO"),
    ("basic.sasldb2", "alice/example.com./secret1", "NO"),
    ("basic.sasldb2", "ALICE/example.com/secret1", "NO"),
    ("basic.sasldb2", "alice@example.com/example.com/secret1", "NO"),
    ("basic.sasldb2", "alice@example.com//secret1", "NO"),
    ("basic.sasldb2", "bob/example.com/hunter3-changed", "OK"),
    ("basic.sasldb2", "bob/example.com/hunter2", "NO"),
    ("basic.sasldb2", "carol/mail.example.com/correct horse battery staple", "OK"),
    ("basic.sasldb2", "cyrus/host/admin", "OK"),
    ("basic.sasldb2", "x/y/z", "OK"),
    ("unicode.sasldb2", "jürgen/example.com/Passwörd", "OK"),
    ("unicode.sasldb2", "jürgen/example.com/Passwo\u{308}rd", "NO"),
    ("unicode.sasldb2", "newline/example.com/line1\nline2", "OK"),
    ("unicode.sasldb2", "newline/example.com/line1", "NO"),
    ("unicode.sasldb2", "crlf/example.com/pw\r", "OK"),
    ("unicode.sasldb2", "crlf/example.com/pw", "NO"),
    ("unicode.sasldb2", "with space/realm with space/ lead and trail ", "OK"),
    ("unicode.sasldb2", "colon:user/example.com/a:b:c", "OK"),
    ("unicode.sasldb2", "back\\slash/example.com/p\\w", "OK"),
    ("unicode.sasldb2", "quote\"'/example.com/\"'", "OK"),
    ("unicode.sasldb2", "UPPER/EXAMPLE.COM/Case", "OK"),
    ("unicode.sasldb2", "upper/example.com/case", "OK"),
    ("unicode.sasldb2", "UPPER/example.com/Case", "NO"),
    ("unicode.sasldb2", "upper/EXAMPLE.COM/case", "NO"),
    ("unicode.sasldb2", "at/user/at-in-user", "OK"),
    ("unicode.sasldb2", "/example.com/empty-user", "NO NULL login received"),
    ("allprops.sasldb2", "alice/example.com/secret1", "OK"),
    ("allprops.sasldb2", "plainonly/example.com/secret1", "NO"),
    ("allprops.sasldb2", "emptypw/example.com/x", "NO"),
    ("allprops.sasldb2", "emptypw/example.com/", "NO NULL password received"),
    ("allprops.sasldb2", "emptyrealm//emptyrealmpw", "NO"),
    ("allprops.sasldb2", "nulpw/example.com/ab", "OK"),
    ("allprops.sasldb2", "nulpw/example.com/abcd", "NO"),
    ("allprops-page512.sasldb2", "alice/example.com/secret1", "OK"),
    ("allprops-chksum.sasldb2", "alice/example.com/secret1", "OK"),
    ("scram.sasldb2", "both/example.com/pencil", "OK"),
    ("scram.sasldb2", "both/example.com/pencils", "NO"),
    ("scram.sasldb2", "scramonly/example.com/pencil", "NO"),
    ("scram.sasldb2", "sha1only/example.com/pencil", "NO"),
    ("many150.sasldb2", "user001/example.com/pw-001-x", "OK"),
    ("many150.sasldb2", "user149/example.com/pw-149-", "NO"),
    ("many150.sasldb2", "user150/example.com/pw-150-x", "NO"),
    ("deleted.sasldb2", "del00/example.com/re-added 0", "OK"),
    ("deleted.sasldb2", "del01/example.com/pass1pass1", "OK"),
    ("deleted.sasldb2", "del02/example.com/pass2pass2pass2", "NO"),
    ("deleted.sasldb2", "del04/example.com/pass4pass4pass4pass4pass4", "NO"),
    ("badkeys.sasldb2", "alice/example.com/secret1", "OK"),
    ("badkeys.sasldb2", "badkey-no-nul//junk", "NO"),
    ("badkeys.sasldb2", "one/nul/junk", "NO"),
    ("v1-converted.sasldb2", "alice/example.com/secret1", "OK"),
    ("empty.sasldb2", "no/such/user", "NO"),
    ("garbage.sasldb2", "alice/example.com/secret1", "NO"),
    ("zero-length.sasldb2", "alice/example.com/secret1", "NO"),
    ("truncated.sasldb2", "user001/example.com/pw-001-x", "OK"),
    ("truncated.sasldb2", "user004/example.com/pw-004-xxxx", "NO"),
    ("notahash-btree.db", "alice/example.com/secret1", "NO"),
    ("basic.gdbm", "alice/example.com/secret1", "NO"),
    ("basic.lmdb", "alice/example.com/secret1", "NO"),
    ("missing", "alice/example.com/secret1", "NO"),
    ("directory", "alice/example.com/secret1", "NO"),
    ("link", "alice/example.com/secret1", "OK"),
    ("long-value", "long/mailhost/x", "NO"),
    ("long-value", "alice/mailhost/secret1", "OK"),
    ("two-properties", "alice/mailhost/secret1", "OK"),
    ("two-properties", "alice/mailhost/other", "NO"),
    ("plain-secret", "old/mailhost/secret1", "NO"),
    ("plain-secret", "old/mailhost/secret2", "NO"),
    ("getpwent", "in-passwd//secret1", "OK"),
    ("getpwent", "in-passwd//secret2", "NO Incorrect password"),
    ("getpwent", "in-shadow//secret1", "NO Incorrect password"),
    ("getpwent", "in-shadow//x", "NO Incorrect password"),
    ("getpwent", "starred//secret1", "NO Incorrect password"),
    ("getpwent", "empty-field//secret1", "NO Incorrect password"),
    ("getpwent", "nobody-here//secret1", "NO Invalid username"),
];

fn cases() -> Vec<Case<Ask>> {
    let mut cases = Vec::new();
    for (file, question, expect) in QUESTIONS {
        let nth = cases.iter().filter(|it: &&Case<Ask>| it.act.file == *file).count() + 1;
        cases.push(case(format!("sasldb-{file}-{nth:02}"), ask(file, question), *expect));
    }
    cases
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/sasldb").join(name)
}

/// The daemons of one subject: one on sasldb, whose file is changed between cases, and one on getpwent.
struct Bench {
    sasldb: Daemon,
    getpwent: Daemon,
    house: Sandbox,
    _other: Sandbox,
}

fn set_up(subject: Subject) -> io::Result<Bench> {
    let hash = quick_hash("secret1")?;
    let other = Sandbox::with(&[
        Account::with("in-passwd", "").in_passwd(&hash),
        Account::with("in-shadow", &hash),
        Account::with("starred", "").in_passwd("*"),
        Account::with("empty-field", "").in_passwd(""),
    ])?;
    let house = Sandbox::with(&[])?;
    Ok(Bench {
        sasldb: Daemon::cyrus(&house, subject, "sasldb", &[])?,
        getpwent: Daemon::cyrus(&other, subject, "getpwent", &[])?,
        house,
        _other: other,
    })
}

/// As the converter of SASL 1 leaves it: salt, NUL, MD5 of the salt, `sasldb` and `secret1`.
const PLAIN_SECRET: &[u8] =
    b"ABCDEFGHIJKLMNOP\0\xd8\x0d\xf3\x74\x06\xb9\x5f\x61\x53\xea\x33\x96\x40\xb2\x2b\xed";

/// Puts the file where the daemon looks, by a rename, as a careful administrator would.
fn place(house: &Sandbox, file: &str) -> io::Result<()> {
    let target = house.path().join("etc/sasldb2");
    if target.is_dir() {
        fs::remove_dir(&target)?;
    } else if target.symlink_metadata().is_ok() {
        fs::remove_file(&target)?;
    }
    let alice: (&[u8], &[u8]) = (b"alice\0mailhost\0userPassword", b"secret1");
    match file {
        "missing" => Ok(()),
        "directory" => fs::create_dir(&target),
        "link" => {
            fs::copy(fixture("basic.sasldb2"), house.path().join("etc/elsewhere"))?;
            std::os::unix::fs::symlink("/etc/elsewhere", &target)
        }
        "long-value" => {
            house.load_sasldb(&[alice, (b"long\0mailhost\0userPassword", &[b'x'; 1000])])
        }
        "plain-secret" => {
            house.load_sasldb(&[(b"old\0mailhost\0cmusaslsecretPLAIN", PLAIN_SECRET)])
        }
        "two-properties" => house.load_sasldb(&[
            (b"alice\0mailhost\0aaa", &b"other"[..]),
            alice,
            (b"alice\0mailhost\0zzz", b"other"),
        ]),
        _ => {
            let new = house.path().join("etc/sasldb2.new");
            fs::copy(fixture(file), &new)?;
            fs::rename(&new, &target)
        }
    }
}

fn act(bench: &Bench, ask: &Ask) -> io::Result<String> {
    if ask.file == "getpwent" {
        return Ok(bench.getpwent.ask(ask.login, ask.password, "smtp", ask.realm));
    }
    place(&bench.house, ask.file)?;
    Ok(bench.sasldb.ask(ask.login, ask.password, "smtp", ask.realm))
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn backend_sasldb() {
    compare("sasldb", &cases(), set_up, act);
}

#[test]
fn the_two_properties_file_holds_both() {
    if !harness::require_root() || !harness::require("db5.3_load", "db5.3-util") {
        return;
    }
    let house = Sandbox::with(&[]).unwrap();
    place(&house, "two-properties").unwrap();
    assert_eq!(
        sasldb::tell(&house.path().join("etc/sasldb2")),
        "alice@mailhost aaa=other, alice@mailhost userPassword=secret1, alice@mailhost zzz=other"
    );
}
