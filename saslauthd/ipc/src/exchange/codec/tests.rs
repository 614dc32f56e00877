//! What is written is read back as the same, at every bound; what is damaged is malformed and never more than that.

use std::net::IpAddr;

use proptest::prelude::*;
use protocol::{Address, Answer, Name};

use super::*;
use crate::Malformed;
use crate::requests::{Answers, FromChecker, Peer, Requests, Source};

/// proptest names a failed case by its `Debug`; what ships has none, since a password may be in it.
macro_rules! shown_by_its_bytes {
    ($type:ty, $write:ident) => {
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut outgoing = Outgoing::default();
                outgoing.$write(self);
                write!(f, "{:?}", outgoing.as_bytes())
            }
        }
    };
}
shown_by_its_bytes!(Begin, begin);
shown_by_its_bytes!(Find, find);
shown_by_its_bytes!(Reply, reply);

fn peer_of(number: u32) -> Peer {
    Peer { pid: 7, uid: number, gid: 9 }
}

fn any_name() -> impl Strategy<Value = Name> {
    proptest::collection::vec(prop_oneof![b'a'..=b'z', Just(0xff)], 0..40)
        .prop_map(|bytes| Name::new(&bytes).unwrap())
}

fn any_message() -> impl Strategy<Value = Message> {
    proptest::collection::vec(any::<u8>(), 0..400).prop_map(Zeroizing::new)
}

fn any_source() -> impl Strategy<Value = Source> {
    let address = (any::<IpAddr>(), any::<Option<u16>>())
        .prop_map(|(ip, port)| Address { ip: ip.to_canonical(), port });
    prop_oneof![
        Just(Source::Absent),
        address.clone().prop_map(Source::Stated),
        address.prop_map(Source::Ignored),
    ]
}

prop_compose! {
    fn any_begin()(
        (id, socket, uid) in any::<(u64, u16, u32)>(),
        source in any_source(),
        mechanism in proptest::sample::select(Mechanism::ALL.to_vec()),
        service in any_name(),
        (tls, can_bind, as_challenge) in any::<(bool, bool, bool)>(),
        certificate in proptest::option::of(any_name()),
        initial in proptest::option::of(any_message()),
    ) -> Begin {
        Begin {
            id, socket, peer: peer_of(uid), source, mechanism, service,
            transport: if tls { Transport::Tls } else { Transport::Clear },
            certificate, can_bind,
            last_words: if as_challenge { LastWords::AsChallenge } else { LastWords::WithOutcome },
            initial,
        }
    }
}

fn any_find() -> impl Strategy<Value = Find> {
    let find = |what| Find { id: 1, socket: 3, peer: peer_of(4), what };
    let masks = proptest::collection::vec(any_name(), 0..=MAX_MASKS);
    prop_oneof![
        (any_name(), any_name())
            .prop_map(move |(user, service)| find(Search::User { user, service })),
        any_name().prop_map(move |mask| find(Search::List { mask })),
        masks.prop_map(move |masks| find(Search::Flush { masks })),
    ]
}

fn any_answer() -> impl Strategy<Value = Answer> {
    proptest::sample::select(vec![Answer::Accept, Answer::Refuse, Answer::Unavailable])
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let bindings = vec![None, Some(Binding::TlsExporter), Some(Binding::TlsServerEndPoint)];
    let offer = any::<(u32, u32)>().prop_map(|(tls, clear)| Offer {
        tls: MechanismSet::from_bits(tls),
        clear: MechanismSet::from_bits(clear),
    });
    prop_oneof![
        (any::<u64>(), any_message(), proptest::sample::select(bindings))
            .prop_map(|(id, message, binding)| Reply::Challenge { id, message, binding }),
        (
            any::<u64>(),
            any_answer(),
            proptest::option::of(any_name()),
            proptest::option::of(any_message()),
            proptest::sample::select(vec![None, Some(""), Some("*"), Some("a@b @c")])
        )
            .prop_map(|(id, answer, user, last_words, senders)| Reply::Ended {
                id,
                answer,
                user,
                last_words,
                senders: senders.map_or(Senders::Own, |list| Senders::parse(list).unwrap()),
            }),
        (
            any::<u64>(),
            any_answer(),
            proptest::collection::vec(any_name(), 0..20),
            any::<u32>(),
            any::<bool>()
        )
            .prop_map(|(id, answer, users, count, more)| Reply::Found {
                id,
                answer,
                users,
                count,
                more
            }),
        proptest::collection::vec(offer, 0..20).prop_map(Reply::Offers),
    ]
}

