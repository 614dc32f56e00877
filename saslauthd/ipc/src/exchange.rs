//! What listener and checker say to each other about SASL exchanges and about accounts that are looked up.
//!
//! The listener forwards opaque, bounded bytes and never a stored secret; the checker carries the exchange out.
//! These travel on the same stream as the logins of the mux, see [`crate::requests`].

pub(crate) mod codec;

pub use protocol::mechanism::{Binding, LastWords};
use protocol::mechanism::{Mechanism, MechanismSet};
use protocol::{Answer, Name, Senders};
use zeroize::Zeroizing;

use crate::requests::{Peer, Source};

/// Longest SASL message of either side, in bytes (RFC 4954 §4.2 has 12288 in base64; Dovecot's line has 16384).
pub const MAX_MESSAGE: usize = 12 * 1024;
/// Longest channel binding data, in bytes: a hash of a certificate, or an exporter's value.
pub const MAX_BINDING: usize = 128;
/// Most masks of one flush; the listener refuses longer lists.
pub const MAX_MASKS: usize = 12;
/// Most bytes of one part of a list: each user has two more than its length.
pub const MAX_PART: usize = 12 * 1024;
/// Most sockets of a listener.
pub const MAX_SOCKETS: usize = 1024;
/// Most exchanges under way that a checker holds for one channel.
pub const MAX_EXCHANGES: usize = 4096;

/// A SASL message: a password may be in it.
pub type Message = Zeroizing<Vec<u8>>;

/// Whether the mail client speaks TLS to the mail server, as far as that can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Not, or nobody said.
    Clear,
    /// It does.
    Tls,
}

/// A client asks for a mechanism.
pub struct Begin {
    /// Chosen by the listener; every message about this exchange has it.
    pub id: u64,
    /// Which socket it came by: the index in the listener's configuration.
    pub socket: u16,
    /// Who asks.
    pub peer: Peer,
    /// Where the mail client is.
    pub source: Source,
    /// What it asks for.
    pub mechanism: Mechanism,
    /// As the peer said it.
    pub service: Name,
    /// Whether passwords are safe on the way.
    pub transport: Transport,
    /// Whose verified client certificate it is, where the peer may state that.
    pub certificate: Option<Name>,
    /// Whether the peer can be asked for channel binding data.
    pub can_bind: bool,
    /// What becomes of the last words.
    pub last_words: LastWords,
    /// The initial response; `None` when the client sent none, which is not the same as an empty one.
    pub initial: Option<Message>,
}

/// The client answers a challenge.
pub struct Respond {
    /// The exchange.
    pub id: u64,
    /// Its bytes.
    pub message: Message,
    /// The channel's data, where it was asked for.
    pub binding: Option<Vec<u8>>,
}

/// What is looked up on the userdb socket.
pub struct Find {
    /// Chosen by the listener, given back in the answer.
    pub id: u64,
    /// Which socket it came by.
    pub socket: u16,
    /// Who asks.
    pub peer: Peer,
    /// What for.
    pub what: Search,
}

/// The searches of the userdb socket.
pub enum Search {
    /// Whether there is this user, as a login would be mapped.
    User {
        /// As the peer said it.
        user: Name,
        /// As the peer said it.
        service: Name,
    },
    /// All users that a mask with `*` and `?` matches. The answer comes in parts.
    List {
        /// `*` for all.
        mask: Name,
    },
    /// Forget remembered successes: of all users when there is no mask.
    Flush {
        /// Masks of users.
        masks: Vec<Name>,
    },
}

/// What the checker says about exchanges and searches.
pub enum Reply {
    /// The mechanism's next words to the client.
    Challenge {
        /// The exchange.
        id: u64,
        /// The bytes.
        message: Message,
        /// The channel's data are wanted with the response.
        binding: Option<Binding>,
    },
    /// The end of an exchange.
    Ended {
        /// The exchange.
        id: u64,
        /// How.
        answer: Answer,
        /// Who it is, when accepted.
        user: Option<Name>,
        /// The mechanism's last words, for [`LastWords::WithOutcome`].
        last_words: Option<Message>,
        /// As whom they may send, when accepted.
        senders: Senders,
    },
    /// What a search found; several for a list, the last with `more` false.
    Found {
        /// The search.
        id: u64,
        /// `Accept` when it worked and found, `Refuse` when there is none or the peer may not, `Unavailable`.
        answer: Answer,
        /// Users; for a flush none.
        users: Vec<Name>,
        /// How many entries a flush removed.
        count: u32,
        /// Whether another part follows.
        more: bool,
    },
    /// What each socket may offer from now on, by index: after TLS, and before it. First on every channel.
    Offers(Vec<Offer>),
}

impl Reply {
    /// The end of an exchange that nobody was accepted by.
    pub fn ended(id: u64, answer: Answer) -> Self {
        Self::Ended { id, answer, user: None, last_words: None, senders: Senders::Own }
    }
}

/// What one socket offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Inside TLS.
    pub tls: MechanismSet,
    /// Before it, or where nobody said.
    pub clear: MechanismSet,
}
