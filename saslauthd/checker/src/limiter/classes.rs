//! The classes of limits: what each counts, and its name in log and status.
//!
//! Runs in the checker. One table each, so that a spray of addresses can't push out the rows of users.

use ipc::config::{Limits, Rate};

/// What failures are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Class {
    /// A user from one source.
    Pair,
    /// A source, in minutes.
    Source,
    /// A source, in a day.
    SourceDay,
    /// A network, /24 or /56.
    Network,
    /// A wide network, /16 or /48.
    NetworkWide,
    /// A user from all sources that are not known good, in minutes.
    User,
    /// The same in a day.
    UserDay,
    /// A user from one known-good source.
    KnownGood,
    /// A mail server's uid.
    Peer,
    /// Free repeats of a wrong password.
    Repeats,
}

/// All of them, in the order of their tables.
pub(crate) const CLASSES: [Class; 10] = [
    Class::Pair,
    Class::Source,
    Class::SourceDay,
    Class::Network,
    Class::NetworkWide,
    Class::User,
    Class::UserDay,
    Class::KnownGood,
    Class::Peer,
    Class::Repeats,
];

// Two more tables hold known-good sources and digests.
const _: () = assert!(CLASSES.len() + 2 == Limits::TABLES);

impl Class {
    /// Which of the tables is its own.
    pub(crate) fn place(self) -> usize {
        self as usize
    }

    /// The word for the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Source => "source",
            Self::SourceDay => "source-day",
            Self::Network => "network",
            Self::NetworkWide => "network-wide",
            Self::User => "user",
            Self::UserDay => "user-day",
            Self::KnownGood => "known-good",
            Self::Peer => "peer",
            Self::Repeats => "repeats",
        }
    }

    /// Its rate in the config.
    pub(crate) fn rate(self, limits: &Limits) -> Rate {
        match self {
            Self::Pair => limits.pair,
            Self::Source => limits.source,
            Self::SourceDay => limits.source_day,
            Self::Network => limits.network,
            Self::NetworkWide => limits.network_wide,
            Self::User => limits.user,
            Self::UserDay => limits.user_day,
            Self::KnownGood => limits.known_good,
            Self::Peer => limits.peer,
            Self::Repeats => limits.repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_own_table_and_name() {
        for (place, class) in CLASSES.into_iter().enumerate() {
            assert_eq!(class.place(), place);
        }
        let names: std::collections::HashSet<_> = CLASSES.map(Class::as_str).into_iter().collect();
        assert_eq!(names.len(), CLASSES.len());
    }
}
