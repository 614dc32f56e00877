//! Cyrus IMAP: imapd and pop3d, which ask through libsasl2.

use super::dialogue::{Dialogue, heard, plain};
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// Cyrus IMAP of Debian.
pub(crate) struct Cyrus;

const IMAP: u16 = 143;
const POP3: u16 = 110;

const IMAPD_CONF: &str = "\
configdirectory: /var/lib/cyrus
partition-default: /var/spool/cyrus
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
servername: mail.example.test
virtdomains: userid
allowplaintext: yes
failedloginpause: 0
popminpoll: 0
sasl_pwcheck_method: saslauthd
sasl_saslauthd_path: /run/saslauthd/mux
sasl_mech_list: PLAIN
";

const CYRUS_CONF: &str = "\
START {
  recover cmd=\"/usr/lib/cyrus/bin/ctl_cyrusdb -r\"
}
SERVICES {
  imap cmd=\"imapd\" listen=\"127.0.0.1:143\" prefork=0
  pop3 cmd=\"pop3d\" listen=\"127.0.0.1:110\" prefork=0
  MORE
}
EVENTS {
}
";

/// Only words tell an outage here: the response codes of both are the same, and none.
const IMAP_MEANINGS: [(&str, Verdict); 5] = [
    ("a OK", Verdict::Accepted),
    ("a NO Login failed: authentication failure", Verdict::Refused),
    ("a NO authentication failure", Verdict::Refused),
    ("a NO Login failed: generic failure", Verdict::Temporary),
    ("a NO generic failure", Verdict::Temporary),
];

const POP3_MEANINGS: [(&str, Verdict); 3] = [
    ("+OK", Verdict::Accepted),
    ("-ERR [AUTH] Invalid login", Verdict::Refused),
    ("-ERR [SYS/TEMP]", Verdict::Temporary),
];

impl Peer for Cyrus {
    fn name(&self) -> &'static str {
        "cyrus-imapd"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["cyrus-common", "cyrus-imapd", "cyrus-pop3d"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/cyrmaster", "/usr/lib/cyrus/bin/imapd", "/usr/lib/cyrus/bin/pop3d"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["IMAP LOGIN", "IMAP PLAIN", "POP3"]
    }

    fn tells_outage(&self, route: &str) -> bool {
        route != "POP3"
    }

    fn service(&self, route: &str) -> &'static str {
        if route == "POP3" { "pop" } else { "imap" }
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        begin(world, "", "")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        if question.route == "POP3" { pop3(world, question) } else { imap(world, question) }
    }
}

/// Starts it with these settings and services beside those that every Cyrus here has.
pub(crate) fn begin(world: &Namespace, settings: &str, services: &str) -> Result<()> {
    world.write("/etc/imapd.conf", &format!("{IMAPD_CONF}{settings}"))?;
    world.write("/etc/cyrus.conf", &CYRUS_CONF.replace("MORE", services))?;
    world.shell(
        "install -d -o cyrus -g mail /var/lib/cyrus /var/spool/cyrus
         install -d -o cyrus -g mail /run/cyrus /run/cyrus/proc /run/cyrus/lock",
    )?;
    world.spawn("cyrus", "cyrmaster", &["-D"])?;
    world.await_port(IMAP, "cyrus")?;
    world.await_port(POP3, "cyrus")
}

fn imap(world: &Namespace, question: Question<'_>) -> Result<Heard> {
    let mut dialogue = Dialogue::open(world, IMAP)?;
    dialogue.hear()?;
    dialogue.say(&match question.route {
        "IMAP PLAIN" => format!("a AUTHENTICATE PLAIN {}", plain(question)),
        _ => format!("a LOGIN \"{}\" \"{}\"", question.login, question.password),
    })?;
    dialogue.patience(question.patience);
    let answer = dialogue.hear_until(|line| line.starts_with("a "));
    let _ = dialogue.say("b LOGOUT");
    heard(answer, &IMAP_MEANINGS)
}

fn pop3(world: &Namespace, question: Question<'_>) -> Result<Heard> {
    let mut dialogue = Dialogue::open(world, POP3)?;
    dialogue.hear()?;
    dialogue.say(&format!("USER {}", question.login))?;
    dialogue.hear()?;
    dialogue.say(&format!("PASS {}", question.password))?;
    dialogue.patience(question.patience);
    let answer = dialogue.hear();
    let _ = dialogue.say("QUIT");
    heard(answer, &POP3_MEANINGS)
}
