//! Our mechanisms, and two of rsasl's own, in rsasl's registry; and the session that drives one of them.
//!
//! Runs in the checker. rsasl's PLAIN, LOGIN and SCRAM are not here: they panic on some messages of a client, change the
//! password, tell unknown users apart, or take `-PLUS` without a binding. Its EXTERNAL and ANONYMOUS hand
//! over one string and do nothing else. A panic inside a session ends that exchange and nothing more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use credentials::{ScramHash, Trouble};
use protocol::Name;
use protocol::mechanism::Mechanism;
use rsasl::callback::{Context, Request, SessionCallback, SessionData};
use rsasl::mechanism::{
    Authentication, EmptyProvider, MechanismData, MechanismError, MechanismErrorKind, ThisProvider,
};
use rsasl::mechanisms::anonymous::{ANONYMOUS, AnonymousToken};
use rsasl::mechanisms::external::EXTERNAL;
use rsasl::prelude::{
    Mechname, MessageSent, Property, Registry, SASLConfig, SASLServer, Session, SessionError,
    State, Validation,
};
use rsasl::property::AuthzId;
use rsasl::registry::{Mechanism as Registered, Side};
use rsasl::validate::{Validate, ValidationError};
use zeroize::Zeroizing;

use crate::conversation::{Conversation, Event, Facts};
use crate::cram_md5::CramMd5;
use crate::digest_md5::DigestMd5;
use crate::plain::{Login, Plain};
use crate::scram::Scram;
use crate::step::{Binding, Material, Refusal, Step};

/// Room for any challenge, so that no copy of one is left behind by a buffer that grew.
const CHALLENGE: usize = 2048;

/// RFC 4505 §2, in characters.
const LONGEST_TRACE: usize = 255;

/// In the order of [`Mechanism::ALL`].
static REGISTERED: [Registered; 12] = [
    ours(b"PLAIN", |_| Ok(Box::new(Ours(Plain))), Side::Client),
    ours(b"LOGIN", |_| Ok(Box::new(Ours(Login::default()))), Side::Server),
    ours(b"SCRAM-SHA-1", |_| Ok(scram(ScramHash::Sha1)), Side::Client),
    ours(b"SCRAM-SHA-1-PLUS", |_| Ok(scram_plus(ScramHash::Sha1)), Side::Client),
    ours(b"SCRAM-SHA-256", |_| Ok(scram(ScramHash::Sha256)), Side::Client),
    ours(b"SCRAM-SHA-256-PLUS", |_| Ok(scram_plus(ScramHash::Sha256)), Side::Client),
    ours(b"SCRAM-SHA-512", |_| Ok(scram(ScramHash::Sha512)), Side::Client),
    ours(b"SCRAM-SHA-512-PLUS", |_| Ok(scram_plus(ScramHash::Sha512)), Side::Client),
    EXTERNAL,
    ours(b"CRAM-MD5", |_| Ok(Box::new(Ours(CramMd5::default()))), Side::Server),
    ours(b"DIGEST-MD5", |_| Ok(Box::new(Ours(DigestMd5::default()))), Side::Server),
    ANONYMOUS,
];

const fn ours(
    name: &'static [u8],
    server: rsasl::registry::ServerStartFn,
    first: Side,
) -> Registered {
    // We are never a client, so that nothing is ever selected.
    let name = Mechname::const_new_unchecked(name);
    Registered::build(name, 0, None, Some(server), first, |_| None, |_| true)
}

fn scram(hash: ScramHash) -> Box<dyn Authentication> {
    Box::new(Ours(Scram::new(hash)))
}

fn scram_plus(hash: ScramHash) -> Box<dyn Authentication> {
    Box::new(Ours(Scram::plus(hash)))
}

/// What an exchange lays down for its mechanism, and the mechanism for the exchange.
struct Desk {
    facts: Facts,
    incoming: Incoming,
    /// The data of the channel, with a response.
    channel: Option<Vec<u8>>,
    /// Which data of the channel the challenge that was just written asks for.
    binding: Option<Binding>,
    /// A step that is neither a message to the client nor the end.
    aside: Option<Step>,
}

/// What comes to the mechanism other than from the client.
enum Incoming {
    Nothing,
    Material(Material),
    Conclude,
}

impl Property<'_> for Desk {
    type Value = Mutex<Self>;
}

/// How an exchange ended.
struct Outcome;

impl Validation for Outcome {
    type Value = Step;
}

impl Property<'_> for Outcome {
    type Value = Mutex<Option<Step>>;
}

/// One session of rsasl.
pub(crate) struct Talk {
    session: Session<Outcome>,
    desk: Arc<Mutex<Desk>>,
}

impl Talk {
    /// A session of the mechanism.
    pub(crate) fn new(mechanism: Mechanism, facts: Facts) -> Result<Self, Trouble> {
        let desk = Arc::new(Mutex::new(Desk {
            facts,
            incoming: Incoming::Nothing,
            channel: None,
            binding: None,
            aside: None,
        }));
        let name = Mechname::parse(mechanism.as_str().as_bytes()).map_err(trouble)?;
        let config = SASLConfig::builder()
            .with_registry(Registry::with_mechanisms(&REGISTERED))
            .with_callback(Callback { desk: Arc::clone(&desk) })
            .map_err(trouble)?;
        let session = SASLServer::<Outcome>::new(config).start_suggested(name).map_err(trouble)?;
        Ok(Self { session, desk })
    }

    /// Whether the mechanism's first message is the server's.
    pub(crate) fn server_speaks_first(&self) -> bool {
        self.session.are_we_first()
    }

