//! DIGEST-MD5 (RFC 2831): both sides show that they know the password, by MD5 of it and of two nonces.
//!
//! Runs in the checker, for accounts whose password is stored in the clear. Only authentication: no integrity or privacy
//! layer, which mail gets from TLS, and nobody is let in again by an old nonce. Historic (RFC 6331), and for
//! users whose programs know nothing better.

mod directives;

use credentials::{DigestResponse, SharedSecret};
use protocol::Name;
use zeroize::Zeroizing;

use crate::challenge::{Ending, hex, misled, say, unhex};
use crate::conversation::{Conversation, Event, Facts};
use crate::step::{Material, Refusal, Step, Wanted};
use directives::Directives;

/// The names of one service: what servers call it and what clients do.
const SERVICES: &[&[&str]] = &[
    &["smtp", "smtps", "submission", "submissions"],
    &["imap", "imaps"],
    &["pop", "pop3", "pop3s"],
    &["sieve", "managesieve"],
];

/// What is remembered between turns.
#[derive(Default)]
pub(crate) enum DigestMd5 {
    /// Nothing yet.
    #[default]
    New,
    /// The challenge is out.
    Challenged,
    /// The client answered.
    Answered(Box<Answered>),
    /// The client knows `rspauth`.
    Ending(Ending),
    /// It is over.
    Done,
}

pub(crate) struct Answered {
    directives: Directives,
    response: Zeroizing<Vec<u8>>,
    authzid: Option<Name>,
    authid: Name,
    secret: Option<SharedSecret>,
}

impl DigestMd5 {
    fn hear(&mut self, facts: &Facts, message: &[u8]) -> Result<Step, Refusal> {
        let directives = Directives::parse(message).ok_or(Refusal::Malformed)?;
        let response = unhex(&directives.response).ok_or(Refusal::Malformed)?;
        if directives.nonce != facts.nonce.as_bytes() {
            return Err(Refusal::Malformed);
        }
        if !is_our_place(facts, &directives.digest_uri) {
            return Err(Refusal::WrongPlace);
        }
        let named = |bytes: &[u8]| name(bytes).ok_or(Refusal::Malformed);
        let authid = named(&directives.username)?;
        if authid.is_empty() {
            return Err(Refusal::Malformed);
        }
        let authzid = directives.authzid.as_deref().map(named).transpose()?;
        let realm = named(realm(facts, &directives.realm)?)?;
        let wants = Step::Wants { authid: authid.clone(), realm, what: Wanted::Shared };
        let answered = Answered { directives, response, authzid, authid, secret: None };
        *self = Self::Answered(Box::new(answered));
        Ok(wants)
    }

    fn conclude(&mut self, facts: &Facts, answered: &Answered) -> Step {
        let Answered { directives, response, secret: Some(secret), .. } = answered else {
            return misled();
        };
        let exchange = DigestResponse {
            username: &directives.username,
            realm: &directives.realm,
            nonce: &directives.nonce,
            cnonce: &directives.cnonce,
            digest_uri: &directives.digest_uri,
            authzid: directives.authzid.as_deref(),
        };
        match secret.digest_md5(&exchange, response) {
            Ok((proof, rspauth)) => {
                let mut ending = Ending::default();
                let words = format!("rspauth={}", hex(&rspauth)).into_bytes();
                let step = ending.begin(facts, proof, words);
                *self = Self::Ending(ending);
                step
            }
            Err(_) => Step::Refused(Refusal::WrongProof),
        }
    }
}

impl Conversation for DigestMd5 {
    fn turn(&mut self, facts: &Facts, event: Event<'_>) -> Step {
        match (std::mem::replace(self, Self::Done), event) {
            // An initial response asks to be let in by an old nonce, and is answered with a new one (§2.2.1).
            (Self::New, Event::Begin | Event::Message { .. }) => {
                *self = Self::Challenged;
                say(challenge(facts))
            }
            (Self::Challenged, Event::Message { bytes, .. }) => {
                self.hear(facts, bytes).unwrap_or_else(Step::Refused)
            }
            (Self::Answered(mut answered), Event::Material(Material::Shared(secret))) => {
                answered.secret = Some(secret);
                let (authzid, authid) = (answered.authzid.clone(), answered.authid.clone());
                *self = Self::Answered(answered);
                Step::Proof { authzid, authid }
            }
            (Self::Answered(answered), Event::Conclude) => self.conclude(facts, &answered),
            (Self::Ending(mut ending), Event::Message { bytes, .. }) => {
                ending.finish(bytes).unwrap_or(Step::Refused(Refusal::Malformed))
            }
            _ => misled(),
        }
    }
}

/// `digest-challenge` (§2.1.1).
fn challenge(facts: &Facts) -> Vec<u8> {
    let realms = facts.realms.iter().map(|realm| format!("realm={},", quoted(realm)));
    let realms: String = realms.collect();
    let nonce = &facts.nonce;
    format!("{realms}nonce=\"{nonce}\",qop=\"auth\",algorithm=md5-sess,charset=utf-8").into_bytes()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The realm to look in. Where none is offered some clients fill in the host, which then means nothing.
fn realm<'a>(facts: &Facts, said: &'a [u8]) -> Result<&'a [u8], Refusal> {
    let among = |names: &[String]| names.iter().any(|name| name.as_bytes() == said);
    match facts.realms.is_empty() {
        true if said.is_empty() || among(&facts.hosts) => Ok(b""),
        false if among(&facts.realms) => Ok(said),
        _ => Err(Refusal::WrongPlace),
    }
}

/// `serv-type/host`, or `serv-type/host/serv-name` for one of several hosts (§2.1.2): it keeps a response that was
/// meant for another server from being passed on to this one.
fn is_our_place(facts: &Facts, digest_uri: &[u8]) -> bool {
    let mut parts = digest_uri.split(|byte| *byte == b'/');
    let (Some(service), Some(host), name, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let ours = |host: &[u8]| {
        facts.hosts.is_empty()
            || facts.hosts.iter().any(|ours| ours.as_bytes().eq_ignore_ascii_case(host))
    };
    !host.is_empty()
        && (ours(host) || name.is_some_and(ours))
        && is_our_service(&facts.service, service)
}

fn is_our_service(ours: &[u8], said: &[u8]) -> bool {
    let known = |names: &&&[&str], name: &[u8]| {
        names.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
    };
    ours.is_empty()
        || ours.eq_ignore_ascii_case(said)
        || SERVICES.iter().any(|names| known(&names, ours) && known(&names, said))
}

/// Names are looked up in UTF-8. Without `charset=utf-8` they are in ISO 8859-1 by the RFC, and in UTF-8 by libsasl2,
/// which never says so; hardly a name in the former is one in the latter.
fn name(bytes: &[u8]) -> Option<Name> {
    if std::str::from_utf8(bytes).is_ok() {
        return Name::new(bytes).ok();
    }
    let text: String = bytes.iter().copied().map(char::from).collect();
    Name::new(text.as_bytes()).ok()
}