/// What comes out of the bytes of one message, which must be all of them.
fn reread(outgoing: &Outgoing) -> Incoming {
    let (message, used) = Requests::default().next(outgoing.as_bytes()).unwrap().unwrap();
    assert_eq!(used, outgoing.as_bytes().len());
    message
}

fn heard(outgoing: &Outgoing) -> Reply {
    let (message, used) = Answers::default().next(outgoing.as_bytes()).unwrap().unwrap();
    assert_eq!(used, outgoing.as_bytes().len());
    match message {
        FromChecker::Reply(reply) => reply,
        FromChecker::Answered(_) => panic!("an answer to a login"),
    }
}

/// Writes a message that was read.
fn rewritten(message: &Incoming) -> Outgoing {
    let mut outgoing = Outgoing::default();
    match message {
        Incoming::Begin(begin) => outgoing.begin(begin),
        Incoming::Respond(respond) => outgoing.respond(respond),
        Incoming::Cancel(id) => outgoing.cancel(*id),
        Incoming::Find(find) => outgoing.find(find),
        Incoming::Verify(verify) => outgoing.verify(verify),
        Incoming::Unreadable(note) => outgoing.unreadable(note),
        Incoming::Decided(note) => outgoing.decided(note),
    }
    outgoing
}

proptest! {
    #[test]
    fn a_beginning_is_read_as_it_was_written(begin in any_begin()) {
        let mut outgoing = Outgoing::default();
        outgoing.begin(&begin);
        let Incoming::Begin(got) = reread(&outgoing) else { panic!("no beginning") };
        prop_assert_eq!((got.id, got.socket, got.peer), (begin.id, begin.socket, begin.peer));
        prop_assert_eq!((got.source, got.mechanism), (begin.source, begin.mechanism));
        prop_assert_eq!((got.service, got.certificate), (begin.service, begin.certificate));
        prop_assert_eq!((got.transport, got.can_bind), (begin.transport, begin.can_bind));
        prop_assert_eq!((got.last_words, got.initial), (begin.last_words, begin.initial));
    }

    #[test]
    fn responses_and_searches_are_read_as_they_were_written(
        id in any::<u64>(),
        message in any_message(),
        binding in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..=MAX_BINDING)),
        find in any_find(),
    ) {
        let mut outgoing = Outgoing::default();
        outgoing.respond(&Respond { id, message, binding });
        let again = rewritten(&reread(&outgoing));
        prop_assert_eq!(again.as_bytes(), outgoing.as_bytes());
        let mut outgoing = Outgoing::default();
        outgoing.find(&find);
        let again = rewritten(&reread(&outgoing));
        prop_assert_eq!(again.as_bytes(), outgoing.as_bytes());
    }

    #[test]
    fn replies_are_read_as_they_were_written(reply in any_reply()) {
        let mut outgoing = Outgoing::default();
        outgoing.reply(&reply);
        let mut again = Outgoing::default();
        again.reply(&heard(&outgoing));
        prop_assert_eq!(again.as_bytes(), outgoing.as_bytes());
    }

    #[test]
    fn a_damaged_frame_never_panics(begin in any_begin(), reply in any_reply(), place: usize, value: u8) {
        let mut outgoing = Outgoing::default();
        outgoing.begin(&begin);
        let mut bytes = outgoing.as_bytes().to_vec();
        let at = place % bytes.len();
        bytes[at] = value;
        let _ = Requests::default().next(&bytes);
        let mut outgoing = Outgoing::default();
        outgoing.reply(&reply);
        let mut bytes = outgoing.as_bytes().to_vec();
        let at = place % bytes.len();
        bytes[at] = value;
        let _ = Answers::default().next(&bytes);
    }

    #[test]
    fn bytes_of_any_tag_never_panic(tag in 0u8..8, body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = u32::try_from(body.len() + 1).unwrap().to_le_bytes().to_vec();
        bytes.push(tag);
        bytes.extend_from_slice(&body);
        let _ = Requests::default().next(&bytes);
        let _ = Answers::default().next(&bytes);
    }
}

fn longest(byte: u8) -> Name {
    Name::new(&[byte; Name::MAX]).unwrap()
}

