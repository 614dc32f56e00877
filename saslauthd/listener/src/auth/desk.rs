//! Between one connection's session and the rest of the house: requests to the checker, refusals to the hall.

use std::rc::{Rc, Weak};
use std::time::Instant;

use ipc::exchange::{Find, Respond, Search};
use ipc::requests::{Fault, Outgoing, Peer, Unreadable};
use protocol::auth::{Auth, Continue, Flaw, Id};

use super::connection::Connection;
use super::hall::Waiting;
use super::{lookups, request, session};
use crate::clients::Door;
use crate::serving::Served;

/// The desk of one connection.
pub(crate) struct Counter<'a> {
    pub(crate) door: &'a Rc<Door>,
    pub(crate) peer: Peer,
    pub(crate) connection: Weak<Connection>,
    pub(crate) served: Rc<Served>,
}

impl Counter<'_> {
    /// Writes a request to the checker that gets new ones; `make` gets its number.
    fn ask(&self, id: Id, write: impl FnOnce(&mut Outgoing, u64)) -> Option<u64> {
        let mut core = self.door.shared.core.borrow_mut();
        let link = core.link.as_mut()?;
        let connection = self.connection.clone();
        let number = self.door.hall.enter(Waiting { connection, id, link: link.number });
        write(&mut link.outgoing, number);
        Some(number)
    }

    /// Drops a request, and tells its checker.
    fn forget(&self, number: u64) {
        let Some(link) = self.door.hall.leave(number) else { return };
        let mut core = self.door.shared.core.borrow_mut();
        if let Some(link) = core.link_mut(link) {
            link.outgoing.cancel(number);
        }
    }
}

impl session::Desk for Counter<'_> {
    fn offers(&self, auth: &Auth) -> bool {
        let offer = self.served.offer.get().unwrap_or_default();
        offer.tls.or(offer.clear).contains(auth.mechanism)
    }

    fn begin(&mut self, id: Id, auth: Auth, minor: u32) -> Option<u64> {
        let make = |number| request::begin(number, auth, minor, self.peer, &self.served);
        self.ask(id, |outgoing, number| outgoing.begin(&make(number)))
    }

    fn respond(&mut self, exchange: u64, response: Continue) -> Option<()> {
        let link = self.door.hall.link_of(exchange)?;
        let mut core = self.door.shared.core.borrow_mut();
        let Continue { message, binding, .. } = response;
        core.link_mut(link)?.outgoing.respond(&Respond { id: exchange, message, binding });
        Some(())
    }

    fn cancel(&mut self, exchange: u64) {
        self.forget(exchange);
    }

    fn delay(&mut self, id: Id, since: Instant) -> Option<u64> {
        self.door.hall.delay(self.connection.clone(), id, since, self.served.failure_delay)
    }

    fn note(&mut self, flaw: Flaw) {
        let fault = if flaw == Flaw::TooLong { Fault::TooLong } else { Fault::Malformed };
        let note = Unreadable { socket: self.served.index, peer: self.peer, fault };
        self.door.shared.core.borrow_mut().note(&note);
    }
}

impl lookups::Desk for Counter<'_> {
    fn find(&mut self, id: Id, what: Search) -> Option<u64> {
        let (socket, peer) = (self.served.index, self.peer);
        self.ask(id, |outgoing, number| outgoing.find(&Find { id: number, socket, peer, what }))
    }

    fn drop(&mut self, search: u64) {
        // Its answer comes all the same, and is for nobody.
        self.door.hall.leave(search);
    }
}
