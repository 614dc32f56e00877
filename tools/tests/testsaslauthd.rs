//! `testsaslauthd` against a scripted daemon: the bytes that it sends, and what it makes of each answer.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_testsaslauthd");
const WARNING: &str =
    "testsaslauthd: warning: everybody on this machine can see a password after -p\n";

/// Serves as many clients as it has replies: reads a request of four or more fields, answers, and closes.
struct Daemon {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Daemon {
    fn saying(replies: &[&[u8]], fields: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("mux");
        let listener = UnixListener::bind(&socket).unwrap();
        let replies: Vec<Vec<u8>> = replies.iter().map(|reply| reply.to_vec()).collect();
        let thread = thread::spawn(move || {
            let serve = |reply: Vec<u8>| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = Vec::new();
                for _ in 0..fields {
                    let mut length = [0; 2];
                    stream.read_exact(&mut length).unwrap();
                    let mut field = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut field).unwrap();
                    request.extend_from_slice(&length);
                    request.extend_from_slice(&field);
                }
                stream.write_all(&reply).unwrap();
                request
            };
            replies.into_iter().map(serve).collect()
        });
        Self { _directory: directory, socket, thread }
    }

    fn heard(self) -> Vec<Vec<u8>> {
        self.thread.join().unwrap()
    }
}

/// Exit status, standard output, standard error.
type Ran = (i32, String, String);

fn run(line: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(PROGRAM)
        .args(line)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn asked(daemon: &Daemon, words: &[&str], input: &[u8]) -> Ran {
    run(&[&["-f", daemon.socket.to_str().unwrap()], words].concat(), input)
}

fn counted(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length[..], text].concat()
}

const OK: &[u8] = b"\x00\x02OK";
const NO: &[u8] = b"\x00\x02NO";
const SUCCESS: &str = "0: OK \"Success.\"\n";
const FAILURE: &str = "0: NO \"authentication failed\"\n";

#[test]
fn options_become_the_fields_of_the_request() {
    let long = "p".repeat(9000);
    let cases: [(&[&str], &[&[u8]]); 8] = [
        (&["-u", "alice", "-p", "secret1"], &[b"alice", b"secret1", b"imap", b""]),
        (&["-ualice", "-psecret1", "-s", "smtp"], &[b"alice", b"secret1", b"smtp", b""]),
        (&["-u", "a", "-p", "b", "-r", "c", "-s", ""], &[b"a", b"b", b"", b"c"]),
        (&["-u", "", "-p", ""], &[b"", b"", b"imap", b""]),
        (&["-u", "a@b", "-p", "-p", "surplus"], &[b"a@b", b"-p", b"imap", b""]),
        (&["-u", "a", "-u", "b", "-p", "x"], &[b"b", b"x", b"imap", b""]),
        (&["-u", "a", "-p", &long], &[b"a", long.as_bytes(), b"imap", b""]),
        (
            &["-u", "a", "-p", "b", "-a", "192.0.2.1;25"],
            &[b"a", b"b", b"imap", b"", b"192.0.2.1;25"],
        ),
    ];
    for (words, fields) in cases {
        let daemon = Daemon::saying(&[OK], fields.len());
        let ran = asked(&daemon, words, b"");
        assert_eq!(ran, (0, SUCCESS.into(), WARNING.into()), "{words:?}");
        let sent: Vec<u8> = fields.iter().flat_map(|field| counted(field)).collect();
        assert_eq!(daemon.heard(), [sent], "{words:?}");
    }
}

