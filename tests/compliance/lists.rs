//! sasldblistusers2: what it prints of every kind of file, in any order, and how it ends.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::time::Duration;

use harness::{Ran, Sandbox, Subject};

use crate::backend_sasldb::fixture;
use crate::suite::{Case, Listed, case, compare, listed};
use crate::words;

struct Run {
    /// What lies at `/etc/sasldb2`.
    file: Option<&'static str>,
    args: Vec<&'static str>,
}

fn run(file: &'static str, args: &[&'static str]) -> Run {
    Run { file: Some(file), args: args.to_vec() }
}

/// Files of which every entry is shown: `exit 0` and the lines of the text beside each.
const WHOLE: [&str; 9] = [
    "empty.sasldb2",
    "basic.sasldb2",
    "unicode.sasldb2",
    "allprops.sasldb2",
    "allprops-page512.sasldb2",
    "allprops-chksum.sasldb2",
    "scram.sasldb2",
    "v1-converted.sasldb2",
    "deleted.sasldb2",
];

fn cases() -> Vec<Case<Run>> {
    let whole = |name: &&'static str| case(format!("list-{name}"), run(name, &[]), entries(name));
    let mut cases: Vec<_> = WHOLE.iter().map(whole).collect();
    cases.push(case(
        "list-many150.sasldb2",
        run("many150.sasldb2", &[]),
        entries("many150.sasldb2"),
    ));
    cases.extend([
        case("list-v1.sasldb", run("v1.sasldb", &[]), "exit 0; @: CRAM-MD5, alice@example.com: CRAM-MD5, alice@example.com: DIGEST-MD5, alice@example.com: PLAIN, alice@example.com: PLAIN-APOP, bob@vm: PLAIN-APOP"),
        case("list-badkeys.sasldb2", run("badkeys.sasldb2", &[]), "hangs"),
        case("list-garbage.sasldb2", run("garbage.sasldb2", &[]), r#"exit 0; err "listusers failed""#),
        case("list-truncated.sasldb2", run("truncated.sasldb2", &[]), entries("truncated.sasldb2")),
        case("list-zero-length.sasldb2", run("zero-length.sasldb2", &[]), r#"exit 0; err "listusers failed""#),
        case("list-notahash-btree.db", run("notahash-btree.db", &[]), r#"exit 0; err "listusers failed""#),
        case("list-basic.gdbm", run("basic.gdbm", &[]), r#"exit 0; err "listusers failed""#),
        case("list-basic.lmdb", run("basic.lmdb", &[]), r#"exit 0; err "listusers failed""#),
        case("list-missing", Run { file: None, args: Vec::new() }, r#"exit 0; err "listusers failed""#),
    ]);
    cases.extend(option_cases());
    cases
}

fn option_cases() -> Vec<Case<Run>> {
    let basic = |args| run("basic.sasldb2", args);
    let listed = || entries("basic.sasldb2");
    vec![
        case("list-file-option", basic(&["-f", "/etc/sasldb2"]), listed()),
        case("list-file-word", basic(&["/etc/sasldb2"]), listed()),
        case("list-file-attached", basic(&["-f/etc/sasldb2"]), listed()),
        case(
            "list-file-missing",
            basic(&["-f", "/etc/nothing"]),
            r#"exit 0; err "listusers failed""#,
        ),
        case("list-word-missing", basic(&["/etc/nothing"]), r#"exit 0; err "listusers failed""#),
        case(
            "list-file-is-directory",
            basic(&["-f", "/etc/ld.so.conf.d"]),
            r#"exit 0; err "/etc/ld.so.conf.d: Is a directory\nlistusers failed""#,
        ),
        case(
            "list-file-is-text",
            basic(&["-f", "/etc/passwd"]),
            r#"exit 0; err "listusers failed""#,
        ),
        case("list-file-empty-name", basic(&["-f", ""]), listed()),
        case(
            "list-two-words",
            basic(&["/etc/sasldb2", "/etc/nothing"]),
            r#"exit 1; err "<usage>""#,
        ),
        case(
            "list-option-and-word",
            basic(&["-f", "/etc/sasldb2", "/etc/nothing"]),
            r#"exit 1; err "<usage>""#,
        ),
        case("list-file-without-value", basic(&["-f"]), r#"exit 1; err "<usage>""#),
        case("list-version", basic(&["-v"]), r#"exit 0; err "<version>""#),
        case("list-version-and-file", basic(&["-v", "/etc/sasldb2"]), r#"exit 0; err "<version>""#),
        case("list-help", basic(&["-h"]), r#"exit 1; err "<usage>""#),
        case("list-unknown-option", basic(&["-x"]), r#"exit 1; err "<usage>""#),
        case("list-double-dash", basic(&["--", "/etc/sasldb2"]), r#"exit 1; err "<usage>""#),
    ]
}

/// The listing of a fixture, made from the text beside it, which db5.3_dump wrote.
fn entries(name: &str) -> String {
    let text = fs::read_to_string(fixture(&format!("{name}.txt"))).unwrap();
    let line = |record: &str| {
        let [user, realm, property, _] = record.splitn(4, '\t').collect::<Vec<_>>()[..] else {
            panic!("{name}: no record: {record}")
        };
        format!("{user}@{realm}: {property}")
    };
    let lines = text.lines().map(line).collect();
    told("exit 0", &lines, "")
}

fn told(end: &str, lines: &BTreeSet<String>, err: &str) -> String {
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    match (lines.is_empty(), err) {
        (true, "") => end.to_owned(),
        (true, err) => format!("{end}; err {err}"),
        (false, "") => format!("{end}; {}", lines.join(", ")),
        (false, err) => format!("{end}; {}; err {err}", lines.join(", ")),
    }
}

fn set_up(subject: Subject) -> io::Result<(Subject, Sandbox)> {
    Ok((subject, Sandbox::with(&[])?))
}

/// The original's endless loop is one for this long.
const ENOUGH: Duration = Duration::from_secs(2);

fn act((subject, house): &(Subject, Sandbox), run: &Run) -> io::Result<String> {
    let path = house.path().join("etc/sasldb2");
    let _ = fs::remove_file(&path);
    if let Some(name) = run.file {
        fs::copy(fixture(name), &path)?;
    }
    let before = fs::read(&path).ok();
    let mut command = house.command(subject.program("sasldblistusers2"));
    let ran = Ran::of(command.args(&run.args), b"", ENOUGH)?;
    if fs::read(&path).ok() != before {
        return Ok("the file was changed".to_owned());
    }
    let lines = ran.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let lines = lines.map(escaped).collect();
    let quiet = Ran { stdout: Vec::new(), ..ran };
    let err = words::tell(&quiet);
    let (end, err) = err.split_once("; err ").unwrap_or((&err, ""));
    Ok(told(end, &lines, err))
}

/// As the texts beside the fixtures escape: `\xHH` for all but printable ASCII, and for the backslash.
fn escaped(line: &[u8]) -> String {
    let byte = |byte: &u8| match byte {
        b'\\' => "\\x5c".to_owned(),
        b' '..=b'~' => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    line.iter().map(byte).collect()
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn lists() {
    compare("sasldblistusers2", &cases(), set_up, act);
}
