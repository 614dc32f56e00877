//! Exim, whose cyrus_sasl driver asks through libsasl2, and says 535 to an outage too.

use super::dialogue::smtp;
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// Exim of Debian, the heavy build.
pub(crate) struct EximCyrus;

const PORT: u16 = 25;

const SETTINGS: &str = "\
primary_hostname = mail.example.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = 25
log_file_path = /var/log/exim4/%slog
pid_file_path = /run/exim.pid
keep_environment =
host_lookup =
rfc1413_hosts =
tls_advertise_hosts =
auth_advertise_hosts = *
begin authenticators
plain:
  driver = cyrus_sasl
  public_name = PLAIN
  server_set_id = $auth1
login:
  driver = cyrus_sasl
  public_name = LOGIN
  server_set_id = $auth1
";

const SASL_CONF: &str = "\
pwcheck_method: saslauthd
saslauthd_path: /run/saslauthd/mux
mech_list: PLAIN LOGIN
";

const MEANINGS: [(&str, Verdict); 3] =
    [("235", Verdict::Accepted), ("535", Verdict::Refused), ("435", Verdict::Temporary)];

impl Peer for EximCyrus {
    fn name(&self) -> &'static str {
        "exim, cyrus_sasl"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["exim4-base", "exim4-daemon-heavy"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/exim4"]
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
        world.write("/etc/exim4/exim4.conf", SETTINGS)?;
        world.write("/etc/sasl2/exim.conf", SASL_CONF)?;
        world.shell("install -d -o Debian-exim /var/spool/exim4 /var/log/exim4")?;
        world.spawn("exim", "exim4", &["-C", "/etc/exim4/exim4.conf", "-bdf"])?;
        world.await_port(PORT, "exim")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        smtp(world, PORT, question, &MEANINGS)
    }
}
