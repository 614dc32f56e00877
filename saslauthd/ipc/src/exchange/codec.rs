//! The bytes of exchanges and searches on the stream between listener and checker.
//!
//! Used by both. Each end takes the other as possibly taken over: what a field may not hold makes the frame malformed,
//! and that ends this channel and no other. A message may hold a password, so it is read into bytes that are wiped.

use protocol::Senders;
use protocol::mechanism::{Mechanism, MechanismSet};
use zeroize::Zeroizing;

use super::{
    Begin, Binding, Find, LastWords, MAX_BINDING, MAX_MASKS, MAX_MESSAGE, MAX_PART, MAX_SOCKETS,
    Message, Offer, Reply, Respond, Search, Transport,
};
use crate::frame::{Body, Outgoing, peer, source};
use crate::requests::{Incoming, answer, answer_byte};

const BEGIN: u8 = 3;
const RESPOND: u8 = 4;
const CANCEL: u8 = 5;
const FIND: u8 = 6;

const CHALLENGE: u8 = 2;
const ENDED: u8 = 3;
const FOUND: u8 = 4;
const OFFERS: u8 = 5;

impl Outgoing {
    /// Appends the beginning of an exchange. Its initial response has at most [`MAX_MESSAGE`] bytes.
    pub fn begin(&mut self, begin: &Begin) {
        let initial = begin.initial.as_ref().map(|message| message.as_slice());
        let certificate = begin.certificate.as_ref().map(protocol::Name::as_bytes);
        let fields = begin.service.as_bytes().len()
            + certificate.map_or(0, <[u8]>::len)
            + initial.map_or(0, <[u8]>::len);
        let start = self.open(BEGIN, fields);
        self.bytes(&begin.id.to_le_bytes());
        self.bytes(&begin.socket.to_le_bytes());
        self.peer(begin.peer);
        self.source(begin.source);
        self.byte(begin.mechanism.number());
        self.counted(begin.service.as_bytes());
        self.byte(u8::from(begin.transport == Transport::Tls));
        self.optional(certificate);
        self.byte(u8::from(begin.can_bind));
        self.byte(u8::from(begin.last_words == LastWords::AsChallenge));
        self.optional(initial);
        self.close(start);
    }

    /// Appends a response, of at most [`MAX_MESSAGE`] bytes and [`MAX_BINDING`] bytes of binding data.
    pub fn respond(&mut self, respond: &Respond) {
        let binding = respond.binding.as_deref();
        let start = self.open(RESPOND, respond.message.len() + binding.map_or(0, <[u8]>::len));
        self.bytes(&respond.id.to_le_bytes());
        self.counted(&respond.message);
        self.optional(binding);
        self.close(start);
    }

    /// Appends the end of an exchange that its client gave up.
    pub fn cancel(&mut self, id: u64) {
        let start = self.open(CANCEL, 0);
        self.bytes(&id.to_le_bytes());
        self.close(start);
    }

    /// Appends a search, of at most [`MAX_MASKS`] masks.
    pub fn find(&mut self, find: &Find) {
        let names: Vec<&[u8]> = match &find.what {
            Search::User { user, service } => vec![user.as_bytes(), service.as_bytes()],
            Search::List { mask } => vec![mask.as_bytes()],
            Search::Flush { masks } => masks.iter().map(protocol::Name::as_bytes).collect(),
        };
        let start = self.open(FIND, names.iter().map(|name| name.len() + 2).sum());
        self.bytes(&find.id.to_le_bytes());
        self.bytes(&find.socket.to_le_bytes());
        self.peer(find.peer);
        match &find.what {
            Search::User { .. } => self.byte(1),
            Search::List { .. } => self.byte(2),
            Search::Flush { masks } => {
                self.byte(3);
                self.bytes(&u16::try_from(masks.len()).unwrap_or(u16::MAX).to_le_bytes());
            }
        }
        for name in names {
            self.counted(name);
        }
        self.close(start);
    }

    /// Appends whatever the checker says of exchanges, searches and offers.
    pub fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Challenge { .. } => self.challenge(reply),
            Reply::Ended { .. } => self.ended(reply),
            Reply::Found { .. } => self.found(reply),
            Reply::Offers(offers) => self.offers(offers),
        }
    }

    fn challenge(&mut self, reply: &Reply) {
        let Reply::Challenge { id, message, binding } = reply else { return };
        let start = self.open(CHALLENGE, message.len());
        self.bytes(&id.to_le_bytes());
        self.byte(match binding {
            None => 0,
            Some(Binding::TlsExporter) => 1,
            Some(Binding::TlsServerEndPoint) => 2,
        });
        self.counted(message);
        self.close(start);
    }

    fn ended(&mut self, reply: &Reply) {
        let Reply::Ended { id, answer, user, last_words, senders } = reply else { return };
        let senders = senders.text();
        let senders = senders.as_ref().map(String::as_bytes);
        let user = user.as_ref().map(protocol::Name::as_bytes);
        let last_words = last_words.as_ref().map(|words| words.as_slice());
        let fields = [user, last_words, senders].iter().flatten().map(|field| field.len()).sum();
        let start = self.open(ENDED, fields);
        self.bytes(&id.to_le_bytes());
        self.byte(answer_byte(*answer));
        self.optional(user);
        self.optional(last_words);
        self.optional(senders);
        self.close(start);
    }

    fn found(&mut self, reply: &Reply) {
        let Reply::Found { id, answer, users, count, more } = reply else { return };
        let start = self.open(FOUND, users.iter().map(|user| user.as_bytes().len() + 2).sum());
        self.bytes(&id.to_le_bytes());
        self.byte(answer_byte(*answer));
        self.bytes(&count.to_le_bytes());
        self.byte(u8::from(*more));
        self.bytes(&u16::try_from(users.len()).unwrap_or(u16::MAX).to_le_bytes());
        for user in users {
            self.counted(user.as_bytes());
        }
        self.close(start);
    }

    /// Appends what each socket may offer, of at most [`MAX_SOCKETS`].
    pub fn offers(&mut self, offers: &[Offer]) {
        let start = self.open(OFFERS, 8 * offers.len());
        self.bytes(&u16::try_from(offers.len()).unwrap_or(u16::MAX).to_le_bytes());
        for offer in offers {
            self.bytes(&offer.tls.bits().to_le_bytes());
            self.bytes(&offer.clear.bits().to_le_bytes());
        }
        self.close(start);
    }
}

