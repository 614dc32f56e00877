//! A whole Dovecot 2.3 whose passdb is one of our bridges: checkpassword, or the PAM module.

use super::bridges;
use super::dialogue::{Dialogue, heard, plain};
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// Dovecot of Debian, by way of one bridge.
pub(crate) struct DovecotPassdb {
    name: &'static str,
    passdb: &'static str,
    driver: Driver,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Driver {
    Checkpassword,
    Pam,
}

/// By checkpassword, which finds the service and the client's address in the environment.
pub(crate) const CHECKPASSWORD: DovecotPassdb = DovecotPassdb {
    name: "dovecot passdb checkpassword",
    passdb: "driver = checkpassword\n  args = /run/bridges/checkpassword -t 10",
    driver: Driver::Checkpassword,
};
/// By PAM.
pub(crate) const PAM: DovecotPassdb = DovecotPassdb {
    name: "dovecot passdb pam",
    passdb: "driver = pam\n  args = imap",
    driver: Driver::Pam,
};

const IMAP: u16 = 143;

/// The number and group of `mail`.
const MAIL: u32 = 8;

/// A greeting comes before the login, whatever the daemon does; failures are told at once, one after another too.
const SETTINGS: &str = "\
base_dir = /run/dovecot
state_dir = /run/dovecot
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
log_path = /dev/stderr
mail_location = maildir:~/mail
first_valid_uid = 1
auth_failure_delay = 0
auth_cache_size = 0
auth_username_chars =
passdb {
  PASSDB
}
userdb {
  driver = static
  args = uid=mail gid=mail home=/var/mail
}
service auth {
  extra_groups = sasl
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
";

const MEANINGS: [(&str, Verdict); 3] = [
    ("a OK", Verdict::Accepted),
    ("a NO [AUTHENTICATIONFAILED]", Verdict::Refused),
    ("a NO [UNAVAILABLE]", Verdict::Temporary),
];

impl Peer for DovecotPassdb {
    fn name(&self) -> &'static str {
        self.name
    }

    fn packages(&self) -> &'static [&'static str] {
        &["dovecot-core", "dovecot-imapd"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/dovecot", "/usr/lib/dovecot/auth", "/usr/lib/dovecot/imap"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "IMAP LOGIN"]
    }

    /// Its passdb pam takes whatever PAM says, but for an unknown user, for a wrong password (`passdb-pam.c`).
    fn tells_outage(&self, _route: &str) -> bool {
        self.driver == Driver::Checkpassword
    }

    fn service(&self, _route: &str) -> &'static str {
        "imap"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        bridges::install(world)?;
        bridges::write_service(world, "imap", "timeout=10")?;
        world.write("/etc/dovecot-passdb.conf", &SETTINGS.replace("PASSDB", self.passdb))?;
        world.directory("/var/mail", MAIL)?;
        world.spawn("passdb", "dovecot", &["-F", "-c", "/etc/dovecot-passdb.conf"])?;
        world.await_port(IMAP, "passdb")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let mut dialogue = Dialogue::open(world, IMAP)?;
        dialogue.hear()?;
        match question.route {
            "PLAIN" => dialogue.say(&format!("a AUTHENTICATE PLAIN {}", plain(question)))?,
            _ => dialogue
                .say(&format!("a LOGIN \"{}\" \"{}\"", question.login, question.password))?,
        }
        dialogue.patience(question.patience);
        let answer = dialogue.hear_until(|line| line.starts_with("a "));
        let _ = dialogue.say("b LOGOUT");
        heard(answer, &MEANINGS)
    }
}
