//! The sample configuration and saslauthd.toml(5), made from the doc comments of the sections.
//!
//! Runs when the administrator asks for it; a test holds the committed page to what comes out here.

use super::access::Access;
use super::limits::Limits;
use super::sasl::Sasl;
use super::sections::{Backend, Cache, Hashing, Listener, Log, Realm, Realms, Socket, Top};
use settings::manual::{self, Part};

fn parts() -> Vec<Part> {
    vec![
        Part::of::<Top>(""),
        Part::of::<Socket>("[[socket]]"),
        Part::of::<Listener>("[listener]"),
        Part::of::<Backend>("[backend.NAME]"),
        Part::of::<Realm>("[realm.\"NAME\"]"),
        Part::of::<Realms>("[realms]"),
        Part::of::<Hashing>("[hashing]"),
        Part::of::<Limits>("[limits]"),
        Part::of::<Cache>("[cache]"),
        Part::of::<Sasl>("[sasl]"),
        Part::of::<Access>("[access]"),
        Part::of::<Log>("[log]"),
    ]
}

/// A configuration file in which every key stands commented out with its default.
pub fn sample() -> String {
    manual::sample(
        "# saslauthd.toml: every key with its default. Take away the # before a section and a key to change it.\n\
         # `saslauthd --check` shows all errors at once; SIGHUP makes a running daemon read the file again.\n",
        &parts(),
    )
}

/// saslauthd.toml(5) in Markdown.
pub fn page() -> String {
    manual::page(
        "# saslauthd.toml(5)\n\n\
         ## NAME\n\n\
         saslauthd.toml: the configuration of saslauthd(8)\n\n\
         ## DESCRIPTION\n\n\
         The file is TOML 1.0, by default `/etc/saslauthd.toml`. Everything has a default, so it may be missing or empty. A\n\
         key that is not listed here is an error. The file must belong to root or to whoever starts the daemon, and nobody else\n\
         may be able to write it. `saslauthd --check` shows all errors at once, and `saslauthd --sample-config` prints a file to\n\
         start from. SIGHUP makes the daemon read the file again; if it has errors, the daemon goes on as before and logs them.\n\n\
         Times are strings with a unit (`ms`, `s`, `m`, `h`, `d`), sizes too (`KiB`, `MiB`, `GiB`). Users and groups are names or\n\
         numbers. Options of the command line go before the file.\n",
        &parts(),
        "\n## SEE ALSO\n\nsaslauthd(8), mailauth(8)\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_sample_changes_nothing() {
        let config = Config::parse("", &sample()).unwrap();
        assert_eq!(Config { text: String::new(), ..config }, Config::default());
    }

    #[test]
    fn the_samples_defaults_are_the_defaults() {
        let uncommented: String = sample()
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| {
                !line.starts_with(' ') && !line.starts_with("[[") && !line.contains("NAME")
            })
            // Keys of repeated sections have no single default to compare.
            .map(|line| format!("{line}\n"))
            .collect();
        let start = uncommented.find("[listener]").unwrap();
        let sections = uncommented.get(start..).unwrap();
        let general: String = sections
            .lines()
            .filter(|l| !l.starts_with("states"))
            .map(|l| format!("{l}\n"))
            .collect();
        let without_chain = general.replacen("chain = []\n", "", 1);
        let mut config = Config::parse("", &without_chain).unwrap();
        // Whether it was written counts, and in the sample it is a comment.
        config.mapping.mapping.at = None;
        assert_eq!(Config { text: String::new(), ..config }, Config::default());
    }

    #[test]
    fn the_manual_page_is_the_one_in_the_tree() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/saslauthd.toml.5.md");
        let committed = std::fs::read_to_string(path).unwrap();
        assert_eq!(committed, page(), "write it anew: saslauthd --man > {path}");
    }

    #[test]
    fn every_key_is_documented() {
        for part in parts() {
            assert_eq!(part.undocumented(), Vec::<&str>::new());
        }
    }
}
