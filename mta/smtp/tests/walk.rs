//! All sequences of up to five steps, each with each outcome, against a second model. Runs in the test binary.
//!
//! The second model keeps no state: it answers from the history of what was done, read backwards. That costs time and
//! makes it hard for the two to share a mistake.

use smtp::bdat::Position;
use smtp::command::Verb;
use smtp::session::{
    Auth, Channel, Judgement, Limits, Offer, Outcome, Role, Session, StartTls, Step,
};

use Outcome::{Accept, Refuse, Unavailable};

const LENGTH: usize = 5;

/// A step that was done, and what came of it.
type Done = (Step, Outcome);

const fn verb(verb: Verb) -> Step {
    Step::Command(verb)
}

const WITHIN: Step = Step::Chunk(Position::Within);
const LAST: Step = Step::Chunk(Position::Last);

/// What a client may do and what may come of it. Outcomes that the server can't tell apart from others are left out.
const MOVES: [(Step, &[Outcome]); 16] = [
    (verb(Verb::Ehlo), &[Accept, Refuse]),
    (verb(Verb::Helo), &[Accept]),
    (verb(Verb::StartTls), &[Accept, Unavailable]),
    (verb(Verb::Auth), &[Accept, Refuse, Unavailable]),
    (verb(Verb::Mail), &[Accept, Refuse]),
    (verb(Verb::Rcpt), &[Accept, Unavailable]),
    (verb(Verb::Data), &[Accept, Refuse]),
    (Step::EndOfData, &[Accept, Refuse]),
    (WITHIN, &[Accept, Unavailable]),
    (LAST, &[Accept, Refuse]),
    (verb(Verb::Rset), &[Accept]),
    (verb(Verb::Noop), &[Accept]),
    (verb(Verb::Quit), &[Accept]),
    (verb(Verb::Vrfy), &[Accept]),
    (verb(Verb::Expn), &[Accept]),
    (Step::Unknown, &[Accept]),
];

/// The history of a connection as the second model sees it.
struct History<'a> {
    role: Role,
    /// What the connection began in.
    channel: Channel,
    /// Only what was allowed.
    done: &'a [Done],
}

impl History<'_> {
    fn last(&self, step: Step) -> Option<usize> {
        self.done.iter().rposition(|done| *done == (step, Accept))
    }

    fn handshake(&self) -> Option<usize> {
        self.last(verb(Verb::StartTls))
    }

    fn tls(&self) -> bool {
        self.channel == Channel::Tls || self.handshake().is_some()
    }

    /// What was done since the handshake, or since the beginning.
    fn since_handshake(&self) -> &[Done] {
        let start = self.handshake().map_or(0, |at| at + 1);
        self.done.get(start..).unwrap_or_default()
    }

    fn greeted_by(&self) -> Option<Step> {
        let greetings = [verb(Verb::Ehlo), verb(Verb::Helo)];
        let mut seen = self.since_handshake().iter().rev();
        seen.find(|(step, outcome)| *outcome == Accept && greetings.contains(step))
            .map(|(step, _)| *step)
    }

    fn logged_in(&self) -> bool {
        self.since_handshake().contains(&(verb(Verb::Auth), Accept))
    }

    /// What was done since the sender was accepted, unless the message ended or was forgotten.
    fn message(&self) -> Option<&[Done]> {
        let begin = self.last(verb(Verb::Mail))?;
        let since = self.done.get(begin + 1..).unwrap_or_default();
        let over = |(step, outcome): &Done| match *step {
            Step::EndOfData | LAST => true,
            Step::Command(Verb::Ehlo | Verb::Helo | Verb::Rset | Verb::StartTls) => {
                *outcome == Accept
            }
            _ => false,
        };
        (!since.iter().any(over)).then_some(since)
    }

    fn receiving(&self) -> bool {
        self.done.last() == Some(&(verb(Verb::Data), Accept))
    }

    /// The code that a step is refused with; `None` when it is allowed.
    fn refusal(&self, step: Step) -> Option<u16> {
        if self.receiving() != (step == Step::EndOfData) {
            return Some(503);
        }
        let message = self.message();
        let since = message.unwrap_or_default();
        let has = |step| since.contains(&(step, Accept));
        let failed = since.iter().any(|done| matches!(done, (WITHIN, Refuse | Unavailable)));
        let submission = self.role == Role::Submission;
        let first =
            |rules: &[(bool, u16)]| rules.iter().find(|(broken, _)| *broken).map(|(_, code)| *code);
        match step {
            Step::Unknown => Some(500),
            Step::EndOfData => None,
            Step::Command(Verb::StartTls) => first(&[
                (self.tls(), 503),
                (self.greeted_by() != Some(verb(Verb::Ehlo)), 503),
                (message.is_some(), 503),
            ]),
            Step::Command(Verb::Auth) => first(&[
                (!self.tls(), 538),
                (self.logged_in(), 503),
                (self.greeted_by() != Some(verb(Verb::Ehlo)), 503),
                (message.is_some(), 503),
            ]),
            Step::Command(Verb::Mail) => first(&[
                (self.greeted_by().is_none(), 503),
                (submission && !(self.tls() && self.logged_in()), 530),
                (message.is_some(), 503),
            ]),
            Step::Command(Verb::Rcpt) => {
                first(&[(message.is_none() || has(WITHIN) || failed, 503)])
            }
            Step::Command(Verb::Data) => first(&[
                (message.is_none() || has(WITHIN) || failed, 503),
                (!has(verb(Verb::Rcpt)), 554),
            ]),
            Step::Chunk(_) => {
                first(&[(message.is_none() || failed, 503), (!has(verb(Verb::Rcpt)), 554)])
            }
            Step::Command(Verb::Vrfy) => first(&[(!self.logged_in(), 252)]),
            Step::Command(Verb::Expn) => first(&[(!self.logged_in(), 502)]),
            Step::Command(_) => None,
        }
    }
}

