//! The hot path: logins from the listener to the checker, and answers back.
//!
//! A stream of frames, `u32le length` of what follows, then a tag byte and the body; many frames to a write.
//! Both codecs are by hand because a [`Password`] has no `Serialize`, and because a request must not cost
//! more than its copy. An id belongs to one request of one channel and is answered once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use protocol::{Address, Answer, Name, Password};
use zeroize::Zeroize;

use crate::Malformed;
use crate::allow::{CHECKER_TO_LISTENER, Gate, LISTENER_TO_CHECKER, Row};

/// The process at the other end of a client's socket, by SO_PEERCRED.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Process id when it connected.
    pub pid: i32,
    /// Effective user id when it connected.
    pub uid: u32,
    /// Effective group id when it connected.
    pub gid: u32,
}

/// Where a mail client's address comes from; shown in the log as `rip_source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody said.
    Absent,
    /// The mail server stated it, and its uid is allowed to.
    Stated(Address),
    /// The mail server stated it, and its uid is not allowed to: for the log, not for the limits.
    Ignored(Address),
}

/// One login to check.
pub struct Verify {
    /// Chosen by the listener, given back in the answer.
    pub id: u64,
    /// Which socket it came by: the index in the listener's configuration.
    pub socket: u16,
    /// Who asks.
    pub peer: Peer,
    /// Where the mail client is.
    pub source: Source,
    /// As the client sent it, not prepared yet.
    pub login: Name,
    /// As the client sent it.
    pub password: Password,
    /// As the client sent it; empty by pwcheck.
    pub service: Name,
    /// As the client sent it; empty by pwcheck.
    pub realm: Name,
}

/// A request that the listener refused by itself, because its bytes are no request: for the log alone.
///
/// It holds nothing of what the client sent, and is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which socket it came by.
    pub socket: u16,
    /// Who sent it.
    pub peer: Peer,
    /// Why it is no request.
    pub fault: Fault,
}

/// What is wrong with the bytes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The login is empty.
    EmptyLogin,
    /// The password is empty.
    EmptyPassword,
    /// A field has a NUL byte.
    Nul,
    /// A name has a line break.
    LineBreak,
    /// A field, or the whole, is longer than it may be.
    TooLong,
    /// The deadline passed before the request was whole.
    Late,
}

impl Fault {
    const ALL: [Self; 6] = [
        Self::EmptyLogin,
        Self::EmptyPassword,
        Self::Nul,
        Self::LineBreak,
        Self::TooLong,
        Self::Late,
    ];

    /// The word for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmptyLogin => "empty-login",
            Self::EmptyPassword => "empty-password",
            Self::Nul => "nul-byte",
            Self::LineBreak => "line-break",
            Self::TooLong => "too-long",
            Self::Late => "late",
        }
    }
}

/// What the listener tells the checker.
pub enum Incoming {
    /// Check this, and answer.
    Verify(Verify),
    /// Log this.
    Unreadable(Unreadable),
}

/// The answer to one login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The request's id.
    pub id: u64,
    /// What to tell the client.
    pub answer: Answer,
}

const VERIFY: u8 = 1;
const UNREADABLE: u8 = 2;
const ANSWER: u8 = 1;

/// More than what any frame holds besides names and passwords.
const OVERHEAD: usize = 128;

/// Bytes on their way out, wiped when they are dropped or sent.
#[derive(Default)]
pub struct Outgoing(Vec<u8>);

impl Outgoing {
    /// Appends a login.
    pub fn verify(&mut self, request: &Verify) {
        let fields = request.login.as_bytes().len()
            + request.password.reveal().len()
            + request.service.as_bytes().len()
            + request.realm.as_bytes().len();
        let start = self.open(VERIFY, fields);
        self.0.extend_from_slice(&request.id.to_le_bytes());
        self.0.extend_from_slice(&request.socket.to_le_bytes());
        self.peer(request.peer);
        self.source(request.source);
        for field in [
            request.login.as_bytes(),
            request.password.reveal(),
            request.service.as_bytes(),
            request.realm.as_bytes(),
        ] {
            // The types bound each field far below 64 KiB.
            let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
            self.0.extend_from_slice(&length.to_le_bytes());
            self.0.extend_from_slice(field);
        }
        self.close(start);
    }

