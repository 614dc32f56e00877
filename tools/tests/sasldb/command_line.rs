//! Options, prompts, output and exit statuses, side by side with the originals.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use nix::sys::termios::{LocalFlags, tcgetattr};

use super::{OURS, THEIRS, copy, lines, listed, passwords, run, sample, succeeded, text};

/// Command lines whose end is that of the original: arguments, input, exit status, how stderr begins.
#[test]
fn ends_as_the_original_ends() {
    let cases: [(&[&str], &[u8], i32, &str); 17] = [
        (&["-c", "-f", "DB", "-u", "r", "new"], b"secret", 0, ""),
        (&["-cp", "-fDB", "-ur", "new"], b"secret\n", 0, ""),
        (&["-p", "-f", "DB", "-u", "example.com", "alice"], b"changed", 0, ""),
        (&["-f", "DB", "-c", "a@b@c"], b"x", 0, ""),
        (&["-f", "DB", "-c", "-u", "ignored", "UP@Dom"], b"x", 0, ""),
        (&["-f", "DB", "-c", "a@"], b"x", 0, ""),
        (&["-f", "DB", "-c", "-u", "", "hosty"], b"x", 0, ""),
        (&["-f", "DB", "-c", ""], b"x", 0, ""),
        (&["-f", "DB", "new@r", "-c"], b"inner\nline\r\n", 0, ""),
        (&["-d", "-f", "DB", "alice@example.com"], b"", 0, ""),
        (&["-d", "-n", "-f", "DB", "bob@example.com"], b"", 0, ""),
        (&["-c", "-f", "DB", "-u", "r", "new"], b"", 7, "saslpasswd2: invalid parameter supplied"),
        (
            &["-c", "-f", "DB", "-u", "r", "new"],
            b"\n",
            7,
            "saslpasswd2: invalid parameter supplied",
        ),
        (&["-c", "-f", "/no/such/directory/db", "new"], b"x", 1, "saslpasswd2: generic failure"),
        (&["-c", "-a", "a/b", "-f", "DB", "new"], b"x", 1, "appname must not contain /"),
        (&["-c", "-a", "other", "-f", "DB", "new@r"], b"x", 0, ""),
        (&["-v"], b"", 0, "*"),
    ];
    for (arguments, input, status, words) in cases {
        let mut states = Vec::new();
        for program in [THEIRS[0], OURS[0]] {
            let directory = tempfile::tempdir().unwrap();
            let path = copy("basic.sasldb2", directory.path());
            let arguments = filled(arguments, &[("DB", text(&path))]);
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            let output = run(program, &arguments, input);
            assert_eq!(output.status.code(), Some(status), "{program} {arguments:?} {output:?}");
            assert!(output.stdout.is_empty(), "{program} {arguments:?} {output:?}");
            let stderr = String::from_utf8(output.stderr).unwrap();
            match words {
                "" => assert_eq!(stderr, "", "{program} {arguments:?}"),
                "*" => assert!(!stderr.is_empty()),
                words => assert!(stderr.starts_with(words), "{program}: {stderr}"),
            }
            states.push(passwords(&path));
        }
        assert_eq!(states[0], states[1], "{arguments:?}");
    }
}

fn filled(arguments: &[&str], places: &[(&str, &str)]) -> Vec<String> {
    let fill = |argument: &&str| {
        places.iter().fold((*argument).to_owned(), |text, (place, path)| text.replace(place, path))
    };
    arguments.iter().map(fill).collect()
}

