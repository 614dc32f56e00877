//! What became of all messages: what was promised, what came, and what may not have been.
//!
//! Runs in the test process. A message that had its 250 came at least once and whole. It came twice only if the sender
//! said that nobody knows whether a server took it, or if a process was struck between the server's 250 and the record of
//! it: the window that RFC 5321, section 6.1, leaves to everybody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::messages::Answer;
use super::rig::Arrived;

/// How late a next hop reads what was sent to it.
const LATE: Duration = Duration::from_secs(2);

/// A message that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) number: u32,
    pub(super) answer: Answer,
    pub(super) point: String,
}

/// What all messages came to.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) points: usize,
    /// Points that were reached.
    pub(super) hits: Vec<String>,
    /// When processes were killed.
    pub(super) kills: Vec<Instant>,
    /// Processes that ended, of those that are struck.
    pub(super) deaths: usize,
    /// Of them, those that their own filter ended.
    pub(super) forbidden: usize,
    /// How often mail went on only when an operator asked for it.
    pub(super) asked: usize,
    /// Points after which mail went on only with a new sender.
    pub(super) renewed: Vec<String>,
    pub(super) sent: Vec<Sent>,
    /// Messages that had their 250, another reply, none.
    pub(super) accepted: usize,
    pub(super) refused: usize,
    pub(super) unanswered: usize,
    /// Came though the client heard no 250: it may send them again.
    pub(super) unpromised: Vec<String>,
    pub(super) doubles: Vec<String>,
    pub(super) wrong: Vec<String>,
}

impl Tally {
    /// A message was sent, and answered.
    pub(super) fn note(&mut self, sent: Sent) {
        match &sent.answer {
            Answer::Accepted(_) => self.accepted += 1,
            Answer::Refused(..) => self.refused += 1,
            Answer::Nothing(_) => self.unanswered += 1,
        }
        if let Answer::Refused(code, text) = &sent.answer
            && !(400..500).contains(code)
        {
            self.wrong.push(format!("{}: a fault of ours is said to be {text}", sent.point));
        }
        self.sent.push(sent);
    }

    /// Adds another rig's.
    pub(super) fn add(&mut self, other: Self) {
        self.points += other.points;
        self.hits.extend(other.hits);
        self.kills.extend(other.kills);
        self.deaths += other.deaths;
        self.forbidden += other.forbidden;
        self.asked += other.asked;
        self.renewed.extend(other.renewed);
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.unpromised.extend(other.unpromised);
        self.doubles.extend(other.doubles);
        self.wrong.extend(other.wrong);
    }

    /// Compares what was promised with what came.
    pub(super) fn compare(&mut self, arrived: &HashMap<u32, Arrived>, log: &str) {
        for sent in std::mem::take(&mut self.sent) {
            let came = arrived.get(&sent.number).cloned().unwrap_or_default();
            let what = format!("{} ({}, {:?})", sent.number, sent.point, sent.answer);
            if came.broken {
                self.wrong.push(format!("half of {what}"));
            }
            match (&sent.answer, came.at.len()) {
                (Answer::Accepted(_), 0) => self.wrong.push(format!("LOST {what}")),
                (Answer::Accepted(_), 1) | (_, 0) => {}
                // The answer was lost on its way, after the message was kept: RFC 5321, section 4.5.3.2.6.
                (Answer::Nothing(_), 1) => self.unpromised.push(what),
                (Answer::Refused(..), 1) => self.wrong.push(format!("came though refused: {what}")),
                (Answer::Accepted(id), _) if self.may_double(&came, id, log) => {
                    self.doubles.push(what);
                }
                (_, copies) => self.wrong.push(format!("{copies} copies of {what}")),
            }
        }
        if arrived.contains_key(&u32::MAX) {
            self.wrong.push("a message came that nobody sent".to_owned());
        }
    }

    /// Whether each copy but the first has an excuse of its own: nobody knew whether the one before it was taken, or
    /// whoever sent that one was killed before it could be written down.
    fn may_double(&self, came: &Arrived, id: &str, log: &str) -> bool {
        let is_doubt = |line: &&str| line.contains(id) && line.contains("nobody knows whether");
        let doubts = log.lines().filter(is_doubt).count();
        let killed = came.at.windows(2).filter(|pair| {
            // What its sender wrote before it was killed may have been read a little later.
            self.kills.iter().any(|at| *at <= pair[1] && pair[0] <= *at + LATE)
        });
        came.at.len() <= 1 + doubts + killed.count()
    }
}
