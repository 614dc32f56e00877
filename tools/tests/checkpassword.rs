//! `checkpassword` between a scripted daemon and a program that tells how it was run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

const PROGRAM: &str = env!("CARGO_BIN_EXE_checkpassword");
const OK: &[u8] = b"\x00\x02OK";
const NO: &[u8] = b"\x00\x02NO";
/// Prints what the tests want to know of the program's world; descriptor 3 must be gone.
const TELL: &str = "\
echo \"USER=$USER HOME=${HOME-none} SHELL=${SHELL-none} uid=$(id -u) gid=$(id -g) groups=$(id -G) cwd=$PWD\"
[ -e /proc/$$/fd/3 ] && echo descriptor 3 is open
grep SigIgn /proc/$$/status
echo $*";

/// Serves one client: reads as many fields as the test expects, answers, and closes.
struct Daemon {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Daemon {
    fn saying(reply: &'static [u8], fields: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("mux");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let field = |_| {
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut field = vec![0; usize::from(u16::from_be_bytes(length))];
                stream.read_exact(&mut field).unwrap();
                field
            };
            let heard = (0..fields).map(field).collect();
            stream.write_all(reply).unwrap();
            // A field too many would be lost in the request.
            let mut rest = Vec::new();
            stream.set_nonblocking(true).unwrap();
            let _ = stream.read_to_end(&mut rest);
            assert_eq!(rest, b"");
            heard
        });
        Self { _directory: directory, socket, thread }
    }

    fn heard(self) -> Vec<Vec<u8>> {
        self.thread.join().unwrap()
    }
}

/// What came of a run: exit status, standard output, standard error.
type Ran = (i32, String, String);

/// A mail server that runs checkpassword: `input` on descriptor 3, which is a pipe, and these `variables`.
fn run(line: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Ran {
    run_as("exec \"$0\" \"$@\" 3<&0 0</dev/null", line, variables, input)
}

fn run_as(script: &str, line: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Ran {
    let mut child = Command::new("sh")
        .args(["-c", script, PROGRAM])
        .args(line)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs([("HOME", "/the/mail/server"), ("SHELL", "/its/shell"), ("USER", "mailserver")])
        .envs(variables.iter().copied())
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

fn asked(socket: &Path, options: &[&str], variables: &[(&str, &str)], input: &[u8]) -> Ran {
    let line = [&["-f", socket.to_str().unwrap()], options, &["sh", "-c", TELL, "told", "-x", "y"]];
    run(&line.concat(), variables, input)
}

fn texts(fields: &[&str]) -> Vec<Vec<u8>> {
    fields.iter().map(|field| field.as_bytes().to_vec()).collect()
}

const ALICE: &[u8] = b"alice\0secret1\0Y123\0";

#[test]
fn an_accepted_password_runs_the_program() {
    let daemon = Daemon::saying(OK, 4);
    let (status, out, err) = asked(&daemon.socket, &[], &[], ALICE);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert_eq!(daemon.heard(), texts(&["alice", "secret1", "checkpassword", ""]));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("USER=alice HOME=none SHELL=none uid="), "{out}");
    let ignored = lines[1].strip_prefix("SigIgn:").unwrap().trim();
    let ignored = u64::from_str_radix(ignored, 16).unwrap();
    assert_eq!(ignored & (1 << 12), 0, "the program ignores SIGPIPE: {out}");
    assert_eq!(lines[2..], ["-x y"], "{out}");
}

#[test]
fn options_and_environment_become_the_fields_of_the_request() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [u8], &'a [&'a str]);
    let address = ("TCPREMOTEIP", "192.0.2.7");
    let cases: [Case<'_>; 14] = [
        (&[], &[("SERVICE", "imap")], ALICE, &["alice", "secret1", "imap", ""]),
        (&["-s", "pop"], &[("SERVICE", "imap")], ALICE, &["alice", "secret1", "pop", ""]),
        (&["-s", "", "-r", "example.org"], &[], ALICE, &["alice", "secret1", "", "example.org"]),
        (&[], &[("SERVICE", "")], b"a@b@c\0p\0\0", &["a@b", "p", "", "c"]),
        (&["-s", "x", "-r", "r"], &[], b"a@c\0p\0\0", &["a", "p", "x", "c"]),
        (&["-s", "x", "-r", "r"], &[], b"a@\0p\0\0", &["a", "p", "x", ""]),
        (&["-s", "x"], &[], b"\0\0\0", &["", "", "x", ""]),
        (&["-s", "x"], &[], b"a\0p\0", &["a", "p", "x", ""]),
        (&["-s", "x"], &[], b"a\0 p\xc3\xa4\0\0more\0yet more", &["a", " p\u{e4}", "x", ""]),
        (&["-s", "x"], &[address], b"a\0p\0\0", &["a", "p", "x", "", "192.0.2.7"]),
        (
            &["-s", "x"],
            &[address, ("TCPREMOTEPORT", "4242")],
            b"a\0p\0\0",
            &["a", "p", "x", "", "192.0.2.7;4242"],
        ),
        (
            &["-s", "x"],
            &[("TCPREMOTEIP", "2001:db8::1"), ("TCPREMOTEPORT", "none")],
            b"a\0p\0\0",
            &["a", "p", "x", "", "2001:db8::1"],
        ),
        (&["-s", "x"], &[("TCPREMOTEIP", "client.example")], b"a\0p\0\0", &["a", "p", "x", ""]),
        (&["-s", "x"], &[("TCPREMOTEPORT", "4242")], b"a\0p\0\0", &["a", "p", "x", ""]),
    ];
    for (options, variables, input, fields) in cases {
        let daemon = Daemon::saying(OK, fields.len());
        let (status, _, err) = asked(&daemon.socket, options, variables, input);
        assert_eq!((status, err.as_str()), (0, ""), "{options:?} {variables:?}");
        assert_eq!(daemon.heard(), texts(fields), "{options:?} {variables:?}");
    }
}

