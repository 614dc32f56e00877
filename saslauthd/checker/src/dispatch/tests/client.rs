//! A mail client that speaks SASL, and a house to try it on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use ipc::config::*;
use ipc::exchange::{Begin, LastWords, Message, Reply, Respond, Transport};
use ipc::requests::{Incoming, Peer, Source};
use protocol::mechanism::Mechanism;
use protocol::{Answer, Name, Senders};
use sha2::{Digest, Sha256};

use super::house::*;

/// How an exchange ended: the answer, the user, and the last words.
pub(super) struct Ended {
    pub(super) answer: Answer,
    pub(super) user: Option<String>,
    pub(super) last_words: Option<String>,
    pub(super) senders: Senders,
}

/// An exchange to try; fields have the usual values.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) mechanism: Mechanism,
    pub(super) transport: Transport,
    pub(super) certificate: Option<Name>,
    pub(super) last_words: LastWords,
    pub(super) service: &'static str,
    pub(super) source: Source,
    pub(super) can_bind: bool,
    pub(super) uid: u32,
}

pub(super) fn ask(mechanism: Mechanism) -> Ask {
    Ask {
        mechanism,
        transport: Transport::Tls,
        certificate: None,
        last_words: LastWords::WithOutcome,
        service: "smtp",
        source: Source::Absent,
        can_bind: false,
        uid: 101,
    }
}

impl Ask {
    pub(super) fn begin(&self, id: u64, initial: Option<&[u8]>) -> Incoming {
        Incoming::Begin(Begin {
            id,
            socket: 0,
            peer: Peer { pid: 5, uid: self.uid, gid: self.uid },
            source: self.source,
            mechanism: self.mechanism,
            service: Name::new(self.service.as_bytes()).unwrap(),
            transport: self.transport,
            certificate: self.certificate.clone(),
            can_bind: self.can_bind,
            last_words: self.last_words,
            initial: initial.map(|bytes| Message::new(bytes.to_vec())),
        })
    }
}

/// All mechanisms, on a socket where certificates may be stated, before TLS too.
pub(super) fn with_sasl(mut config: Checker, mechanisms: &[&str]) -> Checker {
    let all = Mechanism::ALL.map(Mechanism::as_str);
    config.sasl = Sasl {
        sockets: vec![SaslSocket {
            offered: match mechanisms {
                [] => Offered::Auto,
                listed => Offered::Listed(Mechanisms::of_names(listed.iter().copied())),
            },
            before_tls: Mechanisms::of_names(all),
            certificates: Certificates::Stated,
        }],
        hosts: vec!["mail.example.org".into()],
        ..Sasl::default()
    };
    config
}

pub(super) const ALL: [&str; 9] = [
    "PLAIN",
    "LOGIN",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-512",
    "EXTERNAL",
    "CRAM-MD5",
    "DIGEST-MD5",
    "ANONYMOUS",
];

impl House {
    /// The one reply to a beginning.
    pub(super) fn begin(&mut self, id: u64, ask: &Ask, initial: Option<&[u8]>) -> Reply {
        one(self.say(ask.begin(id, initial)))
    }

    /// The one reply to a response.
    pub(super) fn respond(&mut self, id: u64, message: &[u8]) -> Reply {
        let message = Message::new(message.to_vec());
        one(self.say(Incoming::Respond(Respond { id, message, binding: None })))
    }

    /// PLAIN in one message.
    pub(super) fn plain(&mut self, authzid: &str, authid: &str, password: &str) -> Ended {
        let message = format!("{authzid}\0{authid}\0{password}");
        ended(self.begin(1, &ask(Mechanism::Plain), Some(message.as_bytes())))
    }

