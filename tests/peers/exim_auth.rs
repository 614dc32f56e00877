//! Exim, whose dovecot driver asks over Dovecot's protocol: a new connection for each AUTH, silent until the
//! daemon has listed its mechanisms (4.96).

use super::dialogue::smtp_over;
use super::namespace::Namespace;
use super::tls::{self, Wire};
use super::{Heard, Peer, Question, Result, Socket, Verdict, clients};

/// Exim of Debian, the heavy build.
pub(crate) struct EximAuth;

/// Without TLS, or with STARTTLS.
const CLEAR: u16 = 25;
/// Inside TLS.
const SUBMISSIONS: u16 = 465;

const SETTINGS: &str = "\
primary_hostname = mail.example.test
local_interfaces = 127.0.0.2
daemon_smtp_ports = 25 : 465
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = /etc/tls/cert.pem
tls_privatekey = /etc/tls/key.pem
log_file_path = /var/log/exim4/%slog
pid_file_path = /run/exim.pid
keep_environment =
host_lookup =
rfc1413_hosts =
auth_advertise_hosts = *
begin authenticators
plain:
  driver = dovecot
  public_name = PLAIN
  server_socket = /run/auth/auth-login
  server_set_id = $auth1
login:
  driver = dovecot
  public_name = LOGIN
  server_socket = /run/auth/auth-login
  server_set_id = $auth1
scram:
  driver = dovecot
  public_name = SCRAM-SHA-256
  server_socket = /run/auth/auth-login
  server_set_id = $auth1
";

const MEANINGS: [(&str, Verdict); 3] =
    [("235", Verdict::Accepted), ("535", Verdict::Refused), ("435", Verdict::Temporary)];

impl Peer for EximAuth {
    fn name(&self) -> &'static str {
        "exim, auth"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["exim4-base", "exim4-daemon-heavy", "msmtp"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/exim4", "/usr/bin/msmtp", "/usr/bin/openssl"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "LOGIN", "SCRAM-SHA-256"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn socket(&self) -> Socket {
        Socket::Auth
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        tls::make_certificate(world)?;
        world.write("/etc/exim4/exim4.conf", SETTINGS)?;
        world.shell("install -d -o Debian-exim /var/spool/exim4 /var/log/exim4")?;
        world.spawn("exim", "exim4", &["-C", "/etc/exim4/exim4.conf", "-bdf"])?;
        world.await_port_of(tls::SERVER, CLEAR, "exim")
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        if self.needs_secret(question.route) {
            return clients::msmtp(world, question, &MEANINGS);
        }
        let wire = Wire::open(world, question.manner, SUBMISSIONS, CLEAR)?;
        smtp_over(wire, question, &MEANINGS)
    }
}