#[test]
fn an_answer_or_its_absence_is_the_exit_status() {
    let silent = "the daemon closed without an answer";
    let table: [(&[u8], i32, &str); 9] = [
        (NO, 1, ""),
        (b"\x00\x08NO wrong", 1, ""),
        (b"\x00\x02ok", 1, ""),
        (b"\x00\x08TEMPFAIL", 1, ""),
        (b"", 111, silent),
        (b"\x00", 111, silent),
        (b"\x00\x02O", 111, silent),
        (b"\x00\x00", 111, silent),
        (b"\x00\x01O", 111, silent),
    ];
    for (reply, expected, said) in table {
        let daemon = Daemon::saying(reply, 4);
        let (status, out, err) = asked(&daemon.socket, &[], &[], ALICE);
        assert_eq!((status, out.as_str()), (expected, ""), "{reply:?}");
        assert!(err.contains(said) && err.is_empty() == said.is_empty(), "{reply:?}: {err}");
        daemon.heard();
    }
}

#[test]
fn a_daemon_that_is_away_or_says_nothing_is_111() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere = directory.path().join("mux");
    let (status, out, err) = asked(&nowhere, &[], &[], ALICE);
    assert_eq!((status, out.as_str()), (111, ""));
    assert!(err.contains("No such file or directory"), "{err}");
    let left_over = directory.path().join("left-over");
    drop(UnixListener::bind(&left_over).unwrap());
    let (status, _, err) = asked(&left_over, &[], &[], ALICE);
    assert!(status == 111 && err.contains("Connection refused"), "{status} {err}");
    let silent = directory.path().join("silent");
    let _listener = UnixListener::bind(&silent).unwrap();
    let (status, out, err) = asked(&silent, &["-t", "1"], &[], ALICE);
    assert_eq!((status, out.as_str()), (111, ""));
    assert!(err.contains("no answer in time"), "{err}");
}

#[test]
fn misuse_is_2_and_asks_nobody() {
    let socket = "/nonexistent/mux";
    for line in [
        &[][..],
        &["-f", socket],
        &["-f"],
        &["-x", "true"],
        &["-t", "0", "true"],
        &["-t", "3601", "true"],
        &["-t", "soon", "true"],
        &["--"],
        &["--nonsense", "true"],
    ] {
        let (status, out, err) = run(line, &[], ALICE);
        assert_eq!((status, out.as_str()), (2, ""), "{line:?}");
        assert!(err.contains("usage: checkpassword"), "{line:?}: {err}");
    }
    for input in [&b""[..], b"alice", b"alice\0", b"alice\0secret1"] {
        let (status, out, err) = run(&["-f", socket, "true"], &[], input);
        assert_eq!((status, out.as_str()), (2, ""), "{input:?}");
        assert!(err.contains("no login and password on descriptor 3"), "{input:?}: {err}");
    }
    let long = "x".repeat(65_536);
    let (status, _, err) = run(&["-s", &long, "-f", socket, "true"], &[], ALICE);
    assert!(status == 2 && err.contains("-s or -r cannot be sent"), "{status} {err}");
    let (status, out, _) = run(&["--help"], &[], b"");
    assert!(status == 0 && out.starts_with("usage: checkpassword"), "{status} {out}");
    let (status, out, _) = run(&["--version"], &[], b"");
    assert!(status == 0 && out.starts_with("checkpassword 0."), "{status} {out}");
}

