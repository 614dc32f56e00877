//! Where passwords come from: standard input, a descriptor, the terminal; and that they stay out of sight.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::{PROGRAM, fed, text, user};

/// What is typed at each prompt, and what appeared on the terminal, with the exit status.
fn typed(line: &str, answers: &[&str]) -> (i32, String) {
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", line, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("script: {error}; install bsdutils"));
    let mut keys = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut seen = Vec::new();
    for answer in answers {
        // The echo is off before the prompt appears, so that nobody need wait any longer.
        while !seen.ends_with(b": ") {
            let mut byte = [0];
            if screen.read(&mut byte).unwrap() == 0 {
                break;
            }
            seen.push(byte[0]);
        }
        seen.push(b'|');
        keys.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    screen.read_to_end(&mut seen).unwrap();
    drop(keys);
    let status = child.wait().unwrap();
    (status.code().unwrap(), String::from_utf8(seen).unwrap().replace('\r', ""))
}

#[test]
fn on_a_terminal_it_is_asked_for_twice_without_echo() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.sqlite");
    let line = format!("{PROGRAM} user add alice --database {}", text(&database));
    let (code, screen) = typed(&line, &["hunter2", "hunter3"]);
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("the two passwords differ; nothing was changed"), "{screen}");
    user(&database, "show alice", "").bad(1, "no such account");

    let (code, screen) = typed(&line, &["hunter2", "hunter2"]);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Password: |") && screen.contains("Again: |"), "{screen}");
    assert!(screen.ends_with("added alice\n") && !screen.contains("hunter"), "{screen}");

    let (code, screen) = typed(&line.replace("alice", "bob"), &["", ""]);
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("bad password: it is empty"), "{screen}");
}

#[test]
fn without_a_terminal_or_a_source_the_next_step_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.sqlite");
    // setsid(1) takes the terminal away, if there is one.
    let output = Command::new("setsid")
        .args(["--wait", PROGRAM, "user", "add", "a", "--database", text(&database)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    super::Ran::of(output).bad(1, "give it with --password-stdin or --password-fd");
}

#[test]
fn input_is_one_line_with_or_without_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.sqlite");
    user(&database, "add a --password-stdin", " two words \r\n").good();
    user(&database, "add b --password-fd 0", "x").good();
    let longest = "x".repeat(8192);
    user(&database, "add c --password-stdin", &longest).good();
    user(&database, "add d --password-stdin", &format!("{longest}\n")).good();
    for (input, part) in [
        ("", "the password is empty"),
        ("\n", "the password is empty"),
        ("one\ntwo\n", "line break"),
        ("x\n\n", "line break"),
        ("a\0b", "NUL"),
    ] {
        user(&database, "add e --password-stdin", input).bad(1, part);
    }
    user(&database, "add e --password-stdin", &format!("{longest}x")).bad(1, "longer than 8192");
    user(&database, "add e --password-stdin", &"x".repeat(1 << 20)).bad(1, "longer than 8192");
    user(&database, "show e", "").bad(1, "no such account");
}

#[test]
fn any_descriptor_may_bring_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.sqlite");
    let shell = |end: &str| {
        let line =
            format!("{PROGRAM} user add a --password-fd 7 --database {} {end}", text(&database));
        super::Ran::of(Command::new("sh").args(["-c", &line]).output().unwrap())
    };
    shell("7<&-").bad(1, "descriptor 7");
    shell("7</dev/null").bad(1, "is empty");
    let ran = shell("7<<EOF\nsecret\nEOF\n");
    assert_eq!((ran.code, ran.err.as_str()), (0, "added a\n"));
}

#[test]
fn a_made_password_is_the_only_thing_printed_and_is_new_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("a.sqlite");
    let first = user(&database, "add a --random", "").good();
    let second = user(&database, "passwd a --random", "").good();
    assert_ne!(first, second);
    for made in [first, second] {
        let made = made.strip_suffix('\n').unwrap();
        let plain = |c: char| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit();
        assert!(made.len() == 23 && made.chars().all(plain), "{made}");
    }
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    for line in [
        &["user", "add", "alice", "hunter2"][..],
        &["user", "passwd", "alice", "--password=hunter2"],
        &["user", "passwd", "alice", "--password-stdin=hunter2"],
        &["test", "alice", "hunter2"],
    ] {
        let ran = fed(line, b"");
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
        ran.bad(64, "--help");
    }
}