    /// SCRAM-SHA-256 to its end; last words that came as a challenge are acknowledged.
    pub(super) fn scram(&mut self, ask: &Ask, gs2: &str, user: &str, password: &str) -> Ended {
        let proof = self.scram_to_proof(ask, gs2, user, password);
        match self.respond(1, proof.as_bytes()) {
            Reply::Challenge { message, .. } => {
                let words = String::from_utf8(message.to_vec()).unwrap();
                let mut end = ended(self.respond(1, b""));
                end.last_words = Some(words);
                end
            }
            reply => ended(reply),
        }
    }

    /// The client's last message.
    pub(super) fn scram_to_proof(
        &mut self,
        ask: &Ask,
        gs2: &str,
        user: &str,
        password: &str,
    ) -> String {
        let bare = format!("n={user},r=clientnonce");
        let server = challenge(self.begin(1, ask, Some(format!("{gs2}{bare}").as_bytes())));
        proof(gs2, &bare, &server, password)
    }
}

/// The client's last message for a server's first one.
pub(super) fn proof(gs2: &str, bare: &str, server: &str, password: &str) -> String {
    let field = |name: &str| server.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let (nonce, salt) = (field("r="), STANDARD.decode(field("s=")).unwrap());
    let iterations: u32 = field("i=").parse().unwrap();
    let mut block = mac(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = block;
    for _ in 1..iterations {
        block = mac(password.as_bytes(), &block);
        salted.iter_mut().zip(block).for_each(|(to, from)| *to ^= from);
    }
    let without = format!("c={},r={nonce}", STANDARD.encode(gs2));
    let message = format!("{bare},{server},{without}");
    let mut client = mac(&salted, b"Client Key");
    let stored: [u8; 32] = Sha256::digest(client).into();
    let signature = mac(&stored, message.as_bytes());
    client.iter_mut().zip(signature).for_each(|(to, from)| *to ^= from);
    format!("{without},p={}", STANDARD.encode(client))
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// CRAM-MD5's response.
pub(super) fn cram(user: &str, password: &str, challenge: &str) -> String {
    let mut mac = Hmac::<md5::Md5>::new_from_slice(password.as_bytes()).unwrap();
    mac.update(challenge.as_bytes());
    let digest: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{user} {digest}")
}

/// DIGEST-MD5's response, for an empty realm.
pub(super) fn digest(user: &str, password: &str, challenge: &str) -> String {
    let hash = |parts: &[u8]| md5::Md5::digest(parts);
    let hex =
        |parts: &[u8]| hash(parts).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (_, rest) = challenge.split_once("nonce=\"").unwrap();
    let (nonce, _) = rest.split_once('"').unwrap();
    let uri = "smtp/mail.example.org";
    let inner = hash(format!("{user}::{password}").as_bytes());
    let first = [inner.as_slice(), format!(":{nonce}:cnonce").as_bytes()].concat();
    let (first, second) = (hex(&first), hex(format!("AUTHENTICATE:{uri}").as_bytes()));
    let response = hex(format!("{first}:{nonce}:00000001:cnonce:auth:{second}").as_bytes());
    format!(
        "username=\"{user}\",nonce=\"{nonce}\",cnonce=\"cnonce\",nc=00000001,qop=auth,\
         digest-uri=\"{uri}\",response={response}"
    )
}

pub(super) fn one(mut replies: Vec<Reply>) -> Reply {
    assert_eq!(replies.len(), 1);
    replies.remove(0)
}

pub(super) fn challenge(reply: Reply) -> String {
    match reply {
        Reply::Challenge { message, .. } => String::from_utf8(message.to_vec()).unwrap(),
        Reply::Ended { answer, .. } => panic!("it ended: {answer:?}"),
        _ => panic!("no challenge"),
    }
}

pub(super) fn ended(reply: Reply) -> Ended {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match reply {
        Reply::Ended { answer, user, last_words, senders, .. } => Ended {
            answer,
            senders,
            user: user.map(|user| text(user.as_bytes())),
            last_words: last_words.map(|words| text(&words)),
        },
        _ => panic!("it did not end"),
    }
}
