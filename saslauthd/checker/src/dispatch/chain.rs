//! The walk along a chain of backends.
//!
//! Every backend of the chain is asked until one accepts, as libsasl2 tries each of its `pwcheck_method`s: a user
//! who is unknown, refused or not known about in one may be right in the next. In the end a backend that could not
//! be asked makes the answer Unavailable, since it might have accepted; otherwise it is Refuse.

use std::time::{Duration, Instant};

use accounts::Found;
use credentials::{Lookup, Parts, Reason, Verdict, Verified, Verifier};
use ipc::config::Level;

use super::Dispatcher;
use super::login::{Asked, Away, Login};
use crate::log::{CacheUse, Outcome};
use crate::pool::{Done, End, Job, Lane, Work};

/// Comparisons that are estimated to take no longer than this are done in the loop: handing one over costs as much.
const INLINE_MICROS: u64 = 50;

/// How a login goes on after a step.
enum Step {
    /// Ask the next backend.
    On(Box<Login>),
    /// It is answered, or the pool has it.
    Over,
}

impl Dispatcher {
    /// Asks backend after backend.
    pub(super) fn walk(&mut self, mut login: Box<Login>) {
        loop {
            let chain = self.chains.get(login.chain).map(|chain| &chain.backends);
            let Some(&index) = chain.and_then(|backends| backends.get(login.position)) else {
                return self.exhausted(login);
            };
            login.position += 1;
            login.spent.push(0);
            let Some(backend) = self.backends.get_mut(index) else { continue };
            let wall = (self.clock)().wall_s;
            let (found, change) = backend.lookup(&login.identity, &login.service, wall);
            self.tell(index, change);
            match found {
                Lookup::NotFound => {}
                Lookup::Unavailable(trouble) => {
                    login.away = login.away.or(Some(Away::Backend(index)));
                    login.overlong |= trouble.is_of_one_name();
                }
                Lookup::Found(found) => match self.found(login, index, found) {
                    Step::On(same) => login = same,
                    Step::Over => return,
                },
            }
        }
    }

    /// Compares with what a backend has: by memory, in the loop, or in the pool.
    fn found(&mut self, mut login: Box<Login>, backend: usize, found: Found) -> Step {
        let Found { entry, restrictions, own, complaint, keys: _ } = found;
        if let Some(complaint) = complaint {
            let level = if entry.standing.is_ok() { Level::Warning } else { Level::Error };
            self.log.say(level, format_args!("{complaint}"));
        }
        if let Err(busy) = self.charge_account(&mut login, backend, &entry) {
            self.throttle(busy, login);
            return Step::Over;
        }
        let verifier = entry.verifier;
        let asked = Asked {
            backend,
            generation: entry.generation,
            standing: entry.standing,
            restrictions,
            own,
        };
        if let Some(proof) = self.remembered(&mut login, &asked, &verifier) {
            return self.settle(login, asked, Verdict::Accept(proof), None);
        }
        login.asked = Some(asked);
        if let Some(spent) = login.spent.last_mut() {
            *spent = verifier.cost().micros;
        }
        match self.compare(login, verifier) {
            None => Step::Over,
            Some((login, verdict, verifier)) => self.verdict(login, verdict, Some(verifier)),
        }
    }

    /// In the loop when it costs next to nothing; otherwise the pool takes the login, and gives nothing back now.
    fn compare(
        &mut self,
        mut login: Box<Login>,
        verifier: Verifier,
    ) -> Option<(Box<Login>, Verdict, Verifier)> {
        let password = login.password.take()?;
        if verifier.cost().micros <= INLINE_MICROS {
            let verdict = verifier.compare(&password, &mut self.scratch);
            login.password = Some(password);
            return Some((login, verdict, verifier));
        }
        let waited = (self.clock)().boot_ns.saturating_sub(login.started_ns);
        let left = self.wait_ns.saturating_sub(waited);
        let known = login.reservation.as_ref().is_some_and(|tokens| tokens.known_good());
        if let Some(tokens) = login.reservation.as_ref().filter(|_| !login.held) {
            self.waiting.hold(tokens);
            login.held = true;
        }
        self.pool.submit(Job {
            ticket: login.serial,
            lane: if known { Lane::Known } else { Lane::Others },
            work: Work::Compare(verifier),
            password,
            deadline: Instant::now() + Duration::from_nanos(left),
        });
        self.hashing.insert(login.serial, login);
        None
    }

    /// A job of a login came back from the pool.
    pub(super) fn compared(&mut self, mut login: Box<Login>, done: Done) {
        login.password = Some(done.password);
        let (verdict, verifier) = match done.end {
            End::Compared(verdict, verifier) => (verdict, Some(verifier)),
            End::Failed(trouble) => {
                login.away = Some(Away::Pool);
                (Verdict::Unavailable(trouble), None)
            }
            End::Renewed(_) => return self.finish(login, Outcome::Unavailable("internal")),
        };
        match self.verdict(login, verdict, verifier) {
            Step::On(login) => self.walk(login),
            Step::Over => {}
        }
    }

    /// What a comparison says, of a backend's record or of a stand-in.
    fn verdict(
        &mut self,
        mut login: Box<Login>,
        verdict: Verdict,
        verifier: Option<Verifier>,
    ) -> Step {
        if let Some(asked) = login.asked.take() {
            return self.settle(login, asked, verdict, verifier);
        }
        if matches!(verdict, Verdict::Unavailable(_)) {
            login.away = Some(Away::Pool);
            self.exhausted(login);
        } else {
            // A stand-in never agrees; if it did, it would prove nothing.
            self.exhausted(login);
        }
        Step::Over
    }

