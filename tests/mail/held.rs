//! What the access map holds back is taken, waits with its reason, and goes where the operator says.

use harness::mta::{DOMAIN, House, Plan, ready, transact};
use harness::subject::built;
use harness::{PATIENCE, wait_for};

fn queue(house: &House, words: &[&str]) -> String {
    let words = ["queue"].iter().chain(words).copied().collect::<Vec<_>>();
    house.sandbox().run(built("mailauth"), words).unwrap().out()
}

#[test]
fn quarantined_mail_waits_for_the_operator() {
    if !ready() {
        return;
    }
    let house =
        Plan::new().map("From:alice@here.example\tQUARANTINE:look at it\n").start().unwrap();
    let here = format!("bob@{DOMAIN}");
    let mut client = house.login(house.submission()).unwrap();
    for subject in ["wanted", "unwanted"] {
        let text = format!("Subject: {subject}\r\n\r\nhi\r\n");
        let replies = transact(&mut client, "alice@here.example", &[&here], &text).unwrap();
        assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    }
    let text = "Subject: free\r\n\r\nhi\r\n";
    let replies = transact(&mut client, "", &[&here], text).unwrap();
    assert_eq!(replies.last().unwrap().code(), 250, "{replies:?}");
    // A later message has arrived: the earlier ones were looked at.
    let free = house.await_mail(&here, 1);
    assert!(free.len() == 1 && free[0].contains("Subject: free"), "{free:?}");
    let log = house.log();
    let ids: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(": quarantine=look at it")?.0.split_whitespace().last())
        .collect();
    let [wanted, unwanted] = ids[..] else { panic!("{log}") };
    let held = queue(&house, &["list", "--state", "held"]);
    for id in ids {
        assert!(held.contains(id), "{held}");
        assert!(queue(&house, &["show", id]).contains("look at it"));
    }
    queue(&house, &["delete", unwanted]);
    queue(&house, &["release", wanted]);
    let mail = house.await_mail(&here, 2);
    assert!(mail.len() == 2, "{mail:?}");
    assert!(mail.iter().any(|text| text.contains("Subject: wanted")), "{mail:?}");
    let gone = wait_for(PATIENCE, || house.kept() == 0);
    assert!(gone, "{}", queue(&house, &["list"]));
}