/// A message of the listener about an exchange or a search. `None` when it is none.
pub(crate) fn incoming(tag: u8, body: &mut Body<'_>) -> Option<Incoming> {
    let message = match tag {
        BEGIN => Incoming::Begin(begin(body)?),
        RESPOND => Incoming::Respond(Respond {
            id: body.u64()?,
            message: message(body.counted()?)?,
            binding: binding_data(body.optional()?)?,
        }),
        CANCEL => Incoming::Cancel(body.u64()?),
        FIND => Incoming::Find(Find {
            id: body.u64()?,
            socket: body.u16()?,
            peer: peer(body)?,
            what: search(body)?,
        }),
        _ => return None,
    };
    body.0.is_empty().then_some(message)
}

/// A message of the checker. `None` when it is none.
pub(crate) fn reply(tag: u8, body: &mut Body<'_>) -> Option<Reply> {
    let reply = match tag {
        CHALLENGE => {
            let id = body.u64()?;
            let binding = binding(body)?;
            Reply::Challenge { id, message: message(body.counted()?)?, binding }
        }
        ENDED => Reply::Ended {
            id: body.u64()?,
            answer: answer(body)?,
            user: name(body.optional()?)?,
            last_words: body
                .optional()?
                .map(message)
                .map_or(Some(None), |words| words.map(Some))?,
            senders: senders(body.optional()?)?,
        },
        FOUND => found(body)?,
        OFFERS => Reply::Offers(offers(body)?),
        _ => return None,
    };
    body.0.is_empty().then_some(reply)
}

fn begin(body: &mut Body<'_>) -> Option<Begin> {
    Some(Begin {
        id: body.u64()?,
        socket: body.u16()?,
        peer: peer(body)?,
        source: source(body)?,
        mechanism: body.take().and_then(|[number]| Mechanism::from_number(*number))?,
        service: body.name()?,
        transport: if body.flag()? { Transport::Tls } else { Transport::Clear },
        certificate: name(body.optional()?)?,
        can_bind: body.flag()?,
        last_words: if body.flag()? { LastWords::AsChallenge } else { LastWords::WithOutcome },
        initial: body.optional()?.map(message).map_or(Some(None), |initial| initial.map(Some))?,
    })
}

fn search(body: &mut Body<'_>) -> Option<Search> {
    Some(match *body.take()? {
        [1] => Search::User { user: body.name()?, service: body.name()? },
        [2] => Search::List { mask: body.name()? },
        [3] => {
            let count = usize::from(body.u16()?);
            if count > MAX_MASKS {
                return None;
            }
            Search::Flush { masks: (0..count).map(|_| body.name()).collect::<Option<_>>()? }
        }
        _ => return None,
    })
}

fn found(body: &mut Body<'_>) -> Option<Reply> {
    let id = body.u64()?;
    let answer = answer(body)?;
    let count = body.u32()?;
    let more = body.flag()?;
    // No more than the frame's own bytes can hold, whatever the number says.
    let length = usize::from(body.u16()?);
    if length > MAX_PART / 2 {
        return None;
    }
    let users = (0..length).map(|_| body.name()).collect::<Option<_>>()?;
    Some(Reply::Found { id, answer, users, count, more })
}

fn offers(body: &mut Body<'_>) -> Option<Vec<Offer>> {
    let count = usize::from(body.u16()?);
    if count > MAX_SOCKETS {
        return None;
    }
    let offer = |body: &mut Body<'_>| {
        Some(Offer {
            tls: MechanismSet::from_bits(body.u32()?),
            clear: MechanismSet::from_bits(body.u32()?),
        })
    };
    (0..count).map(|_| offer(body)).collect()
}

fn message(bytes: &[u8]) -> Option<Message> {
    (bytes.len() <= MAX_MESSAGE).then(|| Zeroizing::new(bytes.to_vec()))
}

/// The outer `None` is a name that can't be one.
fn name(bytes: Option<&[u8]>) -> Option<Option<protocol::Name>> {
    bytes.map_or(Some(None), |bytes| protocol::Name::new(bytes).ok().map(Some))
}

/// `None` for a list that is none.
fn senders(bytes: Option<&[u8]>) -> Option<Senders> {
    match bytes {
        None => Some(Senders::Own),
        Some(bytes) => Senders::parse(std::str::from_utf8(bytes).ok()?).ok(),
    }
}

fn binding_data(bytes: Option<&[u8]>) -> Option<Option<Vec<u8>>> {
    let fits = bytes.is_none_or(|bytes| bytes.len() <= MAX_BINDING);
    fits.then(|| bytes.map(<[u8]>::to_vec))
}

fn binding(body: &mut Body<'_>) -> Option<Option<Binding>> {
    match *body.take()? {
        [0] => Some(None),
        [1] => Some(Some(Binding::TlsExporter)),
        [2] => Some(Some(Binding::TlsServerEndPoint)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
