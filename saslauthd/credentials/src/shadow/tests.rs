//! A shadow file on a real disk: states of accounts, replacement, truncation, damage.

use std::fs;
use std::time::Duration;

use protocol::Password;

use super::*;
use crate::scheme::Scheme;
use crate::scratch::Scratch;
use crate::verdict::{Reason, Verdict};

const TODAY: i64 = 20_000;
const DATES: &str = "19000:0:99999:7:::";

struct Fixture {
    dir: tempfile::TempDir,
    shadow: ShadowFile,
    scratch: Scratch,
}

/// A cheap hash of the scheme that these tests need only to be some hash.
fn md5(password: &str) -> String {
    let hash = Scratch::new().crypt().hash(password.as_bytes(), b"$1$salt").expect("a hash");
    String::from_utf8(hash.to_vec()).expect("text")
}

fn line(name: &str, password: &str) -> String {
    format!("{name}:{}:{DATES}\n", md5(password))
}

impl Fixture {
    fn new(content: &[u8]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("shadow");
        fs::write(&path, content).expect("written");
        let shadow = ShadowFile::new(path, Rules::Strict, Policy::default());
        Self { dir, shadow, scratch: Scratch::new() }
    }

    /// As passwd(1) does it.
    fn replace(&self, content: &[u8]) {
        let new = self.dir.path().join("nshadow");
        fs::write(&new, content).expect("written");
        fs::rename(new, self.shadow.path()).expect("renamed");
    }

    fn write_in_place(&self, content: &[u8]) {
        fs::write(self.shadow.path(), content).expect("written");
    }

    fn find(&mut self, name: &str) -> Lookup<Entry> {
        self.shadow.lookup(name.as_bytes(), TODAY)
    }

    fn later(&mut self, name: &str) -> Lookup<Entry> {
        self.shadow.lookup_at(name.as_bytes(), TODAY, SystemTime::now() + Duration::from_secs(60))
    }

    fn login(&mut self, name: &str, password: &str) -> Verdict {
        let password = Password::new(password.as_bytes()).expect("a password");
        match self.find(name) {
            Lookup::Found(entry) => entry.judge(&password, &mut self.scratch),
            Lookup::NotFound => Verdict::Refuse(Reason::UnknownUser),
            Lookup::Unavailable(trouble) => Verdict::Unavailable(trouble),
        }
    }

    fn trouble(&mut self, name: &str) -> String {
        match self.find(name) {
            Lookup::Unavailable(trouble) => trouble.to_string(),
            Lookup::Found(_) => panic!("{name} was found"),
            Lookup::NotFound => panic!("{name} was not found"),
        }
    }
}

fn accepted(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Accept(_))
}

#[test]
fn a_password_is_compared_and_an_unknown_name_is_not_found() {
    let mut file = Fixture::new((line("ann", "pencil") + &line("bob", "eraser")).as_bytes());
    assert!(accepted(&file.login("ann", "pencil")));
    assert!(accepted(&file.login("bob", "eraser")));
    assert_eq!(file.login("ann", "eraser"), Verdict::Refuse(Reason::WrongPassword));
    for unknown in ["an", "anna", "", "ann:", "ann\n", "root"] {
        assert!(matches!(file.find(unknown), Lookup::NotFound), "{unknown:?}");
    }
}

