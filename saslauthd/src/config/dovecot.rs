//! The keys of a socket that speaks one of Dovecot's protocols.
//!
//! Runs in the parent: names become ids here, and a home that could not be filled in is found.

use ipc::config as task;

use super::plan::Planner;
use super::sections::{Handshake, Protocol, Socket};
use super::setting::{At, Setting};

impl Planner<'_> {
    /// Complains of keys that say nothing on a socket of this protocol: whoever wrote them meant another socket.
    pub(super) fn without_effect(&mut self, socket: &At<Socket>) {
        let (keys, usual) = (&socket.value, Socket::default());
        let auth = [
            ("certificate_uids", !keys.certificate_uids.is_empty()),
            ("handshake", keys.handshake != usual.handshake),
            ("failure_delay", keys.failure_delay.0 != usual.failure_delay.0),
            ("mechanisms", keys.mechanisms.is_some()),
            ("before_tls", keys.before_tls.is_some()),
        ];
        let userdb = [
            ("userdb_uid", keys.userdb_uid.is_some()),
            ("userdb_gid", keys.userdb_gid.is_some()),
            ("userdb_home", keys.userdb_home.is_some()),
            ("list_uids", !keys.list_uids.is_empty()),
        ];
        for (protocol, keys_of_it) in
            [(Protocol::Auth, auth.as_slice()), (Protocol::Userdb, userdb.as_slice())]
        {
            for (key, _) in keys_of_it.iter().filter(|(_, is_set)| *is_set) {
                if keys.protocol != protocol {
                    let (wanted, found) = (protocol.show(), keys.protocol.show());
                    let (wanted, found) = (wanted.unwrap_or_default(), found.unwrap_or_default());
                    let message = format!(
                        "`{key}` is for a socket with protocol = {wanted}, and this one has {found}"
                    );
                    self.complaints.add(socket.at.clone(), message);
                }
            }
        }
    }

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

#[cfg(test)]
mod tests {
    use ipc::config::MappingRule;

    use crate::config::Config;
    use crate::config::plan::{Foreground, Host, Plan};

    fn plan(text: &str) -> Result<Plan, String> {
        let host = Host {
            accounts: sys::identity::AccountFiles::default(),
            name: "mail.example.org".into(),
            foreground: Foreground::Yes,
            is_root: true,
        };
        let config = Config::parse("x.toml", text).map_err(|report| report.to_string())?;
        config.plan(&host).map_err(|report| report.to_string())
    }

    #[test]
    fn one_name_is_split_unless_somebody_decided_otherwise() {
        let rule = |text: &str| plan(text).unwrap().checker.mapping;
        let usual = rule("");
        assert_eq!((usual.rule, usual.one_name), (MappingRule::Cyrus, MappingRule::Split));
        for (word, decided) in [
            ("cyrus", MappingRule::Cyrus),
            ("split", MappingRule::Split),
            ("join", MappingRule::Join),
        ] {
            let mapping = rule(&format!("[realms]\nmapping = \"{word}\"\n"));
            assert_eq!((mapping.rule, mapping.one_name), (decided, decided), "{word}");
        }
    }

    #[test]
    fn keys_of_another_protocol_are_no_silent_comment() {
        let complaint =
            plan("[[socket]]\nmechanisms = [\"PLAIN\"]\nlist_uids = [0]\n").unwrap_err();
        let wanted =
            "`mechanisms` is for a socket with protocol = \"auth\", and this one has \"mux\"";
        assert!(complaint.contains(wanted), "{complaint}");
        assert!(complaint.contains("`list_uids` is for a socket with protocol = \"userdb\""));
        for keys in ["certificate_uids = [0]", "before_tls = []", "handshake = \"wait\""] {
            assert!(plan(&format!("[[socket]]\nprotocol = \"userdb\"\n{keys}\n")).is_err());
            assert!(plan(&format!("[[socket]]\nprotocol = \"auth\"\n{keys}\n")).is_ok());
        }
    }
}
