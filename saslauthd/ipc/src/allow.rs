//! The allow tables: for each direction the messages that may come, how long, and how often.
//!
//! The table is the policy, as in OpenSSH's monitor: what is not in it ends the sender.

use crate::Malformed;
use crate::exchange::{MAX_BINDING, MAX_MASKS, MAX_MESSAGE, MAX_PART, MAX_SOCKETS};
use protocol::Name;

/// How often a message may come in the life of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    /// Once; a second one is malformed.
    Once,
    /// As often as it is needed.
    Always,
}

/// One permitted message.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The message's first byte.
    pub tag: u8,
    /// Its name, for the log.
    pub name: &'static str,
    /// The most bytes it may have, tag included.
    pub most: usize,
    /// How often it may come.
    pub often: Often,
}

/// A name, or a SASL message, with the length before it.
const NAME: usize = 2 + Name::MAX;
const MESSAGE: usize = 2 + MAX_MESSAGE;

/// Listener to checker.
pub const LISTENER_TO_CHECKER: &[Row] = &[
    Row { tag: 1, name: "verify", most: 16 * 1024, often: Often::Always },
    Row { tag: 2, name: "unreadable", most: 16, often: Often::Always },
    Row { tag: 3, name: "begin", most: 49 + 2 * NAME + MESSAGE, often: Often::Always },
    Row { tag: 4, name: "respond", most: 10 + MESSAGE + 2 + MAX_BINDING, often: Often::Always },
    Row { tag: 5, name: "cancel", most: 9, often: Often::Always },
    Row { tag: 6, name: "find", most: 26 + MAX_MASKS * NAME, often: Often::Always },
    Row { tag: 7, name: "decided", most: 15 + 3 * NAME, often: Often::Always },
];

/// Checker to listener.
pub const CHECKER_TO_LISTENER: &[Row] = &[
    Row { tag: 1, name: "answer", most: 10, often: Often::Always },
    Row { tag: 2, name: "challenge", most: 10 + MESSAGE, often: Often::Always },
    Row {
        tag: 3,
        name: "ended",
        most: 13 + NAME + MESSAGE + 2 + protocol::Senders::MAX,
        often: Often::Always,
    },
    Row { tag: 4, name: "found", most: 17 + MAX_PART, often: Often::Always },
    Row { tag: 5, name: "offers", most: 3 + 8 * MAX_SOCKETS, often: Often::Always },
];

/// Parent to listener.
pub const PARENT_TO_LISTENER: &[Row] = &[
    Row { tag: 0, name: "serve", most: 64 * 1024, often: Often::Always },
    Row { tag: 1, name: "checker", most: 1, often: Often::Always },
    Row { tag: 2, name: "ping", most: 1, often: Often::Always },
    Row { tag: 3, name: "stop", most: 1, often: Often::Once },
    Row { tag: 4, name: "access", most: 64 * 1024, often: Often::Always },
];

/// Parent to checker.
pub const PARENT_TO_CHECKER: &[Row] = &[
    Row { tag: 0, name: "configure", most: 64 * 1024, often: Often::Once },
    Row { tag: 1, name: "listener", most: 1, often: Often::Always },
    Row { tag: 2, name: "log", most: 1, often: Often::Always },
    Row { tag: 3, name: "ping", most: 1, often: Often::Always },
    Row { tag: 4, name: "house", most: 64 * 1024, often: Often::Always },
    Row { tag: 5, name: "stop", most: 1, often: Often::Once },
];

/// A child, whichever, to the parent.
pub const CHILD_TO_PARENT: &[Row] = &[
    Row { tag: 0, name: "ready", most: 4 * 1024, often: Often::Once },
    Row { tag: 1, name: "alive", most: 1, often: Often::Always },
    Row { tag: 2, name: "want log", most: 1, often: Often::Always },
    Row { tag: 3, name: "refused", most: 4 * 1024, often: Often::Once },
    Row { tag: 4, name: "event", most: 16, often: Often::Always },
];

/// The most bytes of any message of a table.
pub(crate) const fn longest(table: &[Row]) -> usize {
    match table {
        [] => 0,
        [row, rest @ ..] => {
            let other = longest(rest);
            if row.most > other { row.most } else { other }
        }
    }
}

/// Holds one end of a channel to its table.
pub struct Gate {
    table: &'static [Row],
    seen: u64,
}

impl Gate {
    /// A gate through which nothing has come yet.
    pub fn new(table: &'static [Row]) -> Self {
        Self { table, seen: 0 }
    }

    /// Admits a message of `length` bytes, or says why it is malformed.
    pub fn admit(&mut self, tag: u8, length: usize) -> Result<(), Malformed> {
        let Some((place, row)) = self.table.iter().enumerate().find(|(_, row)| row.tag == tag)
        else {
            return Err(Malformed::UnknownTag(tag));
        };
        if length > row.most {
            return Err(Malformed::TooLong(tag));
        }
        let bit = 1u64 << place;
        if row.often == Often::Once && self.seen & bit != 0 {
            return Err(Malformed::Repeated(tag));
        }
        self.seen |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_passes() {
        let mut gate = Gate::new(PARENT_TO_CHECKER);
        assert_eq!(gate.admit(9, 1), Err(Malformed::UnknownTag(9)));
        assert_eq!(gate.admit(3, 2), Err(Malformed::TooLong(3)));
        assert_eq!(gate.admit(0, 100), Ok(()));
        assert_eq!(gate.admit(0, 100), Err(Malformed::Repeated(0)));
        assert_eq!(gate.admit(3, 1), Ok(()));
        assert_eq!(gate.admit(3, 1), Ok(()));
    }
}