#[test]
fn b1_b2_b3_unusable_hashes_log_nobody_in_and_say_why() {
    let valid = md5("pencil");
    let cases = [
        ("", Reason::NoPassword),
        (" ", Reason::NoPassword),
        ("!", Reason::Locked),
        ("!!", Reason::Locked),
        ("*", Reason::Locked),
        ("*0", Reason::Locked),
        ("*LK*", Reason::Locked),
        (&format!("!{valid}"), Reason::Locked),
        (&format!("*{valid}"), Reason::Locked),
        ("x", Reason::SchemeNotAllowed),
        ("NP", Reason::SchemeNotAllowed),
        ("..", Reason::SchemeNotAllowed),
        ("$6$", Reason::Malformed),
        ("$9$abc", Reason::SchemeNotAllowed),
        ("$y$", Reason::Malformed),
        ("$2y$10$short", Reason::Malformed),
        ("$argon2id$garbage", Reason::Malformed),
        (&format!("{valid}x"), Reason::Malformed),
        ("abJnggxhB/yWI", Reason::SchemeNotAllowed),
        ("$6$rounds=999999999$salt$", Reason::Malformed),
    ];
    for (hash, reason) in cases {
        let content = format!("ann:{hash}:{DATES}\n{}", line("bob", "eraser"));
        let mut file = Fixture::new(content.as_bytes());
        for guess in ["pencil", "x", "!", hash].into_iter().filter(|guess| !guess.is_empty()) {
            assert_eq!(file.login("ann", guess), Verdict::Refuse(reason), "{hash:?} {guess:?}");
        }
        let Lookup::Found(entry) = file.find("ann") else { panic!("{hash:?} was not found") };
        assert!(entry.verifier.is_stand_in() && entry.verifier.scheme() == Scheme::Md5Crypt);
        assert!(accepted(&file.login("bob", "eraser")));
    }
}

#[test]
fn b4_dates_refuse_after_the_password_was_right() {
    let content = format!("ann:{}:19000:0:99999:7::20000:\n", md5("pencil"));
    let mut file = Fixture::new(content.as_bytes());
    assert_eq!(file.login("ann", "pencil"), Verdict::Refuse(Reason::AccountExpired));
    assert_eq!(file.login("ann", "eraser"), Verdict::Refuse(Reason::WrongPassword));
    file.shadow.rules = Rules::Cyrus;
    assert!(accepted(&file.login("ann", "pencil")));
}

#[test]
fn b11_the_first_line_of_a_name_counts() {
    let mut file = Fixture::new((line("ann", "first") + &line("ann", "second")).as_bytes());
    assert!(accepted(&file.login("ann", "first")));
    assert_eq!(file.login("ann", "second"), Verdict::Refuse(Reason::WrongPassword));
    // Even when it is damaged: whoever damages a line must not activate another.
    let mut file = Fixture::new(("ann:broken\n".to_owned() + &line("ann", "second")).as_bytes());
    assert_eq!(file.login("ann", "second"), Verdict::Refuse(Reason::Malformed));
}

#[test]
fn b11_overlong_lines_nis_lines_and_odd_bytes_log_nobody_in() {
    let long = format!("long:{}:{DATES}\n", "x".repeat(100 * 1024));
    let nis = format!("+:{0}:{DATES}\n+ann:{0}:{DATES}\n-ann:{0}:{DATES}\n", md5("pencil"));
    let content = [
        long.as_bytes(),
        nis.as_bytes(),
        b"\n#comment\n\xff\xfe:\xff:::::::\nnul:\0:::::::\n",
        line("bob", "eraser").as_bytes(),
    ]
    .concat();
    let mut file = Fixture::new(&content);
    assert_eq!(file.login("long", "pencil"), Verdict::Refuse(Reason::Malformed));
    for name in ["+", "+ann", "-ann", "ann", "#comment"] {
        assert!(matches!(file.find(name), Lookup::NotFound), "{name}");
    }
    assert_eq!(file.login("nul", "pencil"), Verdict::Refuse(Reason::SchemeNotAllowed));
    assert!(accepted(&file.login("bob", "eraser")));
}

#[test]
fn b11_a_replaced_file_counts_at_the_next_lookup() {
    let mut file = Fixture::new(line("ann", "old").as_bytes());
    let generation = |found| match found {
        Lookup::Found(Entry { generation, .. }) => generation,
        _ => panic!("not found"),
    };
    let before = generation(file.find("ann"));
    assert_eq!(before, generation(file.find("ann")));
    file.replace(line("ann", "new").as_bytes());
    assert!(accepted(&file.login("ann", "new")));
    assert_eq!(file.login("ann", "old"), Verdict::Refuse(Reason::WrongPassword));
    assert_ne!(before, generation(file.find("ann")));
    // A change of dates alone is a change, too.
    let before = generation(file.find("ann"));
    file.replace(line("ann", "new").replace("99999", "99998").as_bytes());
    assert_ne!(before, generation(file.find("ann")));
    file.replace(line("bob", "new").as_bytes());
    assert!(matches!(file.find("ann"), Lookup::NotFound));
}

