//! Sessions word by word, with a desk that remembers what it was asked and a clock that the test holds.

use proptest::prelude::*;
use protocol::mechanism::{Mechanism, MechanismSet};

use super::*;

/// A desk that takes everything.
struct Stand {
    checker: bool,
    delays: bool,
    offered: MechanismSet,
    next: u64,
    begun: Vec<(Id, u64, Option<Vec<u8>>)>,
    responses: Vec<(u64, Vec<u8>, Option<Vec<u8>>)>,
    cancelled: Vec<u64>,
    delayed: Vec<(Id, u64)>,
    notes: usize,
}

impl Desk for Stand {
    fn offers(&self, auth: &Auth) -> bool {
        self.offered.contains(auth.mechanism)
    }

    fn begin(&mut self, id: Id, auth: Auth, minor: u32) -> Option<u64> {
        self.checker.then_some(())?;
        self.next += 1;
        let initial = auth.initial.meant(minor).map(|bytes| bytes.to_vec());
        self.begun.push((id, self.next, initial));
        Some(self.next)
    }

    fn respond(&mut self, exchange: u64, response: Continue) -> Option<()> {
        self.checker.then_some(())?;
        self.responses.push((exchange, response.message.to_vec(), response.binding));
        Some(())
    }

    fn cancel(&mut self, exchange: u64) {
        self.cancelled.push(exchange);
    }

    fn delay(&mut self, id: Id, _since: Instant) -> Option<u64> {
        self.delays.then_some(())?;
        self.next += 1;
        self.delayed.push((id, self.next));
        Some(self.next)
    }

    fn note(&mut self, _flaw: Flaw) {
        self.notes += 1;
    }
}

/// A session with its desk, its clock and what it said.
struct Scene {
    session: Session,
    desk: Stand,
    now: Instant,
    offer: Option<Offer>,
}

impl Scene {
    fn new(handshake: Handshake) -> Self {
        let now = Instant::now();
        let offered: MechanismSet = [
            Mechanism::Plain,
            Mechanism::Login,
            Mechanism::ScramSha256,
            Mechanism::ScramSha256Plus,
        ]
        .into_iter()
        .collect();
        Self {
            session: Session::new(handshake, Duration::from_secs(30), now),
            desk: Stand {
                checker: true,
                delays: true,
                offered,
                next: 0,
                begun: Vec::new(),
                responses: Vec::new(),
                cancelled: Vec::new(),
                delayed: Vec::new(),
                notes: 0,
            },
            now,
            offer: Some(Offer { tls: offered, clear: MechanismSet::default() }),
        }
    }

    /// After the handshake of a client of this minor.
    fn with(minor: u32) -> Self {
        let mut scene = Self::new(Handshake::Auto);
        scene.say(&format!("VERSION\t1\t{minor}\nCPID\t77\n"));
        scene
    }

    /// Says it, and hears what comes at once.
    fn say(&mut self, text: &str) -> String {
        self.hear(text.as_bytes())
    }

