//! More than can be done.

use protocol::Answer;

use super::house::*;

#[test]
fn e2_more_than_can_wait_is_unavailable_at_once_and_never_refused() {
    let files = Files::new();
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil"))]);
    let mut config = config(vec![backend]);
    config.limits.on = false;
    let mut house = House::new(config);
    for _ in 0..16_384 {
        house.send(&login("alice", "pencil"));
    }
    assert!(house.ready().is_empty());
    for _ in 0..100 {
        let id = house.send(&login("alice", "pencil"));
        assert_eq!(house.ready()[&id], Answer::Unavailable);
    }
    assert!(house.event().contains(" outcome=unavailable reason=overload "));
    // A lane of the pool is shorter than that: who found no room there learns it as soon as the pool is asked.
    house.core.finished();
    assert!(house.ready().values().any(|answer| *answer == Answer::Unavailable));
    let id = house.send(&login("nobody", "pencil"));
    assert!(!house.ready().contains_key(&id), "there is room again");
}

#[test]
fn e3_a_hash_that_asks_for_too_much_is_refused_before_it_is_computed() {
    let files = Files::new();
    let bomb = "$argon2id$v=19$m=4194304,t=1000,p=64$c29tZXNhbHRzb21lc2FsdA$\
                dGhpcyBpcyBub3QgYSByZWFsIGhhc2ggYXQgYWxsISE";
    let backend = files.sqlite("db", &[("alice", "", &argon("pencil")), ("bomb", "", bomb)]);
    let mut house = House::new(config(vec![backend]));
    assert_eq!(house.ask(&login("bomb", "pencil")), Answer::Refuse);
    assert!(house.event().contains(" reason=too-expensive "), "{}", house.event());
    assert_eq!(house.ask(&login("alice", "pencil")), Answer::Accept);
}
