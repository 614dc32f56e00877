//! Between the parent and one child: one message per packet (SOCK_SEQPACKET), descriptors along with it.
//!
//! The parent trusts its config and no child; a child trusts the parent. Descriptors travel from the parent
//! to a child only: the parent reads without room for any.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::Malformed;
use crate::allow::{CHILD_TO_PARENT, Gate, PARENT_TO_CHECKER, PARENT_TO_LISTENER, Row};
use crate::config;
use crate::status::{Confinement, House};

/// The longest packet, in bytes.
pub const MAX_PACKET: usize = 64 * 1024;

/// Parent to listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToListener {
    /// Serve these sockets from now on and drop all others. Descriptors: the listening sockets, in order.
    Serve(config::Listener),
    /// A new channel to a checker; finish what the old one still answers. Descriptor: the channel.
    Checker,
    /// Say [`FromChild::Alive`].
    Ping,
    /// Accept no more, answer what is under way, and exit.
    Stop,
    /// Decide by this access map from now on. Descriptor: its text, in sealed memory.
    Access(config::Access),
}

/// Parent to checker.
// One of each exists at a time; its size matters to nobody.
#[expect(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToChecker {
    /// The task. Descriptors: the limiter's shared table, and where there is one the control socket.
    Configure(config::Checker),
    /// A new channel to a listener. Descriptor: the channel.
    Listener,
    /// Log here from now on. Descriptor: standard error, or a connected datagram socket.
    Log,
    /// Say [`FromChild::Alive`].
    Ping,
    /// How the house stands, for `mailauth status`.
    House(House),
    /// Answer what is under way, and exit when the listener has closed its channel.
    Stop,
}

/// A child to the parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromChild {
    /// Confined so far, and serving.
    Ready(Confinement),
    /// The answer to a ping.
    Alive,
    /// The log's socket is gone; send another.
    WantLog,
    /// It can't do its task: one line that names the thing and the next step. The child exits.
    Refused(String),
    /// Something that an operator should know; the parent logs it. Children send each kind at most once a second.
    Event(Event),
}

/// What a child wants logged without a log of its own: numbers only, nothing that a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The uid may not use the socket; it was answered as unavailable.
    PeerNotAllowed {
        /// Index of the socket.
        socket: u16,
        /// The peer's uid.
        uid: u32,
    },
    /// All places are taken; new clients wait.
    Full {
        /// Connections held.
        connections: u32,
    },
    /// The listener says: a message of the checker was malformed; its channel is closed.
    CheckerMalformed,
    /// The checker says: a message of the listener was malformed; its channel is closed.
    ListenerMalformed,
}

/// A message of one direction, with the table that it is held to.
pub trait Message: Serialize + DeserializeOwned {
    /// The direction's table.
    const TABLE: &'static [Row];
}

impl Message for ToListener {
    const TABLE: &'static [Row] = PARENT_TO_LISTENER;
}

impl Message for ToChecker {
    const TABLE: &'static [Row] = PARENT_TO_CHECKER;
}

impl Message for FromChild {
    const TABLE: &'static [Row] = CHILD_TO_PARENT;
}

/// The bytes of a packet. `None` when it would be longer than [`MAX_PACKET`].
pub fn encode<M: Message>(message: &M) -> Option<Vec<u8>> {
    postcard::to_allocvec(message).ok().filter(|bytes| bytes.len() <= MAX_PACKET)
}

/// Reads one packet, held to its direction's gate.
pub fn decode<M: Message>(packet: &[u8], gate: &mut Gate) -> Result<M, Malformed> {
    // postcard writes the variant's number first, in one byte below 128.
    let tag = *packet.first().ok_or(Malformed::Empty)?;
    gate.admit(tag, packet.len())?;
    match postcard::take_from_bytes(packet) {
        Ok((message, [])) => Ok(message),
        _ => Err(Malformed::Body(tag)),
    }
}

/// A gate for the messages of type `M`.
pub fn gate<M: Message>() -> Gate {
    Gate::new(M::TABLE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: M) {
        let packet = encode(&message).unwrap();
        assert_eq!(decode::<M>(&packet, &mut gate::<M>()), Ok(message));
    }

    #[test]
    fn messages_round_trip_under_their_tables_tags() {
        for (tag, message) in
            [(1, ToListener::Checker), (2, ToListener::Ping), (3, ToListener::Stop)]
        {
            assert_eq!(encode(&message).unwrap(), [tag]);
            round_trip(message);
        }
        for (tag, message) in [
            (1, ToChecker::Listener),
            (2, ToChecker::Log),
            (3, ToChecker::Ping),
            (5, ToChecker::Stop),
        ] {
            assert_eq!(encode(&message).unwrap(), [tag]);
            round_trip(message);
        }
        round_trip(ToChecker::House(House::default()));
        round_trip(ToListener::Access(config::Access::default()));
        round_trip(FromChild::Ready(Confinement::default()));
        round_trip(FromChild::Refused("no such file".into()));
    }

    #[test]
    fn trailing_bytes_are_malformed() {
        assert_eq!(
            decode::<ToListener>(&[2, 0], &mut gate::<ToListener>()),
            Err(Malformed::TooLong(2))
        );
        assert_eq!(decode::<ToListener>(&[], &mut gate::<ToListener>()), Err(Malformed::Empty));
        assert_eq!(decode::<FromChild>(&[0, 1], &mut gate::<FromChild>()), Err(Malformed::Body(0)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<ToListener>(&bytes, &mut gate::<ToListener>());
            let _ = decode::<ToChecker>(&bytes, &mut gate::<ToChecker>());
            let _ = decode::<FromChild>(&bytes, &mut gate::<FromChild>());
        }
    }
}
