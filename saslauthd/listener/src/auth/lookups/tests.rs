//! Lookups word by word, with a desk that remembers what it was asked.

use super::*;

#[derive(Default)]
struct Stand {
    away: bool,
    asked: Vec<(Id, Search)>,
    dropped: Vec<u64>,
}

impl Desk for Stand {
    fn find(&mut self, id: Id, what: Search) -> Option<u64> {
        if self.away {
            return None;
        }
        self.asked.push((id, what));
        u64::try_from(self.asked.len()).ok()
    }

    fn drop(&mut self, search: u64) {
        self.dropped.push(search);
    }
}

struct Scene {
    lookups: Lookups,
    desk: Stand,
    now: Instant,
    userdb: Userdb,
}

impl Scene {
    fn new(standing: Standing) -> Self {
        let now = Instant::now();
        let lookups = Lookups::new(standing, Duration::from_secs(30), now);
        let home = Some("/srv/%d/%n".to_owned());
        let userdb = Userdb { uid: Some(8), gid: Some(12), home, list_uids: Vec::new() };
        Self { lookups, desk: Stand::default(), now, userdb }
    }

    fn say(&mut self, text: &str) -> String {
        let mut out = Message::default();
        let used = self.lookups.consume(text.as_bytes(), self.now, &mut self.desk, &mut out);
        assert_eq!(used, text.len());
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn found(&mut self, id: u32, answer: Answer, users: &[&[u8]], more: bool) -> String {
        let users = users.iter().map(|user| Name::new(user).unwrap()).collect();
        let part = Part { answer, users, count: 3, more };
        let mut out = Message::default();
        let id = Id::new(id).unwrap();
        self.lookups.found(id, part, &self.userdb, self.now, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }
}

#[test]
fn chasquid_hears_version_and_spid_first() {
    let mut out = Message::default();
    greet(7, &mut out);
    assert_eq!(&out[..], b"VERSION\t1\t1\nSPID\t7\n");
}

#[test]
fn a_user_is_told_with_what_is_configured_and_no_secret() {
    let mut scene = Scene::new(Standing::Ordinary);
    assert_eq!(scene.say("VERSION\t1\t1\nUSER\t1\talice@example.org\tservice=smtp\n"), "");
    let told = scene.found(1, Answer::Accept, &[b"alice@example.org"], false);
    assert_eq!(told, "USER\t1\talice@example.org\tuid=8\tgid=12\thome=/srv/example.org/alice\n");
    scene.say("USER\t2\tnobody\tservice=smtp\nUSER\t3\tbob\tservice=smtp\n");
    assert_eq!(scene.found(2, Answer::Refuse, &[], false), "NOTFOUND\t2\n");
    assert_eq!(scene.found(3, Answer::Unavailable, &[], false), "FAIL\t3\n");
    assert_eq!(scene.say("PASS\t4\talice\tservice=smtp\n"), "FAIL\t4\n");
    assert_eq!(scene.say("USER\t5\ta\x01tb\tservice=smtp\n"), "NOTFOUND\t5\n");
    assert_eq!(scene.desk.asked.len(), 3);
    scene.userdb = Userdb::default();
    scene.say("USER\t6\tbob\tservice=smtp\n");
    assert_eq!(scene.found(6, Answer::Accept, &[b"bob"], false), "USER\t6\tbob\n");
}

#[test]
fn a_name_never_leads_out_of_its_home() {
    let home = |user: &[u8]| home("/srv/%d/%n/%u", &Name::new(user).unwrap());
    assert_eq!(home(b"a@b@c").unwrap().as_bytes(), b"/srv/c/a@b/a@b@c");
    for user in [&b"../root"[..], b"..", b"a@..", b"..@b", ".@x".as_bytes(), b"a/b@c"] {
        assert!(home(user).is_none());
    }
}

#[test]
fn lists_and_flushes_are_for_the_privileged() {
    let mut ordinary = Scene::new(Standing::Ordinary);
    let said = ordinary.say("VERSION\t1\t1\nLIST\t1\tuser=*\nCACHE-FLUSH\t2\n");
    assert_eq!(said, "DONE\t1\tfail\nFAIL\t2\n");
    let mut scene = Scene::new(Standing::Privileged);
    scene.say("VERSION\t1\t1\nLIST\t1\tuser=*\tservice=doveadm\nCACHE-FLUSH\t2\talice\n");
    let part = scene.found(1, Answer::Accept, &[b"alice", b"a\tb"], true);
    assert_eq!(part, "LIST\t1\talice\n");
    let part = scene.found(1, Answer::Accept, &[b"bob"], false);
    assert_eq!(part, "LIST\t1\tbob\nDONE\t1\t\n");
    assert_eq!(scene.found(2, Answer::Accept, &[], false), "OK\t2\t3\n");
    scene.say("LIST\t3\n");
    scene.found(3, Answer::Accept, &[b"alice"], true);
    let mut out = Message::default();
    scene.lookups.lost(Id::new(3).unwrap(), &mut out);
    assert_eq!(&out[..], b"DONE\t3\tfail\n");
    let many = "\tx".repeat(MAX_MASKS + 1);
    assert_eq!(scene.say(&format!("CACHE-FLUSH\t4{many}\n")), "FAIL\t4\n");
}

#[test]
fn one_flawed_request_touches_no_other_and_a_lost_line_ends_it_after_them() {
    let mut scene = Scene::new(Standing::Ordinary);
    scene.say("VERSION\t1\t1\nUSER\t1\talice\tservice=smtp\n");
    assert_eq!(scene.say("USER\t2\talice\nUSER\t1\tbob\tservice=x\n"), "FAIL\t2\nFAIL\t1\n");
    assert_eq!(scene.say("REQUEST\t1\t2\n"), "");
    assert!(scene.lookups.is_deaf() && !scene.lookups.is_over());
    scene.found(1, Answer::Refuse, &[], false);
    assert!(scene.lookups.is_over());
    for junk in ["USER\t1\ta\tservice=x\n", "VERSION\t2\t0\n", &"x".repeat(MAX_LINE + 1)] {
        let mut scene = Scene::new(Standing::Privileged);
        assert_eq!(scene.say(junk), "");
        assert!(scene.lookups.is_over());
    }
}

#[test]
fn nothing_lasts_for_ever_but_an_idle_connection() {
    let mut scene = Scene::new(Standing::Ordinary);
    scene.say("VERSION\t1\t1\nUSER\t1\talice\tservice=smtp\n");
    scene.now += Duration::from_secs(30);
    let mut out = Message::default();
    scene.lookups.tick(scene.now, &mut scene.desk, &mut out);
    assert_eq!((&out[..], &scene.desk.dropped[..]), (&b"FAIL\t1\n"[..], &[1][..]));
    assert!(scene.lookups.deadline().is_none() && !scene.lookups.is_over());
    scene.desk.away = true;
    assert_eq!(scene.say("USER\t2\talice\tservice=smtp\n"), "FAIL\t2\n");
}
