//! What a proof is worth: whose it is, whether that account may log in, and as whom.
//!
//! Runs in the checker. Tokens are taken before a proof is compared, by [`super::admission`], and settled after it, by
//! [`Dispatcher::finish`], as those of a password are. What is wrong with an account is told to the log alone, and only
//! when the proof was right.

use credentials::{Lookup, Reason, Verified};
use ipc::config::{Mapping, MappingRule};
use ipc::exchange::Message;
use mechanisms::Step;
use protocol::Name;

use super::Dispatcher;
use super::exchange::exchange_of;
use super::login::{Away, Login};
use crate::log::Outcome;
use crate::mapping::{Identity, identity};

impl Dispatcher {
    /// Compares a proof whose tokens are taken.
    pub(super) fn prove(&mut self, mut login: Box<Login>) {
        if let Some((backend, generation)) =
            login.asked.as_ref().map(|asked| (asked.backend, asked.generation))
            && let Err(busy) = self.charge_record(&mut login, backend, generation)
        {
            return self.throttle(busy, login);
        }
        match exchange_of(&mut login).map(mechanisms::Exchange::conclude) {
            None => self.finish(login, Outcome::Unavailable("internal")),
            // The last words are the server's own proof: nobody hears them whose account is closed.
            Some(Step::Challenge { bytes, binding }) => match self.judged(&mut login) {
                Ok(()) => self.vouch(login, bytes, binding),
                Err(outcome) => self.finish(login, outcome),
            },
            Some(step) => self.carry_on(login, step),
        }
    }

    /// A proof was right.
    pub(super) fn proven(
        &mut self,
        mut login: Box<Login>,
        _proof: &Verified,
        last_words: Option<Message>,
    ) {
        if let Some(sasl) = &mut login.sasl {
            sasl.last_words = last_words;
        }
        match self.judged(&mut login) {
            Ok(()) => {
                let asked = login.asked.as_ref();
                if let Some((backend, own)) =
                    asked.and_then(|asked| Some((asked.backend, asked.own?)))
                {
                    self.renewals.note(backend, own, (self.clock)().wall_s);
                }
                self.finish(login, Outcome::Accept);
            }
            Err(outcome) => self.finish(login, outcome),
        }
    }

    /// A proof was wrong, or there was nothing that it could have agreed with.
    pub(super) fn disproven(&mut self, mut login: Box<Login>) {
        if let Some(asked) = login.asked.take() {
            login.note_refusal(asked.backend, Reason::WrongPassword);
        }
        let outcome = self.refusal(&mut login);
        self.finish(login, outcome);
    }

    /// The account as it is now, and whom the client wants to be.
    fn judged(&mut self, login: &mut Login) -> Result<(), Outcome> {
        self.look_again_at(login)?;
        let Some(asked) = &login.asked else { return Err(Outcome::Unavailable("internal")) };
        let backend = asked.backend;
        let admitted = apart_from_hash(asked.standing)
            .and_then(|()| asked.restrictions.admit(login.service.as_bytes(), login.believed()));
        if let Err(reason) = admitted {
            login.note_refusal(backend, reason);
            return Err(self.refusal(login));
        }
        login.backend = Some(backend);
        self.authorise(login)
    }

    /// The end of a login that no backend accepted.
    pub(super) fn refusal(&mut self, login: &mut Login) -> Outcome {
        match login.away {
            Some(Away::Pool) => Outcome::Unavailable("overload"),
            Some(Away::Backend(index)) => {
                login.backend = Some(index);
                Outcome::Unavailable("backend")
            }
            None => Outcome::Refuse(login.refused.unwrap_or(Reason::UnknownUser).as_str()),
        }
    }

