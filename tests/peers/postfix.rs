//! Postfix, whose smtpd asks through libsasl2 (`smtpd_sasl_type = cyrus`).

use super::dialogue::smtp;
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// Postfix of Debian.
pub(crate) struct Postfix;

const PORT: u16 = 25;

/// What every Postfix here is set to.
const BASE: &str = "\
compatibility_level = 3.6
queue_directory = /var/spool/postfix
data_directory = /var/lib/postfix
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.example.test
mydestination =
alias_maps =
inet_protocols = ipv4
maillog_file = /var/log/postfix.log
smtpd_sasl_auth_enable = yes
smtpd_error_sleep_time = 0
smtpd_relay_restrictions = permit_sasl_authenticated, reject
";

/// The services that every Postfix here has.
const SERVICES: &str = "\
anvil     unix      - - n - 1 anvil
rewrite   unix      - - n - - trivial-rewrite
proxymap  unix      - - n - - proxymap
postlog   unix-dgram n - n - 1 postlogd
";

const SETTINGS: &str = "\
inet_interfaces = loopback-only
smtpd_sasl_type = cyrus
smtpd_sasl_path = smtpd
";

const LISTENERS: &str = "\
smtp      inet      n - n - - smtpd
";

/// Debian's Postfix looks in `sasl/` of its own settings and ignores `cyrus_sasl_config_path`.
const SMTPD_CONF: &str = "\
pwcheck_method: saslauthd
saslauthd_path: /run/saslauthd/mux
mech_list: PLAIN LOGIN
";

const MEANINGS: [(&str, Verdict); 3] = [
    ("235 2.7.0", Verdict::Accepted),
    ("535 5.7.8", Verdict::Refused),
    ("454 4.7.0", Verdict::Temporary),
];

impl Peer for Postfix {
    fn name(&self) -> &'static str {
        "postfix"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["postfix"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/lib/postfix/sbin/master", "/usr/lib/postfix/sbin/smtpd"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "LOGIN"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        world.write("/etc/postfix/sasl/smtpd.conf", SMTPD_CONF)?;
        begin(world, SETTINGS, LISTENERS)?;
        world.await_port(PORT, "postfix")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        smtp(world, PORT, question, &MEANINGS)
    }
}

/// Starts a Postfix with these settings and services beside those that every Postfix here has.
pub(crate) fn begin(world: &Namespace, settings: &str, services: &str) -> Result<()> {
    world.write("/etc/postfix/main.cf", &format!("{BASE}{settings}"))?;
    world.write("/etc/postfix/master.cf", &format!("{services}{SERVICES}"))?;
    world.shell(
        "install -d -o postfix /var/lib/postfix
         install -d /var/spool/postfix /var/spool/postfix/pid
         install -d -o postfix -m 700 /var/spool/postfix/private
         install -d -o postfix -g postdrop -m 710 /var/spool/postfix/public
         for queue in active bounce corrupt defer deferred flush hold incoming saved trace; do
             install -d -o postfix -m 700 /var/spool/postfix/$queue
         done",
    )?;
    world.spawn("postfix", "/usr/lib/postfix/sbin/master", &["-d"])
}
