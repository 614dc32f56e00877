//! The sample configuration and mta.toml(5), made from the doc comments of the sections.
//!
//! Runs when the administrator asks for it; a test holds the committed page to what comes out here.

use settings::manual::{self, Part};

use super::sections::{
    Certificate, ClientCertificate, Daemon, Delivery, Keep, Limits, Listener, Log, Route,
    Smarthost, Tls, Top,
};

fn parts() -> Vec<Part> {
    vec![
        Part::of::<Top>(""),
        Part::of::<Daemon>("[daemon]"),
        Part::of::<Listener>("[[listener]]"),
        Part::of::<Certificate>("[[certificate]]"),
        Part::of::<ClientCertificate>("[[client_certificate]]"),
        Part::of::<Tls>("[tls]"),
        Part::of::<Route>("[[route]]"),
        Part::of::<Smarthost>("[smarthost]"),
        Part::of::<Delivery>("[delivery]"),
        Part::of::<Limits>("[limits]"),
        Part::of::<Keep>("[keep]"),
        Part::of::<Log>("[log]"),
    ]
}

/// A configuration file in which every key stands commented out with its default.
pub fn sample() -> String {
    manual::sample(
        "# mta.toml: every key with its default. Take away the # before a section and a key to change it.\n\
         # `mta --check` shows all errors at once; SIGHUP makes a running server read the file again.\n",
        &parts(),
    )
}

/// mta.toml(5) in Markdown.
pub fn page() -> String {
    manual::page(
        "# mta.toml(5)\n\n\
         ## NAME\n\n\
         mta.toml: the configuration of mta(8)\n\n\
         ## DESCRIPTION\n\n\
         The file is TOML 1.0, by default `/etc/mta.toml`. A key that is not listed here is an error. The file must belong to root\n\
         or to whoever starts the server, and nobody else may be able to write it. `mta --check` shows all errors at once, and\n\
         `mta --sample-config` prints a file to start from. SIGHUP makes the server read the file again, and the files that it\n\
         names; if anything is wrong, the server goes on as before and logs it.\n\n\
         Times are strings with a unit (`ms`, `s`, `m`, `h`, `d`), sizes too (`KiB`, `MiB`, `GiB`). Users and groups are names or\n\
         numbers.\n",
        &parts(),
        "\n## SEE ALSO\n\nmta(8), mailauth(8), saslauthd.toml(5)\n",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_sample_changes_nothing() {
        assert_eq!(Config::parse(&sample()).unwrap(), Config::parse("").unwrap());
    }

    #[test]
    fn the_samples_defaults_are_the_defaults() {
        let text = sample();
        let defaults = text.lines().filter_map(|line| line.strip_prefix('#'));
        let defaults =
            defaults.filter(|line| !line.starts_with(' ')).collect::<Vec<_>>().join("\n");
        // Repeated sections have keys that must be given, which are examples in the sample.
        let parts: Vec<&str> = defaults.split("\n[").collect();
        let single = |part: &&str| !part.starts_with('[') && !part.starts_with("smarthost");
        let text = parts.into_iter().filter(single).collect::<Vec<_>>().join("\n[");
        assert!(text.contains("[delivery]\n") && text.contains("[log]\n"), "{text}");
        let text = text.replace("auth = \"/run", "#auth = \"/run");
        assert_eq!(Config::parse(&text).unwrap(), Config::parse("").unwrap());
    }

    #[test]
    fn the_manual_page_is_the_one_in_the_tree() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/man/mta.toml.5.md");
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(committed, page(), "write it anew: mta --man > {path}");
    }

    #[test]
    fn every_key_is_documented() {
        for part in parts() {
            assert_eq!(part.undocumented(), Vec::<&str>::new());
        }
    }
}
