//! What a success leaves behind: a newer hash for an old record, and when the account was last used.
//!
//! Runs in the checker. Both wait behind every login: hashes in the pool's last lane, writes on the writer's thread.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use accounts::{AccountId, Own, SCRAM_HASHES, UnixTime};
use credentials::{Argon2Settings, Generation, ScramHash, Verifier, needs_upgrade};
use ipc::config::Hashing;
use protocol::Password;
use protocol::mechanism::{Mechanism, MechanismSet};

use super::login::Asked;
use crate::backends::argon2;
use crate::pool::{Done, End, Job, Lane, Work};
use crate::writer::{Task, Writer};

/// Most new hashes that wait; an account that is left out has its turn at its next login.
const MOST_RENEWALS: usize = 64;
/// Most notes that wait for the next write.
const MOST_NOTES: usize = 10_000;
/// Nobody waits for a new hash, but not for ever either.
const PATIENCE: Duration = Duration::from_secs(300);

/// New hashes that are being made, and notes that are not written yet.
pub(super) struct Renewals {
    writer: Writer,
    settings: Option<Argon2Settings>,
    /// SCRAM mechanisms that every account should have keys for.
    derive: Vec<ScramHash>,
    making: HashMap<u64, Record>,
    notes: HashMap<(usize, AccountId), UnixTime>,
}

/// The record that a new hash is for.
struct Record {
    backend: usize,
    account: AccountId,
    seen: Generation,
}

impl Renewals {
    pub(super) fn new(writer: Writer, hashing: &Hashing, set: MechanismSet) -> Self {
        let settings = hashing.upgrade.then(|| argon2(hashing));
        let derive = [
            (Mechanism::ScramSha1, ScramHash::Sha1),
            (Mechanism::ScramSha256, ScramHash::Sha256),
            (Mechanism::ScramSha512, ScramHash::Sha512),
        ];
        let derive = derive.into_iter().filter(|(mechanism, _)| set.contains(*mechanism));
        let derive = derive.map(|(_, hash)| hash).collect();
        Self { writer, settings, derive, making: HashMap::new(), notes: HashMap::new() }
    }

    /// The job that makes a new hash, when the record's scheme is older than that of new ones, and keys for SCRAM that
    /// are missing. A new hash ends older keys, so that those are made with it.
    pub(super) fn wanted(
        &mut self,
        ticket: u64,
        asked: &Asked,
        own: Own,
        verifier: &Verifier,
        password: Password,
    ) -> Option<Job> {
        let settings = self.settings.filter(|settings| needs_upgrade(verifier, settings));
        let is_new = settings.is_some();
        let hashes: Vec<ScramHash> = SCRAM_HASHES
            .into_iter()
            .filter(|hash| match self.derive.contains(hash) {
                true => is_new || !own.has_scram(*hash),
                false => is_new && own.has_scram(*hash),
            })
            .collect();
        let record =
            Record { backend: asked.backend, account: own.account, seen: asked.generation };
        let under_way = self
            .making
            .values()
            .any(|other| (other.backend, other.account) == (record.backend, record.account));
        let is_due = (is_new || !hashes.is_empty()) && verifier.compares_all_of(&password);
        if under_way || self.making.len() >= MOST_RENEWALS || !is_due {
            return None;
        }
        self.making.insert(ticket, record);
        Some(Job {
            ticket,
            lane: Lane::Renewals,
            work: Work::Renew(settings, hashes),
            password,
            deadline: Instant::now() + PATIENCE,
        })
    }

    /// Takes a new hash on to the writer. What is to be logged, if anything.
    pub(super) fn done(&mut self, done: Done) -> Option<String> {
        let record = self.making.remove(&done.ticket)?;
        match done.end {
            End::Renewed(secrets) => {
                let Record { backend, account, seen } = record;
                self.writer.submit(Task::Renew { backend, account, seen, secrets });
                None
            }
            End::Failed(trouble) => Some(format!("no newer hash for an old record: {trouble}")),
            End::Compared(..) => None,
        }
    }

    /// Notes that an account was used, if it is worth a write.
    pub(super) fn note(&mut self, backend: usize, own: Own, wall: u64) {
        let now = UnixTime(i64::try_from(wall).unwrap_or(i64::MAX));
        if own.wants_note(now) && self.notes.len() < MOST_NOTES {
            self.notes.insert((backend, own.account), now);
        }
    }

    /// Has the notes written.
    pub(super) fn write_notes(&mut self) {
        let mut by_backend: HashMap<usize, Vec<(AccountId, UnixTime)>> = HashMap::new();
        for ((backend, account), time) in self.notes.drain() {
            by_backend.entry(backend).or_default().push((account, time));
        }
        for (backend, logins) in by_backend {
            self.writer.submit(Task::Used { backend, logins });
        }
    }

    /// What the writer could not write, a line each.
    pub(super) fn trouble(&self) -> Option<String> {
        self.writer.trouble()
    }

    /// New hashes that are being made, and notes that wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.making.len(), self.notes.len())
    }
}