#[test]
fn the_longest_of_each_fits_its_row_exactly() {
    let message = || Zeroizing::new(vec![0; MAX_MESSAGE]);
    let mut outgoing = Outgoing::default();
    let address = Address { ip: "2001:db8::1".parse().unwrap(), port: Some(1) };
    outgoing.begin(&Begin {
        id: u64::MAX,
        socket: 1,
        peer: peer_of(1),
        source: Source::Stated(address),
        mechanism: Mechanism::ScramSha512Plus,
        service: longest(b's'),
        transport: Transport::Tls,
        certificate: Some(longest(b'c')),
        can_bind: true,
        last_words: LastWords::AsChallenge,
        initial: Some(message()),
    });
    assert_row(&outgoing, crate::allow::LISTENER_TO_CHECKER);
    assert!(matches!(reread(&outgoing), Incoming::Begin(_)));
    let mut outgoing = Outgoing::default();
    outgoing.respond(&Respond { id: 1, message: message(), binding: Some(vec![0; MAX_BINDING]) });
    assert_row(&outgoing, crate::allow::LISTENER_TO_CHECKER);
    assert!(matches!(reread(&outgoing), Incoming::Respond(_)));
    let masks = (0..MAX_MASKS).map(|_| longest(b'm')).collect();
    let mut outgoing = Outgoing::default();
    outgoing.find(&Find { id: 1, socket: 0, peer: peer_of(1), what: Search::Flush { masks } });
    assert_row(&outgoing, crate::allow::LISTENER_TO_CHECKER);
    assert!(matches!(reread(&outgoing), Incoming::Find(_)));
    let binding = Some(Binding::TlsExporter);
    for reply in [
        Reply::Challenge { id: 1, message: message(), binding },
        Reply::Ended {
            id: 1,
            answer: Answer::Accept,
            user: Some(longest(b'u')),
            last_words: Some(message()),
            senders: Senders::parse(&format!("@{}", "d".repeat(Senders::MAX - 1))).unwrap(),
        },
        Reply::Offers(vec![Offer::default(); MAX_SOCKETS]),
    ] {
        let mut outgoing = Outgoing::default();
        outgoing.reply(&reply);
        assert_row(&outgoing, crate::allow::CHECKER_TO_LISTENER);
        heard(&outgoing);
    }
}

fn assert_row(outgoing: &Outgoing, table: &[crate::allow::Row]) {
    let (length, tag) = (outgoing.as_bytes().len() - 4, outgoing.as_bytes()[4]);
    let row = table.iter().find(|row| row.tag == tag).unwrap();
    assert_eq!(length, row.most, "{}", row.name);
}

#[test]
fn what_a_field_may_not_hold_is_malformed() {
    let mut outgoing = Outgoing::default();
    outgoing.cancel(5);
    let mut bytes = outgoing.as_bytes().to_vec();
    bytes.push(0);
    bytes[0] += 1;
    assert!(matches!(Requests::default().next(&bytes), Err(Malformed::TooLong(5))));
    for (what, place, value) in
        [("mechanism", 5 + 8 + 2 + 12 + 1, 12), ("flag", 5 + 8 + 2 + 12 + 1 + 1 + 2, 2)]
    {
        let mut outgoing = Outgoing::default();
        outgoing.begin(&Begin {
            id: 1,
            socket: 0,
            peer: peer_of(0),
            source: Source::Absent,
            mechanism: Mechanism::Plain,
            service: Name::default(),
            transport: Transport::Clear,
            certificate: None,
            can_bind: false,
            last_words: LastWords::WithOutcome,
            initial: None,
        });
        let mut bytes = outgoing.as_bytes().to_vec();
        bytes[place] = value;
        assert!(matches!(Requests::default().next(&bytes), Err(Malformed::Body(3))), "{what}");
    }
    // Thirteen masks, and a message one byte too long.
    let mut frame = vec![FIND];
    frame.extend_from_slice(&[0; 22]);
    frame.extend_from_slice(&[3, 13, 0]);
    frame.extend_from_slice(&[0; 26]);
    let mut bytes = u32::try_from(frame.len()).unwrap().to_le_bytes().to_vec();
    bytes.append(&mut frame);
    assert!(matches!(Requests::default().next(&bytes), Err(Malformed::Body(6))));
    let mut outgoing = Outgoing::default();
    let message = Zeroizing::new(vec![0; MAX_MESSAGE + 1]);
    outgoing.respond(&Respond { id: 1, message, binding: None });
    assert!(matches!(Requests::default().next(outgoing.as_bytes()), Err(Malformed::Body(4))));
}