    fn hear(&mut self, bytes: &[u8]) -> String {
        let mut out = Message::default();
        let introduction = Introduction { pid: 5, connection: 9, cookie: [0xab; 16] };
        let mut used = self.session.consume(bytes, self.now, &mut self.desk, &mut out);
        self.session.tick(self.now, &mut self.desk, &mut out);
        if self.session.greet(self.offer, &introduction, self.now, &mut out) {
            used += self.session.consume(&bytes[used..], self.now, &mut self.desk, &mut out);
        }
        assert!(
            used == bytes.len() || !bytes[used..].contains(&b'\n') || !self.session.welcome.greeted
        );
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn pass(&mut self, time: Duration) -> String {
        self.now += time;
        self.say("")
    }

    fn end(&mut self, id: u32, answer: Answer, user: Option<&[u8]>) -> String {
        let mut out = Message::default();
        let user = user.map(|user| Name::new(user).unwrap());
        self.session.ended(
            nth(id),
            (answer, user, None, Senders::Own),
            self.now,
            &mut self.desk,
            &mut out,
        );
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn challenge(&mut self, id: u32, words: &[u8], binding: Option<Binding>) -> String {
        let mut out = Message::default();
        let words = Message::new(words.to_vec());
        self.session.challenged(nth(id), words, binding, self.now, &mut self.desk, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn fail(&mut self, (id, token): (Id, u64)) -> String {
        let mut out = Message::default();
        self.session.fail(id, token, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }
}

fn nth(number: u32) -> Id {
    Id::new(number).unwrap()
}

const REST_OLD: &str = "MECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\n\
    SPID\t5\nCUID\t9\nCOOKIE\tabababababababababababababababab\nDONE\n";
const REST_NEW: &str = "MECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nMECH\tSCRAM-SHA-256\tmutual-auth\n\
    MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding\n\
    SPID\t5\nCUID\t9\nCOOKIE\tabababababababababababababababab\nDONE\n";
const AUTH: &str = "PLAIN\tservice=smtp\tresp=AGFsaWNlAHB3";
const NO: &str = "reason=authentication failed";

#[test]
fn whoever_speaks_first_is_greeted_by_its_minor() {
    for (minor, rest) in [(0, REST_OLD), (1, REST_OLD), (2, REST_OLD), (3, REST_NEW), (4, REST_NEW)]
    {
        let mut scene = Scene::new(Handshake::Auto);
        assert_eq!(scene.say(&format!("VERSION\t1\t{minor}\n")), rest);
        assert_eq!(scene.say("CPID\t1\n"), "", "once");
    }
}

#[test]
fn whoever_waits_is_greeted_after_a_moment_and_speaks_then() {
    let mut scene = Scene::new(Handshake::Auto);
    assert_eq!(scene.pass(Duration::from_millis(149)), "");
    assert_eq!(scene.pass(Duration::from_millis(1)), REST_OLD);
    assert_eq!(scene.say(&format!("VERSION\t1\t0\nCPID\t9\nAUTH\t1\t{AUTH}\n")), "");
    assert_eq!(scene.desk.begun.len(), 1);
}

#[test]
fn a_client_that_has_begun_to_speak_is_waited_for() {
    let mut scene = Scene::new(Handshake::Auto);
    assert_eq!(scene.say("VERS"), "");
    assert_eq!(scene.pass(Duration::from_secs(1)), "");
    assert_eq!(scene.session.deadline(scene.offer), Some(scene.now + Duration::from_secs(29)));
}

#[test]
fn the_other_two_manners_of_handshake() {
    let mut legacy = Scene::new(Handshake::Legacy);
    assert_eq!(legacy.say(""), REST_OLD);
    let mut wait = Scene::new(Handshake::Wait);
    assert_eq!(wait.pass(Duration::from_secs(29)), "");
    assert_eq!(wait.say("VERSION\t1\t4\n"), REST_NEW);
}

#[test]
fn nobody_is_greeted_before_there_is_something_to_offer() {
    let mut scene = Scene::new(Handshake::Auto);
    let offer = scene.offer.take();
    assert_eq!(scene.say("VERSION\t1\t1\n"), "");
    scene.offer = Some(Offer::default());
    assert_eq!(scene.pass(Duration::from_secs(1)), "");
    scene.offer = offer;
    let all = format!("CPID\t1\nAUTH\t1\t{AUTH}\n");
    assert_eq!(scene.say(&all), REST_OLD, "and what it said meanwhile counts");
    assert_eq!(scene.desk.begun.len(), 1);
}

#[test]
fn a_handshake_that_is_not_finished_ends_after_half_a_minute() {
    for said in ["", "VERSION\t1\t0\n"] {
        let mut scene = Scene::new(Handshake::Auto);
        scene.say(said);
        scene.pass(Duration::from_millis(29_999));
        assert!(!scene.session.is_over());
        scene.pass(Duration::from_millis(1));
        assert!(scene.session.is_over());
    }
    let mut idle = Scene::with(0);
    idle.pass(Duration::from_secs(86_400));
    assert!(!idle.session.is_over() && idle.session.deadline(idle.offer).is_none());
}

#[test]
fn what_is_no_handshake_ends_the_connection() {
    for said in [
        "VERSION\t2\t0\n",
        "CPID\t1\n",
        "\n",
        "VERSION\t1\t0\nVERSION\t1\t0\n",
        "VERSION\t1\t0\nCPID\t0\n",
        "VERSION\t1\t0\nCPID\t1\nCPID\t1\n",
        "VERSION\t1\t0\nAUTH\t1\tPLAIN\tservice=x\n",
    ] {
        let mut scene = Scene::new(Handshake::Legacy);
        scene.say("");
        assert_eq!(scene.say(said), "");
        assert!(scene.session.is_over(), "{said:?}");
        assert!(scene.desk.begun.is_empty());
    }
}

#[test]
fn an_accepted_user_stands_first_and_a_refusal_is_kept_back() {
    let mut scene = Scene::with(0);
    assert_eq!(scene.say(&format!("AUTH\t1\t{AUTH}\nAUTH\t2\t{AUTH}\n")), "");
    assert_eq!(scene.end(2, Answer::Accept, Some(b"alice")), "OK\t2\tuser=alice\n");
    assert_eq!(scene.end(1, Answer::Refuse, None), "");
    let penalty = scene.desk.delayed[0];
    assert_eq!(scene.fail((penalty.0, penalty.1 + 1)), "");
    assert_eq!(scene.fail(penalty), format!("FAIL\t1\t{NO}\n"));
    assert_eq!(scene.fail(penalty), "");
    scene.desk.delays = false;
    scene.say(&format!("AUTH\t3\t{AUTH}\n"));
    assert_eq!(scene.end(3, Answer::Refuse, None), format!("FAIL\t3\t{NO}\n"));
}

#[test]
fn a_user_that_would_be_read_as_another_is_refused() {
    let mut scene = Scene::with(4);
    for (id, user) in [(1, Some(&b"a\tb"[..])), (2, Some(b"a\x01t")), (3, Some(b"\x7f")), (4, None)]
    {
        scene.say(&format!("AUTH\t{id}\t{AUTH}\n"));
        assert_eq!(scene.end(id, Answer::Accept, user), "");
        let penalty = scene.desk.delayed[scene.desk.delayed.len() - 1];
        assert_eq!(scene.fail(penalty), format!("FAIL\t{id}\n"));
    }
}

#[test]
fn nobody_knows_is_said_to_each_generation_in_its_way() {
    for minor in [2, 3, 4] {
        let mut scene = Scene::with(minor);
        scene.say(&format!("AUTH\t1\t{AUTH}\n"));
        assert_eq!(scene.end(1, Answer::Unavailable, None), "FAIL\t1\tuser=\tcode=temp_fail\n");
        assert!(!scene.session.is_over());
        scene.desk.checker = false;
        assert_eq!(scene.say(&format!("AUTH\t1\t{AUTH}\n")), "FAIL\t1\tuser=\tcode=temp_fail\n");
    }
    for minor in [0, 1] {
        let mut scene = Scene::with(minor);
        scene.say(&format!("AUTH\t1\t{AUTH}\nAUTH\t2\t{AUTH}\nAUTH\t3\t{AUTH}\n"));
        assert_eq!(scene.end(2, Answer::Unavailable, None), "");
        assert!(!scene.session.is_over(), "the others are answered first");
        assert_eq!(scene.say(&format!("AUTH\t4\t{AUTH}\n")), "", "nothing new");
        assert_eq!(scene.end(1, Answer::Accept, Some(b"a")), "OK\t1\tuser=a\n");
        assert_eq!(scene.end(3, Answer::Refuse, None), "");
        assert!(!scene.session.is_over());
        let penalty = scene.desk.delayed[0];
        assert_eq!(scene.fail(penalty), format!("FAIL\t3\t{NO}\n"));
        assert!(scene.session.is_over());
        assert_eq!(scene.desk.begun.len(), 3);
    }
}

#[test]
fn an_ending_connection_does_not_wait_for_ever() {
    let mut scene = Scene::with(0);
    scene.say(&format!("AUTH\t1\t{AUTH}\nAUTH\t2\t{AUTH}\n"));
    scene.end(1, Answer::Unavailable, None);
    scene.pass(Duration::from_millis(4999));
    assert!(!scene.session.is_over());
    scene.pass(Duration::from_millis(1));
    assert!(scene.session.is_over());
    assert_eq!(scene.desk.cancelled, [2]);
}

#[test]
fn an_exchange_of_several_steps() {
    let mut scene = Scene::with(0);
    scene.say("AUTH\t1\tLOGIN\tservice=smtp\tresp=\n");
    assert_eq!(scene.desk.begun[0].2, None);
    assert_eq!(scene.challenge(1, b"Username:", None), "CONT\t1\tVXNlcm5hbWU6\n");
    assert_eq!(scene.say("CONT\t1\tYWxpY2U=\n"), "");
    assert_eq!(scene.challenge(1, b"Password:", None), "CONT\t1\tUGFzc3dvcmQ6\n");
    assert_eq!(scene.say("CONT\t1\t\n"), "");
    let words: Vec<_> = scene.desk.responses.iter().map(|(_, words, _)| &words[..]).collect();
    assert_eq!(words, [&b"alice"[..], b""]);
    assert_eq!(scene.end(1, Answer::Accept, Some(b"alice")), "OK\t1\tuser=alice\n");
}

#[test]
fn channel_binding_travels_both_ways_from_minor_3_on() {
    let plus = "SCRAM-SHA-256-PLUS\tservice=smtp\tsecured=tls\tresp=eA==";
    let mut old = Scene::with(2);
    assert_eq!(old.say(&format!("AUTH\t1\t{plus}\n")), "FAIL\t1\n");
    let mut scene = Scene::with(3);
    assert_eq!(scene.say(&format!("AUTH\t1\t{plus}\n")), "");
    let asked = scene.challenge(1, b"r=x", Some(Binding::TlsExporter));
    assert_eq!(asked, "CONT\t1\tcj14\tchannel_binding=tls-exporter\n");
    scene.say("CONT\t1\tYz14\tchannel_binding=AAEC\n");
    assert_eq!(scene.desk.responses, [(1, b"c=x".to_vec(), Some(vec![0, 1, 2]))]);
}

#[test]
fn a9_what_is_wrong_with_one_request_touches_no_other() {
    let mut scene = Scene::with(2);
    for id in 1..=100 {
        scene.say(&format!("AUTH\t{id}\t{AUTH}\n"));
    }
    let no = |id: u32| format!("FAIL\t{id}\n");
    let base64 = |id: u32| format!("FAIL\t{id}\tcode=invalid_base64\n");
    assert_eq!(scene.say("AUTH\t200\tPLAIN\tservice=smtp\tresp=!!\n"), base64(200));
    assert_eq!(scene.say("AUTH\t201\tPLAIN\tservice=smtp\tresp=QQ==\tsecured\n"), no(201));
    assert_eq!(scene.say("AUTH\t202\tX-UNHEARD-OF\tservice=smtp\n"), no(202));
    assert_eq!(scene.say("AUTH\t203\tEXTERNAL\tservice=smtp\n"), no(203), "not offered");
    assert_eq!(scene.say("AUTH\t204\tPLAIN\n"), no(204));
    assert_eq!(scene.say("CONT\t205\tQQ==\n"), no(205), "of an unknown number");
    assert_eq!(scene.say("CANCEL\t206\n"), "");
    assert_eq!(scene.say(&format!("AUTH\t1\t{AUTH}\n")), no(1), "one refusal for two of a number");
    assert_eq!(scene.say("CONT\t2\tQQ==\n"), no(2), "out of turn");
    scene.challenge(3, b"x", None);
    assert_eq!(scene.say("CONT\t3\t!!\n"), base64(3));
    assert_eq!(scene.say("CANCEL\t4\n"), "");
    assert_eq!(scene.desk.cancelled, [1, 2, 3, 4]);
    for id in 1..=4 {
        assert_eq!(scene.end(id, Answer::Accept, Some(b"late")), "");
    }
    for id in 5..=100 {
        assert_eq!(
            scene.end(id, Answer::Accept, Some(b"alice")),
            format!("OK\t{id}\tuser=alice\n")
        );
    }
    assert!(!scene.session.is_over());
    assert_eq!(scene.desk.begun.len(), 100);
}

#[test]
fn a_cancel_is_confirmed_to_those_who_expect_it() {
    let mut scene = Scene::with(4);
    scene.say(&format!("AUTH\t1\t{AUTH}\nAUTH\t2\t{AUTH}\n"));
    scene.end(2, Answer::Refuse, None);
    assert_eq!(scene.say("CANCEL\t1\nCANCEL\t2\n"), "CANCELLED\t1\nCANCELLED\t2\n");
    let penalty = scene.desk.delayed[0];
    assert_eq!(scene.fail(penalty), "");
    assert_eq!(scene.desk.cancelled, [1]);
}

#[test]
fn a_line_of_nobody_ends_the_connection_after_the_others() {
    for junk in
        ["\n", "HELLO\n", "AUTH\t0\tPLAIN\n", "AUTH\tx\n", "CONT\n", &"x".repeat(MAX_LINE + 1)]
    {
        let mut scene = Scene::with(2);
        scene.say(&format!("AUTH\t1\t{AUTH}\nAUTH\t2\tLOGIN\tservice=x\n"));
        scene.challenge(2, b"Username:", None);
        assert_eq!(scene.say(junk), "");
        assert!(scene.session.is_deaf() && !scene.session.is_over());
        assert_eq!(scene.desk.cancelled, [2], "what the client would have to answer");
        assert_eq!(scene.end(1, Answer::Accept, Some(b"alice")), "OK\t1\tuser=alice\n");
        assert!(scene.session.is_over());
        assert_eq!(scene.desk.notes, 1);
    }
}

#[test]
fn too_many_at_a_time_are_told_that_nobody_knows() {
    let mut scene = Scene::with(2);
    for id in 1..=256 {
        assert_eq!(scene.say(&format!("AUTH\t{id}\t{AUTH}\n")), "");
    }
    let temporary = "FAIL\t257\tuser=\tcode=temp_fail\n";
    assert_eq!(scene.say(&format!("AUTH\t257\t{AUTH}\n")), temporary);
    scene.end(1, Answer::Refuse, None);
    assert_eq!(
        scene.say(&format!("AUTH\t257\t{AUTH}\n")),
        "",
        "a refusal that waits takes no place"
    );
}

#[test]
fn nothing_lasts_for_ever() {
    let mut scene = Scene::with(2);
    scene.say(&format!("AUTH\t1\t{AUTH}\nAUTH\t2\tLOGIN\tservice=x\n"));
    scene.challenge(2, b"Username:", None);
    assert_eq!(scene.session.deadline(scene.offer), Some(scene.now + Duration::from_secs(30)));
    assert_eq!(scene.pass(Duration::from_secs(30)), "FAIL\t1\tuser=\tcode=temp_fail\n");
    assert_eq!(scene.session.deadline(scene.offer), Some(scene.now + Duration::from_secs(120)));
    assert_eq!(scene.pass(Duration::from_secs(120)), "FAIL\t2\n");
    assert_eq!(scene.desk.cancelled, [1, 2]);
}

#[test]
fn a11_empty_responses_and_ends_at_each_step() {
    for step in 0..4 {
        let mut scene = Scene::with(4);
        scene.say("AUTH\t1\tSCRAM-SHA-256\tservice=x\tresp==\n");
        assert_eq!(scene.desk.begun[0].2.as_deref(), Some(&b""[..]));
        for _ in 0..step {
            scene.challenge(1, b"", None);
            scene.say("CONT\t1\t=\n");
        }
        if step == 3 {
            scene.challenge(1, b"", None);
        }
        scene.session.abandon(&mut scene.desk);
        assert_eq!(scene.desk.cancelled, [1]);
    }
}

proptest! {
    #[test]
    fn bytes_in_any_pieces_are_one_conversation(cuts in proptest::collection::vec(1usize..20, 0..40)) {
        let text = format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\t{AUTH}\nAUTH\t2\tPLAIN\tservice=x\tresp=!\nCANCEL\t1\n");
        let mut scene = Scene::new(Handshake::Auto);
        let (mut kept, mut rest, mut said) = (Vec::new(), text.as_bytes(), String::new());
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (piece, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            kept.extend_from_slice(piece);
            let mut out = Message::default();
            let introduction = Introduction { pid: 5, connection: 9, cookie: [0xab; 16] };
            let used = scene.session.consume(&kept, scene.now, &mut scene.desk, &mut out);
            kept.drain(..used);
            if scene.session.greet(scene.offer, &introduction, scene.now, &mut out) {
                let used = scene.session.consume(&kept, scene.now, &mut scene.desk, &mut out);
                kept.drain(..used);
            }
            said += std::str::from_utf8(&out).unwrap();
        }
        prop_assert_eq!(said, format!("{REST_OLD}FAIL\t2\tcode=invalid_base64\n"));
        prop_assert_eq!(&scene.desk.cancelled, &[1]);
    }

    #[test]
    fn no_conversation_panics_or_loses_count(
        steps in proptest::collection::vec((0u8..9, 1u32..4, "[ -~\\t]{0,12}"), 0..60),
    ) {
        let mut scene = Scene::with(steps.len() as u32 % 5);
        for (what, id, junk) in steps {
            match what {
                0 | 1 => drop(scene.say(&format!("AUTH\t{id}\t{AUTH}\n"))),
                2 => drop(scene.say(&format!("CONT\t{id}\tQQ==\n"))),
                3 => drop(scene.say(&format!("CANCEL\t{id}\n"))),
                4 => drop(scene.challenge(id, b"x", None)),
                5 => drop(scene.end(id, Answer::Refuse, None)),
                6 => drop(scene.end(id, Answer::Unavailable, None)),
                7 => {
                    for penalty in std::mem::take(&mut scene.desk.delayed) {
                        scene.fail(penalty);
                    }
                }
                _ => drop(scene.say(&format!("{junk}\n"))),
            }
            let failing = scene.session.live.values();
            let failing = failing.filter(|live| matches!(live.stage, Stage::Failing(_))).count();
            prop_assert_eq!(failing, scene.session.failing);
        }
        let open = scene.session.live.values().filter(|live| !matches!(live.stage, Stage::Failing(_))).count();
        scene.session.abandon(&mut scene.desk);
        prop_assert!(scene.session.live.is_empty() && scene.desk.cancelled.len() >= open);
    }
}
