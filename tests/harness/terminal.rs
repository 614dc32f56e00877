//! A conversation with a program that insists on a terminal.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::ran::{Ran, finish};

/// Runs `command` on a terminal of its own: each time the output ends with the next prompt, types the answer.
///
/// Needs script(1). Both streams of the program arrive in `stdout`, with the terminal's CR LF made LF.
pub fn converse(command: &Command, script: &[(&str, &str)], limit: Duration) -> io::Result<Ran> {
    let line = shell_words(command);
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (Some(mut keys), Some(mut screen)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("script(1) without its pipes"));
    };
    let mut seen = Vec::new();
    let mut from = 0;
    for (prompt, answer) in script {
        if !read_to(&mut screen, &mut seen, from, prompt.as_bytes())? {
            break;
        }
        from = seen.len();
        keys.write_all(answer.as_bytes())?;
        keys.flush()?;
    }
    screen.read_to_end(&mut seen)?;
    drop(keys);
    let mut ran = finish(&mut child, limit)?;
    ran.stdout = seen.into_iter().filter(|byte| *byte != b'\r').collect();
    Ok(ran)
}

/// Reads until `prompt` has appeared behind `from`; false at the end of the output.
fn read_to(
    screen: &mut impl Read,
    seen: &mut Vec<u8>,
    from: usize,
    prompt: &[u8],
) -> io::Result<bool> {
    let mut byte = [0];
    loop {
        if seen.get(from..).is_some_and(|new| new.ends_with(prompt)) {
            return Ok(true);
        }
        if screen.read(&mut byte)? == 0 {
            return Ok(false);
        }
        seen.extend_from_slice(&byte);
    }
}

fn shell_words(command: &Command) -> String {
    let quote =
        |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"));
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quote).collect::<Vec<_>>().join(" ")
}
