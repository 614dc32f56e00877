//! testsaslauthd: its options, what it puts on the wire, and what it makes of each answer.

use std::io;
use std::path::Path;

use harness::standin::Script;
use harness::{Ran, Sandbox, Standin, Subject};

use crate::suite::{Case, Listed, case, compare, listed};
use crate::words;

/// Where the program looks when `-f` isn't given.
const SOCKET: &str = "/run/saslauthd/mux";

struct Run {
    args: Vec<&'static str>,
    /// `None`: nobody listens.
    daemon: Option<Script>,
}

fn run(args: &[&'static str], daemon: Option<Script>) -> Run {
    Run { args: args.to_vec(), daemon }
}

fn reply(text: &[u8]) -> Option<Script> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    Some(Script::Say([&length, text].concat()))
}

fn raw(bytes: &[u8]) -> Option<Script> {
    Some(Script::Say(bytes.to_vec()))
}

const ALICE: [&str; 4] = ["-u", "alice", "-p", "secret1"];

fn alice(more: &[&'static str]) -> Run {
    run(&[&ALICE[..], more].concat(), reply(b"OK"))
}

/// What the program says and sends when all is well.
const SENT: &str = r#"exit 0; out "0: OK \"Success.\""; sent [alice] [secret1] [imap] []"#;

fn sent(fields: &str) -> String {
    format!(r#"exit 0; out "0: OK \"Success.\""; sent {fields}"#)
}

/// What ours says of `-p`.
const WARNING: &str =
    "testsaslauthd: warning: everybody on this machine can see a password after -p\n";
const WARNED: [&str; 4] = ["-u", "alice", "-p", "seen by all"];

fn option_cases() -> Vec<Case<Run>> {
    let usage = r#"exit 1; err "<usage>""#;
    let none = |args: &[&'static str]| run(args, reply(b"OK"));
    vec![
        case("tester-warns-of-p", run(&WARNED, reply(b"OK")), "no word of it"),
        case("tester-plain", alice(&[]), SENT),
        case("tester-service", alice(&["-s", "smtp"]), sent("[alice] [secret1] [smtp] []")),
        case("tester-service-empty", alice(&["-s", ""]), sent("[alice] [secret1] [] []")),
        case(
            "tester-realm",
            alice(&["-r", "example.com"]),
            sent("[alice] [secret1] [imap] [example.com]"),
        ),
        case("tester-realm-empty", alice(&["-r", ""]), SENT),
        case("tester-all", alice(&["-s", "pop", "-r", "x"]), sent("[alice] [secret1] [pop] [x]")),
        case(
            "tester-login-with-at",
            none(&["-u", "alice@example.com", "-p", "x"]),
            sent("[alice@example.com] [x] [imap] []"),
        ),
        case("tester-login-empty", none(&["-u", "", "-p", "x"]), sent("[] [x] [imap] []")),
        case(
            "tester-password-empty",
            none(&["-u", "alice", "-p", ""]),
            sent("[alice] [] [imap] []"),
        ),
        case(
            "tester-password-utf-8",
            none(&["-u", "alice", "-p", "Paßwörd"]),
            sent(r"[alice] [Pa\xc3\x9fw\xc3\xb6rd] [imap] []"),
        ),
        case(
            "tester-password-spaces",
            none(&["-u", "alice", "-p", " a b "]),
            sent("[alice] [ a b ] [imap] []"),
        ),
        case(
            "tester-password-dash",
            none(&["-u", "alice", "-p", "-p"]),
            sent("[alice] [-p] [imap] []"),
        ),
        case(
            "tester-last-login-wins",
            none(&["-u", "a", "-p", "x", "-u", "b"]),
            sent("[b] [x] [imap] []"),
        ),
        case("tester-attached-values", none(&["-ualice", "-psecret1"]), SENT),
        case("tester-double-dash", alice(&["--"]), SENT),
        case("tester-surplus-word", alice(&["surplus"]), SENT),
        case("tester-nothing", none(&[]), usage),
        case("tester-no-password", none(&["-u", "alice"]), usage),
        case("tester-no-login", none(&["-p", "x"]), usage),
        case("tester-unknown-option", alice(&["-x"]), usage),
        case("tester-help", none(&["-h"]), usage),
        case("tester-option-without-value", none(&["-u", "alice", "-p"]), usage),
        case(
            "tester-socket-missing",
            run(&ALICE, None),
            r#"exit 255; out "0: "; err "connect() : No such file or directory""#,
        ),
        case("tester-socket-elsewhere", alice(&["-f", "/run/saslauthd/mux"]), SENT),
        case(
            "tester-socket-given-missing",
            alice(&["-f", "/run/nowhere"]),
            r#"exit 255; out "0: "; err "connect() : No such file or directory""#,
        ),
        case(
            "tester-socket-is-a-directory",
            alice(&["-f", "/run"]),
            r#"exit 255; out "0: "; err "connect() : Connection refused""#,
        ),
        case(
            "tester-socket-is-a-file",
            alice(&["-f", "/etc/passwd"]),
            r#"exit 255; out "0: "; err "connect() : Connection refused""#,
        ),
    ]
}

fn repeat_cases() -> Vec<Case<Run>> {
    vec![
        case(
            "tester-repeat-1",
            alice(&["-R", "1"]),
            r#"exit 0; out "0: OK \"Success.\""; sent [alice] [secret1] [imap] []"#,
        ),
        case(
            "tester-repeat-3",
            alice(&["-R", "3"]),
            r#"exit 0; out "0: OK \"Success.\"\n1: OK \"Success.\"\n2: OK \"Success.\""; sent [alice] [secret1] [imap] []; sent [alice] [secret1] [imap] []; sent [alice] [secret1] [imap] []"#,
        ),
        case(
            "tester-repeat-0",
            alice(&["-R", "0"]),
            r#"exit 0; out "0: OK \"Success.\""; sent [alice] [secret1] [imap] []"#,
        ),
        case(
            "tester-repeat-text",
            alice(&["-R", "x"]),
            r#"exit 0; out "0: OK \"Success.\""; sent [alice] [secret1] [imap] []"#,
        ),
        case("tester-repeat-negative", alice(&["-R", "-1"]), "exit 0"),
        case(
            "tester-repeat-refused",
            run(&["-u", "a", "-p", "b", "-R", "2"], reply(b"NO")),
            r#"exit 255; out "0: NO \"authentication failed\"\n1: NO \"authentication failed\""; sent [a] [b] [imap] []; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-repeat-missing",
            run(&["-u", "a", "-p", "b", "-R", "2"], None),
            r#"exit 255; out "0: 1: "; err "connect() : No such file or directory\nconnect() : No such file or directory""#,
        ),
    ]
}

/// The answer's bytes decide as in libsasl2.
fn answer_cases() -> Vec<Case<Run>> {
    let asked = |script| run(&["-u", "a", "-p", "b"], script);
    let long = |text: &[u8]| [text, &vec![b'x'; 1100]].concat();
    vec![
        case(
            "tester-answer-ok-text",
            asked(reply(b"OK remote authentication successful")),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-okay",
            asked(reply(b"OKAY")),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-ok-nul",
            asked(reply(b"OK\0")),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-lower-case",
            asked(reply(b"ok")),
            r#"exit 255; out "0: NO \"authentication failed\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-no",
            asked(reply(b"NO")),
            r#"exit 255; out "0: NO \"authentication failed\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-no-text",
            asked(reply(b"NO Incorrect password")),
            r#"exit 255; out "0: NO \"authentication failed\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-other",
            asked(reply(b"TEMPFAIL")),
            r#"exit 255; out "0: NO \"authentication failed\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-one-byte",
            asked(reply(b"O")),
            r#"exit 255; out "0: "; err "bad response from saslauthd"; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-zero-bytes",
            asked(reply(b"")),
            r#"exit 255; out "0: "; err "bad response from saslauthd"; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-nothing",
            asked(Some(Script::Hang)),
            r#"exit 255; out "0: "; err "size read failed"; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-half-a-length",
            asked(raw(b"\x00")),
            r#"exit 255; out "0: "; err "size read failed"; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-cut",
            asked(raw(b"\x00\x09OK")),
            r#"exit 255; out "0: "; err "read failed"; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-junk-behind",
            asked(raw(b"\x00\x02OKjunk")),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-long-ok",
            asked(reply(&long(b"OK"))),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-long-no",
            asked(reply(&long(b"NO"))),
            r#"exit 255; out "0: NO \"authentication failed\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-1023",
            asked(reply(&[b"OK", &[b'x'; 1021][..]].concat())),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-dripping",
            asked(Some(Script::Drip(b"\x00\x02OK".to_vec()))),
            r#"exit 0; out "0: OK \"Success.\""; sent [a] [b] [imap] []"#,
        ),
        case(
            "tester-answer-dripping-no",
            asked(Some(Script::Drip(b"\x00\x02NO".to_vec()))),
            r#"exit 255; out "0: NO \"authentication failed\""; sent [a] [b] [imap] []"#,
        ),
    ]
}

/// libsasl2 sends at most 8162 bytes of text. The original tool writes into a buffer of that size without
/// looking, and dies of it.
fn long_cases() -> Vec<Case<Run>> {
    let smashed = r#"signal 6; err "*** stack smashing detected ***: terminated"; sent "#;
    let table = [
        (256, sent("[alice] [256 bytes] [imap] []")),
        (257, sent("[alice] [257 bytes] [imap] []")),
        (1024, sent("[alice] [1024 bytes] [imap] []")),
        (8000, sent("[alice] [8000 bytes] [imap] []")),
        (9000, format!("{smashed}[alice] [9000 bytes] [imap] []")),
        (65_535, format!("{smashed}[alice] [65535 bytes] [imap] []")),
        (65_536, format!("{smashed}[alice] [] [28784 bytes] [28784 bytes]")),
    ];
    let long = |(length, expect): (usize, String)| {
        let password = Box::leak("p".repeat(length).into_boxed_str());
        let act = run(&["-u", "alice", "-p", password], reply(b"OK"));
        case(format!("tester-password-{length}-bytes"), act, expect)
    };
    table.into_iter().map(long).collect()
}

fn cases() -> Vec<Case<Run>> {
    [option_cases(), repeat_cases(), answer_cases(), long_cases()].into_iter().flatten().collect()
}

fn set_up(subject: Subject) -> io::Result<(Subject, Sandbox)> {
    Ok((subject, Sandbox::with(&[])?))
}

fn act((subject, house): &(Subject, Sandbox), run: &Run) -> io::Result<String> {
    let socket = house.outside(Path::new(SOCKET));
    let daemon = run.daemon.clone().map(|script| Standin::listen(&socket, script)).transpose()?;
    let mut command = house.command(subject.program("testsaslauthd"));
    let mut ran = Ran::of(command.args(&run.args), b"", harness::PATIENCE)?;
    let err = ran.err();
    if run.args == WARNED {
        return Ok(err.lines().next().unwrap_or("no word of it").to_owned());
    }
    // Told once, by the case that is about it.
    ran.stderr = err.replacen(WARNING, "", 1).into_bytes();
    let mut told = words::tell(&ran);
    let requests = daemon.map(|daemon| daemon.finish()).unwrap_or_default();
    for request in requests {
        told.push_str(&format!("; sent {}", fields(&request)));
    }
    Ok(told)
}

/// `[alice] [secret1] [imap] []`; long fields by their length.
fn fields(mut request: &[u8]) -> String {
    let mut shown = Vec::new();
    while let Some((length, rest)) = request.split_first_chunk() {
        let (field, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        shown.push(match field.len() {
            0..=40 => format!("[{}]", field.escape_ascii()),
            more => format!("[{more} bytes]"),
        });
        request = rest;
    }
    shown.join(" ")
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn tester() {
    compare("testsaslauthd", &cases(), set_up, act);
}
