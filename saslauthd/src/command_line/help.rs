//! What `-h` and `--help` print.
//!
//! A test holds it and saslauthd(8) to the options that exist.

/// Cyrus's usage, for `-h`.
pub fn short() -> String {
    format!(
        "usage: saslauthd [options]\n\n\
         option information:\n{FLAGS}\n  saslauthd --help lists more\n"
    )
}

/// Everything, for `--help`.
pub fn long() -> String {
    format!(
        "usage: saslauthd [options]\n\n\
         Checks logins for mail servers: SQLite, sasldb and shadow accounts on the sockets of Cyrus saslauthd.\n\n\
         Flags of Cyrus saslauthd:\n{FLAGS}\n\
         Accepted without effect:\n{IGNORED}\n\
         Options of its own:\n{LONG}\n\
         Options go before the configuration file, /etc/saslauthd.toml. Exit codes: 0 done, 1 failed, 2 already running,\n\
         64 wrong usage, 75 another program has the socket, 78 errors in the configuration.\n"
    )
}

const FLAGS: &str =
    "  -a MECH    the mechanism: sasldb, getpwent, shadow or sqlite (several with commas)
  -c         remember successes
  -s KB      size of that memory as Cyrus counts it
  -t SEC     how long a success is remembered
  -n N       hashing threads; 0 for one a core
  -m DIR     absolute path of the directory of socket and pid file
  -r         login and realm become login@realm
  -d         stay in the foreground and say everything
  -V         say everything
  -v         version and mechanisms
  -h         these flags
";

const IGNORED: &str = "  -l, -T     nothing to lock, nothing to set
  -O TEXT    no mechanism takes options here; -H HOST likewise
  -f         as --foreground
";

const LONG: &str = "  --config FILE            read this configuration
  --check                  show all errors of the configuration, exit 0 or 78
  --foreground             do not detach
  --debian-defaults [FILE] take flags from /etc/default/saslauthd
  --sample-config          print a configuration with every key and its default
  --man                    print saslauthd.toml(5) in Markdown
  --create-users           make the users of the daemon's processes (as root)
  --demo                   serve a test account, without any configuration
  --version                what was built, from what and when
  --help                   this text
";
