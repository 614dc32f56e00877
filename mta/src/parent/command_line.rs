//! The command line.
//!
//! Runs in the parent before anything else. It trusts whoever starts the server, and yet says clearly what it did not
//! understand.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

use super::failure::Failure;
use super::{help, version};
use crate::config::manual;

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Serve.
    Serve(Options),
    /// Validate the configuration and say all that is wrong.
    Check(Options),
    /// Make the users of the children.
    CreateUsers(Options),
    /// Serve accounts made for the occasion.
    Demo,
    /// Print this.
    Print(String),
}

/// How.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--foreground`.
    pub foreground: bool,
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// What isn't understood.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, Failure> {
    let mut options = Options::default();
    let mut wanted: Option<String> = None;
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next().map_err(Failure::usage)? {
        match argument {
            Short('f') | Long("foreground") => options.foreground = true,
            Long("config") => {
                let path = parser.value().map_err(Failure::usage)?.into();
                if options.config.replace(path).is_some() {
                    return Err(Failure::usage("--config stands twice"));
                }
            }
            Long(
                name @ ("check" | "create-users" | "demo" | "sample-config" | "man" | "version"
                | "help"),
            ) => {
                let name = name.to_owned();
                if let Some(other) = wanted.replace(name.clone())
                    && other != name
                {
                    return Err(Failure::usage(format!(
                        "--{other} and --{name} exclude each other"
                    )));
                }
            }
            Short(letter) => {
                return Err(Failure::usage(format!("unknown option -{}", letter.escape_debug())));
            }
            Long(name) => {
                return Err(Failure::usage(format!("unknown option --{}", name.escape_debug())));
            }
            Value(value) => return Err(Failure::usage(format!("unexpected argument {value:?}"))),
        }
    }
    Ok(match wanted.as_deref() {
        None => Task::Serve(options),
        Some("check") => Task::Check(options),
        Some("create-users") => Task::CreateUsers(options),
        Some("demo") if options.config.is_some() => {
            return Err(Failure::usage("--demo brings its own configuration"));
        }
        Some("demo") => Task::Demo,
        Some("sample-config") => Task::Print(manual::sample()),
        Some("man") => Task::Print(manual::page()),
        Some("version") => Task::Print(version::long()),
        Some(_) => Task::Print(help::TEXT.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|failure| failure.text)
    }

    #[test]
    fn options_are_what_they_say() {
        let options = Options { config: Some("/x".into()), foreground: true };
        assert_eq!(parsed("--config /x -f"), Ok(Task::Serve(options.clone())));
        assert_eq!(parsed("--check --config=/x --foreground"), Ok(Task::Check(options)));
        assert_eq!(parsed("--demo"), Ok(Task::Demo));
        for line in ["--help", "--man", "--version", "--sample-config"] {
            let Ok(Task::Print(text)) = parsed(line) else { panic!("{line}") };
            assert!(text.contains("mta"), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (line, part) in [
            ("-x", "unknown option -x"),
            ("--chek", "unknown option --chek"),
            ("now", "unexpected argument"),
            ("--check --demo", "exclude each other"),
            ("--demo --config /x", "its own configuration"),
            ("--config a --config b", "stands twice"),
            ("--config", "missing argument"),
        ] {
            let text = parsed(line).unwrap_err();
            assert!(text.contains(part) && text.contains("--help"), "{line}: {text}");
        }
    }
}