struct Walk {
    role: Role,
    channel: Channel,
    done: Vec<Done>,
    steps: u64,
    allowed: u64,
}

impl Walk {
    fn from(&mut self, session: Session, left: usize) {
        if left == 0 {
            return;
        }
        for (step, outcomes) in MOVES {
            let history = History { role: self.role, channel: self.channel, done: &self.done };
            let expected = history.refusal(step);
            let offers = (
                history.channel == Channel::Clear && history.handshake().is_none(),
                history.tls() && !history.logged_in(),
            );
            assert_eq!(
                (session.offers_starttls(), session.offers_auth()),
                offers,
                "{:?}",
                self.done
            );
            let mut judged = session;
            let answer = match judged.judge(step) {
                Judgement::Allowed => None,
                Judgement::Reply(reply) | Judgement::Close(reply) => Some(reply.code().number()),
            };
            assert_eq!(answer, expected, "{step:?} after {:?} as {:?}", self.done, self.role);
            self.steps += 1;
            for outcome in outcomes {
                let mut next = judged;
                next.done(step, *outcome);
                if answer.is_some() {
                    assert_eq!(next, judged, "an outcome of what wasn't allowed changes nothing");
                    self.from(next, left - 1);
                    break;
                }
                self.allowed += 1;
                if step == verb(Verb::Quit)
                    || (step, *outcome) == (verb(Verb::StartTls), Unavailable)
                {
                    continue;
                }
                self.done.push((step, *outcome));
                self.from(next, left - 1);
                self.done.pop();
            }
        }
    }
}

#[test]
fn every_sequence_goes_as_the_second_model_says() {
    // Closing after too many errors has its own tests; here it would only hide the order.
    let limits = Limits { recipients: 100, failures: 100, unknown: 100, errors: 100 };
    for role in [Role::Submission, Role::Relay] {
        for channel in [Channel::Clear, Channel::Tls] {
            let offer = Offer { role, starttls: StartTls::Offered, auth: Auth::Offered };
            let mut walk = Walk { role, channel, done: Vec::new(), steps: 0, allowed: 0 };
            walk.from(Session::new(offer, channel, limits), LENGTH);
            assert!(walk.steps > 1_000_000, "only {} steps", walk.steps);
            assert!(walk.allowed > 100_000, "only {} of them allowed", walk.allowed);
            println!("{role:?} from {channel:?}: {} steps, {} allowed", walk.steps, walk.allowed);
        }
    }
}

/// Five steps don't reach a message that was submitted after STARTTLS, and what comes after it. From there five more do.
#[test]
fn every_sequence_after_a_login_goes_as_the_second_model_says() {
    let limits = Limits { recipients: 100, failures: 100, unknown: 100, errors: 100 };
    let offer = Offer { role: Role::Submission, starttls: StartTls::Offered, auth: Auth::Offered };
    let mut session = Session::new(offer, Channel::Clear, limits);
    let mut walk = Walk {
        role: Role::Submission,
        channel: Channel::Clear,
        done: Vec::new(),
        steps: 0,
        allowed: 0,
    };
    for step in
        [Verb::Ehlo, Verb::StartTls, Verb::Ehlo, Verb::Auth, Verb::Mail, Verb::Rcpt].map(verb)
    {
        assert_eq!(session.judge(step), Judgement::Allowed, "{step:?}");
        session.done(step, Accept);
        walk.done.push((step, Accept));
    }
    walk.from(session, LENGTH);
    assert!(walk.allowed > 100_000, "only {} steps were allowed", walk.allowed);
}
