//! What is asked of the daemon, byte by byte, and what its replies look like to a person and to a script.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, JoinHandle};

use super::{PROGRAM, Ran, fed, is_root, text};

/// A server for one client: it reads up to `request` bytes or a line feed, says `reply`, and closes.
struct Server {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    thread: JoinHandle<Vec<u8>>,
}

impl Server {
    fn once(read: impl FnOnce(&mut dyn BufRead) -> Vec<u8> + Send + 'static, reply: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let reply = reply.to_vec();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let request = read(&mut BufReader::new(stream.try_clone().unwrap()));
            let _ = stream.write_all(&reply);
            request
        });
        Self { _directory: directory, socket, thread }
    }

    /// For a control request.
    fn control(reply: &str) -> Self {
        let line = |stream: &mut dyn BufRead| {
            let mut line = Vec::new();
            stream.read_until(b'\n', &mut line).unwrap();
            line
        };
        Self::once(line, reply.as_bytes())
    }

    /// For a mux request of `length` bytes.
    fn mux(length: usize, reply: &[u8]) -> Self {
        let read = move |stream: &mut dyn BufRead| {
            let mut bytes = vec![0; length];
            stream.read_exact(&mut bytes).unwrap();
            bytes
        };
        Self::once(read, reply)
    }

    fn heard(self) -> Vec<u8> {
        self.thread.join().unwrap()
    }
}

fn ask(server: &Server, words: &str) -> Ran {
    let line: Vec<&str> =
        words.split_whitespace().chain(["--control", text(&server.socket)]).collect();
    fed(&line, b"")
}

const ASKED: &[u8] = b"\x00\x05alice\x00\x06secret\x00\x04smtp\x00\x0bexample.com";

fn test(server: &Server, words: &str) -> Ran {
    let line: Vec<&str> = ["test", "--password-stdin", "--socket", text(&server.socket)]
        .into_iter()
        .chain(words.split_whitespace())
        .collect();
    fed(&line, b"secret\n")
}

#[test]
fn a_test_login_is_what_a_mail_server_sends_and_its_answer_is_the_exit_status() {
    let table: [(&[u8], &str, i32); 6] = [
        (b"\x00\x02OK", "accepted\n", 0),
        (b"\x00\x02NO", "refused\n", 1),
        (b"\x00\x0fNO wrong as well", "refused\n", 1),
        (b"", "unavailable\n", 75),
        (b"\x00", "unavailable\n", 75),
        (b"\x00\x01O", "unavailable\n", 75),
    ];
    for (reply, word, code) in table {
        let server = Server::mux(ASKED.len(), reply);
        let ran = test(&server, "alice@example.com");
        assert_eq!((ran.out.as_str(), ran.code, ran.err.as_str()), (word, code, ""));
        assert_eq!(server.heard(), ASKED);
    }
}

#[test]
fn service_realm_and_address_are_passed_on() {
    for (words, expected) in [
        ("a --service imap", &b"\x00\x01a\x00\x06secret\x00\x04imap\x00\x00"[..]),
        ("a@b --realm c", b"\x00\x03a@b\x00\x06secret\x00\x04smtp\x00\x01c"),
        (
            "a --address 2001:db8::1",
            b"\x00\x01a\x00\x06secret\x00\x04smtp\x00\x00\x00\x0b2001:db8::1",
        ),
        (
            "a --address 192.0.2.1;25",
            b"\x00\x01a\x00\x06secret\x00\x04smtp\x00\x00\x00\x0c192.0.2.1;25",
        ),
    ] {
        let server = Server::mux(expected.len(), b"\x00\x02OK");
        assert_eq!(test(&server, words).good(), "accepted\n");
        assert_eq!(server.heard(), expected, "{words}");
    }
}

#[test]
fn a_daemon_that_is_away_is_no_refusal() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("mux");
    let run = |words: &[&str]| fed(words, b"secret");
    let asked = ["test", "a", "--password-stdin", "--socket", text(&socket)];
    run(&asked).bad(69, "no such socket; start saslauthd");
    run(&["status", "--control", text(&socket)]).bad(69, "no such socket");
    drop(UnixListener::bind(&socket).unwrap());
    run(&asked).bad(69, "nobody listens there");
    run(&["limits", "show", "--control", text(&socket)]).bad(69, "nobody listens there");
}

#[test]
fn whoever_may_not_ask_is_told_so() {
    let server = Server::control("");
    ask(&server, "status").bad(77, "ask as root or as a member");
    server.heard();
    if !is_root() {
        return;
    }
    let directory = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("mailauth");
    fs::copy(PROGRAM, &program).unwrap();
    let socket = directory.path().join("control");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "64001", "--regid", "64001", "--clear-groups"]).arg(program);
    let output = command.args(["status", "--control", text(&socket)]).output().unwrap();
    Ran::of(output).bad(77, "permission denied");
}