    /// Judges the account after the comparison, so that what is wrong with it is told to nobody else than its owner.
    fn settle(
        &mut self,
        mut login: Box<Login>,
        asked: Asked,
        verdict: Verdict,
        verifier: Option<Verifier>,
    ) -> Step {
        let stand_in = verifier.as_ref().is_some_and(Verifier::is_stand_in);
        if let Some(verifier) = verifier.as_ref().filter(|_| !stand_in && login.refused.is_none()) {
            login.scheme = Some(verifier.scheme());
        }
        let proof = match verdict {
            Verdict::Accept(proof) => proof,
            Verdict::Refuse(reason) => {
                let usual = if stand_in { asked.standing.err() } else { None };
                login.note_refusal(asked.backend, usual.unwrap_or(reason));
                return Step::On(login);
            }
            Verdict::Unavailable(trouble) => {
                if login.away != Some(Away::Pool) {
                    self.log.say(Level::Warning, format_args!("no comparison: {trouble}"));
                    login.away = login.away.or(Some(Away::Backend(asked.backend)));
                }
                return Step::On(login);
            }
        };
        let source = login.believed();
        let admitted = asked
            .standing
            .and_then(|()| asked.restrictions.admit(login.service.as_bytes(), source));
        match admitted {
            Ok(()) => self.accept(login, &asked, &proof, verifier),
            Err(reason) => {
                login.note_refusal(asked.backend, reason);
                return Step::On(login);
            }
        }
        Step::Over
    }

    fn accept(
        &mut self,
        mut login: Box<Login>,
        asked: &Asked,
        proof: &Verified,
        verifier: Option<Verifier>,
    ) {
        login.backend = Some(asked.backend);
        if let Err(outcome) = self.authorise(&mut login) {
            return self.finish(login, outcome);
        }
        let now = (self.clock)();
        if let Some(verifier) = &verifier {
            login.scheme = Some(verifier.scheme());
            if let Some(password) =
                login.password.as_ref().filter(|_| self.cache.serves(verifier.is_cheap()))
            {
                let backend = self.backends.get(asked.backend).map_or("", |backend| backend.name());
                let parts = parts(&login, asked, backend);
                self.cache.remember(proof, &parts, password, now.boot_ns);
            }
        }
        if let Some(own) = asked.own {
            self.renewals.note(asked.backend, own, now.wall_s);
            if let (Some(verifier), Some(password)) = (&verifier, login.password.take())
                && let Some(job) =
                    self.renewals.wanted(login.serial, asked, own, verifier, password)
            {
                self.pool.submit(job);
            }
        }
        self.finish(login, Outcome::Accept);
    }

    /// The proof of an earlier comparison of the very same, where the cache serves such schemes.
    fn remembered(
        &mut self,
        login: &mut Login,
        asked: &Asked,
        verifier: &Verifier,
    ) -> Option<Verified> {
        if verifier.is_stand_in() || !self.cache.serves(verifier.is_cheap()) {
            return None;
        }
        let backend = self.backends.get(asked.backend)?.name();
        let password = login.password.as_ref()?;
        let now = (self.clock)().boot_ns;
        let proof = self.cache.find(&parts(login, asked, backend), password, now);
        login.cache = if proof.is_some() { CacheUse::Hit } else { CacheUse::Miss };
        if proof.is_some() {
            login.scheme = Some(verifier.scheme());
        }
        proof
    }

    /// No backend accepted.
    fn exhausted(&mut self, mut login: Box<Login>) {
        match login.away {
            None => {}
            Some(Away::Pool) => return self.finish(login, Outcome::Unavailable("overload")),
            Some(Away::Backend(index)) => {
                login.backend = Some(index);
                return self.finish(login, Outcome::Unavailable("backend"));
            }
        }
        // Who is refused must not learn from the time which backends have that name, or that their record is cheaper
        // than most: each backend that compared nothing, or little, has a stand-in compared, through the same queue.
        login.asked = None;
        while let Some(stand_in) = self.owed(&mut login) {
            match self.compare(login, stand_in) {
                Some((same, ..)) => login = same,
                None => return,
            }
        }
        self.refuse(login);
    }

    /// For the reason of the first backend that knows the user, if any does.
    fn refuse(&mut self, login: Box<Login>) {
        let reason = login.refused.unwrap_or(Reason::UnknownUser);
        self.finish(login, Outcome::Refuse(reason.as_str()));
    }

    /// The stand-in of the next backend whose comparison is missing. A cheap one is hidden by the floor of refusals.
    fn owed(&mut self, login: &mut Login) -> Option<Verifier> {
        loop {
            let index = *self.chains.get(login.chain)?.backends.get(login.stood_in)?;
            let spent = login.spent.get(login.stood_in).copied().unwrap_or(0);
            login.stood_in += 1;
            let stand_in = self.backends.get_mut(index)?.stand_in();
            let cost = stand_in.cost().micros;
            if cost > INLINE_MICROS && cost / 2 > spent {
                return Some(stand_in);
            }
        }
    }
}

/// What a remembered success is about.
fn parts<'a>(login: &'a Login, asked: &Asked, backend: &'a str) -> Parts<'a> {
    Parts {
        user: &login.identity.user,
        realm: &login.identity.realm,
        service: &login.service,
        backend,
        generation: asked.generation,
    }
}
