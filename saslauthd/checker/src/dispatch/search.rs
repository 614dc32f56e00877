//! What is looked up on the userdb socket: one user, all users, and what the cache should forget.
//!
//! Runs in the checker. It says who exists and never a secret; which peer may ask for what is the listener's to know,
//! but where no socket is for that, a listener that asks has been taken over. A list comes in parts, one each time the
//! loop has a turn to spare, so that no login waits for it.

use std::collections::VecDeque;

use credentials::Lookup;
use ipc::config::Offered;
use ipc::exchange::{Find, MAX_PART, Reply, Search};
use protocol::{Answer, Name};

use super::{Dispatcher, Origin};
use crate::backends::Place;
use crate::mapping::{Identity, identity};

/// Most lists under way.
const MOST_LISTS: usize = 16;
/// Names that are looked at in one turn.
const NAMES_A_TURN: usize = 256;
/// How long a list waits for a listener that doesn't read.
const PAUSE_NS: u64 = 20_000_000;

/// The lists under way.
#[derive(Default)]
pub(super) struct Lists {
    lists: VecDeque<List>,
    paused_until_ns: u64,
}

/// One list.
struct List {
    origin: Origin,
    id: u64,
    mask: Name,
    /// Backends that are still to be asked, and how far the first of them is.
    backends: VecDeque<usize>,
    place: Option<Place>,
    /// A backend could not be asked.
    is_incomplete: bool,
}

impl Lists {
    /// When the next part is due.
    pub(super) fn next(&self) -> Option<u64> {
        (!self.lists.is_empty()).then_some(self.paused_until_ns)
    }

    pub(super) fn drop_channel(&mut self, origin: Origin) {
        self.lists.retain(|list| list.origin != origin);
    }
}

impl Dispatcher {
    /// Takes a search.
    pub(super) fn find(&mut self, origin: Origin, find: Find) {
        let id = find.id;
        let socket = self.sasl.sockets.get(usize::from(find.socket));
        if socket.is_none_or(|socket| socket.offered != Offered::Users) {
            return self.tell_found(origin, id, Answer::Refuse, Vec::new());
        }
        match find.what {
            Search::User { user, service } => {
                let (answer, users) = self.find_user(&user, &service);
                self.tell_found(origin, id, answer, users);
            }
            Search::Flush { masks } => {
                let count = self.flush(&masks);
                let (answer, users) = (Answer::Accept, Vec::new());
                self.replies.push((origin, Reply::Found { id, answer, users, count, more: false }));
            }
            Search::List { .. } if self.lists.lists.len() >= MOST_LISTS => {
                self.tell_found(origin, id, Answer::Unavailable, Vec::new());
            }
            Search::List { mask } => {
                let mut backends: Vec<usize> =
                    self.chains.iter().flat_map(|chain| chain.backends.iter().copied()).collect();
                backends.sort_unstable();
                backends.dedup();
                let backends = backends.into();
                let list = List { origin, id, mask, backends, place: None, is_incomplete: false };
                self.lists.lists.push_back(list);
            }
        }
    }

    /// Whether some list is not at its end.
    #[cfg(test)]
    pub(super) fn lists_wait(&self) -> bool {
        !self.lists.lists.is_empty()
    }

    fn tell_found(&mut self, origin: Origin, id: u64, answer: Answer, users: Vec<Name>) {
        self.replies.push((origin, Reply::Found { id, answer, users, count: 0, more: false }));
    }

    fn find_user(&mut self, user: &Name, service: &Name) -> (Answer, Vec<Name>) {
        let Some(identity) = identity(&self.one_name, self.names, user, &Name::default()) else {
            return (Answer::Refuse, Vec::new());
        };
        let chain = self.chain_of(&identity.realm);
        let order = self.chains.get(chain).map(|chain| chain.backends.clone()).unwrap_or_default();
        let mut answer = Answer::Refuse;
        for index in order {
            let wall = (self.clock)().wall_s;
            let Some(backend) = self.backends.get_mut(index) else { continue };
            let (found, change) = backend.lookup(&identity, service, wall);
            self.tell(index, change);
            match found {
                Lookup::Found(_) => {
                    return (Answer::Accept, self.one_name(&identity).into_iter().collect());
                }
                Lookup::NotFound => {}
                Lookup::Unavailable(_) => answer = Answer::Unavailable,
            }
        }
        (answer, Vec::new())
    }

