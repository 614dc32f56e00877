//! A conversation word by word, with a clock that the test holds.

use super::*;

fn talk() -> (Talk, watch::Receiver<Offered>) {
    let (offers, offered) = watch::channel(Offered::Lately(MechanismSet::default()));
    let mut talk = Talk::new(Duration::from_secs(1), offers);
    talk.begin(Instant::now(), &mut Bytes::default());
    (talk, offered)
}

fn ready() -> (Talk, watch::Receiver<Offered>) {
    let (mut talk, offered) = talk();
    let greeting = b"VERSION\t1\t4\nMECH\tSCRAM-SHA-256\nDONE\n";
    assert_eq!(talk.hear(greeting, &mut Bytes::default()), Ok(greeting.len()));
    assert!(talk.is_ready());
    (talk, offered)
}

fn begin(talk: &mut Talk, id: u32) -> oneshot::Receiver<Heard> {
    let (reply, heard) = oneshot::channel();
    let parameters = Box::new(Parameters::of_service(Name::new(b"smtp").unwrap()));
    let id = Id::new(id).unwrap();
    let (mechanism, initial) = (Mechanism::ScramSha256, None);
    let order = Order::Begin { id, mechanism, parameters, initial, reply };
    talk.take(order, Instant::now(), &mut Bytes::default());
    heard
}

fn hear(talk: &mut Talk, line: &str) -> Result<usize, &'static str> {
    talk.hear(line.as_bytes(), &mut Bytes::default())
}

#[test]
fn no_two_connections_have_one_number() {
    let introduced = || {
        let (offers, _offered) = watch::channel(Offered::Away(MechanismSet::default()));
        let mut out = Bytes::default();
        Talk::new(Duration::from_secs(1), offers).begin(Instant::now(), &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    };
    assert_ne!(introduced(), introduced(), "as before and after a reload");
    let numbers = [(7, 0), (8, 0), (7, 1), (8, 1), (7, 1023)].map(|(pid, n)| connection(pid, n));
    assert_eq!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
}

#[test]
fn a_greeting_that_is_none_ends_the_connection() {
    for greeting in [
        "VERSION\t2\t0\n",
        "MECH\tPLAIN\nDONE\n",
        "VERSION\t1\t2\nDONE\n",
        "VERSION\t1\t2\nMECH\tX-NEW\nDONE\n",
        "VERSION\tx\n",
    ] {
        assert!(hear(&mut talk().0, greeting).is_err(), "{greeting}");
    }
    let (mut talk, _offered) = talk();
    assert!(hear(&mut talk, &"x".repeat(MAX_LINE + 1)).is_err());
    assert!(talk.due().is_some());
}

#[test]
fn what_is_said_out_of_turn_ends_the_connection_but_a_refusal_waits() {
    let challenge = "CONT\t1\tcj0x\n";
    for wrong in ["OK\t1\tuser=alice\n", challenge] {
        let (mut talk, _offered) = ready();
        let _heard = begin(&mut talk, 1);
        assert!(hear(&mut talk, challenge).is_ok());
        assert!(hear(&mut talk, wrong).is_err(), "{wrong}");
    }
    let (mut talk, _offered) = ready();
    let _heard = begin(&mut talk, 1);
    assert!(hear(&mut talk, challenge).is_ok());
    assert!(hear(&mut talk, "FAIL\t1\n").is_ok());
    let (reply, mut heard) = oneshot::channel();
    let (id, message) = (Id::MIN, Bytes::default());
    let answer = Order::Answer { id, message, binding: None, reply };
    let mut out = Bytes::default();
    talk.take(answer, Instant::now(), &mut out);
    assert!(matches!(heard.try_recv(), Ok(Heard::Refused)));
    assert!(out.is_empty() && talk.over.is_empty() && talk.live.is_empty());
}

#[test]
fn those_who_say_nothing_keep_nobody_out() {
    let (mut talk, _offered) = ready();
    let most = u32::try_from(MOST).unwrap();
    let mut waiting: Vec<_> = (1..=most).map(|id| begin(&mut talk, id)).collect();
    // All wait for the daemon: there is nobody to give up.
    assert!(matches!(begin(&mut talk, most + 1).try_recv(), Ok(Heard::Unavailable)));
    for id in [7, 3] {
        hear(&mut talk, &format!("CONT\t{id}\tcj0x\n")).unwrap();
        assert!(matches!(waiting[id - 1].try_recv(), Ok(Heard::Challenge { .. })));
    }
    let _new = begin(&mut talk, most + 2);
    assert_eq!(talk.live.len(), MOST);
    assert!(talk.over.contains_key(&Id::new(7).unwrap()));
    assert!(!talk.over.contains_key(&Id::new(3).unwrap()));
    // Its client gives up too, and nothing is left of it.
    talk.take(Order::Cancel(Id::new(7).unwrap()), Instant::now(), &mut Bytes::default());
    assert!(talk.over.is_empty());
}

#[test]
fn what_ends_with_the_connection_is_unavailable() {
    let (mut talk, offered) = ready();
    let mut heard = begin(&mut talk, 1);
    assert!(matches!(*offered.borrow(), Offered::Now(_)));
    talk.lost(Standing::Connecting);
    assert!(matches!(*offered.borrow(), Offered::Lately(_)));
    assert_eq!(heard.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
    talk.lost(Standing::Away);
    assert!(matches!(*offered.borrow(), Offered::Away(_)));
}
