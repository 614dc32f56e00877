//! The command line: Cyrus saslauthd's flags with their meaning, and long options of our own.
//!
//! Runs in the parent before anything else. It trusts whoever starts the daemon, and yet says clearly what it
//! did not understand: Cyrus exits 0 after a usage error, we exit 64.

pub mod debian;
pub mod help;

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

use crate::config::Config;
use crate::config::sections::{CacheMode, Level, Mapping};
use crate::config::values::{AbsolutePath, Time, Whole};
use crate::failure::Failure;

/// What `-a` takes.
pub const MECHANISMS: [&str; 4] = ["sasldb", "getpwent", "shadow", "sqlite"];

/// What Cyrus's `-a` takes besides, and what to do instead.
const ELSEWHERE: [(&str, &str); 6] = [
    ("pam", "use shadow for local accounts, or sqlite for accounts of the mail server's own"),
    ("ldap", "use sqlite or sasldb, filled from the directory"),
    ("rimap", "use sqlite or sasldb, filled from that server"),
    ("kerberos5", "let clients use Kerberos itself (GSSAPI), or use shadow"),
    ("kerberos4", "let clients use Kerberos itself (GSSAPI), or use shadow"),
    ("httpform", "use sqlite or sasldb, filled from that server"),
];

/// What is to be done.
#[derive(Debug)]
pub enum Task {
    /// Serve.
    Serve(Options),
    /// Validate the configuration and say all that is wrong.
    Check(Options),
    /// Serve accounts made for the occasion.
    Demo(Options),
    /// Make the users of the children.
    CreateUsers(Options),
    /// Print this and exit 0.
    Print(String),
    /// Print this to standard error and exit 0, as Cyrus does.
    Say(String),
}

/// Everything that goes before the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--foreground`, `-d` or `-f`.
    pub foreground: bool,
    /// `-d`: also verbose, to standard error, without a pid file.
    pub debug: bool,
    /// Flags that mean nothing here, a line each.
    pub warnings: Vec<String>,
    mechanisms: Option<Vec<String>>,
    cache: bool,
    cache_kib: Option<u32>,
    cache_seconds: Option<u32>,
    threads: Option<u32>,
    run_dir: Option<AbsolutePath>,
    join: bool,
    verbose: bool,
}

impl Options {
    /// Puts the options over what the file says.
    pub fn apply(&self, config: &mut Config) {
        if let Some(mechanisms) = &self.mechanisms {
            config.top.chain =
                mechanisms.iter().cloned().map(Into::into).collect::<Vec<_>>().into();
        }
        if let Some(run_dir) = &self.run_dir {
            config.top.run_dir = run_dir.clone().into();
        }
        if let Some(threads @ 1..) = self.threads {
            config.hashing.threads = Whole(threads);
        }
        if self.cache {
            config.cache.mode = CacheMode::All;
        }
        if let Some(seconds) = self.cache_seconds {
            config.cache.time = Time(seconds.saturating_mul(1000));
        }
        if let Some(kib) = self.cache_kib {
            config.cache.entries = Whole(cyrus_entries(kib));
        }
        if self.join {
            config.mapping.mapping = Mapping::Join.into();
        }
        if self.verbose || self.debug {
            config.log.level = Level::Debug;
        }
    }
}

/// An entry of Cyrus's cache has 96 bytes, and a row six of them.
fn cyrus_entries(kib: u32) -> u32 {
    kib.saturating_mul(1024).div_ceil(6 * 96).saturating_mul(6)
}

/// Which long option said what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Check,
    Demo,
    CreateUsers,
    SampleConfig,
    Man,
    Version,
    Help,
}

impl Wanted {
    fn option(self) -> &'static str {
        match self {
            Self::Check => "--check",
            Self::Demo => "--demo",
            Self::CreateUsers => "--create-users",
            Self::SampleConfig => "--sample-config",
            Self::Man => "--man",
            Self::Version => "--version",
            Self::Help => "--help",
        }
    }
}

/// Reads the arguments, without the program's name.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Task, Failure> {
    let mut reading = Reading::default();
    reading.arguments(Parser::from_args(arguments))?;
    reading.finish()
}

