//! Postfix for submission, whose smtpd asks over Dovecot's protocol (`smtpd_sasl_type = dovecot`), inside TLS.
//!
//! Also the server that the mail clients of [`super::clients`] log in to.

use super::dialogue::smtp_over;
use super::namespace::Namespace;
use super::tls::{self, Wire};
use super::{Heard, Peer, Question, Result, Socket, Verdict, postfix};

/// Postfix of Debian.
pub(crate) struct Submission;

/// Without TLS.
const CLEAR: u16 = 25;
/// Inside TLS.
pub(super) const SUBMISSIONS: u16 = 465;
/// With STARTTLS.
pub(super) const SUBMISSION: u16 = 587;

/// Without a daemon smtpd ends at once, and master would wait a minute before it starts another.
const SETTINGS: &str = "\
inet_interfaces = all
smtpd_sasl_type = dovecot
smtpd_sasl_path = /run/auth/auth-login
smtpd_sasl_security_options = noanonymous
smtpd_tls_cert_file = /etc/tls/cert.pem
smtpd_tls_key_file = /etc/tls/key.pem
service_throttle_time = 1s
default_transport = discard
";

const LISTENERS: &str = "\
127.0.0.2:25  inet  n - n - - smtpd
127.0.0.2:465 inet  n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.2:587 inet  n - n - - smtpd -o smtpd_tls_security_level=encrypt
cleanup   unix      n - n - 0 cleanup
qmgr      unix      n - n 300 1 qmgr
tlsmgr    unix      - - n 1000? 1 tlsmgr
bounce    unix      - - n - 0 bounce
defer     unix      - - n - 0 bounce
discard   unix      - - n - - discard
";

/// What smtpd says at the end of an AUTH.
pub(super) const MEANINGS: [(&str, Verdict); 3] = [
    ("235 2.7.0", Verdict::Accepted),
    ("535 5.7.8", Verdict::Refused),
    ("454 4.7.0", Verdict::Temporary),
];

/// Starts it and waits until it listens. An smtpd without a daemon ends at once: the next comes a second later.
pub(super) fn begin(world: &Namespace) -> Result<()> {
    tls::make_certificate(world)?;
    postfix::begin(world, SETTINGS, LISTENERS)?;
    world.await_port_of(tls::SERVER, SUBMISSIONS, "postfix")
}

impl Peer for Submission {
    fn name(&self) -> &'static str {
        "postfix, auth"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["postfix"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["/usr/lib/postfix/sbin/master", "/usr/lib/postfix/sbin/smtpd", "/usr/bin/openssl"]
    }

    fn routes(&self) -> &'static [&'static str] {
        &["PLAIN", "LOGIN"]
    }

    fn tells_outage(&self, _route: &str) -> bool {
        true
    }

    /// After ten seconds.
    fn gives_up(&self, _route: &str) -> bool {
        true
    }

    fn service(&self, _route: &str) -> &'static str {
        "smtp"
    }

    fn socket(&self) -> Socket {
        Socket::Auth
    }

    fn start(&self, world: &Namespace) -> Result<()> {
        begin(world)
    }

    fn ask(&self, world: &Namespace, question: Question<'_>) -> Result<Heard> {
        let wire = Wire::open(world, question.manner, SUBMISSIONS, CLEAR)?;
        smtp_over(wire, question, &MEANINGS)
    }
}
