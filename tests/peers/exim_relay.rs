//! Exim, whose access control asks the policy socket whether a session may relay (`${readsocket`).

use super::namespace::Namespace;
use super::relay::{CLEAR, Relayer, recipe};
use super::{Result, tls};

/// Exim of Debian, the heavy build.
pub(crate) struct EximRelay;

const SETTINGS: &str = "\
primary_hostname = mail.example.test
local_interfaces = 127.0.0.2
daemon_smtp_ports = 25 : 465
tls_on_connect_ports = 465
tls_certificate = /etc/tls/cert.pem
tls_privatekey = /etc/tls/key.pem
log_file_path = /var/log/exim4/%slog
pid_file_path = /run/exim.pid
keep_environment =
host_lookup =
rfc1413_hosts =
";

impl Relayer for EximRelay {
    fn name(&self) -> &'static str {
        "exim, policy"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["exim4-base", "exim4-daemon-heavy"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/sbin/exim4", "/usr/bin/openssl"]
    }

    fn socket(&self) -> &'static str {
        "/run/saslauthd/policy"
    }

    fn tells_names(&self) -> bool {
        true
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        let (main, acl) = (recipe("exim main")?, recipe("exim acl")?);
        let settings = format!("{SETTINGS}{main}\nbegin acl\n{acl}\n");
        world.write("/etc/exim4/exim4.conf", &settings)?;
        world.shell("install -d -o Debian-exim /var/spool/exim4 /var/log/exim4")?;
        world.spawn("exim", "exim4", &["-C", "/etc/exim4/exim4.conf", "-bdf"])?;
        world.await_port_of(tls::SERVER, CLEAR, "exim")
    }
}
