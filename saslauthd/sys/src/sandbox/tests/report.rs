//! What is said of a confinement that was reached.

use super::*;

#[test]
fn the_report_says_what_is_missing() {
    let bare = observe(Landlock::Missing("switched off".into())).unwrap();
    let missing = bare.shortcomings().join("\n");
    assert!(missing.contains("no landlock: switched off"), "{missing}");
    assert!(missing.contains("no seccomp: not applied"), "{missing}");
    assert!(bare.to_string().contains("landlock missing (switched off)"), "{bare}");
    let good = Confinement {
        landlock: Landlock::Full(7),
        seccomp: Seccomp::Enforced(Calls::Checker),
        no_new_privileges: true,
        undumpable: true,
        uid: 61184,
        gid: 61184,
        groups: vec![42],
        capabilities: 4,
    };
    assert_eq!(good.shortcomings(), Vec::<String>::new());
    assert_eq!(
        good.to_string(),
        "uid 61184 gid 61184 groups [42]; capabilities 0x4; landlock full (ABI 7); \
         seccomp checker; no_new_privs; undumpable"
    );
    let old = Confinement { landlock: Landlock::Partial(3), ..good };
    assert_eq!(old.shortcomings().len(), 1);
}
