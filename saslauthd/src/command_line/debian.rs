//! /etc/default/saslauthd, read as data.
//!
//! Runs in the parent. Debian's init script lets a shell run this file; here it is only assignments, and what a
//! shell would have to evaluate is an error that names its line.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use sys::dir::{Links, open_regular};

/// Where Debian has it.
pub const DEFAULT: &str = "/etc/default/saslauthd";

const MOST_BYTES: u64 = 64 * 1024;

/// What the file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Defaults {
    /// False when START is set and not to yes. Debian 12's unit does not look at it, and its file lacks it.
    pub start: bool,
    /// The flags that Debian's init script makes of it.
    pub arguments: Vec<OsString>,
}

/// Reads the file.
pub fn read(path: &Path) -> Result<Defaults, String> {
    let mut text = String::new();
    open_regular(path, MOST_BYTES, Links::Follow)
        .map_err(|e| e.to_string())?
        .read_to_string(&mut text)
        .map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    parse(&path.display().to_string(), &text)
}

fn parse(path: &str, text: &str) -> Result<Defaults, String> {
    let mut defaults = Defaults { start: true, arguments: Vec::new() };
    let (mut mechanisms, mut option, mut threads, mut options) =
        (String::new(), String::new(), String::new(), String::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why: &str| format!("{path}:{}: {why}", number + 1);
        let (name, value) = line.split_once('=').ok_or_else(|| at("expected NAME=value"))?;
        let value = unquote(value).map_err(at)?;
        // Later lines win, as in a shell.
        match name {
            "START" => defaults.start = value == "yes",
            "MECHANISMS" => mechanisms = value,
            "MECH_OPTIONS" => option = value,
            "THREADS" => threads = value,
            "OPTIONS" => options = value,
            _ => {}
        }
    }
    let mut push = |argument: String| defaults.arguments.push(argument.into());
    let mechanisms: Vec<&str> = mechanisms.split_whitespace().collect();
    if !mechanisms.is_empty() {
        push(format!("-a{}", mechanisms.join(",")));
    }
    if !option.trim().is_empty() {
        push(format!("-O{option}"));
    }
    options.split_whitespace().for_each(|word| push(word.into()));
    if !threads.trim().is_empty() {
        push(format!("-n{}", threads.trim()));
    }
    Ok(defaults)
}

/// The value of an assignment, up to a comment.
fn unquote(text: &str) -> Result<String, &'static str> {
    let mut value = String::new();
    let mut letters = text.chars();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), close) if open == close => quote = None,
            (Some('\''), other) => value.push(other),
            (_, '$' | '`') => return Err("only plain values; a shell is not run here"),
            (_, '\\') => value.push(letters.next().ok_or("nothing after a backslash")?),
            (None, space) if space.is_whitespace() => return end(letters.as_str(), value),
            (None, ';' | '&' | '|' | '<' | '>' | '(' | ')') => {
                return Err("only plain values; a shell is not run here");
            }
            (_, other) => value.push(other),
        }
    }
    match quote {
        None => Ok(value),
        Some(_) => Err("a quote that is not closed"),
    }
}

fn end(rest: &str, value: String) -> Result<String, &'static str> {
    match rest.trim_start() {
        comment if comment.is_empty() || comment.starts_with('#') => Ok(value),
        _ => Err("more than one value; put quotes around it"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arguments(text: &str) -> Vec<String> {
        let defaults = parse("x", text).unwrap();
        defaults.arguments.into_iter().map(|a| a.into_string().unwrap()).collect()
    }

    /// The assignments of Debian 12's file.
    const SHIPPED: &str = "\
# Settings for saslauthd daemon
#
DESC=\"SASL Authentication Daemon\"
NAME=\"saslauthd\"
MECHANISMS=\"pam\"
MECH_OPTIONS=\"\"
THREADS=5
OPTIONS=\"-c -m /var/run/saslauthd\"
";

    #[test]
    fn the_shipped_file_is_understood() {
        assert_eq!(arguments(SHIPPED), ["-apam", "-c", "-m", "/var/run/saslauthd", "-n5"]);
        assert!(parse("x", SHIPPED).unwrap().start);
    }

    #[test]
    fn quotes_comments_and_order() {
        assert_eq!(
            arguments("MECHANISMS='shadow' # not pam\nTHREADS=\"0\"\n"),
            ["-ashadow", "-n0"]
        );
        assert_eq!(
            arguments("MECHANISMS=pam\nMECHANISMS=\"sasldb shadow\"\n"),
            ["-asasldb,shadow"]
        );
        assert_eq!(arguments("MECH_OPTIONS=\"/etc/x y\"\n"), ["-O/etc/x y"]);
        assert_eq!(arguments("OPTIONS=-m\\ /x\n"), ["-m", "/x"]);
        assert!(!parse("x", "START=no").unwrap().start);
    }

    #[test]
    fn what_a_shell_would_run_is_an_error_with_its_line() {
        for line in [
            "OPTIONS=\"$(id)\"",
            "OPTIONS=`id`",
            "OPTIONS=$X",
            "OPTIONS=a;id",
            "rm -rf",
            "A=\"b",
            "OPTIONS=-c -m",
            "A=b\\",
        ] {
            let error = parse("/etc/default/saslauthd", &format!("#\n{line}\n")).unwrap_err();
            assert!(error.starts_with("/etc/default/saslauthd:2: "), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,80}(\n[A-Z]{1,4}=\\PC{0,20})?") {
            let _ = parse("x", &text);
        }
    }
}
