//! The configuration: what the administrator wrote, in final types, with every error at once.
//!
//! Runs in the parent, as root. It trusts the file as far as its owner and permissions say that only root or
//! ourselves can write it ([`file`]), and reads nothing else. Names are looked up and values handed to the
//! children by [`plan`].

pub mod access;
mod backends;
mod dovecot;
pub mod file;
pub mod limits;
pub mod manual;
pub mod plan;
pub mod sasl;
pub mod sections;

pub use settings::{complaint, setting, values};

use complaint::{Complaints, Report};
use limits::Limits;
use sasl::Sasl;
use sections::{Backend, Cache, Hashing, Listener, Log, Realm, Realms, Socket, Top};
use setting::{At, Keys, Section};
use settings::tables::{self, read_named, read_repeated, read_section};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Where it came from, for messages; empty for built-in defaults.
    pub path: String,
    /// The file's text, for messages.
    pub text: String,
    /// The keys above the first section.
    pub top: Top,
    /// `[[socket]]`.
    pub sockets: Vec<At<Socket>>,
    /// `[listener]`.
    pub listener: Listener,
    /// `[backend.NAME]`.
    pub backends: Vec<(At<String>, Backend)>,
    /// `[realm."NAME"]`.
    pub realms: Vec<(At<String>, Realm)>,
    /// `[realms]`.
    pub mapping: Realms,
    /// `[hashing]`.
    pub hashing: Hashing,
    /// `[limits]`.
    pub limits: Limits,
    /// `[cache]`.
    pub cache: Cache,
    /// `[sasl]`.
    pub sasl: Sasl,
    /// `[access]`.
    pub access: access::Access,
    /// `[log]`.
    pub log: Log,
    /// What was wrong with the text so far; [`Self::plan`] adds its own and shows them all at once.
    complaints: Complaints,
}

impl Config {
    /// Reads a configuration file's text. `path` is for messages. A value with an error keeps its default, for as
    /// long as it takes to find the other errors.
    pub fn parse(path: &str, text: &str) -> Result<Self, Report> {
        let mut config = Self { path: path.into(), text: text.into(), ..Self::default() };
        let complaints = tables::document(path, text, |keys| config.read(keys))?;
        config.complaints = complaints;
        Ok(config)
    }

    fn read(&mut self, keys: &mut Keys<'_, '_>) {
        self.top.read(keys);
        read_section("listener", &mut self.listener, keys);
        read_section("realms", &mut self.mapping, keys);
        read_section("hashing", &mut self.hashing, keys);
        read_section("limits", &mut self.limits, keys);
        read_section("cache", &mut self.cache, keys);
        read_section("access", &mut self.access, keys);
        read_section("sasl", &mut self.sasl, keys);
        read_section("log", &mut self.log, keys);
        self.sockets = read_repeated("socket", keys);
        self.backends = read_named("backend", keys);
        self.realms = read_named("realm", keys);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use sections::CacheMode;

    #[test]
    fn nothing_written_is_the_default() {
        let config = Config::parse("", "").unwrap();
        assert_eq!(config, Config::default());
    }

    #[test]
    fn all_errors_come_at_once_with_their_places() {
        let text = "\
chain = [\"sasldb\", 7]
runn_dir = \"/run/x\"

[[socket]]
path = \"mux\"
mode = \"0999\"

[hashing]
threads = 4000
wait = 5

[cache]
mode = \"sometimes\"
";
        let config = Config::parse("/etc/saslauthd.toml", text).unwrap();
        assert_eq!(
            config.complaints.into_report(&config.path, text).to_string(),
            "\
/etc/saslauthd.toml:1:20: expected a string without control characters, found a number
    chain = [\"sasldb\", 7]
                       ^
/etc/saslauthd.toml:2:1: unknown key `runn_dir`; did you mean `run_dir`?
    runn_dir = \"/run/x\"
    ^~~~~~~~
/etc/saslauthd.toml:5:8: expected an absolute path without `..`, found \"mux\"
    path = \"mux\"
           ^~~~~
/etc/saslauthd.toml:6:8: expected permissions in octal, such as \"0660\", found \"0999\"
    mode = \"0999\"
           ^~~~~~
/etc/saslauthd.toml:9:11: expected a whole number from 0 to 512, found 4000
    threads = 4000
              ^~~~
/etc/saslauthd.toml:10:8: expected a time from \"100ms\" to \"10m\" (units ms, s, m, h, d), found a number
    wait = 5
           ^
/etc/saslauthd.toml:13:8: expected one of \"off\", \"costly\", \"all\", found \"sometimes\"
    mode = \"sometimes\"
           ^~~~~~~~~~~
"
        );
    }

    #[test]
    fn syntax_errors_stand_beside_the_others() {
        let text = "[hashing]\nthreads = \n\n[cache]\nmod = \"off\"\n[log\n";
        let report = Config::parse("x", text).unwrap_err().to_string();
        assert!(report.contains("x:2:"), "{report}");
        assert!(report.contains("x:5:1: unknown key `mod`; did you mean `mode`?"), "{report}");
        assert!(report.contains("x:6:"), "{report}");
    }

    #[test]
    fn wrong_shapes_say_how_to_write_them() {
        let text = "socket = 1\nbackend = 2\nrealm = 3\ncache = 4\n";
        let config = Config::parse("x", text).unwrap();
        let report = config.complaints.into_report("x", text).to_string();
        for part in ["[[socket]]", "[backend.NAME]", "[realm.NAME]", "expected a section"] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }

    #[test]
    fn sections_are_read_into_their_types() {
        let text = "\
[[socket]]
protocol = \"pwcheck\"
uids = [\"postfix\", 0]
[backend.old]
type = \"sasldb\"
path = \"/etc/sasldb2.old\"
[realm.\"example.org\"]
chain = [\"old\"]
[cache]
mode = \"off\"
";
        let config = Config::parse("x", text).unwrap();
        assert_eq!(config.cache.mode, CacheMode::Off);
        assert_eq!(config.sockets.first().unwrap().value.uids.as_ref().unwrap().len(), 2);
        assert_eq!(config.backends.first().unwrap().0.value, "old");
        assert_eq!(config.realms.first().unwrap().1.chain.value.len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn no_text_panics(text in "\\PC{0,200}") {
            let _ = Config::parse("x", &text).map_err(|report| report.to_string());
        }

        #[test]
        fn no_damaged_sample_panics(place in 0usize..9000, with in "\\PC{0,3}") {
            let mut text = manual::sample().replace("\n#", "\n");
            if text.is_char_boundary(place) && place < text.len() {
                text.insert_str(place, &with);
            }
            let _ = Config::parse("x", &text).map_err(|report| report.to_string());
        }
    }
}
