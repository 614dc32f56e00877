//! The order of commands, case by case; the walk over all orders stands in `tests/walk.rs`. Runs in the test binary.

use super::*;
use Outcome::{Accept, Refuse, Unavailable};

const OFFER: Offer =
    Offer { role: Role::Submission, starttls: StartTls::Offered, auth: Auth::Offered };

fn session(role: Role, channel: Channel) -> Session {
    Session::new(Offer { role, ..OFFER }, channel, Limits::default())
}

/// Does a step that must be allowed.
fn go(session: &mut Session, verb: Verb, outcome: Outcome) -> Option<Reply> {
    assert_eq!(session.judge(Step::Command(verb)), Judgement::Allowed, "{verb:?} in {session:?}");
    session.done(Step::Command(verb), outcome)
}

/// The code of a step that must not be allowed.
fn code(session: &mut Session, step: Step) -> u16 {
    match session.judge(step) {
        Judgement::Allowed => panic!("{step:?} is allowed in {session:?}"),
        Judgement::Reply(reply) | Judgement::Close(reply) => reply.code().number(),
    }
}

fn command(session: &mut Session, verb: Verb) -> u16 {
    code(session, Step::Command(verb))
}

#[test]
fn before_tls_nobody_logs_in_or_submits() {
    let mut session = session(Role::Submission, Channel::Clear);
    assert_eq!(command(&mut session, Verb::Auth), 538);
    assert_eq!(command(&mut session, Verb::StartTls), 503, "EHLO comes first");
    go(&mut session, Verb::Ehlo, Accept);
    assert!(session.offers_starttls() && !session.offers_auth());
    assert_eq!(command(&mut session, Verb::Auth), 538);
    assert_eq!(command(&mut session, Verb::Mail), 530);
    session.know_by_certificate();
    assert_eq!(command(&mut session, Verb::Mail), 530, "there is no certificate outside TLS");
    // A login that somebody reports all the same is none.
    session.done(Step::Command(Verb::Auth), Accept);
    assert!(!session.is_logged_in());
}

#[test]
fn the_handshake_forgets_everything() {
    let mut session = session(Role::Relay, Channel::Clear);
    go(&mut session, Verb::Ehlo, Accept);
    go(&mut session, Verb::Mail, Accept);
    assert_eq!(command(&mut session, Verb::StartTls), 503, "not within a message");
    go(&mut session, Verb::Rset, Accept);
    go(&mut session, Verb::StartTls, Accept);
    assert!(!session.offers_starttls() && session.offers_auth());
    assert_eq!(command(&mut session, Verb::StartTls), 503);
    assert_eq!(command(&mut session, Verb::Mail), 503);
    assert_eq!(command(&mut session, Verb::Rcpt), 503);
    assert_eq!(command(&mut session, Verb::Auth), 503, "a new EHLO comes first");
}

#[test]
fn a_login_happens_once_and_outside_messages() {
    let mut session = session(Role::Submission, Channel::Tls);
    go(&mut session, Verb::Ehlo, Accept);
    assert_eq!(command(&mut session, Verb::Mail), 530);
    go(&mut session, Verb::Auth, Unavailable);
    go(&mut session, Verb::Auth, Accept);
    assert!(session.is_logged_in() && !session.offers_auth());
    assert_eq!(command(&mut session, Verb::Auth), 503);
    go(&mut session, Verb::Mail, Accept);
    assert_eq!(command(&mut session, Verb::Auth), 503);
    go(&mut session, Verb::Ehlo, Accept);
    assert!(session.is_logged_in());
    assert_eq!(command(&mut session, Verb::Rcpt), 503, "EHLO forgets the message");
}

#[test]
fn three_wrong_passwords_are_enough_and_outages_are_none() {
    let mut session = session(Role::Submission, Channel::Tls);
    go(&mut session, Verb::Ehlo, Accept);
    for _ in 0..10 {
        assert_eq!(go(&mut session, Verb::Auth, Unavailable), None);
    }
    assert_eq!(go(&mut session, Verb::Auth, Refuse), None);
    assert_eq!(go(&mut session, Verb::Auth, Refuse), None);
    let last = go(&mut session, Verb::Auth, Refuse).unwrap();
    assert_eq!(last.encode(), b"421 4.7.0 Too many failed logins\r\n");
}

#[test]
fn failures_are_not_forgotten_by_starttls_for_there_are_none_before() {
    let mut session = session(Role::Submission, Channel::Clear);
    go(&mut session, Verb::Ehlo, Accept);
    session.done(Step::Command(Verb::Auth), Refuse);
    assert_eq!(session.failures, 0);
}

#[test]
fn a_certificate_lets_submit_and_leaves_auth_open() {
    let mut session = session(Role::Submission, Channel::Tls);
    session.know_by_certificate();
    go(&mut session, Verb::Ehlo, Accept);
    assert!(session.offers_auth());
    go(&mut session, Verb::Mail, Refuse);
    go(&mut session, Verb::Vrfy, Accept);
    go(&mut session, Verb::Expn, Accept);
    go(&mut session, Verb::Mail, Accept);
}

