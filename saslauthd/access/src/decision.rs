//! What was decided, and by which entry.
//!
//! Made by the engine only. Nothing in a decision is a secret but the items of `AuthInfo:`, which are not printed.

use std::borrow::Cow;
use std::fmt;

use crate::reply::Reply;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on. For a recipient: the mail is taken, and nothing more is said.
    Accept,
    /// Go on, and relaying is allowed.
    Relay,
    /// Nothing is granted; later rules decide (relay, session options, login data).
    None,
    /// Refused for good, with a reply.
    Reject,
    /// Refused for now, with a reply wherever sendmail has one.
    TempFail,
    /// Take it and throw it away.
    Discard,
    /// Take it and hold it back, for the reason in [`Decision::word`].
    Quarantine,
    /// Try STARTTLS.
    Try,
    /// Don't try STARTTLS; the reply is for the log.
    Skip,
    /// The AUTH= parameter is believed.
    Trusted,
    /// `Srv_Features`, `Clt_Features`: the words; only the first letter of each counts.
    Features(Vec<String>),
    /// No word about features: the defaults hold.
    Default,
    /// `TLS_Srv_Features`, `TLS_Clt_Features`: `key=value;…` without blanks.
    Options(String),
    /// `AuthInfo`: what to log in with.
    AuthInfo(AuthInfo),
}

impl Action {
    /// The word for it in test vectors and explanations.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Relay => "relay",
            Self::None => "none",
            Self::Reject => "reject",
            Self::TempFail => "tempfail",
            Self::Discard => "discard",
            Self::Quarantine => "quarantine",
            Self::Try => "try",
            Self::Skip => "skip",
            Self::Trusted => "trusted",
            Self::Features(_) => "features",
            Self::Default => "default",
            Self::Options(_) => "options",
            Self::AuthInfo(_) => "authinfo",
        }
    }
}

/// The items of an `AuthInfo:` entry as written, quotes and all, such as `"U:joe"`. One of them is a password: they
/// are not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthInfo(pub Vec<String>);

impl fmt::Debug for AuthInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthInfo({} items)", self.0.len())
    }
}

/// Which encoding of a distinguished name an entry was found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameForm {
    /// As OpenSSL 3 writes it, or the key holds no distinguished name.
    OpenSsl3,
    /// As OpenSSL 1.1 wrote it: the entry should be rewritten.
    OpenSsl1_1,
}

/// The entry that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its key as the map has it.
    pub key: String,
    /// Its line in the map, from 1; in a list of pairs the number of the pair.
    pub line: u32,
    /// By which encoding it was found.
    pub form: NameForm,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// With which reply.
    pub reply: Option<Reply>,
    /// Relaying is allowed: also where [`Action::Accept`] is all that sendmail says of it.
    pub relaying: bool,
    /// No later check may take it back (sendmail's `$#`).
    pub last: bool,
    /// The word of the rule behind a last "accept", or why a message is held back.
    pub word: Option<String>,
    /// The entry that decided, if one did.
    pub hit: Option<Hit>,
    /// Why, in one sentence for the log.
    pub because: Cow<'static, str>,
}

impl Decision {
    pub(crate) fn new(action: Action, because: impl Into<Cow<'static, str>>) -> Self {
        let (relaying, because) = (action == Action::Relay, because.into());
        Self { action, reply: None, relaying, last: false, word: None, hit: None, because }
    }

    /// Refused, for good or for now as the code says.
    pub(crate) fn refuse(reply: Reply, because: impl Into<Cow<'static, str>>) -> Self {
        let action = if reply.is_temporary() { Action::TempFail } else { Action::Reject };
        Self { reply: Some(reply), ..Self::new(action, because) }
    }

    /// The map can't be asked: nothing is granted, and nothing is refused for good.
    pub(crate) fn unavailable() -> Self {
        Self::refuse(Reply::map_unavailable(), "the access map can't be asked")
    }

    pub(crate) fn by(self, hit: Option<Hit>) -> Self {
        Self { hit, ..self }
    }

    pub(crate) fn at_last(self) -> Self {
        Self { last: true, ..self }
    }

    /// Refused, now or for good, or thrown away.
    pub fn is_refusal(&self) -> bool {
        matches!(self.action, Action::Reject | Action::TempFail | Action::Discard)
    }
}
