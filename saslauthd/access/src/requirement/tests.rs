//! The grammar of requirements: what is read, and what refuses the map.

use super::*;

fn read(value: &str) -> Requirement {
    Requirement::parse(value).unwrap_or_else(|fault| panic!("{value}: {fault:?}"))
}

fn fault(value: &str) -> (usize, Option<String>) {
    match Requirement::parse(value) {
        Ok(read) => panic!("{value} was read as {read:?}"),
        Err(fault) => (fault.offset, fault.nearest),
    }
}

#[test]
fn what_sendmail_reads_is_read() {
    let plain = read("VERIFY");
    assert_eq!((plain.severity, plain.level), (None, Level::Verified));
    assert_eq!(read("verify").level, Level::Verified);
    assert_eq!(read("TEMP+VERIFY:256").severity, Some(Severity::Temporary));
    assert_eq!(read("PERM+ENCR:112").level, Level::Encrypted(112));
    let full = read("PERM+VERIFY:128+CS:/C=DE/CN=a+20b++ci:/CN=x++CN++CITag:MyCA++CN:n.example");
    assert_eq!(
        full.extensions,
        [
            Extension::Subject("/C=DE/CN=a+20b".into()),
            Extension::Issuer("/CN=x".into()),
            Extension::PeerName,
            Extension::IssuerTag("MyCA".into()),
            Extension::Name("n.example".into()),
        ]
    );
    assert_eq!(full.tail, "CS:/C=DE/CN=a+20b++ci:/CN=x++CN++CITag:MyCA++CN:n.example");
}

#[test]
fn what_is_ours_is_read() {
    assert_eq!(read("VERIFY+CA").extensions, [Extension::AnyName(None)]);
    assert_eq!(read("VERIFY+CA:a.b").extensions, [Extension::AnyName(Some("a.b".into()))]);
    assert_eq!(read("VERIFY+PURPOSE:any").purpose(), Some(Wanted::Any));
}

#[test]
fn blanks_beside_an_operator_vanish() {
    assert_eq!(read("VERIFY +CN").extensions, [Extension::PeerName]);
    assert_eq!(read("PERM + VERIFY : 128 + CN : a.b").extensions, [Extension::Name("a.b".into())]);
    assert_eq!(fault("ENCR:128 VERIFY").0, 9);
    assert_eq!(fault("VERIFY+CN # mine").0, 10);
}

#[test]
fn names_that_nobody_has_are_read() {
    for value in ["VERIFY+CI:/CN=x+CN", "VERIFY+CS:/O=A Corp/CN=x"] {
        let read = read(value);
        let [Extension::Issuer(name) | Extension::Subject(name)] = read.extensions.as_slice()
        else {
            panic!("{value}: {read:?}");
        };
        assert!(is_unencoded(name), "{value}");
    }
    assert!(!is_unencoded("/O=A+20Corp/CN=x+2By"));
}

#[test]
fn what_sendmail_takes_for_nothing_is_a_mistake() {
    for value in [
        "",
        "VERIFY:",
        "VERIFY:128:256",
        "VERIFY:abc",
        "VERIFY:-1",
        "VERIFY:99999999999",
        "ENCR",
        "PERM",
        "PERM+",
        "PERM+OK",
        "TEMP+PERM+VERIFY",
        "VERIFY+",
        "VERIFY++CN",
        "VERIFY+CN++",
        "VERIFY+CN:",
        "VERIFY+XX:foo++CN:nomatch.invalid",
        "VERIFY+CN+CI:/CN=x",
        "VERIFY:0128",
        "VERIFY+CITag:My.CA",
        "VERIFY+CITag",
        "VERIFY+PURPOSE:mail",
        "OK+CN",
    ] {
        let _ = fault(value);
    }
}

#[test]
fn mistakes_have_their_place_and_the_nearest_word() {
    assert_eq!(fault("VERFIY"), (0, Some("VERIFY".into())));
    assert_eq!(fault("PERM+ECNR:128"), (5, Some("ENCR".into())));
    assert_eq!(fault("VERIFY + CN ++ CITga:x"), (15, Some("CITag".into())));
    assert_eq!(fault("VERIFY+CN+CI:/CN=x").0, 10);
    assert_eq!(fault("VERIFY:12x").0, 7);
}
