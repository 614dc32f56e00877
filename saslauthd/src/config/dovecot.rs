//! The keys of a socket that speaks one of Dovecot's protocols.
//!
//! Runs in the parent: names become ids here, and a home that could not be filled in is found.

use ipc::config as task;

use super::plan::Planner;
use super::sections::{Handshake, Socket};
use super::setting::At;

impl Planner<'_> {
    pub(super) fn auth(&mut self, keys: &Socket) -> task::Auth {
        let uids = keys.certificate_uids.iter();
        task::Auth {
            handshake: match keys.handshake {
                Handshake::Auto => task::Handshake::Auto,
                Handshake::Legacy => task::Handshake::Legacy,
                Handshake::Wait => task::Handshake::Wait,
            },
            certificate_uids: uids.filter_map(|user| self.uid(user)).collect(),
            failure_delay_ms: keys.failure_delay.0,
        }
    }

    fn home(&mut self, home: &At<String>) -> Option<String> {
        let mut behind = home.value.split('%').skip(1);
        if behind.all(|text| text.starts_with(['u', 'n', 'd'])) {
            return Some(home.value.clone());
        }
        let message = "a home has %u, %n and %d and no other %".to_owned();
        self.complaints.add(home.at.clone(), message);
        None
    }

    pub(super) fn userdb(&mut self, keys: &Socket) -> task::Userdb {
        task::Userdb {
            uid: keys.userdb_uid.as_ref().and_then(|user| self.uid(user)),
            gid: keys.userdb_gid.as_ref().and_then(|group| self.gid(group)),
            home: keys.userdb_home.as_ref().and_then(|home| self.home(home)),
            list_uids: keys.list_uids.iter().filter_map(|user| self.uid(user)).collect(),
        }
    }
}
