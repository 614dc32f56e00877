//! saslpasswd2 without a terminal: creating, changing, deleting; what the file holds then, and how the program
//! ends.

use std::fs;
use std::io;

use harness::{Ran, Sandbox, Subject, file, sasldb};

use crate::backend_sasldb::fixture;
use crate::suite::{Case, Listed, case, compare, listed};
use crate::words;

/// What stands in `/etc/sasldb2` before.
#[derive(Clone, Copy)]
pub(crate) enum Before {
    /// No file.
    Nothing,
    /// alice in mailhost and example.com, bob in mailhost with every kind of secret.
    Accounts,
    /// A file of the fixtures.
    Fixture(&'static str),
    /// The file is a symbolic link to `/etc/elsewhere`, which holds the accounts.
    Link,
}

pub(crate) struct Run {
    before: Before,
    args: Vec<&'static str>,
    input: Vec<u8>,
}

pub(crate) fn run(before: Before, args: &[&'static str], input: &[u8]) -> Run {
    Run { before, args: args.to_vec(), input: input.to_vec() }
}

pub(crate) fn fresh(args: &[&'static str], input: &[u8]) -> Run {
    run(Before::Nothing, args, input)
}

fn kept(args: &[&'static str], input: &[u8]) -> Run {
    run(Before::Accounts, args, input)
}

fn create_cases() -> Vec<Case<Run>> {
    vec![
        case(
            "passwd-create",
            fresh(&["-p", "-c", "alice"], b"secret1"),
            "exit 0; file 0640; +alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-create-newline",
            fresh(&["-p", "-c", "alice"], b"secret1\n"),
            "exit 0; file 0640; +alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-create-without-p",
            fresh(&["-c", "alice"], b"secret1\n"),
            "exit 0; file 0640; +alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-create-without-c",
            fresh(&["-p", "alice"], b"secret1"),
            "exit 0; file 0640; +alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-create-bare",
            fresh(&["alice"], b"secret1\n"),
            "exit 0; file 0640; +alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-create-in-realm",
            fresh(&["-p", "-c", "-u", "example.com", "alice"], b"x"),
            "exit 0; file 0640; +alice@example.com userPassword=x",
        ),
        case(
            "passwd-create-realm-empty",
            fresh(&["-p", "-c", "-u", "", "alice"], b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-create-at",
            fresh(&["-p", "-c", "alice@example.com"], b"x"),
            "exit 0; file 0640; +alice@example.com userPassword=x",
        ),
        case(
            "passwd-create-at-and-realm",
            fresh(&["-p", "-c", "-u", "other.org", "alice@example.com"], b"x"),
            "exit 0; file 0640; +alice@example.com userPassword=x",
        ),
        case(
            "passwd-create-two-ats",
            fresh(&["-p", "-c", "a@b@c"], b"x"),
            "exit 0; file 0640; +a@b@c userPassword=x",
        ),
        case(
            "passwd-create-at-end",
            fresh(&["-p", "-c", "alice@"], b"x"),
            "exit 0; file 0640; +alice@ userPassword=x",
        ),
        case(
            "passwd-create-at-first",
            fresh(&["-p", "-c", "@example.com"], b"x"),
            "exit 0; file 0640; +@example.com userPassword=x",
        ),
        case(
            "passwd-create-empty-name",
            fresh(&["-p", "-c", ""], b"x"),
            "exit 0; file 0640; +@mailhost userPassword=x",
        ),
        case(
            "passwd-create-upper-case",
            fresh(&["-p", "-c", "-u", "EXAMPLE.COM", "ALICE"], b"x"),
            "exit 0; file 0640; +ALICE@EXAMPLE.COM userPassword=x",
        ),
        case(
            "passwd-create-space-in-name",
            fresh(&["-p", "-c", "with space"], b"x"),
            "exit 0; file 0640; +with space@mailhost userPassword=x",
        ),
        case(
            "passwd-create-spaces-around-name",
            fresh(&["-p", "-c", " alice "], b"x"),
            "exit 0; file 0640; + alice @mailhost userPassword=x",
        ),
        case(
            "passwd-create-utf-8-name",
            fresh(&["-p", "-c", "jürgen"], b"x"),
            r#"exit 0; file 0640; +j\xc3\xbcrgen@mailhost userPassword=x"#,
        ),
        case(
            "passwd-create-colon-in-name",
            fresh(&["-p", "-c", "a:b"], b"x"),
            "exit 0; file 0640; +a:b@mailhost userPassword=x",
        ),
        case(
            "passwd-create-newline-in-name",
            fresh(&["-p", "-c", "new\nline"], b"x"),
            r#"exit 0; file 0640; +new\nline@mailhost userPassword=x"#,
        ),
        case(
            "passwd-create-dash-name",
            fresh(&["-p", "-c", "--", "-d"], b"x"),
            "exit 0; file 0640; +-d@mailhost userPassword=x",
        ),
        case(
            "passwd-create-options-behind",
            fresh(&["alice", "-p", "-c"], b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-create-two-names",
            fresh(&["-p", "-c", "alice", "bob"], b"x"),
            r#"exit 1; err "<usage>"; absent; nothing"#,
        ),
        case(
            "passwd-create-bundled",
            fresh(&["-pc", "alice"], b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-create-attached-realm",
            fresh(&["-pcuexample.com", "alice"], b"x"),
            "exit 0; file 0640; +alice@example.com userPassword=x",
        ),
        case(
            "passwd-create-second",
            kept(&["-p", "-c", "carol"], b"x"),
            "exit 0; file 0644; +carol@mailhost userPassword=x",
        ),
        case(
            "passwd-create-known",
            kept(&["-p", "-c", "alice"], b"new one"),
            "exit 0; file 0644; -alice@mailhost userPassword=secret1 +alice@mailhost userPassword=new one",
        ),
        case(
            "passwd-create-long-name",
            fresh(&["-p", "-c", LONG_NAME], b"x"),
            "exit 0; file 0640; +<325 n>@mailhost userPassword=x",
        ),
        case(
            "passwd-create-long-realm",
            fresh(&["-p", "-c", "-u", LONG_NAME, "alice"], b"x"),
            "exit 0; file 0640; +alice@<325 n> userPassword=x",
        ),
    ]
}

const LONG_NAME: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\
    nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\
    nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";

fn change_cases() -> Vec<Case<Run>> {
    vec![
        case(
            "passwd-change",
            kept(&["-p", "alice"], b"new one\n"),
            "exit 0; file 0644; -alice@mailhost userPassword=secret1 +alice@mailhost userPassword=new one",
        ),
        case(
            "passwd-change-in-realm",
            kept(&["-p", "-u", "example.com", "alice"], b"new one"),
            "exit 0; file 0644; -alice@example.com userPassword=secret2 +alice@example.com userPassword=new one",
        ),
        case(
            "passwd-change-at",
            kept(&["-p", "alice@example.com"], b"new one"),
            "exit 0; file 0644; -alice@example.com userPassword=secret2 +alice@example.com userPassword=new one",
        ),
        case(
            "passwd-change-same",
            kept(&["-p", "alice"], b"secret1"),
            "exit 0; file 0644; nothing",
        ),
        case(
            "passwd-change-empty",
            kept(&["-p", "alice"], b""),
            r#"exit 7; err "saslpasswd2: invalid parameter supplied"; file 0644; nothing"#,
        ),
        case(
            "passwd-change-other-case",
            kept(&["-p", "ALICE"], b"new one"),
            "exit 0; file 0644; +ALICE@mailhost userPassword=new one",
        ),
        case(
            "passwd-change-every-secret",
            kept(&["-p", "bob"], b"new one"),
            "exit 0; file 0644; -bob@mailhost cmusaslsecretCRAM-MD5=cram -bob@mailhost cmusaslsecretDIGEST-MD5=digest -bob@mailhost cmusaslsecretPLAIN=plain -bob@mailhost userPassword=secret3 +bob@mailhost userPassword=new one",
        ),
        case(
            "passwd-change-unknown",
            kept(&["-p", "carol"], b"new one"),
            "exit 0; file 0644; +carol@mailhost userPassword=new one",
        ),
        case(
            "passwd-n-create",
            fresh(&["-p", "-c", "-n", "alice"], b"x"),
            "exit 0; file 0640; nothing",
        ),
        case("passwd-n-change", kept(&["-p", "-n", "alice"], b"x"), "exit 0; file 0644; nothing"),
        case(
            "passwd-n-every-secret",
            kept(&["-p", "-n", "bob"], b"x"),
            "exit 0; file 0644; -bob@mailhost cmusaslsecretCRAM-MD5=cram -bob@mailhost cmusaslsecretDIGEST-MD5=digest -bob@mailhost cmusaslsecretPLAIN=plain",
        ),
        case(
            "passwd-n-delete",
            kept(&["-d", "-n", "bob"], b""),
            "exit 0; file 0644; -bob@mailhost cmusaslsecretCRAM-MD5=cram -bob@mailhost cmusaslsecretDIGEST-MD5=digest -bob@mailhost cmusaslsecretPLAIN=plain -bob@mailhost userPassword=secret3",
        ),
    ]
}

fn delete_cases() -> Vec<Case<Run>> {
    vec![
        case(
            "passwd-delete",
            kept(&["-d", "alice"], b""),
            "exit 0; file 0644; -alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-delete-in-realm",
            kept(&["-d", "-u", "example.com", "alice"], b""),
            "exit 0; file 0644; -alice@example.com userPassword=secret2",
        ),
        case(
            "passwd-delete-at",
            kept(&["-d", "alice@example.com"], b""),
            "exit 0; file 0644; -alice@example.com userPassword=secret2",
        ),
        case(
            "passwd-delete-every-secret",
            kept(&["-d", "bob"], b""),
            "exit 0; file 0644; -bob@mailhost cmusaslsecretCRAM-MD5=cram -bob@mailhost cmusaslsecretDIGEST-MD5=digest -bob@mailhost cmusaslsecretPLAIN=plain -bob@mailhost userPassword=secret3",
        ),
        case("passwd-delete-unknown", kept(&["-d", "carol"], b""), "exit 0; file 0644; nothing"),
        case("passwd-delete-other-case", kept(&["-d", "Alice"], b""), "exit 0; file 0644; nothing"),
        case(
            "passwd-delete-without-file",
            fresh(&["-d", "alice"], b""),
            "exit 0; file 0640; nothing",
        ),
        case(
            "passwd-delete-with-p",
            kept(&["-d", "-p", "alice"], b"ignored"),
            "exit 0; file 0644; -alice@mailhost userPassword=secret1",
        ),
        case(
            "passwd-delete-as-debian-does",
            fresh(&["-d", "no:such:user"], b""),
            "exit 0; file 0640; nothing",
        ),
        case(
            "passwd-delete-and-create",
            kept(&["-d", "-c", "alice"], b"x"),
            r#"exit 1; err "<usage>"; file 0644; nothing"#,
        ),
        case(
            "passwd-create-and-delete",
            kept(&["-c", "-d", "alice"], b"x"),
            r#"exit 1; err "<usage>"; file 0644; nothing"#,
        ),
        case(
            "passwd-delete-last",
            run(Before::Fixture("empty.sasldb2"), &["-d", "a"], b""),
            "exit 0; file 0644; nothing",
        ),
    ]
}

fn option_cases() -> Vec<Case<Run>> {
    let usage = r#"exit 1; err "<usage>"; absent; nothing"#;
    vec![
        case("passwd-version", fresh(&["-v"], b""), r#"exit 0; err "<version>"; absent; nothing"#),
        case(
            "passwd-version-and-name",
            fresh(&["-v", "alice"], b"x"),
            r#"exit 0; err "<version>"; absent; nothing"#,
        ),
        case("passwd-nothing", fresh(&[], b""), usage),
        case("passwd-only-options", fresh(&["-p", "-c"], b"x"), usage),
        case("passwd-help", fresh(&["-h"], b""), usage),
        case("passwd-long-help", fresh(&["--help"], b""), usage),
        case("passwd-unknown-option", fresh(&["-x", "alice"], b"x"), usage),
        case("passwd-u-without-value", fresh(&["-p", "alice", "-u"], b"x"), usage),
        case("passwd-f-without-value", fresh(&["-p", "alice", "-f"], b"x"), usage),
        case(
            "passwd-appname",
            fresh(&["-p", "-c", "-a", "sample", "alice"], b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-appname-slash",
            fresh(&["-p", "-c", "-a", "a/b", "alice"], b"x"),
            r#"exit 1; err "appname must not contain /"; absent; nothing"#,
        ),
        case(
            "passwd-appname-empty",
            fresh(&["-p", "-c", "-a", "", "alice"], b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
    ]
}

fn cases() -> Vec<Case<Run>> {
    let groups = [create_cases(), change_cases(), delete_cases(), option_cases()];
    groups.into_iter().flatten().collect()
}

const RECORDS: [(&[u8], &[u8]); 7] = [
    (b"alice\0example.com\0userPassword", b"secret2"),
    (b"alice\0mailhost\0userPassword", b"secret1"),
    (b"bob\0mailhost\0cmusaslsecretCRAM-MD5", b"cram"),
    (b"bob\0mailhost\0cmusaslsecretDIGEST-MD5", b"digest"),
    (b"bob\0mailhost\0cmusaslsecretPLAIN", b"plain"),
    (b"bob\0mailhost\0mailQuota", b"100M"),
    (b"bob\0mailhost\0userPassword", b"secret3"),
];

fn prepare(house: &Sandbox, before: Before) -> io::Result<()> {
    let path = house.path().join("etc/sasldb2");
    if path.symlink_metadata().is_ok() {
        fs::remove_file(&path)?;
    }
    match before {
        Before::Nothing => Ok(()),
        Before::Accounts => house.load_sasldb(&RECORDS),
        Before::Fixture(name) => fs::copy(fixture(name), &path).map(|_| ()),
        Before::Link => {
            house.load_sasldb(&RECORDS)?;
            fs::rename(&path, house.path().join("etc/elsewhere"))?;
            std::os::unix::fs::symlink("/etc/elsewhere", &path)
        }
    }
}

pub(crate) fn act((subject, house): &(Subject, Sandbox), run: &Run) -> io::Result<String> {
    prepare(house, run.before)?;
    let path = house.path().join("etc/sasldb2");
    let file = match run.before {
        Before::Link => house.path().join("etc/elsewhere"),
        _ => path.clone(),
    };
    let before = sasldb::dump(&file);
    let mut command = house.command(subject.program("saslpasswd2"));
    let ran = Ran::of(command.args(&run.args), &run.input, harness::PATIENCE)?;
    let changes = changes(before, sasldb::dump(&file));
    Ok(format!("{}; {}; {}", words::tell(&ran), file::facts(&path), shortened(&changes)))
}

type Records = io::Result<Vec<(Vec<u8>, Vec<u8>)>>;

/// What a run has taken out of the file and put into it; `nothing`, and `unreadable` when it's no sasldb now.
fn changes(before: Records, after: Records) -> String {
    let (before, after) = (before.unwrap_or_default(), after.ok());
    let Some(after) = after else {
        return if before.is_empty() { "nothing" } else { "unreadable" }.to_owned();
    };
    let gone = before.iter().filter(|it| !after.contains(it)).map(|it| format!("-{}", tell(it)));
    let new = after.iter().filter(|it| !before.contains(it)).map(|it| format!("+{}", tell(it)));
    let all: Vec<String> = gone.chain(new).collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(" ") }
}

fn tell((key, value): &(Vec<u8>, Vec<u8>)) -> String {
    sasldb::tell_record(key, value)
}

/// Long runs of one letter by their length, so that a password of 2048 bytes fits on a line.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let same = rest.len() - rest.trim_start_matches(letter).len();
        match same / letter.len_utf8() {
            run @ 0..=20 => short.extend(std::iter::repeat_n(letter, run)),
            run => short.push_str(&format!("<{run} {letter}>")),
        }
        rest = &rest[same..];
    }
    short
}

pub(crate) fn set_up(subject: Subject) -> io::Result<(Subject, Sandbox)> {
    Ok((subject, Sandbox::with(&[])?))
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn passwd() {
    compare("saslpasswd2", &cases(), set_up, act);
}