#[test]
fn five_hundred_and_twelve_bytes_are_read_and_more_are_refused() {
    let input = |length: usize| {
        let password = vec![b'p'; length - b"alice\0\0\0".len()];
        [b"alice\0", &password[..], b"\0\0"].concat()
    };
    let daemon = Daemon::saying(OK, 4);
    let (status, _, err) = asked(&daemon.socket, &[], &[], &input(512));
    assert_eq!((status, err.as_str()), (0, ""));
    assert_eq!(daemon.heard()[1].len(), 504);
    for length in [513, 514, 100_000] {
        let ran = asked(Path::new("/nonexistent/mux"), &[], &[], &input(length));
        assert_eq!(ran, (1, String::new(), String::new()), "{length}");
    }
}

#[test]
fn descriptor_3_may_be_a_file_or_a_socket_but_must_be_there() {
    let daemon = Daemon::saying(OK, 4);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("three");
    fs::write(&file, ALICE).unwrap();
    let script = "exec \"$0\" \"$@\" 3<\"$FILE\"";
    let line = ["-f", daemon.socket.to_str().unwrap(), "true"];
    let ran = run_as(script, &line, &[("FILE", file.to_str().unwrap())], b"");
    assert_eq!(ran, (0, String::new(), String::new()));
    assert_eq!(daemon.heard()[1], b"secret1");

    let daemon = Daemon::saying(NO, 4);
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.write_all(ALICE).unwrap();
    drop(ours);
    let ran = Command::new("sh")
        .args(["-c", "exec \"$0\" \"$@\" 3<&0 0</dev/null", PROGRAM, "-f"])
        .args([daemon.socket.as_os_str(), "true".as_ref()])
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .status()
        .unwrap();
    assert_eq!(ran.code(), Some(1));
    assert_eq!(daemon.heard()[1], b"secret1");

    let (status, _, err) = run_as("exec \"$0\" \"$@\" 3<&-", &["true"], &[], b"");
    assert!(status == 111 && err.contains("cannot read descriptor 3"), "{status} {err}");
}

#[test]
fn lookups_without_a_password_run_no_program() {
    for variable in ["AUTHORIZED", "CREDENTIALS_LOOKUP"] {
        let line = ["-f", "/nonexistent/mux", "echo", "ran"];
        let (status, out, err) = run(&line, &[(variable, "1")], b"alice\0\0\0");
        assert_eq!((status, out.as_str()), (111, ""), "{variable}");
        assert!(err.contains("lookups without a password"), "{err}");
    }
}

#[test]
fn the_program_gets_the_account_of_the_system_when_asked() {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    // Without root nobody else's identity can be taken on.
    let own = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = if root { b"backup".to_vec() } else { own };
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    let entry = Command::new("getent").args(["passwd", &name]).output().unwrap().stdout;
    let entry = String::from_utf8(entry).unwrap();
    let fields: Vec<&str> = entry.trim_end().split(':').collect();
    let daemon = Daemon::saying(OK, 4);
    let input = format!("{name}\0secret1\0\0");
    let (status, out, err) = asked(&daemon.socket, &["-u"], &[], input.as_bytes());
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    let [_, _, uid, gid, _, home, shell] = fields[..] else { panic!("{entry}") };
    let expected = format!(
        "USER={name} HOME={home} SHELL={shell} uid={uid} gid={gid} groups={gid} cwd={home}\n"
    );
    assert!(out.starts_with(&expected), "{out} is not {expected}");
    daemon.heard();
}

#[test]
fn a_login_that_is_no_user_of_the_system_or_a_program_that_is_not_there_is_111() {
    for (options, input, said) in [
        (&["-u"][..], &b"no-such-user-here\0p\0\0"[..], "no user of this system"),
        // The part before the @ may be somebody else.
        (&["-u"], b"root@elsewhere.example\0p\0\0", "no user of this system"),
        (&["-u"], b"\xff\xfe\0p\0\0", "no user of this system"),
    ] {
        let daemon = Daemon::saying(OK, 4);
        let (status, out, err) = asked(&daemon.socket, options, &[], input);
        assert_eq!((status, out.as_str()), (111, ""), "{input:?}");
        assert!(err.contains(said), "{err}");
        daemon.heard();
    }
    let daemon = Daemon::saying(OK, 4);
    let line = ["-f", daemon.socket.to_str().unwrap(), "/nonexistent/program"];
    let (status, _, err) = run(&line, &[], ALICE);
    assert!(status == 111 && err.contains("cannot become /nonexistent/program"), "{status} {err}");
    daemon.heard();
}
