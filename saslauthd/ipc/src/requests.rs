//! The hot path: logins from the listener to the checker, and answers back.
//!
//! A stream of frames, many to a write; SASL exchanges and searches are between them, see [`crate::exchange`].
//! Both codecs are by hand because a [`Password`] has no `Serialize`, and because a request must not cost
//! more than its copy. An id belongs to one request of one channel and is answered once.

use protocol::{Address, Answer, Name, Password};

use crate::Malformed;
use crate::allow::{CHECKER_TO_LISTENER, Gate, LISTENER_TO_CHECKER, longest};
use crate::decided::{DECIDED, Decided, decided};
use crate::exchange::{Begin, Find, Reply, Respond, codec};
pub use crate::frame::Outgoing;
use crate::frame::{Body, frame, peer, source};

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
    /// It is none of its protocol.
    Malformed,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::EmptyLogin,
        Self::EmptyPassword,
        Self::Nul,
        Self::LineBreak,
        Self::TooLong,
        Self::Late,
        Self::Malformed,
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
            Self::Malformed => "malformed",
        }
    }
}

/// What the listener tells the checker.
pub enum Incoming {
    /// Check this, and answer.
    Verify(Verify),
    /// Log this.
    Unreadable(Unreadable),
    /// Begin a SASL exchange.
    Begin(Begin),
    /// Go on with one.
    Respond(Respond),
    /// Forget the exchange of this id; it is answered no more.
    Cancel(u64),
    /// Search, and answer.
    Find(Find),
    /// Log this decision of the access map.
    Decided(Decided),
}

/// What the checker tells the listener.
pub enum FromChecker {
    /// The answer to a login.
    Answered(Answered),
    /// About an exchange or a search.
    Reply(Reply),
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

const MOST_ASKED: usize = longest(LISTENER_TO_CHECKER);
const MOST_SAID: usize = longest(CHECKER_TO_LISTENER);

impl Outgoing {
    /// Appends a login.
    pub fn verify(&mut self, request: &Verify) {
        let fields = request.login.as_bytes().len()
            + request.password.reveal().len()
            + request.service.as_bytes().len()
            + request.realm.as_bytes().len();
        let start = self.open(VERIFY, fields);
        self.bytes(&request.id.to_le_bytes());
        self.bytes(&request.socket.to_le_bytes());
        self.peer(request.peer);
        self.source(request.source);
        for field in [
            request.login.as_bytes(),
            request.password.reveal(),
            request.service.as_bytes(),
            request.realm.as_bytes(),
        ] {
            self.counted(field);
        }
        self.close(start);
    }

    /// Appends the note of an unreadable request.
    pub fn unreadable(&mut self, note: &Unreadable) {
        let start = self.open(UNREADABLE, 0);
        self.bytes(&note.socket.to_le_bytes());
        self.peer(note.peer);
        let place = Fault::ALL.iter().position(|fault| *fault == note.fault);
        self.byte(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX));
        self.close(start);
    }

    /// Appends an answer.
    pub fn answer(&mut self, answered: Answered) {
        let start = self.open(ANSWER, 0);
        self.bytes(&answered.id.to_le_bytes());
        self.byte(answer_byte(answered.answer));
        self.close(start);
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
        let Some((tag, frame, used)) = frame(received, &mut self.0, MOST_ASKED)? else {
            return Ok(None);
        };
        let mut body = Body(frame);
        let message = match tag {
            VERIFY => verify(&mut body).map(Incoming::Verify),
            UNREADABLE => unreadable(&mut body).map(Incoming::Unreadable),
            DECIDED => decided(&mut body).map(Incoming::Decided),
            tag => codec::incoming(tag, &mut body),
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
    /// The first whole message of `received`, and how many bytes it took; `None` while bytes are missing.
    pub fn next(&mut self, received: &[u8]) -> Result<Option<(FromChecker, usize)>, Malformed> {
        let Some((tag, frame, used)) = frame(received, &mut self.0, MOST_SAID)? else {
            return Ok(None);
        };
        let mut body = Body(frame);
        let message = match tag {
            ANSWER => answered(&mut body).map(FromChecker::Answered),
            tag => codec::reply(tag, &mut body).map(FromChecker::Reply),
        };
        message.map(|message| Some((message, used))).ok_or(Malformed::Body(tag))
    }
}

fn verify(body: &mut Body<'_>) -> Option<Verify> {
    let request = Verify {
        id: body.u64()?,
        socket: body.u16()?,
        peer: peer(body)?,
        source: source(body)?,
        login: body.name().filter(|login| !login.is_empty())?,
        password: Password::new(body.counted()?).ok()?,
        service: body.name()?,
        realm: body.name()?,
    };
    body.0.is_empty().then_some(request)
}

fn unreadable(body: &mut Body<'_>) -> Option<Unreadable> {
    let socket = body.u16()?;
    let peer = peer(body)?;
    let [place] = *body.take()?;
    let fault = *Fault::ALL.get(usize::from(place))?;
    body.0.is_empty().then_some(Unreadable { socket, peer, fault })
}

fn answered(body: &mut Body<'_>) -> Option<Answered> {
    let id = body.u64()?;
    let answer = answer(body)?;
    body.0.is_empty().then_some(Answered { id, answer })
}

/// An answer's number in messages.
pub(crate) fn answer_byte(answer: Answer) -> u8 {
    match answer {
        Answer::Accept => 1,
        Answer::Refuse => 2,
        Answer::Unavailable => 3,
    }
}

/// The answer of a number.
pub(crate) fn answer(body: &mut Body<'_>) -> Option<Answer> {
    match *body.take()? {
        [1] => Some(Answer::Accept),
        [2] => Some(Answer::Refuse),
        [3] => Some(Answer::Unavailable),
        _ => None,
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
        let (message, _) = Answers::default().next(outgoing.as_bytes()).unwrap().unwrap();
        let FromChecker::Answered(answered) = message else { panic!("not an answer") };
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
        assert!(matches!(Answers::default().next(&[0, 128, 0, 0, 1]), Err(Malformed::TooLong(1))));
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
