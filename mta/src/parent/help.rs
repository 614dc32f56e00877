//! What `--help` prints.
//!
//! A test holds it and mta(8) to the options that exist.

/// Everything.
pub(super) const TEXT: &str = "\
usage: mta [options]

Receives mail from people who log in and from machines that show a certificate, keeps it, and sends it on.

  --config FILE    read this configuration instead of /etc/mta.toml
  --check          show all errors of the configuration and of the files that it names, exit 0 or 78
  -f, --foreground do not detach; the log goes to standard error
  --sample-config  print a configuration with every key and its default
  --man            print mta.toml(5) in Markdown
  --create-users   make the users of the server's processes (as root)
  --demo           serve a test account together with saslauthd, without any configuration
  --version        what was built, from what and when
  --help           this text

Exit codes: 0 done, 1 failed, 64 wrong usage, 75 already running or another program has the address, 78 errors in the
configuration.
";
