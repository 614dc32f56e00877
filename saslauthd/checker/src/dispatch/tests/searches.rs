//! The userdb socket's searches.

use accounts::Edit;
use ipc::config::CacheMode;
use ipc::exchange::{Find, Reply, Search};
use ipc::requests::{Incoming, Peer};
use protocol::{Answer, Name};

use super::house::*;

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

impl House {
    /// The answer to a search, with all of its parts, and the count.
    fn search(&mut self, what: Search) -> (Answer, Vec<String>, u32) {
        let peer = Peer { pid: 1, uid: 0, gid: 0 };
        let replies = self.say(Incoming::Find(Find { id: 9, socket: 0, peer, what }));
        let mut all = Vec::new();
        let length = replies.len();
        for (at, reply) in replies.into_iter().enumerate() {
            let Reply::Found { id: 9, answer, users, count, more } = reply else { panic!() };
            assert_eq!(more, at + 1 < length);
            let text = |user: Name| String::from_utf8(user.as_bytes().to_vec()).unwrap();
            all.extend(users.into_iter().map(text));
            if !more {
                return (answer, all, count);
            }
        }
        panic!("no end")
    }
}

#[test]
fn a_user_is_found_under_its_mapped_name() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", "x"), ("bob", "example.org", "x")]);
    let mut split = config(vec![backend.clone()]);
    split.mapping.one_name = ipc::config::MappingRule::Split;
    let user = |user: &str| Search::User { user: name(user), service: name("lmtp") };
    let mut house = House::new(split);
    for (asked, answer, found) in [
        ("alice", Answer::Accept, vec!["alice".to_owned()]),
        ("bob@example.org", Answer::Accept, vec!["bob@example.org".to_owned()]),
        ("bob", Answer::Refuse, vec![]),
        ("nobody", Answer::Refuse, vec![]),
        ("a\u{200b}", Answer::Refuse, vec![]),
    ] {
        assert_eq!(house.search(user(asked)), (answer, found, 0), "{asked}");
    }
    let mut house = House::new(config(vec![files.missing("gone"), backend]));
    assert_eq!(house.search(user("alice")).0, Answer::Accept);
    assert_eq!(house.search(user("nobody")).0, Answer::Unavailable);
}

#[test]
fn a_list_has_all_that_may_log_in_and_says_when_it_is_not_whole() {
    let files = Files::new();
    let names: Vec<String> = (0..600).map(|number| format!("user{number:03}")).collect();
    let mut store = files.store("db");
    for user in &names {
        let account = accounts::NewAccount {
            name: accounts::AccountName::new(user, "").unwrap(),
            kind: accounts::Kind::Person,
            secrets: accounts::Secrets::of(accounts::StoredHash::new("{PLAIN}x").unwrap()),
            expires: None,
            restrictions: restrictions("*", "*"),
        };
        store.add(&account, accounts::UnixTime(1)).unwrap();
    }
    files.edit("db", "user007", &Edit::Lock);
    let shadow = files.shadow("shadow", &[("root", "!x"), ("zoe", &argon("x"))]);
    let list = |mask: &str| Search::List { mask: name(mask) };
    let mut house = House::new(config(vec![files.sqlite("db", &[]), shadow]));
    let (answer, all, _) = house.search(list("*"));
    let mut expected: Vec<String> = names.into_iter().filter(|user| user != "user007").collect();
    expected.push("zoe".into());
    assert_eq!((answer, all), (Answer::Accept, expected));
    assert_eq!(house.search(list("user01?")).1.len(), 10);
    assert_eq!(house.search(list("nobody")), (Answer::Accept, vec![], 0));
    let mut house = House::new(config(vec![files.missing("gone"), files.sqlite("db", &[])]));
    let (answer, some, _) = house.search(list("user00*"));
    assert_eq!((answer, some.len()), (Answer::Unavailable, 9));
}

#[test]
fn a_flush_forgets_the_users_that_its_masks_match() {
    let files = Files::new();
    let backend = files.sqlite(
        "db",
        &[("alice", "", "{PLAIN}x"), ("bob", "", "{PLAIN}x"), ("carol", "", "{PLAIN}x")],
    );
    let mut config = config(vec![backend]);
    config.cache.mode = CacheMode::All;
    let mut house = House::new(config);
    let fill = |house: &mut House| {
        for user in ["alice", "bob", "carol"] {
            assert_eq!(house.ask(&login(user, "x")), Answer::Accept);
        }
    };
    let flush =
        |masks: &[&str]| Search::Flush { masks: masks.iter().map(|mask| name(mask)).collect() };
    fill(&mut house);
    assert_eq!(house.search(flush(&["b*", "alic?"])), (Answer::Accept, vec![], 2));
    assert_eq!(house.search(flush(&["b*"])).2, 0);
    fill(&mut house);
    assert_eq!(house.search(flush(&[])).2, 3);
}
