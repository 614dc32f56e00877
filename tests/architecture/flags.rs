//! Every flag of every program stands in its help and in its manual page, and neither names one that the other lacks.

use std::collections::BTreeSet;
use std::process::Command;

use harness::subject::{built, require_built};

use crate::top;

const PROGRAMS: [&str; 7] = [
    "saslauthd",
    "mta",
    "mailauth",
    "saslpasswd2",
    "sasldblistusers2",
    "testsaslauthd",
    "checkpassword",
];

#[test]
fn help_and_manual_name_the_same_flags() {
    for program in PROGRAMS {
        if !require_built(program) {
            continue;
        }
        let (helped, described) = (in_help(&help(program, &[])), in_manual(&manual(program)));
        assert!(helped.len() > 2, "{program} --help shows only {helped:?}");
        let only_helped: Vec<_> = helped.difference(&described).collect();
        let only_described: Vec<_> = described.difference(&helped).collect();
        assert!(only_helped.is_empty(), "{program}(8) says nothing of {only_helped:?}");
        assert!(only_described.is_empty(), "{program} --help says nothing of {only_described:?}");
    }
}

#[test]
fn the_manual_has_every_command_of_mailauth_and_its_help_too() {
    if !require_built("mailauth") {
        return;
    }
    let (all, manual) = (help("mailauth", &[]), manual("mailauth"));
    let commands: BTreeSet<String> = all.lines().filter_map(command).collect();
    assert!(commands.len() > 12, "{commands:?}");
    for command in &commands {
        assert!(manual.contains(&format!("`{command}`")), "mailauth(8) says nothing of {command}");
        let words: Vec<&str> = command.split(' ').collect();
        let own = help("mailauth", &words);
        assert!(own.starts_with(&format!("usage: mailauth {command} ")), "{own}");
        let stray: Vec<String> = in_help(&own).difference(&in_help(&all)).cloned().collect();
        assert!(stray.is_empty(), "mailauth --help says nothing of {stray:?}");
    }
}

/// The lower-case words of a line that is indented by two.
fn command(line: &str) -> Option<String> {
    let line = line
        .strip_prefix("  ")
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))?;
    let (line, _) = line.split_once("  ")?;
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    // `limits reset all | user NAME` has operands in lower case.
    let words: Vec<&str> = line.split(' ').take(2).take_while(is_word).collect();
    Some(words.join(" "))
}

fn help(program: &str, words: &[&str]) -> String {
    let output = Command::new(built(program)).args(words).arg("--help").output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {words:?} --help: {output:?}");
    assert!(output.stderr.is_empty(), "{program} --help speaks on standard error");
    String::from_utf8(output.stdout).expect("help is text")
}

fn manual(program: &str) -> String {
    let room = if program == "mta" { "mta/man" } else { "saslauthd/man" };
    let path = top().join(room).join(format!("{program}.8.md"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Flags of the lines that begin with one.
fn in_help(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(flags).collect()
}

/// Flags of the terms of definition lists: what follows on the next line begins with a colon.
fn in_manual(text: &str) -> BTreeSet<String> {
    let next = text.lines().skip(1).chain([""]);
    let terms = text.lines().zip(next).filter(|(_, next)| next.starts_with(": "));
    terms.flat_map(|(term, _)| flags(term)).collect()
}

/// Words such as `-f` and `--file`, whatever stands around them.
fn flags(line: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words = line.split(|c: char| !is_part(c));
    let is_flag = |word: &&str| {
        let long = word.strip_prefix("--").is_some_and(|name| name.len() > 1);
        let short = word.strip_prefix('-').is_some_and(|name| name.len() == 1 && name != "-");
        long || short
    };
    words.filter(is_flag).map(str::to_owned).collect()
}