    /// How many remembered successes were forgotten.
    fn flush(&mut self, masks: &[Name]) -> u32 {
        let mapping = &self.one_name;
        let whole = |user: &Name, realm: &Name| {
            super::proof::joined(mapping, &Identity { user: user.clone(), realm: realm.clone() })
        };
        let goes = |user: &Name, realm: &Name| {
            masks.is_empty()
                || masks.iter().any(|mask| {
                    whole(user, realm).is_some_and(|name| matches(mask.as_bytes(), name.as_bytes()))
                        || matches(mask.as_bytes(), user.as_bytes())
                })
        };
        u32::try_from(self.cache.flush_users(goes)).unwrap_or(u32::MAX)
    }

    /// Sends the next part of the list that has waited longest. `reads` says which listeners have read what they got.
    pub(crate) fn go_on_with_lists(&mut self, reads: impl Fn(Origin) -> bool) {
        let now = (self.clock)();
        if self.lists.next().is_none_or(|next| now.boot_ns < next) {
            return;
        }
        let Some(place) = self.lists.lists.iter().position(|list| reads(list.origin)) else {
            self.lists.paused_until_ns = now.boot_ns.saturating_add(PAUSE_NS);
            return;
        };
        let Some(mut list) = self.lists.lists.remove(place) else { return };
        let users = self.part(&mut list, now.wall_s);
        let more = !list.backends.is_empty();
        let answer = if more || !list.is_incomplete { Answer::Accept } else { Answer::Unavailable };
        let (mut rest, id) = (users.into_iter().peekable(), list.id);
        while rest.peek().is_some() {
            let (mut users, mut room) = (Vec::new(), MAX_PART);
            while let Some(user) = rest.next_if(|user| user.as_bytes().len() + 2 <= room) {
                room -= user.as_bytes().len() + 2;
                users.push(user);
            }
            let reply = Reply::Found { id, answer: Answer::Accept, users, count: 0, more: true };
            self.replies.push((list.origin, reply));
        }
        if !more {
            self.tell_found(list.origin, id, answer, Vec::new());
        }
        if more {
            self.lists.lists.push_back(list);
        }
    }

    /// The names of one turn that the mask matches.
    fn part(&mut self, list: &mut List, wall: u64) -> Vec<Name> {
        let Some(backend) = list.backends.front().and_then(|index| self.backends.get_mut(*index))
        else {
            list.backends.pop_front();
            return Vec::new();
        };
        let place = match list.place.take() {
            Some(place) => Ok(Some(place)),
            None => backend.first(wall),
        };
        let found = place.and_then(|place| match place {
            None => Ok((None, Vec::new())),
            Some(mut place) => {
                backend.more(&mut place, NAMES_A_TURN, wall).map(|names| (Some(place), names))
            }
        });
        let names = match found {
            Ok((place, names)) if !names.is_empty() => {
                list.place = place;
                names
            }
            end => {
                list.is_incomplete |= end.is_err();
                list.backends.pop_front();
                return Vec::new();
            }
        };
        let whole = |(user, realm)| self.one_name(&Identity { user, realm });
        let names = names.into_iter().filter_map(whole);
        names.filter(|name| matches(list.mask.as_bytes(), name.as_bytes())).collect()
    }
}

/// Whether a mask with `*` and `?` matches all of a name; at worst the product of both lengths.
fn matches(mask: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last `*` stands, and up to where of the name it reaches.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(place) {
        match mask.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                place += 1;
            }
            _ => {
                let Some((star_at, reached)) = star else { return false };
                star = Some((star_at, reached + 1));
                at = star_at + 1;
                place = reached + 1;
            }
        }
    }
    mask.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn masks() {
        for (mask, name) in [
            ("*", ""),
            ("*", "alice"),
            ("alice", "alice"),
            ("a*e", "alice"),
            ("*@example.org", "a@b@example.org"),
            ("?lice", "alice"),
            ("a*b*c", "aXbYbZc"),
            ("**", "x"),
            ("", ""),
        ] {
            assert!(matches(mask.as_bytes(), name.as_bytes()), "{mask} {name}");
        }
        for (mask, name) in [
            ("", "a"),
            ("?", ""),
            ("a", "alice"),
            ("a*b", "abc"),
            ("*@b", "a@bc"),
            ("Alice", "alice"),
        ] {
            assert!(!matches(mask.as_bytes(), name.as_bytes()), "{mask} {name}");
        }
        let (mask, name) = ("a*".repeat(500), "a".repeat(1000) + "b");
        assert!(matches(mask.as_bytes(), name.as_bytes()));
        assert!(!matches((mask + "c").as_bytes(), name.as_bytes()));
    }
}
