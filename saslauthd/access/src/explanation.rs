//! How a decision came about: `mailauth access explain` prints it.
//!
//! The same rules run with and without it, so that what is explained is what the daemon does.

use std::fmt;

use crate::decide::Ruleset;
use crate::decision::{Decision, NameForm};

/// What a key was found to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No such key.
    NotFound,
    /// The entry in this line, with this value (`…` where it holds a password).
    Found {
        /// The line in the map.
        line: u32,
        /// The value as the map has it.
        value: String,
    },
    /// The map can't be asked.
    Unavailable,
}

/// One key that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The key, folded to lower case as the map folds it.
    pub key: String,
    /// What was found.
    pub outcome: Outcome,
}

/// One requirement that was weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name in the map: `VERIFY`, `ENCR`, `CN`, `CS`, `CI`, `CITag`, `CA`, `PURPOSE`.
    pub requirement: &'static str,
    /// What the session has.
    pub have: String,
    /// What is wanted.
    pub want: String,
    /// Is it met?
    pub met: bool,
}

/// A decision and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What was asked.
    pub ruleset: Ruleset,
    /// What was decided.
    pub decision: Decision,
    /// The keys in the order in which they were tried.
    pub lookups: Vec<Lookup>,
    /// The requirements in the order in which they were weighed; the first that is not met decides.
    pub checks: Vec<Check>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "asked     {}", self.ruleset.as_str())?;
        for lookup in &self.lookups {
            match &lookup.outcome {
                Outcome::NotFound => writeln!(f, "key       {}", lookup.key)?,
                Outcome::Found { line, value } => {
                    writeln!(f, "key       {} = {value} (line {line})", lookup.key)?;
                }
                Outcome::Unavailable => writeln!(f, "key       {}: map unavailable", lookup.key)?,
            }
        }
        for check in &self.checks {
            let met = if check.met { "met" } else { "not met" };
            let Check { requirement, have, want, .. } = check;
            writeln!(f, "require   {requirement}: have `{have}`, want `{want}`: {met}")?;
        }
        let decision = &self.decision;
        if let Some(hit) = &decision.hit {
            let form = match hit.form {
                NameForm::OpenSsl3 => "",
                NameForm::OpenSsl1_1 => ", by the name as OpenSSL 1.1 wrote it",
            };
            writeln!(f, "hit       {} (line {}{form})", hit.key, hit.line)?;
        }
        if let Some(reply) = &decision.reply {
            writeln!(f, "reply     {reply}")?;
        }
        let last = if decision.last { ", and no later check takes it back" } else { "" };
        writeln!(f, "decision  {}{last}", decision.action.as_str())?;
        writeln!(f, "because   {}", decision.because)
    }
}