#[test]
fn strangers_learn_no_names() {
    let mut session = session(Role::Relay, Channel::Tls);
    assert_eq!(command(&mut session, Verb::Vrfy), 252);
    assert_eq!(command(&mut session, Verb::Expn), 502);
    let mut clear = self::session(Role::Relay, Channel::Clear);
    clear.know_by_certificate();
    assert_eq!(command(&mut clear, Verb::Expn), 502, "there is no certificate outside TLS");
}

#[test]
fn a_message_needs_a_sender_and_a_recipient() {
    let mut session = session(Role::Relay, Channel::Clear);
    assert_eq!(command(&mut session, Verb::Mail), 503);
    go(&mut session, Verb::Helo, Accept);
    assert_eq!(command(&mut session, Verb::Data), 503);
    assert_eq!(code(&mut session, Step::Chunk(Position::Last)), 503);
    go(&mut session, Verb::Mail, Accept);
    go(&mut session, Verb::Rcpt, Refuse);
    assert_eq!(command(&mut session, Verb::Data), 554);
    go(&mut session, Verb::Rcpt, Accept);
    go(&mut session, Verb::Data, Accept);
    assert_eq!(command(&mut session, Verb::Noop), 503, "the message comes now");
    assert_eq!(session.judge(Step::EndOfData), Judgement::Allowed);
    session.done(Step::EndOfData, Refuse);
    assert_eq!(command(&mut session, Verb::Rcpt), 503, "each message is asked about anew");
}

#[test]
fn recipients_are_counted() {
    let limits = Limits { recipients: 2, ..Limits::default() };
    let mut session = Session::new(Offer { role: Role::Relay, ..OFFER }, Channel::Clear, limits);
    for verb in [Verb::Ehlo, Verb::Mail, Verb::Rcpt, Verb::Rcpt] {
        go(&mut session, verb, Accept);
    }
    let Judgement::Reply(reply) = session.judge(Step::Command(Verb::Rcpt)) else {
        panic!("a third")
    };
    assert_eq!(reply.encode(), b"452 4.5.3 Too many recipients\r\n");
    assert!((0..100).all(|_| command(&mut session, Verb::Rcpt) == 452), "it is no reason to close");
}

#[test]
fn a_failed_chunk_fails_the_message_until_it_is_forgotten() {
    let mut session = session(Role::Relay, Channel::Clear);
    for verb in [Verb::Ehlo, Verb::Mail, Verb::Rcpt] {
        go(&mut session, verb, Accept);
    }
    assert_eq!(session.judge(Step::Command(Verb::Bdat)), Judgement::Allowed);
    session.done(Step::Chunk(Position::Within), Accept);
    assert_eq!(command(&mut session, Verb::Data), 503);
    assert_eq!(command(&mut session, Verb::Rcpt), 503);
    session.done(Step::Chunk(Position::Within), Refuse);
    for step in [Position::Within, Position::Last].map(Step::Chunk) {
        assert_eq!(code(&mut session, step), 503);
    }
    assert_eq!(command(&mut session, Verb::Bdat), 503);
    assert_eq!(command(&mut session, Verb::Mail), 503);
    go(&mut session, Verb::Rset, Accept);
    go(&mut session, Verb::Mail, Accept);
}

#[test]
fn junk_ends_a_connection() {
    let mut session = session(Role::Relay, Channel::Tls);
    assert_eq!(code(&mut session, Step::Unknown), 500);
    assert_eq!(code(&mut session, Step::Unknown), 500);
    assert!(
        matches!(session.judge(Step::Unknown), Judgement::Close(reply) if reply.code() == Code::UNAVAILABLE)
    );
    let mut errors = self::session(Role::Relay, Channel::Tls);
    assert!(
        (1..20).all(|_| matches!(errors.judge(Step::Command(Verb::Mail)), Judgement::Reply(_)))
    );
    assert!(matches!(errors.judge(Step::Command(Verb::Mail)), Judgement::Close(_)));
}

#[test]
fn what_is_not_offered_is_not_there() {
    let offer = Offer { role: Role::Relay, starttls: StartTls::Unavailable, auth: Auth::Absent };
    let mut session = Session::new(offer, Channel::Clear, Limits::default());
    go(&mut session, Verb::Ehlo, Accept);
    assert!(!session.offers_starttls() && !session.offers_auth());
    assert_eq!(command(&mut session, Verb::StartTls), 454);
    assert_eq!(command(&mut session, Verb::Auth), 502);
    let offer = Offer { starttls: StartTls::Absent, ..offer };
    let mut session = Session::new(offer, Channel::Clear, Limits::default());
    assert_eq!(command(&mut session, Verb::StartTls), 502);
}
