//! What a mail server says about the session in which a request was made: the parameters of AUTH.
//!
//! All of it are claims of the peer; which of them count is decided by whoever knows the peer.

use crate::lines::{push, unescape};
use crate::mechanism::LastWords;
use crate::{Address, Name};

use super::Flaw;

/// The parameters that we understand. All others are ignored, as the protocol wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// `service=`, or `protocol=` as Dovecot 2.4 says; must be there.
    pub service: Name,
    /// `lip=` and `lport=`: where the mail server was reached.
    pub local: Option<Address>,
    /// `rip=` and `rport=`: where the mail client is.
    pub remote: Option<Address>,
    /// `secured`.
    pub security: Security,
    /// `valid-client-cert` and `cert_username=`.
    pub certificate: Certificate,
    /// `session=`: only Dovecot's own login processes have one.
    pub session: Option<Name>,
    /// `final-resp-ok`.
    pub last_words: LastWords,
}

/// What was said about the way between mail client and mail server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Nothing.
    #[default]
    Unstated,
    /// A bare `secured`, and where it stood; see [`Parameters::is_inside_tls`].
    Secured(Order),
    /// `secured=tls` (Dovecot 2.4).
    Tls,
}

/// Where a bare `secured` stood: it tells Exim from Postfix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Before `rip=` and `lip=`, or there are none.
    BeforeAddresses,
    /// After one of them.
    AfterAddresses,
}

/// What was said about the mail client's TLS certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// Nothing.
    #[default]
    Unstated,
    /// That it was verified, but not whose it is.
    Verified,
    /// That it was verified, and whose it is. A name without the word `valid-client-cert` counts as nothing.
    Of(Name),
}

impl Parameters {
    /// Of a request for this service, with nothing else said.
    pub fn of_service(service: Name) -> Self {
        Self { service, ..Self::default() }
    }

    /// Whether the mail client speaks TLS to the mail server.
    ///
    /// `secured=tls` says so. A bare `secured` is TLS from Postfix (which writes it after the addresses), from chasquid
    /// (which writes no address) and from Dovecot's login processes (which state a session; there the word may also
    /// mean a connection within the host, by Dovecot's own policy). Exim writes it before the addresses, and not only
    /// for TLS but for every connection whose two ends have one address (`auths/dovecot.c`): of those it is believed
    /// only with a verified client certificate, which needs TLS.
    pub fn is_inside_tls(&self) -> bool {
        match self.security {
            Security::Unstated => false,
            Security::Tls | Security::Secured(Order::AfterAddresses) => true,
            Security::Secured(Order::BeforeAddresses) => {
                let ip = |address: Option<Address>| address.map(|address| address.ip);
                let within = ip(self.remote).is_some() && ip(self.remote) == ip(self.local);
                !within || self.session.is_some() || self.certificate != Certificate::Unstated
            }
        }
    }

    /// Reads the fields between mechanism and `resp=`.
    pub(super) fn decode<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Result<Self, Flaw> {
        let mut reading = Reading::default();
        for field in fields {
            reading.read(field)?;
        }
        reading.finish()
    }

    /// Appends them in Postfix's order.
    pub(super) fn encode(&self, line: &mut Vec<u8>) {
        push(line, b"service=", self.service.as_bytes());
        // Nobody comes to fetch the user of this login, for which Dovecot would wait as long as the connection lasts.
        push(line, b"nologin", b"");
        if self.security == Security::Secured(Order::BeforeAddresses) {
            push(line, b"secured", b"");
        }
        if let Some(session) = &self.session {
            push(line, b"session=", session.as_bytes());
        }
        for (key, port_key, address) in
            [(b"lip=", b"lport=", self.local), (b"rip=", b"rport=", self.remote)]
        {
            let Some(address) = address else { continue };
            push(line, key, address.ip.to_string().as_bytes());
            if let Some(port) = address.port {
                push(line, port_key, port.to_string().as_bytes());
            }
        }
        match self.security {
            Security::Tls => push(line, b"secured=tls", b""),
            Security::Secured(Order::AfterAddresses) => push(line, b"secured", b""),
            _ => {}
        }
        if self.certificate != Certificate::Unstated {
            push(line, b"valid-client-cert", b"");
        }
        if let Certificate::Of(name) = &self.certificate {
            push(line, b"cert_username=", name.as_bytes());
        }
        if self.last_words == LastWords::WithOutcome {
            push(line, b"final-resp-ok", b"");
        }
    }
}

/// Parameters while their fields are read.
#[derive(Default)]
struct Reading {
    service: Option<Name>,
    parameters: Parameters,
    lport: Option<u16>,
    rport: Option<u16>,
    addressed: bool,
    verified: bool,
    cert_username: Option<Name>,
}

