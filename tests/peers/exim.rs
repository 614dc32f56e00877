//! Exim, which speaks the mux protocol itself (`${if saslauthd{…}}`) and writes each field on its own.

use super::dialogue::smtp;
use super::namespace::Namespace;
use super::{Heard, Peer, Question, Result, Verdict};

/// Exim of Debian, the heavy build.
pub(crate) struct Exim;

const PORT: u16 = 25;

/// Exim never splits a name at its `@`: the conditions do.
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
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if saslauthd{{${local_part:$auth2}}{$auth3}{smtp}{${domain:$auth2}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if saslauthd{{${local_part:$auth1}}{$auth2}{smtp}{${domain:$auth1}}}}
  server_set_id = $auth1
";

const MEANINGS: [(&str, Verdict); 3] =
    [("235", Verdict::Accepted), ("535", Verdict::Refused), ("435", Verdict::Temporary)];

impl Peer for Exim {
    fn name(&self) -> &'static str {
        "exim"
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
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        world.write("/etc/exim4/exim4.conf", SETTINGS)?;
        world.shell("install -d -o Debian-exim /var/spool/exim4 /var/log/exim4")?;
        world.spawn("exim", "exim4", &["-C", "/etc/exim4/exim4.conf", "-bdf"])?;
        world.await_port(PORT, "exim")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        smtp(world, PORT, question, &MEANINGS)
    }
}