    /// EXTERNAL: it is whoever the certificate says, if there is such an account and it may log in.
    pub(super) fn certified(&mut self, mut login: Box<Login>) {
        let Some(certificate) = login.sasl.as_ref().and_then(|sasl| sasl.certificate.clone())
        else {
            return self.finish(login, Outcome::Refuse("no-certificate"));
        };
        login.identity = Identity { user: certificate, realm: Name::default() };
        if !self.place(&mut login) {
            return self.finish(login, Outcome::Refuse(Reason::NameNotAllowed.as_str()));
        }
        let identity = login.identity.clone();
        let admitted = self.admitted(&identity, &login);
        let outcome = admitted.and_then(|backend| {
            login.backend = Some(backend);
            self.authorise(&mut login)
        });
        self.finish(login, outcome.err().unwrap_or(Outcome::Accept));
    }

    /// Whether the client may be whom it wants to be: itself, or anybody where it is a master.
    pub(super) fn authorise(&mut self, login: &mut Login) -> Result<(), Outcome> {
        let Some(authzid) = login.sasl.as_ref().and_then(|sasl| sasl.authzid.as_ref()) else {
            return Ok(());
        };
        let refused = Err(Outcome::Refuse("authzid-not-allowed"));
        let wanted = identity(&self.one_name, self.names, authzid, &Name::default());
        let Some(wanted) = wanted else { return refused };
        if wanted == login.identity {
            return Ok(());
        }
        if !self.masters.contains(&login.identity) {
            return refused;
        }
        let backend = self.admitted(&wanted, login)?;
        login.backend = login.backend.or(Some(backend));
        if let Some(sasl) = &mut login.sasl {
            sasl.acting = Some(wanted);
            sasl.acting_in = Some(backend);
        }
        Ok(())
    }

    /// The backend that has an account of this identity, which may log in as this login asks to.
    fn admitted(&mut self, identity: &Identity, login: &Login) -> Result<usize, Outcome> {
        let chain = self.chain_of(&identity.realm);
        let order = self.chains.get(chain).map(|chain| chain.backends.clone()).unwrap_or_default();
        let (mut away, mut refused) = (false, None);
        for index in order {
            let Some(backend) = self.backends.get_mut(index) else { continue };
            let wall = (self.clock)().wall_s;
            let (found, change) = backend.lookup(identity, &login.service, wall);
            self.tell(index, change);
            match found {
                Lookup::NotFound => {}
                Lookup::Unavailable(_) => away = true,
                Lookup::Found(found) => {
                    let (service, source) = (login.service.as_bytes(), login.believed());
                    let standing = apart_from_hash(found.entry.standing);
                    match standing.and_then(|()| found.restrictions.admit(service, source)) {
                        Ok(()) => return Ok(index),
                        Err(reason) => refused = refused.or(Some(reason)),
                    }
                }
            }
        }
        if away {
            return Err(Outcome::Unavailable("backend"));
        }
        Err(Outcome::Refuse(refused.unwrap_or(Reason::UnknownUser).as_str()))
    }

    /// An identity as one name, by which peers know it.
    pub(super) fn one_name(&self, identity: &Identity) -> Option<Name> {
        joined(&self.one_name, identity)
    }
}

/// User and realm as one name. Where mapping would find the same realm without it, the realm is left out. `None` when both
/// are too long for one: without its realm it would be somebody else's.
pub(super) fn joined(mapping: &Mapping, identity: &Identity) -> Option<Name> {
    let Identity { user, realm } = identity;
    let is_apart = match mapping.rule {
        MappingRule::Join => false,
        MappingRule::Split => !realm.is_empty(),
        MappingRule::Cyrus => {
            !realm.is_empty() && realm.as_bytes() != mapping.default_realm.as_bytes()
        }
    };
    if !is_apart {
        return Some(user.clone());
    }
    Name::new(&[user.as_bytes(), b"@", realm.as_bytes()].concat()).ok()
}

/// A standing without what is wrong with the stored hash, for whoever proves to be its owner by something else. Of a
/// damaged record nobody knows what else it would say.
pub(super) fn apart_from_hash(standing: Result<(), Reason>) -> Result<(), Reason> {
    match standing {
        Err(
            Reason::NoPassword | Reason::SchemeNotAllowed | Reason::TooExpensive | Reason::NoKeys,
        ) => Ok(()),
        other => other,
    }
}
