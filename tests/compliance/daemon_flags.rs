//! saslauthd's command line: what starts, what is refused, and with which exit code.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use harness::probe::ask_mux;
use harness::{Ran, Sandbox, Subject, wait_for};

use crate::suite::{Case, Listed, case, compare, listed};
use crate::words;

struct Run {
    args: Vec<&'static str>,
}

fn run(args: &[&'static str]) -> Run {
    Run { args: args.to_vec() }
}

/// `-a sasldb` and these.
fn sasldb(args: &[&'static str]) -> Run {
    run(&[&["-a", "sasldb"], args].concat())
}

fn cases() -> Vec<Case<Run>> {
    let mut cases = general();
    cases.extend(numbers());
    cases.extend(directories());
    cases.extend(mechanisms());
    cases
}

fn general() -> Vec<Case<Run>> {
    vec![
        case("flags-none", run(&[]), r#"exit 0; err "<usage>""#),
        case("flags-version", run(&["-v"]), r#"exit 0; err "<version>""#),
        case("flags-help", run(&["-h"]), r#"exit 0; err "<usage>""#),
        case("flags-version-with-mechanism", sasldb(&["-v"]), r#"exit 0; err "<version>""#),
        case("flags-help-with-mechanism", sasldb(&["-h"]), r#"exit 0; err "<usage>""#),
        case("flags-no-mechanism", run(&["-c"]), r#"exit 0; err "<usage>""#),
        case("flags-a-without-value", run(&["-a"]), r#"exit 0; err "<usage>""#),
        case(
            "flags-a-empty",
            run(&["-a", ""]),
            r#"exit 1; err "unknown authentication mechanism: ""#,
        ),
        case("flags-a-twice", sasldb(&["-a", "shadow"]), r#"exit 0; err "<usage>""#),
        case("flags-a-same-twice", sasldb(&["-a", "sasldb"]), r#"exit 0; err "<usage>""#),
        case("flags-a-attached", run(&["-asasldb"]), "exit 0; then OK; pid file"),
        case("flags-a-upper-case", run(&["-a", "SASLDB"]), "exit 0; then OK; pid file"),
        case("flags-unknown-option", sasldb(&["-x"]), r#"exit 0; err "<usage>""#),
        case("flags-long-help", run(&["--help"]), r#"exit 0; err "<usage>""#),
        case("flags-long-version", run(&["--version"]), r#"exit 0; err "<usage>""#),
        case("flags-T", sasldb(&["-T"]), r#"exit 0; err "<usage>""#),
        case("flags-H", sasldb(&["-H", "x"]), r#"exit 0; err "<usage>""#),
        case("flags-surplus-word", sasldb(&["surplus"]), "exit 0; then OK; pid file"),
        case("flags-sasldb", sasldb(&[]), "exit 0; then OK; pid file"),
        case("flags-cache", sasldb(&["-c"]), "exit 0; then OK; pid file"),
        case("flags-realm", sasldb(&["-r"]), "exit 0; then OK; pid file"),
        case("flags-verbose", sasldb(&["-V"]), "exit 0; then OK; pid file"),
        case("flags-no-accept-lock", sasldb(&["-l"]), "exit 0; then OK; pid file"),
        case("flags-mechanism-option", sasldb(&["-O", "ignored"]), "exit 0; then OK; pid file"),
        case("flags-bundled", sasldb(&["-crlV"]), "exit 0; then OK; pid file"),
        case(
            "flags-debian-default",
            sasldb(&["-c", "-m", "/var/run/saslauthd", "-n", "5"]),
            "exit 0; then OK; pid file",
        ),
    ]
}

fn numbers() -> Vec<Case<Run>> {
    vec![
        case("flags-n-1", sasldb(&["-n", "1"]), "exit 0; then OK; pid file"),
        case("flags-n-0", sasldb(&["-n", "0"]), "exit 0; then OK; pid file"),
        case("flags-n-20", sasldb(&["-n", "20"]), "exit 0; then OK; pid file"),
        case(
            "flags-n-negative",
            sasldb(&["-n", "-1"]),
            r#"exit 1; err "invalid number of worker processes defined""#,
        ),
        case("flags-n-text", sasldb(&["-n", "x"]), "exit 0; then OK; pid file"),
        case("flags-n-text-behind", sasldb(&["-n", "3x"]), "exit 0; then OK; pid file"),
        case("flags-n-empty", sasldb(&["-n", ""]), "exit 0; then OK; pid file"),
        case("flags-n-without-value", sasldb(&["-n"]), r#"exit 0; err "<usage>""#),
        case("flags-s-1", sasldb(&["-c", "-s", "1"]), "exit 0; then OK; pid file"),
        case(
            "flags-s-0",
            sasldb(&["-c", "-s", "0"]),
            r#"exit 1; err "cache size must be positive and non zero""#,
        ),
        case(
            "flags-s-0-without-c",
            sasldb(&["-s", "0"]),
            r#"exit 1; err "cache size must be positive and non zero""#,
        ),
        case("flags-s-negative", sasldb(&["-c", "-s", "-5"]), "hangs"),
        case(
            "flags-s-text",
            sasldb(&["-c", "-s", "x"]),
            r#"exit 1; err "cache size must be positive and non zero""#,
        ),
        case("flags-s-1024", sasldb(&["-c", "-s", "1024"]), "exit 0; then OK; pid file"),
        case("flags-t-1", sasldb(&["-c", "-t", "1"]), "exit 0; then OK; pid file"),
        case(
            "flags-t-0",
            sasldb(&["-c", "-t", "0"]),
            r#"exit 1; err "cache timeout must be positive""#,
        ),
        case(
            "flags-t-0-without-c",
            sasldb(&["-t", "0"]),
            r#"exit 1; err "cache timeout must be positive""#,
        ),
        case("flags-t-negative", sasldb(&["-c", "-t", "-1"]), "exit 0; then OK; pid file"),
        case(
            "flags-t-text",
            sasldb(&["-c", "-t", "x"]),
            r#"exit 1; err "cache timeout must be positive""#,
        ),
        case("flags-t-day", sasldb(&["-c", "-t", "86400"]), "exit 0; then OK; pid file"),
        case(
            "flags-last-n-wins",
            sasldb(&["-n", "-1", "-n", "2"]),
            r#"exit 1; err "invalid number of worker processes defined""#,
        ),
    ]
}

fn directories() -> Vec<Case<Run>> {
    vec![
        case(
            "flags-m-relative",
            sasldb(&["-m", "relative"]),
            r#"exit 1; err "-m requires an absolute pathname""#,
        ),
        case(
            "flags-m-empty",
            sasldb(&["-m", ""]),
            r#"exit 1; err "-m requires an absolute pathname""#,
        ),
        case("flags-m-new", sasldb(&["-m", "/run/new"]), "exit 0; then OK; pid file"),
        case(
            "flags-m-slash-behind",
            sasldb(&["-m", "/run/saslauthd/"]),
            "exit 0; then OK; pid file",
        ),
        case(
            "flags-m-no-parent",
            sasldb(&["-m", "/run/no/parent"]),
            r#"exit 1; err "can not mkdir: /run/no/parent\nCheck to make sure the parent directory exists and is\nwriteable by the user this process runs as.""#,
        ),
        case(
            "flags-m-is-a-file",
            sasldb(&["-m", "/etc/passwd"]),
            r#"exit 1; err "could not chdir to: /etc/passwd\nchdir: Not a directory\nCheck to make sure the directory exists and is\nwriteable by the user this process runs as.""#,
        ),
        case("flags-m-dots", sasldb(&["-m", "/run/../run/saslauthd"]), "exit 0; then OK; pid file"),
        case(
            "flags-m-twice",
            sasldb(&["-m", "relative", "-m", "/run/saslauthd"]),
            r#"exit 1; err "-m requires an absolute pathname""#,
        ),
        case("flags-m-without-value", sasldb(&["-m"]), r#"exit 0; err "<usage>""#),
    ]
}

fn mechanisms() -> Vec<Case<Run>> {
    vec![
        case(
            "flags-mechanism-shadow",
            run(&["-a", "shadow"]),
            "exit 0; then NO Invalid username; pid file",
        ),
        case(
            "flags-mechanism-getpwent",
            run(&["-a", "getpwent"]),
            "exit 0; then NO Invalid username; pid file",
        ),
        case(
            "flags-mechanism-unknown",
            run(&["-a", "nosuch"]),
            r#"exit 1; err "unknown authentication mechanism: nosuch""#,
        ),
        case(
            "flags-mechanism-prefix",
            run(&["-a", "sasl"]),
            r#"exit 1; err "unknown authentication mechanism: sasl""#,
        ),
        case(
            "flags-mechanism-longer",
            run(&["-a", "sasldbx"]),
            r#"exit 1; err "unknown authentication mechanism: sasldbx""#,
        ),
        case(
            "flags-mechanism-httpform",
            run(&["-a", "httpform"]),
            r#"exit 1; err "unknown authentication mechanism: httpform""#,
        ),
        case(
            "flags-mechanism-rimap-bare",
            run(&["-a", "rimap"]),
            r#"exit 1; err "failed to initialize mechanism rimap""#,
        ),
    ]
}

/// The directory that `-m` names last, as the test sees it.
fn directory(house: &Sandbox, args: &[&str]) -> std::path::PathBuf {
    let at = args.iter().rposition(|arg| *arg == "-m");
    let named = at.and_then(|at| args.get(at + 1)).copied().unwrap_or("/run/saslauthd");
    house.outside(Path::new(&named.replace("/run/../run", "/run")))
}

/// How long a start may take, and then the socket of a daemon whose exit code promises one.
const START: Duration = Duration::from_secs(5);

fn act(subject: &Subject, run: &Run) -> io::Result<String> {
    let house = Sandbox::with(&[])?;
    house.load_sasldb(&[(b"alice\0mailhost\0userPassword", b"secret1")])?;
    let mut command = house.command(subject.program("saslauthd"));
    let mut ran = Ran::of(command.args(&run.args), b"", START)?;
    if run.args.iter().any(|arg| arg.contains('V')) {
        // What is said beyond the usual on request is for eyes, not for programs.
        ran.stderr.clear();
    }
    let mut told = words::tell(&ran);
    let socket = directory(&house, &run.args).join("mux");
    // Whoever exits 0 without a word says that a daemon runs now.
    let promised = ran.code == Some(0) && !told.contains("<usage>") && !told.contains("<version>");
    if promised {
        let mut answer = String::new();
        wait_for(START, || {
            answer = ask_mux(&socket, b"alice", b"secret1", b"smtp", b"");
            !answer.contains("os error")
        });
        told.push_str(&format!("; then {}", without_number(&answer)));
    } else if !house.processes("saslauthd").is_empty() {
        told.push_str("; still runs");
    }
    let pid = fs::read_to_string(socket.with_file_name("saslauthd.pid")).ok();
    if let Some(pid) = pid.as_deref().and_then(|text| text.strip_suffix('\n')) {
        let main = house.processes("saslauthd").first().map(i32::to_string);
        told.push_str(if Some(pid) == main.as_deref() { "; pid file" } else { "; wrong pid file" });
    }
    Ok(told)
}

/// The system's words for an error without its number.
fn without_number(text: &str) -> &str {
    text.split_once(" (os error").map_or(text, |(words, _)| words)
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn daemon_flags() {
    compare("saslauthd's flags", &cases(), Ok, act);
}
