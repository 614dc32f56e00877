//! Lookups in files of our own, and F10 of the catalogue of attacks: the drop, in processes of their own.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::in_child::{in_child, skip};

fn files(passwd: &str, group: &str) -> (tempfile::TempDir, AccountFiles) {
    let home = tempfile::tempdir().unwrap();
    let files =
        AccountFiles { passwd: home.path().join("passwd"), group: home.path().join("group") };
    std::fs::write(&files.passwd, passwd).unwrap();
    std::fs::write(&files.group, group).unwrap();
    (home, files)
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    # saslauthd:x:1:1::/:/bin/false\n\
    +nis\n\
    short:x:5\n\
    minus:x:-1:1::/:/bin/sh\n\
    none:x:4294967295:1::/:/bin/sh\n\
    big:x:4294967296:1::/:/bin/sh\n\
    saslauthd:x:130:131:SASL daemon,,,:/run:/usr/sbin/nologin\n\
    saslauthd:x:0:0:a second one:/:/bin/sh\n";

const GROUP: &str = "root:x:0:\n\
    shadow:x:42:backup,other\n\
    mail:x:8:saslauthd\n\
    sasl:x:45:postfix, saslauthd\n\
    saslauthd:x:131:saslauthd\n\
    empty:x:70\n";

#[test]
fn users_and_groups_are_found_by_file() {
    let (_home, files) = files(PASSWD, GROUP);
    let user = files.user("saslauthd").unwrap().unwrap();
    assert_eq!((user.uid, user.gid), (130, 131));
    for nobody in ["", "nobody", "+nis", "nis", "short", "minus", "none", "big", "# saslauthd"] {
        assert_eq!(files.user(nobody).unwrap(), None, "{nobody}");
    }
    let group = files.group("sasl").unwrap().unwrap();
    assert_eq!((group.gid, group.members.len()), (45, 2));
    assert_eq!(files.group("empty").unwrap().unwrap().members, Vec::<String>::new());
}

#[test]
fn an_identity_has_its_groups_and_those_asked_for() {
    let (_home, files) = files(PASSWD, GROUP);
    let plain = files.identity("saslauthd", &[]).unwrap().unwrap();
    assert_eq!((plain.uid, plain.gid, plain.groups), (130, 131, vec![8, 45]));
    let shadow = files.identity("saslauthd", &["shadow", "sasl"]).unwrap().unwrap();
    assert_eq!(shadow.groups, [8, 42, 45]);
    assert_eq!(files.identity("absent", &[]).unwrap(), None);
    let why = files.identity("saslauthd", &["absent"]).unwrap_err().to_string();
    assert!(why.contains("no group absent"), "{why}");
}

#[test]
fn a_missing_file_is_an_error_and_not_nobody() {
    let (home, files) = files(PASSWD, GROUP);
    drop(home);
    assert!(files.user("saslauthd").is_err());
    assert!(files.transient("x", 1, &BTreeSet::new()).is_err());
}

#[test]
fn transient_ids_are_nobodys() {
    let first = first_of("x");
    let line = |uid: u32, gid: u32| format!("a:x:{}:{}::/:\n", first + uid, first + gid);
    let group = |gid: u32| format!("g:x:{}:\n", first + gid);
    let (_home, files) = files(&(line(0, 2) + &line(3, 0)), &(group(1) + &group(5)));
    let transient = |count, busy: &[u32]| {
        files.transient("x", count, &busy.iter().map(|id| first + id).collect())
    };
    assert_eq!(transient(2, &[]).unwrap(), [first + 4, first + 6]);
    assert_eq!(transient(2, &[4, 7]).unwrap(), [first + 6, first + 8]);
    assert_eq!(transient(4000, &[]).unwrap().len(), 4000, "it goes on at the beginning");
    assert!(transient(5000, &[]).is_err());
}

#[test]
fn two_houses_share_no_spare_number() {
    let (_home, files) = files(PASSWD, GROUP);
    let of = |house: &str| files.transient(house, 8, &BTreeSet::new()).unwrap();
    let (ours, others) = (of("saslauthd"), of("mta"));
    assert!(ours.iter().all(|id| !others.contains(id)), "{ours:?} {others:?}");
    assert_eq!(ours, of("saslauthd"), "the same at each start");
}

#[test]
fn a_number_of_somebody_elses_process_is_busy() {
    let status = "Name:\tmta-receiver\nUmask:\t0022\nUid:\t61300\t61301\t61300\t61300\n";
    assert_eq!(owners(status, "saslauthd"), [61300, 61301, 61300, 61300]);
    assert!(owners(status, "mta").is_empty());
    assert!(owners("", "mta").is_empty());
    let own = current().unwrap().uid;
    assert!(busy("no such house").contains(&own));
}

/// Any identity that the host does not have.
fn stranger(groups: &[u32]) -> Identity {
    Identity { uid: 61200, gid: 61201, groups: groups.to_vec() }
}

fn status_line(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn f10_the_drop_is_complete_and_final() {
    in_child("identity::tests::f10_the_drop_is_complete_and_final", || {
        if !may_change().unwrap() {
            return skip("changing user needs root");
        }
        // Groups of the one who starts us must not survive.
        nix::unistd::setgroups(&[Gid::from_raw(0), Gid::from_raw(4)]).unwrap();
        drop_to(&stranger(&[61300, 42])).unwrap();
        assert_eq!(status_line("Uid"), "61200 61200 61200 61200");
        assert_eq!(status_line("Gid"), "61201 61201 61201 61201");
        assert_eq!(status_line("Groups"), "42 61300");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status_line(set), "0000000000000000", "{set}");
        }
        assert!(nix::unistd::setuid(Uid::from_raw(0)).is_err());
        assert!(nix::unistd::seteuid(Uid::from_raw(0)).is_err());
        assert!(nix::unistd::setgid(Gid::from_raw(0)).is_err());
        assert!(nix::unistd::setgroups(&[]).is_err());
        assert!(!is_root() && !may_change().unwrap());
        assert_eq!(current().unwrap(), stranger(&[42, 61300]));
    });
}

