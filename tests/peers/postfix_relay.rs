//! Postfix, whose smtpd asks the policy socket whether a session may relay (`check_policy_service`).

use super::namespace::Namespace;
use super::relay::{Relayer, SUBMISSIONS, recipe};
use super::{Result, postfix, tls};

/// Postfix of Debian.
pub(crate) struct PostfixRelay;

/// Beside the recipe: a certificate, and no long wait for a daemon that hangs.
const SETTINGS: &str = "\
inet_interfaces = all
smtpd_sasl_auth_enable = no
smtpd_tls_cert_file = /etc/tls/cert.pem
smtpd_tls_key_file = /etc/tls/key.pem
smtpd_policy_service_timeout = 2s
default_transport = discard
";

/// In a chroot, as Debian has it.
const LISTENERS: &str = "\
127.0.0.2:25  inet  n - y - - smtpd
127.0.0.2:465 inet  n - y - - smtpd -o smtpd_tls_wrappermode=yes
cleanup   unix      n - n - 0 cleanup
qmgr      unix      n - n 300 1 qmgr
tlsmgr    unix      - - n 1000? 1 tlsmgr
bounce    unix      - - n - 0 bounce
defer     unix      - - n - 0 bounce
discard   unix      - - n - - discard
";

impl Relayer for PostfixRelay {
    fn name(&self) -> &'static str {
        "postfix, policy"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["postfix"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/lib/postfix/sbin/master", "/usr/lib/postfix/sbin/smtpd", "/usr/bin/openssl"]
    }

    fn socket(&self) -> &'static str {
        "/var/spool/postfix/saslauthd/policy"
    }

    fn tells_names(&self) -> bool {
        false
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        let recipe = recipe("postfix")?;
        postfix::begin(world, &format!("{SETTINGS}{recipe}\n"), LISTENERS)?;
        world.await_port_of(tls::SERVER, SUBMISSIONS, "postfix")
    }
}
