//! A question to the access map: from what is known of a session to the words of the policy protocol.
//!
//! Runs in the receiver and in the sender. Most of what goes in was chosen by a stranger. What cannot be said is never
//! left out, since an entry that refuses might be looked for by it: the question is of no use then, and nobody knows.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::Name;
use protocol::certificate::DistinguishedName;
use protocol::policy::{Attribute, Malformed, Request};
use smtp::address::{Recipient, Sender};
use smtp::sasl::Mechanism;

use crate::tls::{Facts, Verify};

/// What is asked; the words in brackets are sendmail's rulesets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// May this client go on (`check_relay`): at its connection.
    Connection,
    /// May it go on after its handshake (`tls_client`): at EHLO.
    Greeting,
    /// May it send as this sender (`check_mail`): at MAIL.
    Mail,
    /// May it send to this recipient (`check_rcpt` and all before it): at RCPT.
    Recipient,
    /// May it ask VRFY (`check_vrfy`).
    Vrfy,
    /// May it ask EXPN (`check_expn`).
    Expn,
    /// Does its certificate let it relay (`relay`): [`super::Answer::Permitted`] if it does.
    Certificate,
    /// Is the `AUTH=` of MAIL believed (`trust_auth`): [`super::Answer::Permitted`] if it is.
    TrustAuth,
    /// The letters of what a client is offered (`srv_features`).
    SrvFeatures,
    /// Options of TLS with a client (`tls_srv_features`).
    TlsSrvFeatures,
    /// Shall STARTTLS be tried with a server (`try_tls`): [`super::Answer::Permitted`] or [`super::Answer::Refused`].
    TryTls,
    /// The letters of what is used with a server (`clt_features`).
    CltFeatures,
    /// Options of TLS with a server (`tls_clt_features`).
    TlsCltFeatures,
    /// Is this connection to a server good enough (`tls_server`).
    TlsServer,
    /// Is it for this recipient (`tls_rcpt`).
    TlsRcpt,
}

/// What the DNS said of a client's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved<'a> {
    /// This name, which leads back to the address.
    To(&'a str),
    /// There is none.
    Nameless,
    /// There is one, and it leads elsewhere.
    Forged,
    /// It did not answer.
    Unanswered,
}

/// What is known of a session, and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question(Result<Request, Malformed>);

impl Question {
    /// Of a client that is connected to us: both addresses, the client's real one if a proxy brought it.
    pub fn of_client(client: SocketAddr, own: SocketAddr, resolved: Resolved<'_>) -> Self {
        let (name, word) = match resolved {
            Resolved::To(name) => (name, "OK"),
            Resolved::Nameless => ("unknown", "FAIL"),
            Resolved::Forged => ("unknown", "FORGED"),
            Resolved::Unanswered => ("unknown", "TEMP"),
        };
        Self(Ok(Request::default()))
            .with(Attribute::ClientAddress, &client.ip().to_canonical().to_string())
            .with(Attribute::ClientPort, &client.port().to_string())
            .with(Attribute::ClientName, name)
            .with(Attribute::ClientResolve, word)
            .with(Attribute::ServerAddress, &own.ip().to_canonical().to_string())
            .with(Attribute::ServerPort, &own.port().to_string())
    }

    /// Of a server that we are, or want to be, connected to. `name` is that of its certificate and of the map's keys.
    pub fn of_server(name: &str, address: Option<IpAddr>) -> Self {
        let address = address.map(|address| address.to_canonical().to_string());
        Self(Ok(Request::default()))
            .with(Attribute::ServerName, name.trim_end_matches('.'))
            .with(Attribute::ServerAddr, address.as_deref().unwrap_or_default())
    }