#[test]
fn the_first_two_bytes_of_an_answer_decide() {
    let long = |word: &[u8]| counted(&[word, &[b'x'; 3000]].concat());
    let table: [(Vec<u8>, &str, &str, i32); 15] = [
        (OK.into(), SUCCESS, "", 0),
        (counted(b"OK remote authentication successful"), SUCCESS, "", 0),
        (b"\x00\x02OKjunk".into(), SUCCESS, "", 0),
        (long(b"OK"), SUCCESS, "", 0),
        (NO.into(), FAILURE, "", 255),
        (counted(b"ok"), FAILURE, "", 255),
        (counted(b"TEMPFAIL"), FAILURE, "", 255),
        (long(b"NO"), FAILURE, "", 255),
        (counted(b"O"), "0: ", "bad response from saslauthd\n", 255),
        (counted(b""), "0: ", "bad response from saslauthd\n", 255),
        (b"".into(), "0: ", "size read failed\n", 255),
        (b"\x00".into(), "0: ", "size read failed\n", 255),
        (b"\x00\x09OK".into(), "0: ", "read failed\n", 255),
        (b"\x00\x02O".into(), "0: ", "read failed\n", 255),
        (b"\x00\x02".into(), "0: ", "read failed\n", 255),
    ];
    for (reply, out, err, code) in table {
        let daemon = Daemon::saying(&[&reply], 4);
        let ran = asked(&daemon, &["-u", "a", "-p", "b"], b"");
        assert_eq!(ran, (code, out.into(), format!("{WARNING}{err}")), "{reply:?}");
        daemon.heard();
    }
}

#[test]
fn without_p_the_password_is_the_first_line_of_standard_input() {
    for (input, password) in
        [("secret\nmore\n", "secret"), ("secret", "secret"), (" a b \n", " a b "), ("\n", "")]
    {
        let daemon = Daemon::saying(&[OK], 4);
        let ran = asked(&daemon, &["-u", "a"], input.as_bytes());
        assert_eq!(ran, (0, SUCCESS.into(), String::new()), "{input:?}");
        let sent = [counted(b"a"), counted(password.as_bytes()), counted(b"imap"), counted(b"")];
        assert_eq!(daemon.heard(), [sent.concat()]);
    }
}

#[test]
fn repeated_questions_are_numbered_and_each_answer_counts() {
    let daemon = Daemon::saying(&[OK, NO, OK], 4);
    let (code, out, _) = asked(&daemon, &["-u", "a", "-p", "b", "-R", "3"], b"");
    let lines = "0: OK \"Success.\"\n1: NO \"authentication failed\"\n2: OK \"Success.\"\n";
    assert_eq!((code, out.as_str()), (255, lines));
    assert_eq!(daemon.heard().len(), 3);
    for once in ["0", "x", "", " +1", "1x"] {
        let daemon = Daemon::saying(&[OK], 4);
        let (code, out, _) = asked(&daemon, &["-u", "a", "-p", "b", "-R", once], b"");
        assert_eq!((code, out.as_str()), (0, SUCCESS), "{once}");
        daemon.heard();
    }
    assert_eq!(run(&["-u", "a", "-p", "b", "-R", "-1"], b""), (0, "".into(), WARNING.into()));
}

#[test]
fn a_daemon_that_is_away_is_255_with_the_systems_words() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("mux");
    let nowhere = nowhere.to_str().unwrap();
    let expected = format!("{WARNING}connect() : No such file or directory\n");
    let ran = run(&["-u", "a", "-p", "b", "-f", nowhere], b"");
    assert_eq!(ran, (255, "0: ".into(), expected));
    let directory = directory.path().to_str().unwrap();
    let expected = format!("{WARNING}connect() : Connection refused\n");
    assert_eq!(run(&["-u", "a", "-p", "b", "-f", directory], b""), (255, "0: ".into(), expected));
}

#[test]
fn wrong_usage_is_1_and_asks_nobody() {
    for line in [
        &[][..],
        &["-u", "alice"],
        &["-p", "x"],
        &["-u", "a", "-p", "b", "-x"],
        &["-h"],
        &["-u", "a", "-p"],
        &["-u", "a", "-p", "b", "-a", "nowhere"],
    ] {
        let (code, out, err) = run(line, b"");
        assert_eq!((code, out.as_str()), (1, ""), "{line:?}");
        assert!(err.contains("usage: testsaslauthd"), "{err}");
    }
    let huge = "p".repeat(65_536);
    let (code, out, err) = run(&["-u", "a", "-p", &huge], b"");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("at most 65535 bytes"), "{err}");
    let (code, out, _) = run(&["--help"], b"");
    assert!(code == 0 && out.starts_with("usage: testsaslauthd"));
    let (code, out, _) = run(&["--version"], b"");
    assert!(code == 0 && out.starts_with("testsaslauthd 0."));
}