#[test]
fn usage_errors_end_as_the_originals() {
    let cases: [(usize, &[&str]); 11] = [
        (0, &[]),
        (0, &["-z", "u"]),
        (0, &["-f"]),
        (0, &["a", "b"]),
        (0, &["-c", "-d", "u"]),
        (0, &["-d", "-c", "u"]),
        (0, &["-h"]),
        (1, &["-h"]),
        (1, &["-f"]),
        (1, &["a", "b"]),
        (1, &["-f", "a", "b"]),
    ];
    for (program, arguments) in cases {
        for program in [THEIRS[program], OURS[program]] {
            let output = run(program, arguments, b"");
            assert_eq!(output.status.code(), Some(1), "{program} {arguments:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("usage: "), "{program}");
            assert!(output.stdout.is_empty(), "{program}");
        }
    }
}

/// The divergences that the source lists, where the original's end would be wrong to repeat.
#[test]
fn ends_better_than_the_original() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("scram.sasldb2", directory.path());
    let before = fs::read(&path).unwrap();
    let absent = directory.path().join("absent");
    let long = [b'x'; 2049];
    let cases: [(&[&str], &[u8], i32, &str); 8] = [
        (&["-f", "DB", "nobody@r"], b"x", 20, "user not found"),
        (&["-d", "-f", "DB", "nobody@r"], b"", 20, "user not found"),
        (&["-d", "-f", "ABSENT", "nobody@r"], b"", 20, "user not found"),
        (&["-f", "ABSENT", "nobody@r"], b"x", 20, "user not found"),
        (&["-c", "-f", "DB", "both@example.com"], &long, 7, "invalid parameter supplied"),
        (&["-c", "-f", "DB", "both@example.com"], b"a\0b", 7, "invalid parameter supplied"),
        (&["-c", "-n", "-f", "DB", "both@example.com"], b"x", 4, "no mechanism available"),
        (&["-c", "-f", "DIRECTORY", "both@example.com"], b"x", 1, "generic failure"),
    ];
    let places =
        [("DB", text(&path)), ("ABSENT", text(&absent)), ("DIRECTORY", text(directory.path()))];
    for (arguments, input, status, words) in cases {
        let arguments = filled(arguments, &places);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = run(OURS[0], &arguments, input);
        assert_eq!(output.status.code(), Some(status), "{arguments:?} {output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with(&format!("saslpasswd2: {words}")), "{stderr}");
        assert!(!absent.exists());
        assert!(fs::read(&path).unwrap() == before, "{arguments:?}");
    }
}

#[test]
fn a_change_ends_every_other_way_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = copy("scram.sasldb2", directory.path());
    succeeded(&run(OURS[0], &["-f", text(&path), "both@example.com"], &[b'y'; 2048]));
    succeeded(&run(OURS[0], &["-d", "-f", text(&path), "scramonly@example.com"], b""));
    assert_eq!(
        String::from_utf8(listed(OURS[1], &path)).unwrap(),
        "both@example.com: userPassword\nsha1only@example.com: authPassword\n"
    );
}

#[test]
fn listing_says_what_failed_and_ends() {
    for (name, words) in [
        ("garbage.sasldb2", "neither a Berkeley DB hash"),
        ("truncated.sasldb2", "damaged"),
        ("zero-length.sasldb2", "empty"),
        ("no-such-file", "no such file"),
    ] {
        let output = run(OURS[1], &[text(&sample(name))], b"");
        assert_eq!(output.status.code(), Some(1), "{name}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(words) && stderr.ends_with("listusers failed\n"), "{stderr}");
    }
    // The original never ends on this one.
    let output = run(OURS[1], &[text(&sample("badkeys.sasldb2"))], b"");
    succeeded(&output);
    assert_eq!(lines(&output.stdout), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("3 keys skipped"));
}

#[test]
fn a_name_forges_no_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sasldb2");
    succeeded(&run(OURS[0], &["-c", "-f", text(&path), "a\nroot@r"], b"x"));
    assert_eq!(listed(OURS[1], &path), b"a\\x0aroot@r: userPassword\n");
}

/// Types `lines` at a terminal, each after a prompt; exit status, what the terminal showed, stderr.
fn at_a_terminal(
    program: &str,
    arguments: &[&str],
    lines: &[&str],
) -> (Option<i32>, String, String) {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::from(pty.slave.try_clone().unwrap()))
        .stdout(Stdio::from(pty.slave))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut terminal = File::from(pty.master);
    let mut shown = String::new();
    let mut lines = lines.iter();
    let mut bytes = [0; 256];
    // The other end's closing is an error on a pty.
    while let Ok(read @ 1..) = terminal.read(&mut bytes) {
        shown.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        if shown.ends_with(": ") {
            // The prompt comes before the echo ends, and what was typed until then is thrown away.
            while tcgetattr(&terminal).unwrap().local_flags.contains(LocalFlags::ECHO) {
                std::thread::yield_now();
            }
            let line = lines.next().unwrap_or(&"");
            terminal.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    }
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (status.code(), shown, stderr)
}

#[test]
fn asks_at_a_terminal_as_the_original_asks() {
    for (typed, status, words) in [
        (&["secret", "secret"][..], 0, ""),
        (&["secret", "Secret"], 7, "saslpasswd2: passwords don't match; aborting\n"),
        (&["", ""], 7, "saslpasswd2: invalid parameter supplied\n"),
    ] {
        let mut states = Vec::new();
        for program in [THEIRS[0], OURS[0]] {
            let directory = tempfile::tempdir().unwrap();
            let path = copy("basic.sasldb2", directory.path());
            let arguments = ["-c", "-f", text(&path), "-u", "r", "vic"];
            let (code, shown, stderr) = at_a_terminal(program, &arguments, typed);
            assert_eq!((code, stderr.as_str()), (Some(status), words), "{program}");
            assert!(!shown.contains("ecret"), "{program}: {shown}");
            states.push((shown, passwords(&path)));
        }
        assert_eq!(states[0], states[1]);
    }
}
