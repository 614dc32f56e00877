//! The receiver carries out what its parent orders: another configuration, other sockets, the end.
//!
//! Runs in the receiver, on its runtime. The parent is believed. A configuration that can't be used leaves the one before
//! it in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use super::accept::{Sessions, accept};
use super::desk::Desk;
use super::doors::Doors;
use crate::auth::{Language, Logins};
use crate::config::{self, Config};
use crate::control::{FromChild, Level, Material, Socket};
use crate::daemon::Connector;
use crate::link::{Link, Order, Orders};
use crate::policy::Policy;
use crate::spool::incoming::Incoming;
use crate::tls::server::Server;

/// How long what was begun may take when everything ends.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often is looked whether everybody is gone.
const LOOK: Duration = Duration::from_millis(20);

/// Serves by `material`, and by what comes after it, until the parent says otherwise or is gone.
pub async fn obey(link: Link, mut orders: Orders, material: Box<Material>, incoming: Incoming) {
    let (stop, stopping) = watch::channel(false);
    let maker =
        Maker { link: link.clone(), incoming: incoming.clone(), stopping, doors: Doors::default() };
    let first = match maker.desk(&material) {
        Ok(desk) => desk,
        Err(why) => return link.say(FromChild::Loaded(Err(why))),
    };
    drop(material);
    link.say(FromChild::Loaded(Ok(())));
    let mut hall = Hall::new(Arc::new(first));
    while let Some(order) = orders.next().await {
        match order {
            Order::Load(material) => {
                let loaded = hall.load(maker.desk(&material).map(Arc::new));
                link.say(FromChild::Loaded(loaded));
            }
            Order::Listen(sockets) => hall.listen(sockets),
            Order::Queue(kept) => {
                incoming.note_kept(kept.messages, hall.desks.borrow().config.keep.messages);
            }
            // The sender's.
            Order::Control(_) => {}
            Order::Stop => break,
        }
    }
    hall.close();
    let _ = stop.send(true);
    let sessions = hall.sessions;
    let until = Instant::now() + PATIENCE;
    while sessions.count() > 0 && Instant::now() < until {
        sleep(LOOK).await;
    }
    if sessions.count() > 0 {
        let text = format!("{} sessions are ended before they are over", sessions.count());
        link.log(Level::Notice, text);
    }
    link.flush().await;
}

/// The doors, and the desk that clients who come in by them are led to.
pub(super) struct Hall {
    desks: watch::Sender<Arc<Desk>>,
    doors: Vec<AbortHandle>,
    next: Sockets,
    sessions: Sessions,
}

/// Whose listeners the next sockets are for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sockets {
    /// Those of the desk.
    Ours,
    /// Those of a configuration that could not be used: their numbers mean other listeners to us.
    Others,
}

impl Hall {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        let desks = watch::Sender::new(desk);
        Self { desks, doors: Vec::new(), next: Sockets::Ours, sessions: Sessions::default() }
    }

    /// Leads clients to another desk. Where its listeners are others, no client comes in by the doors that are there:
    /// what was a door for servers might be one for people by its number. They wait for the sockets that follow.
    pub(super) fn load(&mut self, desk: Result<Arc<Desk>, String>) -> Result<(), String> {
        self.next = if desk.is_ok() { Sockets::Ours } else { Sockets::Others };
        let desk = desk?;
        if desk.config.listeners == self.desks.borrow().config.listeners {
            self.desks.send_replace(desk);
        } else {
            self.close();
            // A door that is being closed on another thread still leads to the desk before.
            self.desks = watch::Sender::new(desk);
        }
        Ok(())
    }

    pub(super) fn listen(&mut self, sockets: Vec<(usize, TcpListener)>) {
        if self.next == Sockets::Others {
            return;
        }
        self.close();
        let open = |(index, socket)| {
            let door = accept(index, socket, self.desks.subscribe(), self.sessions.clone());
            tokio::spawn(door).abort_handle()
        };
        self.doors = sockets.into_iter().map(open).collect();
    }

    fn close(&mut self) {
        self.doors.drain(..).for_each(|door| door.abort());
    }
}

/// What all desks have in common.
struct Maker {
    link: Link,
    incoming: Incoming,
    stopping: watch::Receiver<bool>,
    doors: Doors,
}

impl Maker {
    fn desk(&self, material: &Material) -> Result<Desk, String> {
        let config = Config::parse(&material.config).map_err(|why| why.to_string())?;
        let mut tls = Vec::with_capacity(config.listeners.len());
        for (index, listener) in config.listeners.iter().enumerate() {
            let context = format!("listener {index} ({:?})", listener.role);
            let server = Server::new(&config.tls, material, &context);
            tls.push(server.map_err(|why| why.to_string())?);
        }
        for warning in tls.first().map(Server::warnings).unwrap_or_default() {
            self.link.log(Level::Warning, warning);
        }
        let language = match config.daemon.logins {
            config::Logins::Auth(_) => Language::Auth,
            config::Logins::Mux(_) => Language::Mux,
        };
        let by = |socket| Connector::Link(self.link.clone(), socket);
        let deadline = config.daemon.deadline;
        Ok(Desk {
            tls,
            logins: Logins::new(by(Socket::Logins), language, deadline),
            policy: Policy::new(by(Socket::Policy), deadline),
            incoming: self.incoming.clone(),
            link: self.link.clone(),
            stopping: self.stopping.clone(),
            doors: self.doors.clone(),
            config: Arc::new(config),
        })
    }
}
