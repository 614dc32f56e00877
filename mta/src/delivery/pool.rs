//! Connections that wait a few seconds for another message.
//!
//! Runs in the sender. One is used again only for what it was made for: the same server, address, login, and all that was
//! decided of its TLS (I3). The map is asked anew for each message.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::dialogue::Protocol;
use super::resolve::Target;
use super::security::Plan;
use super::session::Session;
use crate::config::Credentials;

/// Most that wait.
const MOST: usize = 32;

/// All that makes two connections different. Certificates and authorities are those of the settings: a pool lives as long
/// as they do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Name, address and port.
    pub target: Target,
    /// What is spoken.
    pub protocol: Protocol,
    /// What was decided of TLS.
    pub plan: Plan,
    /// Who we are there.
    pub login: Option<Credentials>,
}

/// The waiting connections. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    next: u64,
    sessions: Vec<(u64, Key, Session)>,
}

impl Pool {
    /// One that was made for this; it may have ended meanwhile.
    pub fn take(&self, key: &Key) -> Option<Session> {
        self.with(|waiting| {
            let at = waiting.sessions.iter().rposition(|(_, known, _)| known == key)?;
            Some(waiting.sessions.swap_remove(at).2)
        })
    }

    /// Keeps one for a while; without room for it, it ends.
    pub async fn put(&self, key: Key, session: Session, idle: Duration) {
        let number = self.with(|waiting| {
            if waiting.sessions.len() >= MOST {
                return Err(Box::new(session));
            }
            waiting.next += 1;
            waiting.sessions.push((waiting.next, key, session));
            Ok(waiting.next)
        });
        match number {
            Err(session) => session.dialogue.quit().await,
            Ok(number) => {
                let pool = self.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(idle).await;
                    if let Some(session) = pool.remove(number) {
                        session.dialogue.quit().await;
                    }
                });
            }
        }
    }

    fn remove(&self, number: u64) -> Option<Session> {
        self.with(|waiting| {
            let at = waiting.sessions.iter().position(|(known, _, _)| *known == number)?;
            Some(waiting.sessions.swap_remove(at).2)
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Waiting) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