/// The command line while it is read.
#[derive(Default)]
struct Reading {
    options: Options,
    wanted: Option<Wanted>,
    /// `-v` or `-h`: printed at once in Cyrus, whatever follows.
    said: Option<String>,
    not_started: Option<String>,
    depth: u8,
}

impl Reading {
    fn arguments(&mut self, mut parser: Parser) -> Result<(), Failure> {
        while let Some(argument) = parser.next().map_err(usage)? {
            match argument {
                Short(letter) => self.flag(letter, &mut parser)?,
                Long(name) => {
                    let name = name.to_owned();
                    self.option(&name, &mut parser)?;
                }
                Value(value) => {
                    return Err(usage(format!("unexpected argument {value:?}")));
                }
            }
            if self.said.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Cyrus's flags.
    fn flag(&mut self, letter: char, parser: &mut Parser) -> Result<(), Failure> {
        let options = &mut self.options;
        match letter {
            'a' => {
                let given = text(parser, "-a")?;
                if options.mechanisms.replace(mechanisms(&given)?).is_some() {
                    return Err(usage(
                        "-a stands twice; give one, or a chain in the configuration",
                    ));
                }
            }
            'c' => options.cache = true,
            's' => options.cache_kib = Some(number(parser, "-s", 1..=960_000)?),
            't' => options.cache_seconds = Some(number(parser, "-t", 1..=2_592_000)?),
            'n' => options.threads = Some(number(parser, "-n", 0..=512)?),
            'm' => options.run_dir = Some(directory(&text(parser, "-m")?)?),
            'r' => options.join = true,
            'd' => (options.debug, options.foreground) = (true, true),
            'f' => options.foreground = true,
            'V' => options.verbose = true,
            'l' => self.ignore("-l", "accept() needs no lock"),
            'T' => self.ignore("-T", "there is nothing to set"),
            'O' | 'H' => {
                text(parser, if letter == 'O' { "-O" } else { "-H" })?;
                let why =
                    "no mechanism here has options of the command line; see saslauthd.toml(5)";
                self.ignore(if letter == 'O' { "-O" } else { "-H" }, why);
            }
            'v' => self.said = Some(crate::version::cyrus()),
            'h' => self.said = Some(help::short()),
            other => return Err(usage(format!("unknown option -{}", other.escape_debug()))),
        }
        Ok(())
    }

    fn option(&mut self, name: &str, parser: &mut Parser) -> Result<(), Failure> {
        let wanted = match name {
            "check" => Wanted::Check,
            "demo" => Wanted::Demo,
            "create-users" => Wanted::CreateUsers,
            "sample-config" => Wanted::SampleConfig,
            "man" => Wanted::Man,
            "version" => Wanted::Version,
            "help" => Wanted::Help,
            "foreground" => {
                self.options.foreground = true;
                return Ok(());
            }
            "config" => {
                let path = parser.value().map_err(usage)?.into();
                match self.options.config.replace(path) {
                    None => return Ok(()),
                    Some(_) => return Err(usage("--config stands twice")),
                }
            }
            "debian-defaults" => return self.debian_defaults(parser),
            other => return Err(usage(format!("unknown option --{}", other.escape_debug()))),
        };
        match self.wanted.replace(wanted) {
            Some(other) if other != wanted => {
                Err(usage(format!("{} and {} exclude each other", other.option(), wanted.option())))
            }
            _ => Ok(()),
        }
    }

    /// The flags in Debian's file count as if they stood here.
    fn debian_defaults(&mut self, parser: &mut Parser) -> Result<(), Failure> {
        if self.depth > 0 {
            return Err(usage("--debian-defaults stands twice"));
        }
        self.depth += 1;
        let named = parser.optional_value().or_else(|| {
            let mut rest = parser.try_raw_args()?;
            rest.next_if(|next| !next.to_string_lossy().starts_with('-'))
        });
        let path = named.map_or_else(|| PathBuf::from(debian::DEFAULT), PathBuf::from);
        let defaults = debian::read(&path).map_err(Failure::new)?;
        if !defaults.start {
            self.not_started =
                Some(format!("saslauthd: START in {} is not yes; not started\n", path.display()));
        }
        self.arguments(Parser::from_args(defaults.arguments))
    }

    fn ignore(&mut self, flag: &str, why: &str) {
        let warning = format!("{flag} is accepted and has no effect: {why}");
        if !self.options.warnings.contains(&warning) {
            self.options.warnings.push(warning);
        }
    }

    fn finish(self) -> Result<Task, Failure> {
        let options = self.options;
        if let Some(text) = self.said.or(self.not_started) {
            return Ok(Task::Say(text));
        }
        Ok(match self.wanted {
            None => Task::Serve(options),
            Some(Wanted::Check) => Task::Check(options),
            Some(Wanted::CreateUsers) => Task::CreateUsers(options),
            Some(Wanted::SampleConfig) => Task::Print(crate::config::manual::sample()),
            Some(Wanted::Man) => Task::Print(crate::config::manual::page()),
            Some(Wanted::Version) => Task::Print(crate::version::long()),
            Some(Wanted::Help) => Task::Print(help::long()),
            Some(Wanted::Demo) => {
                let alone = Options {
                    debug: options.debug,
                    verbose: options.verbose,
                    foreground: options.foreground,
                    ..Options::default()
                };
                if options != alone {
                    return Err(usage(
                        "--demo brings its own configuration; only -d and -V go with it",
                    ));
                }
                Task::Demo(options)
            }
        })
    }
}

fn usage(text: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{text}; saslauthd --help lists the options"))
}

fn text(parser: &mut Parser, flag: &str) -> Result<String, Failure> {
    let value = parser.value().map_err(usage)?;
    value.into_string().map_err(|_| usage(format!("{flag} wants text in UTF-8")))
}

fn number(
    parser: &mut Parser,
    flag: &str,
    range: std::ops::RangeInclusive<u32>,
) -> Result<u32, Failure> {
    let value = text(parser, flag)?;
    let number = value.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        usage(format!("{flag} wants a number from {least} to {most}, not {value:?}"))
    })
}

