//! Accounts of a sandbox: the lines of its `/etc/passwd` and `/etc/shadow`.
//!
//! Hashes are made by the system's own crypt(3), through perl, never by the code under test.

use std::io;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// One account: a passwd line and, unless it is passwd-only, a shadow line.
#[derive(Clone, Debug)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// The second field of `/etc/passwd`; `x` points to shadow.
    pub passwd_field: String,
    /// The second field of `/etc/shadow`; `None` leaves the line out.
    pub stored: Option<String>,
    /// The third to ninth field of `/etc/shadow`, joined by colons.
    pub aging: String,
    /// The login shell.
    pub shell: String,
}

impl Account {
    /// An account with `stored` as its password field, changed yesterday, never expiring.
    pub fn with(name: &str, stored: &str) -> Self {
        Self {
            name: name.to_owned(),
            passwd_field: "x".to_owned(),
            stored: Some(stored.to_owned()),
            aging: format!("{}:0:99999:7:::", today() - 1),
            shell: "/bin/sh".to_owned(),
        }
    }

    /// The same with the third to ninth field of its shadow line, as in shadow(5).
    #[must_use]
    pub fn aged(mut self, fields: &str) -> Self {
        self.aging = fields.to_owned();
        self
    }

    /// The same with another shell.
    #[must_use]
    pub fn with_shell(mut self, shell: &str) -> Self {
        self.shell = shell.to_owned();
        self
    }

    /// The same without a shadow line and with `field` in passwd.
    #[must_use]
    pub fn in_passwd(mut self, field: &str) -> Self {
        self.passwd_field = field.to_owned();
        self.stored = None;
        self
    }

    pub(crate) fn passwd_line(&self, uid: usize) -> String {
        let Self { name, passwd_field, shell, .. } = self;
        format!("{name}:{passwd_field}:{uid}:{uid}::/nonexistent:{shell}\n")
    }

    pub(crate) fn shadow_line(&self) -> String {
        let Some(stored) = &self.stored else { return String::new() };
        format!("{}:{stored}:{}\n", self.name, self.aging)
    }
}

/// Days since 1970 in UTC, as shadow counts them.
pub fn today() -> i64 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds / 86_400).unwrap_or(i64::MAX)
}

/// What crypt(3) of this system makes of a password and a setting (`$6$rounds=1000$salt`, `$y$j75$salt`).
pub fn crypt(password: &str, setting: &str) -> io::Result<String> {
    let made = Command::new("perl")
        .args(["-e", "print crypt($ARGV[0], $ARGV[1]) // '*0'", password, setting])
        .output()?;
    let hash = String::from_utf8_lossy(&made.stdout).into_owned();
    if hash.is_empty() || hash.starts_with('*') {
        return Err(io::Error::other(format!("crypt(3) refuses the setting {setting}")));
    }
    Ok(hash)
}

/// A cheap and valid hash of `password`, for tests that aren't about schemes.
pub fn quick_hash(password: &str) -> io::Result<String> {
    crypt(password, "$6$rounds=1000$sandboxsalt$")
}
