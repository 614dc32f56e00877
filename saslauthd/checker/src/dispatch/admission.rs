//! Who may try a password now: the limiter's tokens, and the wait for those that others hold.

use credentials::{Entry, Generation};

use super::Dispatcher;
use super::login::Login;
use crate::backends::Backend;
use crate::limiter::{Ask, Busy, Reserved};
use crate::log::Outcome;

/// Most logins that wait for the pool or for a token.
const MOST_IN_FLIGHT: usize = 16_384;

impl Dispatcher {
    /// Takes tokens and walks the chain, or waits, or refuses.
    pub(super) fn admit(&mut self, login: Box<Login>) {
        if self.hashing.len() + self.waiting.len() >= MOST_IN_FLIGHT {
            return self.finish(login, Outcome::Unavailable("overload"));
        }
        if let Err((busy, login)) = self.try_admit(login) {
            if self.waiting.is_held(busy) {
                self.waiting.add(busy, login);
            } else {
                self.throttle(busy, login);
            }
        }
    }

    /// Gives the login back when there is no token.
    fn try_admit(&mut self, mut login: Box<Login>) -> Result<(), (Busy, Box<Login>)> {
        let password = login.password.as_ref();
        let ask = Ask {
            user: login.user_tag,
            name: login.name_tag,
            source: login.believed(),
            peer_uid: login.peer.uid,
            password: password.map_or(b"", |password| password.reveal()),
        };
        let reserved = match password {
            Some(_) => self.limiter.reserve(ask),
            None => self.limiter.reserve_proof(ask),
        };
        let is_proof = password.is_none();
        match reserved {
            Reserved::Taken(reservation) => {
                login.reservation = Some(reservation);
                if is_proof {
                    self.prove(login)
                } else {
                    self.walk(login)
                }
                Ok(())
            }
            Reserved::Throttled(busy) => Err((busy, login)),
        }
    }

    /// Takes the tokens of an account that may have been found under one name of many.
    pub(super) fn charge_account(
        &mut self,
        login: &mut Login,
        backend: usize,
        found: &Entry,
    ) -> Result<(), Busy> {
        if found.verifier.is_stand_in() {
            return Ok(());
        }
        self.charge_record(login, backend, found.generation)
    }

    /// The same by what is known of its record.
    pub(super) fn charge_record(
        &mut self,
        login: &mut Login,
        backend: usize,
        generation: Generation,
    ) -> Result<(), Busy> {
        let has_aliases = self.backends.get(backend).is_some_and(Backend::has_aliases);
        let Some(tokens) = login.reservation.as_mut().filter(|_| has_aliases) else {
            return Ok(());
        };
        if !login.held {
            return self.limiter.charge_account(tokens, &generation.0);
        }
        tokens.charged().for_each(|busy| self.waiting.release(busy));
        let charged = self.limiter.charge_account(tokens, &generation.0);
        self.waiting.hold(tokens);
        charged
    }

    /// The password is not looked at, so that a right one is refused as a wrong one is.
    pub(super) fn throttle(&mut self, busy: Busy, mut login: Box<Login>) {
        self.limiter.note_throttled(busy);
        self.totals.throttled += 1;
        login.throttled = Some(busy.0.as_str());
        self.finish(login, Outcome::Refuse("throttled"));
    }

    /// Gives those who wait for tokens that came back another try, until none is left.
    pub(super) fn wake(&mut self) {
        while let Some(busy) = self.released.pop() {
            let mut queue = self.waiting.take(busy);
            while let Some(login) = queue.pop_front() {
                let Err((other, login)) = self.try_admit(login) else { continue };
                if !self.waiting.is_held(other) {
                    self.throttle(other, login);
                } else if other == busy {
                    queue.push_front(login);
                    break;
                } else {
                    self.waiting.add(other, login);
                }
            }
            self.waiting.put_back(busy, queue);
        }
    }
}