    /// The same inside this TLS.
    pub fn inside(self, tls: &Facts) -> Self {
        let chain: Result<Vec<String>, _> = tls
            .chain
            .iter()
            .map(|name| DistinguishedName::from_der(name).map(|name| name.openssl_3.text))
            .collect();
        let encoded = tls.certificate.as_ref().map(|der| STANDARD.encode(der)).unwrap_or_default();
        let only_purpose = if tls.failed_only_by_purpose { "yes" } else { "" };
        let stated = self
            .with(Attribute::EncryptionProtocol, tls.version)
            .with(Attribute::EncryptionCipher, tls.cipher)
            .with(Attribute::EncryptionKeysize, &tls.bits.to_string())
            .with(Attribute::Verify, tls.verify.as_str())
            .with(Attribute::FailedOnlyByPurpose, only_purpose)
            .with(Attribute::Certificate, &encoded);
        match chain {
            Ok(names) => stated.with(Attribute::ChainSubjects, &names.join(" ")),
            // No authority of a chain that verified is unreadable; whoever has one is known by other things.
            Err(_) => stated,
        }
    }

    /// The same without TLS, and why.
    pub fn in_the_clear(self, verify: Verify) -> Self {
        self.with(Attribute::Verify, verify.as_str())
    }

    /// The same of a client that called itself so.
    pub fn greeted_by(self, helo: &str) -> Self {
        self.with(Attribute::HeloName, helo)
    }

    /// The same of somebody who has logged in.
    pub fn logged_in(self, user: &Name, mechanism: Mechanism) -> Self {
        self.with(Attribute::SaslUsername, &String::from_utf8_lossy(user.as_bytes()))
            .with(Attribute::SaslMethod, mechanism.as_str())
    }

    /// The same with the sender of a message.
    pub fn from(self, sender: &Sender) -> Self {
        match sender {
            // As it is when none is said.
            Sender::Null => self,
            Sender::Address(address) => self.with(Attribute::Sender, address.as_str()),
        }
    }

    /// The same with the `AUTH=` of MAIL, without xtext.
    pub fn on_behalf_of(self, author: &str) -> Self {
        self.with(Attribute::SaslSender, author)
    }

    /// The same with a recipient.
    pub fn to(self, recipient: &Recipient) -> Self {
        match recipient {
            Recipient::Postmaster => self.with(Attribute::Recipient, "postmaster"),
            Recipient::Address(address) => self.with(Attribute::Recipient, address.as_str()),
        }
    }

    /// What is asked; once.
    pub fn about(self, about: About) -> Self {
        let (attribute, word) = match about {
            About::Connection => (Attribute::ProtocolState, "CONNECT"),
            About::Greeting => (Attribute::ProtocolState, "EHLO"),
            About::Mail => (Attribute::ProtocolState, "MAIL"),
            About::Recipient => (Attribute::ProtocolState, "RCPT"),
            About::Vrfy => (Attribute::ProtocolState, "VRFY"),
            About::Expn => (Attribute::ProtocolState, "EXPN"),
            About::Certificate => (Attribute::Ruleset, "relay"),
            About::TrustAuth => (Attribute::Ruleset, "trust_auth"),
            About::SrvFeatures => (Attribute::Ruleset, "srv_features"),
            About::TlsSrvFeatures => (Attribute::Ruleset, "tls_srv_features"),
            About::TryTls => (Attribute::Ruleset, "try_tls"),
            About::CltFeatures => (Attribute::Ruleset, "clt_features"),
            About::TlsCltFeatures => (Attribute::Ruleset, "tls_clt_features"),
            About::TlsServer => (Attribute::Ruleset, "tls_server"),
            About::TlsRcpt => (Attribute::Ruleset, "tls_rcpt"),
        };
        self.with(attribute, word).with(Attribute::Answer, "final")
    }

    /// The request; `None` when something can't be said.
    pub(super) fn request(&self) -> Option<&Request> {
        self.0.as_ref().ok()
    }

    fn with(self, attribute: Attribute, value: &str) -> Self {
        Self(self.0.and_then(|request| request.with(attribute, value)))
    }
}