    /// Appends the note of an unreadable request.
    pub fn unreadable(&mut self, note: &Unreadable) {
        let start = self.open(UNREADABLE, 0);
        self.0.extend_from_slice(&note.socket.to_le_bytes());
        self.peer(note.peer);
        let place = Fault::ALL.iter().position(|fault| *fault == note.fault);
        self.0.push(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
        self.close(start);
    }

    /// Appends an answer.
    pub fn answer(&mut self, answered: Answered) {
        let start = self.open(ANSWER, 0);
        self.0.extend_from_slice(&answered.id.to_le_bytes());
        self.0.push(match answered.answer {
            Answer::Accept => 1,
            Answer::Refuse => 2,
            Answer::Unavailable => 3,
        });
        self.close(start);
    }

    /// What is to be written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes away what was written, and wipes it.
    pub fn sent(&mut self, count: usize) {
        let count = count.min(self.0.len());
        let rest = self.0.len() - count;
        self.0.copy_within(count.., 0);
        if let Some(tail) = self.0.get_mut(rest..) {
            tail.zeroize();
        }
        self.0.truncate(rest);
    }

    /// Grows without leaving a copy of a password behind in freed memory, as a vector by itself would.
    fn make_room(&mut self, more: usize) {
        let wanted = self.0.len() + more;
        if wanted > self.0.capacity() {
            let mut larger = Vec::with_capacity(wanted.next_power_of_two());
            larger.extend_from_slice(&self.0);
            self.0.zeroize();
            self.0 = larger;
        }
    }

    /// Begins a frame that will hold `fields` bytes of names and passwords.
    fn open(&mut self, tag: u8, fields: usize) -> usize {
        self.make_room(fields + OVERHEAD);
        let start = self.0.len();
        self.0.extend_from_slice(&[0, 0, 0, 0, tag]);
        start
    }

    fn close(&mut self, start: usize) {
        let length = u32::try_from(self.0.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(prefix) = self.0.get_mut(start..start + 4) {
            prefix.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn peer(&mut self, peer: Peer) {
        self.0.extend_from_slice(&peer.pid.to_le_bytes());
        self.0.extend_from_slice(&peer.uid.to_le_bytes());
        self.0.extend_from_slice(&peer.gid.to_le_bytes());
    }

    fn source(&mut self, source: Source) {
        let (kind, address) = match source {
            Source::Absent => return self.0.push(0),
            Source::Stated(address) => (1, address),
            Source::Ignored(address) => (2, address),
        };
        let v6 = match address.ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        self.0.push(kind);
        self.0.extend_from_slice(&v6.octets());
        self.0.push(u8::from(address.port.is_some()));
        self.0.extend_from_slice(&address.port.unwrap_or(0).to_le_bytes());
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Takes logins out of received bytes, in the checker.
pub struct Requests(Gate);

impl Default for Requests {
    fn default() -> Self {
        Self(Gate::new(LISTENER_TO_CHECKER))
    }
}

impl Requests {
    /// The first whole message of `received`, and how many bytes it took; `None` while bytes are missing.
    pub fn next(&mut self, received: &[u8]) -> Result<Option<(Incoming, usize)>, Malformed> {
        let Some((tag, frame, used)) = frame(received, &mut self.0, LISTENER_TO_CHECKER)? else {
            return Ok(None);
        };
        let mut body = Body(frame);
        let message = match tag {
            VERIFY => verify(&mut body).map(Incoming::Verify),
            _ => unreadable(&mut body).map(Incoming::Unreadable),
        };
        message.map(|message| Some((message, used))).ok_or(Malformed::Body(tag))
    }
}

/// Takes answers out of received bytes, in the listener.
pub struct Answers(Gate);

impl Default for Answers {
    fn default() -> Self {
        Self(Gate::new(CHECKER_TO_LISTENER))
    }
}

impl Answers {
    /// The first whole answer of `received`, and how many bytes it took; `None` while bytes are missing.
    pub fn next(&mut self, received: &[u8]) -> Result<Option<(Answered, usize)>, Malformed> {
        let Some((_, frame, used)) = frame(received, &mut self.0, CHECKER_TO_LISTENER)? else {
            return Ok(None);
        };
        let answered = answered(&mut Body(frame)).ok_or(Malformed::Body(ANSWER))?;
        Ok(Some((answered, used)))
    }
}

/// Tag, body, and how many bytes both took with their prefix.
type Frame<'a> = (u8, &'a [u8], usize);

/// The first frame, held to its gate as soon as length and tag are there.
fn frame<'a>(
    received: &'a [u8],
    gate: &mut Gate,
    table: &[Row],
) -> Result<Option<Frame<'a>>, Malformed> {
    let Some((prefix, rest)) = received.split_first_chunk() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
    let most = table.iter().map(|row| row.most).max().unwrap_or(0);
    if length > most {
        return Err(Malformed::TooLong(rest.first().copied().unwrap_or(0)));
    }
    let Some(frame) = rest.get(..length) else { return Ok(None) };
    let (tag, body) = frame.split_first().ok_or(Malformed::Empty)?;
    gate.admit(*tag, length)?;
    Ok(Some((*tag, body, length + 4)))
}

fn verify(body: &mut Body<'_>) -> Option<Verify> {
    let request = Verify {
        id: u64::from_le_bytes(*body.take()?),
        socket: u16::from_le_bytes(*body.take()?),
        peer: peer(body)?,
        source: source(body)?,
        login: Name::new(body.counted()?).ok().filter(|login| !login.is_empty())?,
        password: Password::new(body.counted()?).ok()?,
        service: Name::new(body.counted()?).ok()?,
        realm: Name::new(body.counted()?).ok()?,
    };
    body.0.is_empty().then_some(request)
}

fn unreadable(body: &mut Body<'_>) -> Option<Unreadable> {
    let socket = u16::from_le_bytes(*body.take()?);
    let peer = peer(body)?;
    let [place] = *body.take()?;
    let fault = *Fault::ALL.get(usize::from(place))?;
    body.0.is_empty().then_some(Unreadable { socket, peer, fault })
}

fn peer(body: &mut Body<'_>) -> Option<Peer> {
    Some(Peer {
        pid: i32::from_le_bytes(*body.take()?),
        uid: u32::from_le_bytes(*body.take()?),
        gid: u32::from_le_bytes(*body.take()?),
    })
}

fn source(body: &mut Body<'_>) -> Option<Source> {
    let [kind] = *body.take()?;
    if kind == 0 {
        return Some(Source::Absent);
    }
    let v6 = Ipv6Addr::from(*body.take::<16>()?);
    let [has_port] = *body.take()?;
    let port = u16::from_le_bytes(*body.take()?);
    let ip = v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), |v4: Ipv4Addr| IpAddr::V4(v4));
    let address = Address { ip, port: (has_port == 1).then_some(port) };
    match kind {
        1 => Some(Source::Stated(address)),
        2 => Some(Source::Ignored(address)),
        _ => None,
    }
}

fn answered(body: &mut Body<'_>) -> Option<Answered> {
    let id = u64::from_le_bytes(*body.take()?);
    let answer = match *body.take()? {
        [1] => Answer::Accept,
        [2] => Answer::Refuse,
        [3] => Answer::Unavailable,
        _ => return None,
    };
    body.0.is_empty().then_some(Answered { id, answer })
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(head)
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(u16::from_le_bytes(*self.take()?));
        let (head, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(id: u64, source: Source) -> Verify {
        Verify {
            id,
            socket: 3,
            peer: Peer { pid: 77, uid: 101, gid: 102 },
            source,
            login: Name::new(b"alice").unwrap(),
            password: Password::new(b"secret1").unwrap(),
            service: Name::new(b"smtp").unwrap(),
            realm: Name::new(b"").unwrap(),
        }
    }

    #[test]
    fn frames_survive_any_split() {
        let address = Address { ip: "192.0.2.7".parse().unwrap(), port: Some(25) };
        let mut outgoing = Outgoing::default();
        outgoing.verify(&sample(7, Source::Stated(address)));
        let whole = outgoing.as_bytes().to_vec();
        for end in 0..whole.len() {
            assert!(Requests::default().next(&whole[..end]).unwrap().is_none());
        }
        let (Incoming::Verify(request), used) = Requests::default().next(&whole).unwrap().unwrap()
        else {
            panic!("not a login")
        };
        assert_eq!((request.id, used), (7, whole.len()));
        assert_eq!(request.source, Source::Stated(address));
        assert_eq!(request.password.reveal(), b"secret1");
    }

    #[test]
    fn answers_round_trip_and_sent_bytes_are_gone() {
        let mut outgoing = Outgoing::default();
        for (id, answer) in [(1, Answer::Accept), (2, Answer::Refuse), (3, Answer::Unavailable)] {
            outgoing.answer(Answered { id, answer });
        }
        let first = outgoing.as_bytes().len() / 3;
        outgoing.sent(first);
        let (answered, _) = Answers::default().next(outgoing.as_bytes()).unwrap().unwrap();
        assert_eq!(answered, Answered { id: 2, answer: Answer::Refuse });
    }

    #[test]
    fn every_fault_round_trips() {
        let peer = Peer { pid: 1, uid: 2, gid: 3 };
        for fault in Fault::ALL {
            let note = Unreadable { socket: 1, peer, fault };
            let mut outgoing = Outgoing::default();
            outgoing.unreadable(&note);
            let next = Requests::default().next(outgoing.as_bytes()).unwrap().unwrap().0;
            assert!(matches!(next, Incoming::Unreadable(got) if got == note));
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_malformed() {
        let mut requests = Requests::default();
        assert!(matches!(requests.next(&[1, 0, 0, 0, 9]), Err(Malformed::UnknownTag(9))));
        assert!(matches!(requests.next(&[255, 255, 255, 255, 1]), Err(Malformed::TooLong(1))));
        assert!(matches!(requests.next(&[2, 0, 0, 0, 1, 5]), Err(Malformed::Body(1))));
        assert!(matches!(requests.next(&[0, 0, 0, 0]), Err(Malformed::Empty)));
        assert!(matches!(Answers::default().next(&[11, 0, 0, 0, 1]), Err(Malformed::TooLong(1))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Requests::default().next(&bytes);
            let _ = Answers::default().next(&bytes);
        }

        #[test]
        fn a_flipped_byte_never_panics(place in 0usize..60, value in any::<u8>()) {
            let mut outgoing = Outgoing::default();
            outgoing.verify(&sample(1, Source::Absent));
            let mut bytes = outgoing.as_bytes().to_vec();
            if let Some(byte) = bytes.get_mut(place) { *byte = value; }
            let _ = Requests::default().next(&bytes);
        }
    }
}