fn directory(value: &str) -> Result<AbsolutePath, Failure> {
    AbsolutePath::new(value)
        .ok_or_else(|| usage(format!("-m wants the absolute path of a directory, not {value:?}")))
}

/// One, or several with commas: more than Cyrus takes.
fn mechanisms(value: &str) -> Result<Vec<String>, Failure> {
    value.split(',').map(|name| mechanism(name.trim())).collect()
}

fn mechanism(name: &str) -> Result<String, Failure> {
    let name = name.to_lowercase();
    if MECHANISMS.contains(&name.as_str()) {
        return Ok(name);
    }
    let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == name);
    Err(match elsewhere {
        Some((_, instead)) => usage(format!("-a {name} does not exist here: {instead}")),
        None => usage(format!(
            "unknown authentication mechanism {name:?}; there are {}",
            MECHANISMS.join(", ")
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Result<Task, Failure> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn config(line: &str) -> Config {
        let Ok(Task::Serve(options)) = run(line) else { panic!("{line}") };
        let mut config = Config::default();
        options.apply(&mut config);
        config
    }

    fn chain(config: &Config) -> Vec<&str> {
        config.top.chain.value.iter().map(|name| name.value.as_str()).collect()
    }

    #[test]
    fn cyrus_flags_have_cyrus_meaning() {
        let config = config("-a sasldb -c -s 963 -t 60 -n5 -m /var/run/saslauthd -r -V");
        assert_eq!(chain(&config), ["sasldb"]);
        assert_eq!(config.cache.mode, CacheMode::All);
        assert_eq!(config.cache.entries, Whole(10_272));
        assert_eq!(config.cache.time, Time(60_000));
        assert_eq!(config.hashing.threads, Whole(5));
        assert_eq!(config.top.run_dir.value.text(), "/var/run/saslauthd");
        assert_eq!(config.mapping.mapping.value, Mapping::Join);
        assert_eq!(config.log.level, Level::Debug);
    }

    #[test]
    fn without_flags_the_configuration_stands() {
        assert_eq!(config(""), Config::default());
        assert_eq!(config("-n 0"), Config::default());
    }

    #[test]
    fn flags_may_be_bundled_and_mechanisms_in_any_case() {
        let Ok(Task::Serve(options)) = run("-cdraSHADOW") else { panic!() };
        assert!(options.cache && options.debug && options.foreground && options.join);
        assert_eq!(options.mechanisms, Some(vec!["shadow".into()]));
        assert_eq!(chain(&config("-a sasldb,shadow")), ["sasldb", "shadow"]);
    }

    #[test]
    fn flags_without_meaning_are_named_once() {
        let Ok(Task::Serve(options)) = run("-l -T -O /etc/x -H host -l -a shadow") else {
            panic!()
        };
        let named: Vec<&str> =
            options.warnings.iter().filter_map(|w| w.split(' ').next()).collect();
        assert_eq!(named, ["-l", "-T", "-O", "-H"]);
    }

    #[test]
    fn usage_errors_exit_64_and_name_the_thing() {
        for (line, part) in [
            ("-x", "-x"),
            ("-a", "-a"),
            ("-a shadow -a sasldb", "twice"),
            ("-a nonsense", "there are sasldb, getpwent, shadow, sqlite"),
            ("-a pam", "use shadow"),
            ("-a LDAP", "-a ldap does not exist here"),
            ("-n -1", "-n"),
            ("-n many", "from 0 to 512"),
            ("-t 0", "from 1"),
            ("-s 0", "from 1"),
            ("-m run", "absolute"),
            ("-m /run/../etc", "absolute"),
            ("shadow", "unexpected argument"),
            ("--nonsense", "--nonsense"),
            ("--config", "--config"),
            ("--config a --config b", "twice"),
            ("--check --demo", "--check and --demo exclude each other"),
            ("--version --help", "exclude"),
            ("--demo -a shadow", "--demo"),
            ("--check=yes", "check"),
        ] {
            let failure = run(line).unwrap_err();
            assert_eq!(failure.code, 64, "{line}");
            assert!(failure.text.contains(part), "{line}: {}", failure.text);
            assert!(failure.text.contains("saslauthd --help"), "{line}: {}", failure.text);
        }
    }

    #[test]
    fn v_and_h_speak_at_once_as_in_cyrus() {
        let Ok(Task::Say(text)) = run("-v -a nonsense") else { panic!() };
        assert!(text.contains("authentication mechanisms: sasldb getpwent shadow sqlite"));
        assert!(matches!(run("-h"), Ok(Task::Say(_))));
    }

    #[test]
    fn debians_file_counts_as_flags() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("saslauthd");
        std::fs::write(
            &path,
            "START=yes\nMECHANISMS=\"sasldb\"\nMECH_OPTIONS=\"\"\nTHREADS=7\n\
             OPTIONS=\"-c -m /var/spool/postfix/var/run/saslauthd\"\n",
        )
        .unwrap();
        for line in [
            format!("--debian-defaults {}", path.display()),
            format!("--debian-defaults={} -V", path.display()),
        ] {
            let config = config(&line);
            assert_eq!(chain(&config), ["sasldb"]);
            assert_eq!(config.hashing.threads, Whole(7));
            assert_eq!(config.cache.mode, CacheMode::All);
            assert_eq!(config.top.run_dir.value.text(), "/var/spool/postfix/var/run/saslauthd");
        }
        let twice = run(&format!("--debian-defaults {} -a shadow", path.display())).unwrap_err();
        assert!(twice.text.contains("-a stands twice"));
        std::fs::write(&path, "START=no\n").unwrap();
        let Ok(Task::Say(text)) = run(&format!("--debian-defaults {}", path.display())) else {
            panic!()
        };
        assert!(text.contains("START"));
    }

    #[test]
    fn every_option_is_in_the_help_and_the_manual() {
        let manual = include_str!("../../man/saslauthd.8.md");
        let help = help::long();
        let letters = "acdhlmnOrstTvVfH".chars().map(|letter| format!("-{letter}"));
        let long = [
            "config",
            "check",
            "foreground",
            "debian-defaults",
            "sample-config",
            "man",
            "create-users",
            "version",
            "help",
            "demo",
        ];
        for option in letters.chain(long.map(|name| format!("--{name}"))) {
            let stands = |text: &str| {
                text.split(|c: char| c.is_whitespace() || ",[`*=".contains(c)).any(|w| w == option)
            };
            assert!(stands(&help), "{option} in --help");
            assert!(stands(manual), "{option} in saslauthd(8)");
        }
    }
}