const STATUS: &str = r#"{
    "house": {
        "version": "0.1.0 (commit abc)", "started": 1800000000, "config": "built-in defaults",
        "processes": [
            {"name": "saslauthd", "pid": 10, "restarts": 0, "confinement": null},
            {"name": "saslauthd-checker", "pid": 12, "restarts": 2, "confinement": {
                "uid": 990, "gid": 991, "groups": [42], "landlock": "abi 2, fully enforced",
                "seccomp": "allow-list of 31 calls", "capabilities": "0000000000000000",
                "missing": ["landlock: no network rules before Linux 6.7"]}}
        ],
        "sockets": ["mux /run/saslauthd/mux"],
        "warnings": ["there is no group sasl"]
    },
    "logins": {"accepted": 5, "refused": 3},
    "backends": [
        {"name": "sqlite", "kind": "sqlite", "trouble": null, "since": 1800000000, "lookups": 8, "failures": 0}
    ],
    "limits": {"throttled": {"user": 1}},
    "cache": {"entries": 2, "hits": 4, "misses": 6},
    "pool": {"given_up": 0},
    "log": {"lost": 0}
}
"#;

#[test]
fn the_status_is_text_for_a_person() {
    let server = Server::control(STATUS);
    let text = ask(&server, "status").good();
    assert_eq!(server.heard(), b"status\n");
    for line in [
        "configuration  built-in defaults",
        "socket         mux /run/saslauthd/mux",
        "  saslauthd  pid 10, restarts 0",
        "  saslauthd-checker  pid 12, restarts 2, uid 990, gid 991, groups 42",
        "    landlock     abi 2, fully enforced",
        "    seccomp      allow-list of 31 calls",
        "    capabilities 0000000000000000",
        "    MISSING      landlock: no network rules before Linux 6.7",
        "  sqlite  sqlite  lookups 8, failures 0  since 2027-01-15T08:00:00Z  ok",
        "  logins            accepted 5, refused 3",
        "  limits throttled  user 1",
        "  cache             entries 2, hits 4, misses 6",
        "  pool              given-up 0",
        "  there is no group sasl",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
    }
    assert!(text.starts_with("saslauthd 0.1.0 (commit abc), up "), "{text}");
}

#[test]
fn the_status_is_json_for_a_program_and_trouble_is_its_exit_status() {
    let server = Server::control(STATUS);
    let out = ask(&server, "status --json").good();
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value, serde_json::from_str::<serde_json::Value>(STATUS).unwrap());
    server.heard();
    for words in ["status", "status --json"] {
        let server =
            Server::control(&STATUS.replace(
                r#""trouble": null"#,
                r#""trouble": "/x: it is locked by another program""#,
            ));
        let ran = ask(&server, words);
        assert_eq!(ran.code, 75, "{}{}", ran.out, ran.err);
        assert!(ran.out.contains("/x: it is locked"), "{}", ran.out);
        server.heard();
    }
}

#[test]
fn limits_and_cache_are_asked_in_the_words_of_the_socket() {
    let figures = r#"{"classes": [{"class": "user", "on": true, "rows": 64, "counting": 1, "throttled": 2, "evicted": 3}],
        "known_good": 4, "digests": 5}"#;
    let left = r#"{"left": {"user": 7}, "known_good": 1, "digests": 0}"#;
    let cases = [
        ("limits show", "limits show\n", figures, "user   on     64    1         2          3\n"),
        (
            "limits show a@b",
            "limits show a\tb\n",
            left,
            "CLASS  LEFT\nuser   7\nknown-good sources: 1\n",
        ),
        ("limits show a --json", "limits show a\n", left, "\"left\":{\"user\":7}"),
    ];
    for (words, asked, reply, part) in cases {
        let server = Server::control(reply);
        let out = ask(&server, words).good();
        assert!(out.contains(part), "{out}");
        assert_eq!(server.heard(), asked.as_bytes());
    }
    for (words, asked) in [
        ("limits reset all", "limits reset all\n"),
        ("limits reset user a@b --realm c", "limits reset user a@b\tc\n"),
        ("limits reset source 2001:DB8::1", "limits reset source 2001:db8::1\n"),
        ("cache flush", "cache flush\n"),
    ] {
        let server = Server::control("{\"done\": \"so \\u001b \\\"it\\\" is\"}\n");
        let ran = ask(&server, words);
        assert_eq!((ran.code, ran.out.as_str()), (0, ""));
        assert_eq!(ran.err, "so \\x1b \"it\" is\n");
        assert_eq!(server.heard(), asked.as_bytes());
    }
}

#[test]
fn replies_that_are_none_are_failures() {
    for (reply, code, part) in [
        ("{\"error\": \"this can't be a login here\"}\n", 1, "can't be a login"),
        ("OK", 69, "no JSON"),
        ("{\"house\":", 69, "no JSON"),
    ] {
        let server = Server::control(reply);
        ask(&server, "limits show x").bad(code, part);
        server.heard();
    }
    let directory = tempfile::tempdir().unwrap();
    let no_socket: &Path = directory.path();
    fed(&["status", "--control", text(no_socket)], b"").bad(69, "nobody listens there");
}
