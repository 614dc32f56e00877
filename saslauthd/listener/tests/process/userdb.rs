//! The userdb socket: what chasquid and doveadm ask, and what nobody gets.

use ipc::config::{Protocol, Socket, Userdb};
use ipc::exchange::{Reply, Search};
use protocol::{Answer, Name};

use crate::house::{Checker, House, own_uid, socket};

fn found(checker: &mut Checker, id: u64, answer: Answer, users: &[&[u8]]) {
    let users = users.iter().map(|user| Name::new(user).unwrap()).collect();
    checker.reply(&Reply::Found { id, answer, users, count: 2, more: false });
}

fn house() -> House {
    let home = Some("/srv/mail/%u".to_owned());
    let userdb = Userdb { uid: Some(5000), gid: None, home, list_uids: vec![own_uid()] };
    House::start(vec![Socket { userdb, ..socket(Protocol::Userdb) }])
}

#[test]
fn chasquid_finds_a_user_and_nobody_gets_a_password() {
    let house = house();
    let mut client = house.client(0);
    assert_eq!(client.line(), "VERSION\t1\t1");
    assert!(client.line().starts_with("SPID\t"));
    client.say("VERSION\t1\t1\nUSER\t1\talice\tservice=smtp\n");
    assert_eq!(client.line(), "FAIL\t1", "while there is no checker");
    let mut checker = house.checker();
    for (id, answer, told) in [
        (2, Answer::Accept, "USER\t2\talice\tuid=5000\thome=/srv/mail/alice"),
        (3, Answer::Refuse, "NOTFOUND\t3"),
        (4, Answer::Unavailable, "FAIL\t4"),
    ] {
        client.say(&format!("USER\t{id}\talice\tservice=smtp\n"));
        let find = checker.find();
        let Search::User { user, service } = find.what else { panic!("another search") };
        assert_eq!((user.as_bytes(), service.as_bytes()), (&b"alice"[..], &b"smtp"[..]));
        found(&mut checker, find.id, answer, &[b"alice"]);
        assert_eq!(client.line(), told);
    }
    client.say("PASS\t5\talice\tservice=smtp\n");
    assert_eq!(client.line(), "FAIL\t5");
}

#[test]
fn doveadm_lists_and_flushes_and_hears_of_a_lost_checker() {
    let house = house();
    let mut checker = house.checker();
    let mut client = house.client(0);
    client.line();
    client.line();
    client.say("VERSION\t1\t1\nLIST\t1\tuser=a*\nCACHE-FLUSH\t2\talice\n");
    let list = checker.find();
    assert!(matches!(list.what, Search::List { mask } if mask.as_bytes() == b"a*"));
    let flush = checker.find();
    assert!(matches!(flush.what, Search::Flush { masks } if masks.len() == 1));
    found(&mut checker, flush.id, Answer::Accept, &[]);
    assert_eq!(client.line(), "OK\t2\t2");
    found(&mut checker, list.id, Answer::Accept, &[b"alice", b"anna"]);
    assert_eq!(
        [client.line(), client.line(), client.line()],
        ["LIST\t1\talice", "LIST\t1\tanna", "DONE\t1\t"]
    );
    client.say("LIST\t3\nUSER\t4\talice\tservice=x\n");
    checker.find();
    checker.find();
    drop(checker);
    let mut told = [client.line(), client.line()];
    told.sort();
    assert_eq!(told, ["DONE\t3\tfail", "FAIL\t4"]);
    client.say("USER\t5\talice\tservice=x\n");
    let line = client.line();
    assert_eq!(line, "FAIL\t5");
    client.say("NONSENSE\t1\n");
    assert_eq!(client.line(), "(end)");
}
