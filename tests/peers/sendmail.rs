//! sendmail, which asks through libsasl2 and says 535 to an outage too.

use super::dialogue::smtp;
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// sendmail of Debian.
pub(crate) struct Sendmail;

const PORT: u16 = 25;

const SENDMAIL_MC: &str = "\
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `mail.example.test')dnl
define(`confPID_FILE', `/run/sendmail.pid')dnl
define(`STATUS_FILE', `')dnl
define(`ALIAS_FILE', `')dnl
define(`confTO_IDENT', `0')dnl
define(`confDEF_USER_ID', `mail:mail')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confREFUSE_LA', `1000')dnl
define(`confQUEUE_LA', `1000')dnl
define(`confAUTH_MECHANISMS', `PLAIN LOGIN')dnl
TRUST_AUTH_MECH(`PLAIN LOGIN')dnl
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Name=MTA, Port=25, Addr=127.0.0.1')dnl
MAILER(`smtp')dnl
";

const SENDMAIL_CONF: &str = "\
pwcheck_method: saslauthd
saslauthd_path: /run/saslauthd/mux
mech_list: PLAIN LOGIN
";

const MEANINGS: [(&str, Verdict); 3] = [
    ("235 2.0.0", Verdict::Accepted),
    ("535 5.7.0", Verdict::Refused),
    ("454 4", Verdict::Temporary),
];

impl Peer for Sendmail {
    fn name(&self) -> &'static str {
        "sendmail"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["sendmail-base", "sendmail-cf", "sendmail-bin"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/libexec/sendmail/sendmail", "/usr/bin/m4"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "LOGIN"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        false
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        world.write("/etc/mail/sendmail.mc", SENDMAIL_MC)?;
        world.write("/etc/sasl2/Sendmail.conf", SENDMAIL_CONF)?;
        world.shell(
            "m4 /etc/mail/sendmail.mc >/etc/mail/sendmail.cf
             install -d -o smmta /var/spool/mqueue",
        )?;
        let arguments = ["-bD", "-C/etc/mail/sendmail.cf"];
        world.spawn("sendmail", "/usr/libexec/sendmail/sendmail", &arguments)?;
        world.await_port(PORT, "sendmail")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        smtp(world, PORT, question, &MEANINGS)
    }
}
