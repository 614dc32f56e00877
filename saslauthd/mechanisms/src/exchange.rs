//! One exchange with one client, and in which order its caller may do what.
//!
//! Runs in the checker. A call out of turn ends the exchange with [`Step::Unavailable`]: it is a fault of ours, and
//! never a comparison.

use credentials::Trouble;
use protocol::mechanism::Mechanism;

use crate::conversation::{Facts, LONGEST};
use crate::registry::Talk;
use crate::step::{Material, Refusal, Start, Step};

/// A SASL exchange on the server's side (RFC 4422). A few hundred bytes to a few thousand; its secrets are wiped with it.
pub struct Exchange(State);

enum State {
    Live(Talk, Awaited),
    /// With what is to be said to the first call, when the exchange could not begin.
    Over(Option<Trouble>),
}

/// What the caller has to do next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// Bring the initial response, or say that there is none.
    Initial,
    /// Bring the response to the last challenge.
    Response,
    /// Bring the account's secret.
    Material,
    /// Say that the proof may be compared.
    Conclusion,
}

impl Exchange {
    /// An exchange of the mechanism; nothing is sent or heard yet, so call `step`.
    pub fn begin(mut start: Start<'_>) -> Self {
        let facts = Facts::of(&mut start);
        Self::of(start.mechanism, facts)
    }

    fn of(mechanism: Mechanism, facts: Facts) -> Self {
        Self(match Talk::new(mechanism, facts) {
            Ok(talk) => State::Live(talk, Awaited::Initial),
            Err(trouble) => State::Over(Some(trouble)),
        })
    }

    /// The client's message: first its initial response, where `None` says that it sent none, which an empty one
    /// does not say; then each response.
    ///
    /// `channel` are the data of the binding that the last challenge asked for, or `None` where they can't be had.
    pub fn step(&mut self, message: Option<&[u8]>, channel: Option<&[u8]>) -> Step {
        let Some((mut talk, awaited)) = self.take() else { return self.out_of_turn() };
        let step = match (awaited, message) {
            (Awaited::Initial | Awaited::Response, Some(message)) if message.len() > LONGEST => {
                Step::Refused(Refusal::Malformed)
            }
            // The client speaks first and was not asked to (RFC 4422 §3: an empty challenge).
            (Awaited::Initial, None) if !talk.server_speaks_first() => {
                Step::Challenge { bytes: Vec::new().into(), binding: None }
            }
            (Awaited::Initial, message) => talk.hear(message, channel),
            (Awaited::Response, Some(message)) => talk.hear(Some(message), channel),
            _ => return self.out_of_turn(),
        };
        self.carry_on(talk, step)
    }

    /// What [`Step::Wants`] asked for.
    pub fn supply(&mut self, material: Material) -> Step {
        match self.take() {
            Some((mut talk, Awaited::Material)) => {
                let step = talk.supply(material);
                self.carry_on(talk, step)
            }
            _ => self.out_of_turn(),
        }
    }

    /// After [`Step::Proof`], when limiter and account have nothing against it: compares.
    pub fn conclude(&mut self) -> Step {
        match self.take() {
            Some((mut talk, Awaited::Conclusion)) => {
                let step = talk.conclude();
                self.carry_on(talk, step)
            }
            _ => self.out_of_turn(),
        }
    }

    fn take(&mut self) -> Option<(Talk, Awaited)> {
        match std::mem::replace(&mut self.0, State::Over(None)) {
            State::Live(talk, awaited) => Some((talk, awaited)),
            over @ State::Over(_) => {
                self.0 = over;
                None
            }
        }
    }

    fn carry_on(&mut self, talk: Talk, step: Step) -> Step {
        let awaited = match &step {
            Step::Challenge { .. } => Awaited::Response,
            Step::Wants { .. } => Awaited::Material,
            Step::Proof { .. } => Awaited::Conclusion,
            _ => return step,
        };
        self.0 = State::Live(talk, awaited);
        step
    }

    fn out_of_turn(&mut self) -> Step {
        let trouble = match std::mem::replace(&mut self.0, State::Over(None)) {
            State::Over(Some(trouble)) => trouble,
            _ => Trouble::new("a SASL exchange was called out of turn"),
        };
        Step::Unavailable(trouble)
    }
}

#[cfg(test)]
mod tests;
