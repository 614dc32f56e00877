//! Which mechanisms each socket offers: those that a backend can serve, and by default those that serve everybody.
//!
//! Runs in the checker. A client takes the strongest mechanism that it sees and does not come back with another, so one
//! that only some accounts can use would refuse the others with their right password. A backend that can't be asked
//! changes nothing: an outage takes no mechanism away and adds none.

use std::collections::{BTreeSet, HashMap};

use accounts::SCRAM_HASHES;
use credentials::ScramHash;
use ipc::config::{Certificates, Offered, SaslSocket};
use ipc::exchange::{Offer, Reply, Transport};
use protocol::mechanism::{Mechanism, MechanismSet};
use serde_json::{Value, json};

use super::{Dispatcher, Moment};
use crate::dispatch::Origin;

/// How often it is looked whether every account has keys.
const EVERY_NS: u64 = 10_000_000_000;
/// How often it is looked because somebody could not use what is offered: a stranger can make that happen at any rate,
/// and must neither keep the loop busy nor learn from its time whose name that was.
const HURRIED_NS: u64 = 1_000_000_000;

/// What is offered now, and to whom it was told.
#[derive(Default)]
pub(super) struct Offers {
    now: Vec<Offer>,
    told: BTreeSet<Origin>,
    /// Whether some account lacks keys, by backend and mechanism, as it was known last.
    lacking: HashMap<(usize, ScramHash), bool>,
    next_ns: u64,
    /// Before this it is looked no sooner than by itself.
    calm_until_ns: u64,
}

/// What the backends of all chains can do.
struct Survey {
    /// SCRAM mechanisms that serve every account.
    all: MechanismSet,
    /// Those that serve some.
    some: MechanismSet,
    /// CRAM-MD5 and DIGEST-MD5, where passwords are stored in the clear.
    shared: MechanismSet,
}

impl Offers {
    pub(super) fn has(&self, socket: u16, transport: Transport, mechanism: Mechanism) -> bool {
        self.set(socket, transport).contains(mechanism)
    }

    /// Whether some mechanism there binds the channel.
    pub(super) fn has_plus(&self, socket: u16, transport: Transport) -> bool {
        self.set(socket, transport).iter().any(Mechanism::binds_channel)
    }

    fn set(&self, socket: u16, transport: Transport) -> MechanismSet {
        let offer = self.now.get(usize::from(socket)).copied().unwrap_or_default();
        match transport {
            Transport::Tls => offer.tls,
            Transport::Clear => offer.clear,
        }
    }

    /// What a new channel hears first; it hears of changes from now on.
    pub(super) fn greet(&mut self, origin: Origin) -> Reply {
        self.told.insert(origin);
        Reply::Offers(self.now.clone())
    }

    pub(super) fn forget(&mut self, origin: Origin) {
        self.told.remove(&origin);
    }

    /// Has it looked at with the next turn of the clock, or soon if that was done a moment ago.
    pub(super) fn look_again(&mut self, now_ns: u64) {
        if now_ns < self.calm_until_ns {
            self.next_ns = self.next_ns.min(self.calm_until_ns);
        } else {
            self.next_ns = 0;
            self.calm_until_ns = now_ns.saturating_add(HURRIED_NS);
        }
    }

    /// When it is looked at next.
    pub(super) fn next(&self) -> u64 {
        self.next_ns
    }

    /// For the operator.
    pub(super) fn status(&self) -> Value {
        let names = |set: MechanismSet| set.iter().map(Mechanism::as_str).collect::<Vec<_>>();
        let offer = |offer: &Offer| json!({ "tls": names(offer.tls), "clear": names(offer.clear) });
        self.now.iter().map(offer).collect()
    }
}

impl Dispatcher {
    /// Looks at what can be offered, and tells every channel when that is another thing than before.
    pub(super) fn refresh_offers(&mut self, now: Moment) {
        self.offers.next_ns = now.boot_ns.saturating_add(EVERY_NS);
        let speaks_none = |offered| matches!(offered, Offered::Nothing | Offered::Users);
        if self.sasl.sockets.iter().all(|socket| speaks_none(socket.offered)) {
            // Nobody hears of it, so nobody is asked; but each socket has its place.
            self.offers.now = vec![Offer::default(); self.sasl.sockets.len()];
            self.offers.next_ns = u64::MAX;
            return;
        }
        let survey = self.survey(now);
        let offers: Vec<Offer> =
            self.sasl.sockets.iter().map(|socket| offer(socket, &survey)).collect();
        if offers != self.offers.now {
            self.offers.now = offers;
            for origin in &self.offers.told {
                self.replies.push((*origin, Reply::Offers(self.offers.now.clone())));
            }
        }
    }

