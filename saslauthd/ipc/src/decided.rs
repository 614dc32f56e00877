//! What the listener wants logged of a decision of the access map; the log is the checker's.
//!
//! The listener cannot log by itself, and the parent reads no text of a child that hears strangers. The checker decides
//! nothing by it and quotes every word.

use protocol::Name;

use crate::frame::{Body, Outgoing, peer};
use crate::requests::Peer;

/// A decision that is more than "nothing known".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Index of the socket.
    pub socket: u16,
    /// Who asked.
    pub peer: Peer,
    /// What the mail server was told.
    pub action: Name,
    /// The client's address, as the mail server states it.
    pub client: Name,
    /// Which rules decided, by which entry, and why.
    pub because: Name,
}

/// Its first byte on the channel.
pub(crate) const DECIDED: u8 = 7;

impl Outgoing {
    /// Appends a decision to be logged.
    pub fn decided(&mut self, note: &Decided) {
        let names = [&note.action, &note.client, &note.because];
        let start = self.open(DECIDED, names.iter().map(|name| name.as_bytes().len()).sum());
        self.bytes(&note.socket.to_le_bytes());
        self.peer(note.peer);
        names.into_iter().for_each(|name| self.counted(name.as_bytes()));
        self.close(start);
    }
}

pub(crate) fn decided(body: &mut Body<'_>) -> Option<Decided> {
    let (socket, peer) = (body.u16()?, peer(body)?);
    let [action, client, because] = [body.name()?, body.name()?, body.name()?];
    body.0.is_empty().then_some(Decided { socket, peer, action, client, because })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requests::{Incoming, Requests};

    #[test]
    fn a_decision_comes_back_as_it_was() {
        let name = |text: &str| Name::new(text.as_bytes()).unwrap();
        let longest = "x".repeat(Name::MAX);
        for because in ["", "check_rcpt", &longest] {
            let note = Decided {
                socket: 3,
                peer: Peer { pid: 7, uid: 101, gid: 102 },
                action: name("550 5.7.1 Access denied"),
                client: name(&longest),
                because: name(because),
            };
            let mut outgoing = Outgoing::default();
            outgoing.decided(&note);
            let (message, used) = Requests::default().next(outgoing.as_bytes()).unwrap().unwrap();
            assert!(matches!(message, Incoming::Decided(got) if got == note));
            assert_eq!(used, outgoing.as_bytes().len());
        }
    }
}