impl Reading {
    fn read(&mut self, field: &[u8]) -> Result<(), Flaw> {
        let mut parts = field.splitn(2, |byte| *byte == b'=');
        let key = parts.next().unwrap_or_default();
        let Some(value) = parts.next() else {
            self.read_word(key);
            return Ok(());
        };
        let value = unescape(value);
        let name = || Name::new(&value);
        match key {
            b"service" | b"protocol" => self.service = Some(name().map_err(|_| Flaw::Service)?),
            b"secured" if &*value == b"tls" => self.parameters.security = Security::Tls,
            b"lip" => {
                self.addressed = true;
                self.parameters.local = ip(&value);
            }
            b"rip" => {
                self.addressed = true;
                self.parameters.remote = ip(&value);
            }
            b"lport" => self.lport = port(&value),
            b"rport" => self.rport = port(&value),
            b"session" => self.parameters.session = name().ok(),
            b"cert_username" => self.cert_username = name().ok().filter(|name| !name.is_empty()),
            _ => {}
        }
        Ok(())
    }

    fn read_word(&mut self, word: &[u8]) {
        match word {
            b"secured" if self.parameters.security == Security::Unstated => {
                let order =
                    if self.addressed { Order::AfterAddresses } else { Order::BeforeAddresses };
                self.parameters.security = Security::Secured(order);
            }
            b"valid-client-cert" => self.verified = true,
            b"final-resp-ok" => self.parameters.last_words = LastWords::WithOutcome,
            _ => {}
        }
    }

    fn finish(self) -> Result<Parameters, Flaw> {
        let mut parameters = self.parameters;
        parameters.service = self.service.ok_or(Flaw::Service)?;
        let with = |port| move |address| Address { port, ..address };
        parameters.local = parameters.local.map(with(self.lport));
        parameters.remote = parameters.remote.map(with(self.rport));
        // After an address that is none it is before all: the same words when they are written again.
        if parameters.security == Security::Secured(Order::AfterAddresses)
            && (parameters.local, parameters.remote) == (None, None)
        {
            parameters.security = Security::Secured(Order::BeforeAddresses);
        }
        parameters.certificate = match (self.verified, self.cert_username) {
            (false, _) => Certificate::Unstated,
            (true, None) => Certificate::Verified,
            (true, Some(name)) => Certificate::Of(name),
        };
        Ok(parameters)
    }
}

/// An address alone. Exim's `NULL`, and whatever else is none, is absent.
fn ip(value: &[u8]) -> Option<Address> {
    Address::parse(value).filter(|_| !value.contains(&b';'))
}

fn port(value: &[u8]) -> Option<u16> {
    crate::lines::number(value).and_then(|port| u16::try_from(port).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Parameters {
        Parameters::decode(line.split('\t').map(str::as_bytes)).unwrap()
    }

    #[test]
    fn secured_is_tls_unless_exim_says_it_of_the_host_itself() {
        for (tls, line) in [
            (true, "service=smtp\tnologin\tlip=192.0.2.1\trip=192.0.2.7\tsecured"),
            (true, "service=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1\tsecured"),
            (false, "service=smtp\tnologin\tlip=127.0.0.1\trip=127.0.0.1"),
            (true, "service=smtp\tsecured\trip=192.0.2.7\tlip=192.0.2.1\tnologin"),
            (false, "service=smtp\tsecured\trip=127.0.0.1\tlip=127.0.0.1\tnologin"),
            (false, "service=smtp\tsecured\trip=::1\tlip=::1\tnologin"),
            (false, "service=smtp\tsecured\trip=::ffff:127.0.0.1\tlip=127.0.0.1\tnologin"),
            (true, "service=smtp\tsecured\tvalid-client-cert\trip=::1\tlip=::1\tnologin"),
            (true, "service=smtp\tsecured\trip=192.0.2.7\tlip=NULL\tnologin"),
            (true, "service=smtp\tsecured\tno-penalty\tnologin"),
            (true, "service=smtp\tlip=none\tsecured"),
            (true, "service=imap\tsecured\tsession=x\tlip=::1\trip=::1\tlport=143\trport=9"),
            (true, "protocol=imap\tsecured=tls\tlip=::1\trip=::1"),
            (false, "protocol=imap\tsecured=no\tlip=::1\trip=::1"),
        ] {
            assert_eq!(of(line).is_inside_tls(), tls, "{line}");
        }
    }

    #[test]
    fn a_certificate_is_one_only_when_it_was_verified() {
        assert_eq!(of("service=x\tcert_username=alice").certificate, Certificate::Unstated);
        assert_eq!(of("service=x\tvalid-client-cert").certificate, Certificate::Verified);
        let alice = Certificate::Of(Name::new(b"alice").unwrap());
        assert_eq!(of("service=x\tcert_username=alice\tvalid-client-cert").certificate, alice);
    }

    #[test]
    fn addresses_are_addresses_or_nothing() {
        let parameters = of("service=x\trip=2001:db8::1\trport=99\tlip=NULL\tlport=25");
        let ip = "2001:db8::1".parse().unwrap();
        assert_eq!(parameters.remote, Some(Address { ip, port: Some(99) }));
        assert_eq!(parameters.local, None);
        assert_eq!(of("service=x\trip=192.0.2.7;25").remote, None);
    }
}