    /// Passes the client's message on; `None` where the server speaks first.
    pub(crate) fn hear(&mut self, message: Option<&[u8]>, channel: Option<&[u8]>) -> Step {
        self.with_desk(|desk| desk.channel = channel.map(<[u8]>::to_vec));
        self.advance(message)
    }

    /// Passes on what was wanted.
    pub(crate) fn supply(&mut self, material: Material) -> Step {
        self.with_desk(|desk| desk.incoming = Incoming::Material(material));
        self.advance(None)
    }

    /// Has the proof compared.
    pub(crate) fn conclude(&mut self) -> Step {
        self.with_desk(|desk| desk.incoming = Incoming::Conclude);
        self.advance(None)
    }

    fn advance(&mut self, input: Option<&[u8]>) -> Step {
        let mut bytes = Zeroizing::new(Vec::with_capacity(CHALLENGE));
        let session = &mut self.session;
        // No input is known that panics here; if there is one, it costs its sender the exchange.
        let done = catch_unwind(AssertUnwindSafe(|| session.step(input, &mut *bytes)));
        match done {
            Ok(Ok(State::Running)) => self.with_desk(|desk| match desk.aside.take() {
                Some(step) => step,
                None => Step::Challenge { bytes, binding: desk.binding.take() },
            }),
            Ok(Ok(State::Finished(_))) => self.session.validation().unwrap_or_else(silence),
            Ok(Err(SessionError::MechanismError(error))) => refused(&*error),
            Ok(Err(error)) => Step::Unavailable(trouble(error)),
            Err(_) => Step::Unavailable(Trouble::new("a SASL exchange panicked")),
        }
    }

    fn with_desk<T>(&self, work: impl FnOnce(&mut Desk) -> T) -> T {
        work(&mut self.desk.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// rsasl finished and nobody said how.
fn silence() -> Step {
    Step::Unavailable(Trouble::new("a SASL exchange ended without an outcome"))
}

fn trouble(error: impl std::fmt::Display) -> Trouble {
    Trouble::new(format!("rsasl: {error}"))
}

/// rsasl's own mechanisms complain of nothing but bytes that are no UTF-8.
fn refused(error: &dyn MechanismError) -> Step {
    match error.kind() {
        MechanismErrorKind::Outcome => Step::Refused(Refusal::WrongProof),
        _ => Step::Refused(Refusal::Malformed),
    }
}

/// One of our mechanisms, as rsasl drives it.
struct Ours<C>(C);

impl<C: Conversation> Authentication for Ours<C> {
    fn step(
        &mut self,
        session: &mut MechanismData<'_, '_>,
        input: Option<&[u8]>,
        writer: &mut dyn std::io::Write,
    ) -> Result<State, SessionError> {
        let step = session.need_with::<Desk, _, _>(&EmptyProvider, |desk| {
            let mut desk = desk.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(desk.turn(&mut self.0, input))
        })?;
        match step {
            None => Ok(State::Running),
            Some(Step::Challenge { bytes, .. }) => {
                writer.write_all(&bytes)?;
                Ok(State::Running)
            }
            Some(end) => {
                let outcome = Mutex::new(Some(end));
                session.validate(&ThisProvider::<Outcome>::with(&outcome))?;
                Ok(State::Finished(MessageSent::No))
            }
        }
    }
}

impl Desk {
    /// `None` when the mechanism said something that is for the checker, and goes on.
    fn turn(&mut self, conversation: &mut impl Conversation, input: Option<&[u8]>) -> Option<Step> {
        let channel = self.channel.take();
        let event = match (std::mem::replace(&mut self.incoming, Incoming::Nothing), input) {
            (Incoming::Material(material), _) => Event::Material(material),
            (Incoming::Conclude, _) => Event::Conclude,
            (Incoming::Nothing, Some(bytes)) => {
                Event::Message { bytes, binding: channel.as_deref() }
            }
            (Incoming::Nothing, None) => Event::Begin,
        };
        match conversation.turn(&self.facts, event) {
            Step::Challenge { bytes, binding } => {
                self.binding = binding;
                Some(Step::Challenge { bytes, binding })
            }
            aside @ (Step::Wants { .. } | Step::Proof { .. }) => {
                self.aside = Some(aside);
                None
            }
            end => Some(end),
        }
    }
}

/// Gives the mechanism its desk and takes the outcome.
struct Callback {
    desk: Arc<Mutex<Desk>>,
}

impl SessionCallback for Callback {
    fn callback(
        &self,
        _session: &SessionData,
        _context: &Context<'_>,
        request: &mut Request<'_>,
    ) -> Result<(), SessionError> {
        request.satisfy::<Desk>(&self.desk)?;
        Ok(())
    }

    fn validate(
        &self,
        _session: &SessionData,
        context: &Context<'_>,
        validate: &mut Validate<'_>,
    ) -> Result<(), ValidationError> {
        let step = if let Some(outcome) = context.get_ref::<Outcome>() {
            outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
        } else if let Some(authzid) = context.get_ref::<AuthzId>() {
            Some(named(authzid, |name| Step::Certificate {
                authzid: (!name.is_empty()).then_some(name),
            }))
        } else {
            context
                .get_ref::<AnonymousToken>()
                .filter(|trace| trace.chars().count() <= LONGEST_TRACE)
                .map(|trace| named(trace, |trace| Step::Anonymous { trace }))
                .or(Some(Step::Refused(Refusal::Malformed)))
        };
        validate.finalize::<Outcome>(step.ok_or(ValidationError::MissingRequiredProperty)?);
        Ok(())
    }
}

fn named(text: &str, step: impl FnOnce(Name) -> Step) -> Step {
    Name::new(text.as_bytes()).map_or(Step::Refused(Refusal::Malformed), step)
}