    fn survey(&mut self, now: Moment) -> Survey {
        let asked: BTreeSet<usize> =
            self.chains.iter().flat_map(|chain| chain.backends.iter().copied()).collect();
        let mut survey = Survey {
            all: MechanismSet::default(),
            some: MechanismSet::default(),
            shared: MechanismSet::default(),
        };
        for index in &asked {
            let Some(backend) = self.backends.get(*index) else { continue };
            if backend.may_have_keys() {
                survey.some = SCRAM_HASHES.into_iter().flat_map(mechanisms_of).collect();
            }
            if backend.holds_passwords() {
                survey.shared = [Mechanism::CramMd5, Mechanism::DigestMd5].into_iter().collect();
            }
        }
        // One that can't be asked is asked no more than once.
        let mut away = BTreeSet::new();
        for hash in SCRAM_HASHES {
            let mut serves = |index: &usize| !self.lacks_keys(*index, hash, now.wall_s, &mut away);
            let serves_all = asked.iter().all(&mut serves);
            if serves_all && !asked.is_empty() {
                survey.all = mechanisms_of(hash).into_iter().fold(survey.all, MechanismSet::with);
            }
        }
        survey
    }

    /// As it was known last, where the backend can't be asked now.
    fn lacks_keys(
        &mut self,
        index: usize,
        hash: ScramHash,
        wall: u64,
        away: &mut BTreeSet<usize>,
    ) -> bool {
        let Some(backend) = self.backends.get_mut(index) else { return true };
        if backend.health().trouble.is_none() && !away.contains(&index) {
            match backend.lacks_keys(hash, wall) {
                Ok(lacks) => {
                    self.offers.lacking.insert((index, hash), lacks);
                }
                Err(_) => {
                    away.insert(index);
                }
            }
        }
        self.offers.lacking.get(&(index, hash)).copied().unwrap_or(true)
    }
}

fn mechanisms_of(hash: ScramHash) -> [Mechanism; 2] {
    match hash {
        ScramHash::Sha1 => [Mechanism::ScramSha1, Mechanism::ScramSha1Plus],
        ScramHash::Sha512 => [Mechanism::ScramSha512, Mechanism::ScramSha512Plus],
        // Cyrus's own two are no mechanisms of this house.
        _ => [Mechanism::ScramSha256, Mechanism::ScramSha256Plus],
    }
}

fn offer(socket: &SaslSocket, survey: &Survey) -> Offer {
    let plain = MechanismSet::default().with(Mechanism::Plain).with(Mechanism::Login);
    let external = match socket.certificates {
        Certificates::Stated => MechanismSet::default().with(Mechanism::External),
        Certificates::NotStated => MechanismSet::default(),
    };
    let tls = match socket.offered {
        Offered::Nothing | Offered::Users => MechanismSet::default(),
        Offered::Auto => plain.or(survey.all).or(external),
        Offered::Listed(listed) => {
            let anonymous = MechanismSet::default().with(Mechanism::Anonymous);
            let usable = plain.or(survey.some).or(survey.shared).or(external).or(anonymous);
            listed.set().and(usable)
        }
    };
    // Without TLS there is no channel to bind to.
    let bound = tls.iter().filter(|mechanism| !mechanism.binds_channel()).collect::<MechanismSet>();
    Offer { tls, clear: bound.and(socket.before_tls.set()) }
}

#[cfg(test)]
mod tests {
    use ipc::config::Mechanisms;

    use super::*;

    fn set(names: &[&str]) -> MechanismSet {
        Mechanisms::of_names(names.iter().copied()).set()
    }

    fn survey(all: &[&str], some: &[&str], shared: &[&str]) -> Survey {
        Survey { all: set(all), some: set(some), shared: set(shared) }
    }

    fn listed(names: &[&str]) -> Offered {
        Offered::Listed(Mechanisms::of_names(names.iter().copied()))
    }

    #[test]
    fn offered_is_usable() {
        let scram = ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"];
        let nobody = survey(&[], &[], &[]);
        let everybody = survey(&scram, &scram, &[]);
        let sasldb = survey(&scram, &scram, &["CRAM-MD5", "DIGEST-MD5"]);
        let all: Vec<&str> = Mechanism::ALL.map(Mechanism::as_str).to_vec();
        let both = ["PLAIN", "LOGIN"];
        let cases: [(Offered, Certificates, &Survey, Vec<&str>); 7] = [
            (Offered::Nothing, Certificates::Stated, &sasldb, vec![]),
            (Offered::Auto, Certificates::NotStated, &nobody, both.to_vec()),
            (Offered::Auto, Certificates::NotStated, &everybody, [both, scram].concat()),
            (
                Offered::Auto,
                Certificates::Stated,
                &sasldb,
                [&both[..], &scram, &["EXTERNAL"]].concat(),
            ),
            (listed(&all), Certificates::NotStated, &nobody, [&both[..], &["ANONYMOUS"]].concat()),
            (listed(&["CRAM-MD5"]), Certificates::NotStated, &sasldb, vec!["CRAM-MD5"]),
            (listed(&["EXTERNAL"]), Certificates::NotStated, &sasldb, vec![]),
        ];
        for (offered, certificates, survey, expected) in cases {
            let before_tls = Mechanisms::of_names(all.iter().copied());
            let socket = SaslSocket { offered, before_tls, certificates };
            let offer = offer(&socket, survey);
            assert_eq!(offer.tls, set(&expected), "{offered:?}");
            let without: Vec<_> =
                expected.iter().copied().filter(|name| !name.ends_with("-PLUS")).collect();
            assert_eq!(offer.clear, set(&without), "{offered:?}");
            let closed = SaslSocket { before_tls: Mechanisms::default(), ..socket };
            assert!(super::offer(&closed, survey).clear.is_empty());
        }
    }
}
