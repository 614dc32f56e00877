//! PLAIN, LOGIN, EXTERNAL and ANONYMOUS.

use super::*;

fn begin(mechanism: Mechanism) -> Exchange {
    Exchange::of(mechanism, facts(""))
}

#[test]
fn the_examples_of_rfc_4616() {
    begin(Mechanism::Plain)
        .says(b"\0tim\0tanstaaftanstaaf", "password None \"tim\" tanstaaftanstaaf")
        .is_over();
    begin(Mechanism::Plain)
        .says(b"Ursel\0Kurt\0xipj3plmq", "password Some(\"Ursel\") \"Kurt\" xipj3plmq");
    // Without an initial response: an empty challenge first.
    begin(Mechanism::Plain)
        .is_silent("challenge ")
        .says(b"\0tim\0tanstaaftanstaaf", "password None \"tim\" tanstaaftanstaaf");
}

#[test]
fn what_is_no_plain_message() {
    for wrong in [
        b"".as_slice(),
        b"tim",
        b"\0tim",
        b"\0tim\0",
        b"\0\0secret",
        b"\0tim\0sec\0ret",
        b"\0t\nim\0secret",
        b"a\rb\0tim\0secret",
        &[b"\0".as_slice(), &[b'u'; 1025], b"\0secret"].concat(),
        &[b"\0tim\0".as_slice(), &[b'p'; 8193]].concat(),
    ] {
        begin(Mechanism::Plain).says(wrong, "refused malformed-exchange").is_over();
    }
}

/// RFC 4616 §2 asks for 255 octets in each part; ours are longer, and need not be UTF-8.
#[test]
fn long_and_foreign_parts_of_plain_pass() {
    let long = [[b'z'; 1024].as_slice(), b"\0", &[b'c'; 1024], b"\0", &[b'p'; 8192]].concat();
    let step = begin(Mechanism::Plain).step(Some(&long), None);
    assert!(matches!(step, Step::Password { .. }));
    let Step::Password { authid, password, .. } =
        begin(Mechanism::Plain).step(Some(b"\0jos\xe9\0p\xffx"), None)
    else {
        panic!("no password");
    };
    assert_eq!(
        (authid.as_bytes(), password.reveal()),
        (b"jos\xe9".as_slice(), b"p\xffx".as_slice())
    );
}

#[test]
fn login_prompts_in_the_very_words() {
    begin(Mechanism::Login)
        .is_silent("challenge Username:")
        .says(b"tim", "challenge Password:")
        .says(b"tanstaaf", "password None \"tim\" tanstaaf")
        .is_over();
    begin(Mechanism::Login)
        .says(b"tim", "challenge Password:")
        .says(b"tanstaaf", "password None \"tim\" tanstaaf")
        .is_over();
    begin(Mechanism::Login)
        .says(b"", "challenge Username:")
        .says(b"", "refused malformed-exchange");
    for wrong in [b"".as_slice(), b"a\0b", b"a\nb", &[b'u'; 1025]] {
        begin(Mechanism::Login)
            .is_silent("challenge Username:")
            .says(wrong, "refused malformed-exchange")
            .is_over();
    }
    for wrong in [b"".as_slice(), b"a\0b", &[b'p'; 8193]] {
        begin(Mechanism::Login)
            .says(b"tim", "challenge Password:")
            .says(wrong, "refused malformed-exchange")
            .is_over();
    }
}

/// RFC 4422 appendix A.3.
#[test]
fn external_says_whom_the_client_wants_to_be() {
    begin(Mechanism::External).says(b"", "certificate None").is_over();
    begin(Mechanism::External).is_silent("challenge ").says(b"", "certificate None");
    begin(Mechanism::External).says(b"fred@example.com", "certificate Some(\"fred@example.com\")");
    for wrong in [b"a\0b".as_slice(), b"a\nb", b"\xff", &[b'u'; 1025]] {
        begin(Mechanism::External).says(wrong, "refused malformed-exchange").is_over();
    }
}

/// RFC 4505 §3.
#[test]
fn anonymous_leaves_a_trace() {
    begin(Mechanism::Anonymous).says(b"sirhc", "anonymous \"sirhc\"").is_over();
    begin(Mechanism::Anonymous).is_silent("challenge ").says(b"", "anonymous \"\"");
    let long = "\u{1f512}".repeat(255);
    let step = begin(Mechanism::Anonymous).step(Some(long.as_bytes()), None);
    assert!(matches!(step, Step::Anonymous { trace } if trace.as_bytes().len() == 1020));
    for wrong in [&[b'x'; 256], b"a\0b".as_slice(), b"\xff"] {
        begin(Mechanism::Anonymous).says(wrong, "refused malformed-exchange").is_over();
    }
}