#[test]
fn one_capability_can_be_kept() {
    in_child("identity::tests::one_capability_can_be_kept", || {
        if !may_change().unwrap() {
            return skip("changing user needs root");
        }
        let home = tempfile::tempdir().unwrap();
        let secret = home.path().join("shadow");
        std::fs::write(&secret, "hash").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        drop_keeping(&stranger(&[]), Kept::ReadAnyFile).unwrap();
        assert_eq!(status_line("CapEff"), "0000000000000004");
        assert_eq!(status_line("CapPrm"), "0000000000000004");
        assert_eq!(status_line("CapBnd"), "0000000000000000");
        assert_eq!(std::fs::read(&secret).unwrap(), b"hash");
        assert!(std::fs::write(&secret, "x").is_err());
        // What the removal of the temporary directory would need is gone; the parent's is not.
        std::mem::forget(home);
    });
}

#[test]
fn f10_root_is_no_identity() {
    in_child("identity::tests::f10_root_is_no_identity", || {
        if !is_root() {
            return skip("only root could become root");
        }
        for (uid, gid, group) in [(0, 61201, 5), (61200, 0, 5), (61200, 61201, 0)] {
            let refused = drop_to(&Identity { uid, gid, groups: vec![group] });
            assert!(matches!(refused, Err(Error::NotConfined(_))));
        }
        assert!(is_root());
    });
}

#[test]
fn f10_half_a_drop_is_noticed() {
    in_child("identity::tests::f10_half_a_drop_is_noticed", || {
        if !may_change().unwrap() {
            return skip("changing user needs root");
        }
        let wanted = stranger(&[42]);
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        let noticed = |what: &str| {
            let why = verify(&wanted, Kept::Nothing).unwrap_err().to_string();
            assert!(why.contains(what), "{what}: {why}");
        };
        setgroups(&[Gid::from_raw(0), Gid::from_raw(42)]).unwrap();
        noticed("user ids");
        // The saved id stays root's.
        nix::unistd::setresuid(uid, uid, Uid::from_raw(0)).unwrap();
        noticed("user ids");
        nix::unistd::seteuid(Uid::from_raw(0)).unwrap();
        nix::unistd::setresgid(gid, gid, Gid::from_raw(0)).unwrap();
        nix::sys::prctl::set_keepcaps(true).unwrap();
        nix::unistd::setresuid(uid, uid, uid).unwrap();
        noticed("group ids");
    });
}

#[test]
fn f10_surplus_groups_and_capabilities_are_noticed() {
    in_child("identity::tests::f10_surplus_groups_and_capabilities_are_noticed", || {
        if !may_change().unwrap() {
            return skip("changing user needs root");
        }
        let wanted = stranger(&[42]);
        let (uid, gid) = (Uid::from_raw(wanted.uid), Gid::from_raw(wanted.gid));
        setgroups(&[Gid::from_raw(0), Gid::from_raw(42)]).unwrap();
        setresgid(gid, gid, gid).unwrap();
        nix::sys::prctl::set_keepcaps(true).unwrap();
        setresuid(uid, uid, uid).unwrap();
        let why = verify(&wanted, Kept::Nothing).unwrap_err().to_string();
        assert!(why.contains("supplementary groups"), "{why}");
        let now = Identity { groups: vec![0, 42], ..wanted };
        let why = verify(&now, Kept::Nothing).unwrap_err().to_string();
        assert!(why.contains("capabilities"), "{why}");
    });
}

#[test]
fn without_root_staying_the_same_is_a_drop() {
    in_child("identity::tests::without_root_staying_the_same_is_a_drop", || {
        if may_change().unwrap() {
            drop_to(&stranger(&[42])).unwrap();
        } else if is_root() {
            return skip("a root that cannot change user has nobody to stay");
        }
        let who = current().unwrap();
        drop_to(&who).unwrap();
        let other = Identity { uid: who.uid + 1, ..who };
        assert!(matches!(drop_to(&other), Err(Error::System { .. })));
    });
}