#[test]
fn b11_a_change_of_equal_length_within_the_clocks_tick_is_seen() {
    let mut file = Fixture::new(line("ann", "old").as_bytes());
    assert!(accepted(&file.login("ann", "old")));
    for password in ["one", "two", "six"] {
        file.replace(line("ann", password).as_bytes());
        assert!(accepted(&file.login("ann", password)), "{password}");
    }
}

#[test]
fn b11_a_file_written_in_place_is_believed_once_it_stands_still() {
    let mut file = Fixture::new((line("ann", "old") + &line("bob", "old")).as_bytes());
    assert!(accepted(&file.login("ann", "old")));
    file.write_in_place(line("ann", "new").as_bytes());
    for name in ["ann", "bob"] {
        // Any change is in the future of 1970, so that this lookup comes right after it.
        let found = file.shadow.lookup_at(name.as_bytes(), TODAY, SystemTime::UNIX_EPOCH);
        let Lookup::Unavailable(trouble) = found else { panic!("{name} has an answer") };
        assert!(trouble.to_string().ends_with("it is being written"), "{trouble}");
    }
    assert!(matches!(file.later("bob"), Lookup::NotFound));
    assert!(accepted(&file.login("ann", "new")));
}

#[test]
fn b11_a_truncated_file_is_unavailable_at_every_length() {
    let content = line("ann", "pencil");
    // Without its newline the line is whole; each shorter one is cut off.
    for length in 0..content.len() - 1 {
        let cut = content.as_bytes().get(..length).expect("in range");
        let mut file = Fixture::new(cut);
        let found = file.later("ann");
        assert!(matches!(found, Lookup::Unavailable(_)), "{length}");
    }
    assert!(accepted(&Fixture::new(content.trim_end().as_bytes()).login("ann", "pencil")));
}

#[test]
fn b12_a_file_that_cannot_be_read_is_never_an_unknown_user() {
    let mut file = Fixture::new(line("ann", "pencil").as_bytes());
    assert!(accepted(&file.login("ann", "pencil")));
    fs::remove_file(file.shadow.path()).expect("removed");
    assert!(file.trouble("nobody").contains("No such file"));
    fs::create_dir(file.shadow.path()).expect("made");
    assert!(file.trouble("ann").contains("not a regular file"));
    fs::remove_dir(file.shadow.path()).expect("removed");
    std::os::unix::fs::symlink("/etc/passwd", file.shadow.path()).expect("linked");
    assert!(file.trouble("root").contains("symbolic link"));
    fs::remove_file(file.shadow.path()).expect("removed");
    file.replace(line("ann", "pencil").as_bytes());
    assert!(accepted(&file.login("ann", "pencil")));
}

#[test]
fn d1_unknown_names_work_as_long_as_most_of_the_file() {
    let yescrypt = "$y$j9T$saltsalt$M8B9s7Va8RYZhmIp6UymHdZUGBExDfYb1/xqutXpI52";
    let majority = |content: String| {
        let mut file = Fixture::new(content.as_bytes());
        Verifier::stand_in(&file.shadow.majority().expect("a shape")).scheme()
    };
    let others = format!("bob:{yescrypt}:{DATES}\nsys:*:{DATES}\nold:!{yescrypt}:{DATES}\n");
    assert_eq!(majority(line("ann", "a") + &line("amy", "b") + &others), Scheme::Md5Crypt);
    assert_eq!(
        majority(format!("eve:{yescrypt}:{DATES}\n{}{others}", line("ann", "a"))),
        Scheme::Yescrypt
    );
    assert_eq!(majority(format!("root:*:{DATES}\n")), Scheme::Yescrypt);
}
