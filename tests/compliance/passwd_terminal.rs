//! saslpasswd2 on a terminal: its prompts, the second entry, and that nothing is echoed.

use std::io;
use std::time::Duration;

use harness::terminal::converse;
use harness::{Sandbox, Subject, sasldb};

use crate::suite::{Case, Listed, case, compare, listed};

struct Typed {
    args: Vec<&'static str>,
    /// Prompt, then what is typed.
    script: Vec<(&'static str, &'static str)>,
}

const FIRST: &str = "Password: ";
const AGAIN: &str = "verification): ";

fn typed(args: &[&'static str], answers: &[&'static str]) -> Typed {
    let prompts = [FIRST, AGAIN];
    Typed {
        args: args.to_vec(),
        script: prompts.into_iter().zip(answers.iter().copied()).collect(),
    }
}

fn cases() -> Vec<Case<Typed>> {
    let twice = |password| [password, password];
    vec![
        case(
            "terminal-create",
            typed(&["-c", "alice"], &twice("secret1\n")),
            r#"exit 0; "Password: \nAgain (for verification): \n"; alice@mailhost userPassword=secret1"#,
        ),
        case(
            "terminal-change",
            typed(&["alice"], &twice("secret1\n")),
            r#"exit 0; "Password: \nAgain (for verification): \n"; alice@mailhost userPassword=secret1"#,
        ),
        case(
            "terminal-in-realm",
            typed(&["-u", "example.com", "alice"], &twice("x\n")),
            r#"exit 0; "Password: \nAgain (for verification): \n"; alice@example.com userPassword=x"#,
        ),
        case(
            "terminal-mismatch",
            typed(&["-c", "alice"], &["one\n", "two\n"]),
            r#"exit 7; "Password: \nAgain (for verification): \nsaslpasswd2: passwords don\'t match; aborting\n"; (no file)"#,
        ),
        case(
            "terminal-second-empty",
            typed(&["-c", "alice"], &["one\n", "\n"]),
            r#"exit 7; "Password: \nAgain (for verification): \nsaslpasswd2: passwords don\'t match; aborting\n"; (no file)"#,
        ),
        case(
            "terminal-both-empty",
            typed(&["-c", "alice"], &twice("\n")),
            r#"exit 7; "Password: \nAgain (for verification): \nsaslpasswd2: invalid parameter supplied\n"; (no file)"#,
        ),
        case(
            "terminal-spaces",
            typed(&["-c", "alice"], &twice("  two  \n")),
            r#"exit 0; "Password: \nAgain (for verification): \n"; alice@mailhost userPassword=  two  "#,
        ),
        case(
            "terminal-utf-8",
            typed(&["-c", "alice"], &twice("Paßwörd\n")),
            r#"exit 0; "Password: \nAgain (for verification): \n"; alice@mailhost userPassword=Pa\xc3\x9fw\xc3\xb6rd"#,
        ),
        case(
            "terminal-end-of-input",
            typed(&["-c", "alice"], &["\x04", "\x04"]),
            r#"exit 7; "Password: Again (for verification): saslpasswd2: invalid parameter supplied\n"; (no file)"#,
        ),
        case(
            "terminal-end-of-second",
            typed(&["-c", "alice"], &["one\n", "\x04"]),
            r#"exit 7; "Password: \nAgain (for verification): saslpasswd2: passwords don\'t match; aborting\n"; (no file)"#,
        ),
        case(
            "terminal-delete-asks-nothing",
            typed(&["-d", "alice"], &[]),
            r#"exit 0; ""; (no records)"#,
        ),
        case(
            "terminal-p-asks-nothing",
            typed(&["-p", "-c", "alice"], &[]),
            r#"exit 0; "secret1\n"; alice@mailhost userPassword=secret1"#,
        ),
        case(
            "terminal-n-create",
            typed(&["-c", "-n", "alice"], &twice("x\n")),
            r#"exit 0; "Password: \nAgain (for verification): \n"; (no records)"#,
        ),
    ]
}

fn set_up(subject: Subject) -> io::Result<Subject> {
    if harness::require("script", "bsdutils") {
        Ok(subject)
    } else {
        Err(io::Error::other("no script(1)"))
    }
}

fn act(subject: &Subject, typed: &Typed) -> io::Result<String> {
    let house = Sandbox::with(&[])?;
    let mut command = house.command(subject.program("saslpasswd2"));
    command.args(&typed.args);
    let mut script = typed.script.clone();
    if typed.args.contains(&"-p") {
        script.push(("", "secret1\n"));
    }
    let ran = converse(&house, &command, &script, Duration::from_secs(3))?;
    let holds = sasldb::tell(&house.path().join("etc/sasldb2"));
    Ok(format!("{}; \"{}\"; {holds}", ran.end(), ran.out().escape_debug()))
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn passwd_terminal() {
    compare("saslpasswd2 on a terminal", &cases(), set_up, act);
}
