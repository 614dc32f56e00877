//! Addresses as strangers write them. Runs in the test binary.

use proptest::prelude::*;

use super::*;

fn rcpt(text: &str) -> Result<(Recipient, &str), Malformed> {
    recipient(text)
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[test]
fn the_postmaster_needs_no_domain() {
    for text in ["<Postmaster>", "<postmaster>", "<POSTMASTER>"] {
        assert_eq!(rcpt(text), Ok((Recipient::Postmaster, "")));
    }
    assert_eq!(rcpt("<hostmaster>"), Err(Malformed::Domain));
    assert_eq!(sender("<postmaster>"), Err(Malformed::Domain));
}

#[test]
fn quotes_of_a_local_part_stay() {
    for text in [r#""a b"@z"#, r#""x@y"@z"#, r#""a\"b"@z"#, r#""a>b"@z"#, r#""\\"@z"#, r#""a"@z"#] {
        let bracketed = format!("<{text}> SIZE=1");
        let (path, rest) = rcpt(&bracketed).unwrap();
        assert_eq!((path.to_string(), rest), (format!("<{text}>"), " SIZE=1"));
        let Recipient::Address(address) = path else { panic!("{text}") };
        assert_eq!(address.domain().as_str(), "z");
    }
    assert_eq!(address(r#""x@y\" "@z"#).unquoted_local_part(), "x@y\" ");
    assert_eq!(address("a@z").unquoted_local_part(), "a");
    assert_ne!(address(r#""a"@z"#), address("a@z"));
}

#[test]
fn what_is_no_mailbox_is_refused() {
    let none = [
        "",
        "a",
        "@",
        "@z",
        "a@",
        "a@.z",
        "a@z.",
        "a@z..y",
        "a@-z",
        "a@z-",
        "a..b@z",
        ".a@z",
        "a.@z",
        "a b@z",
        "a@b c",
        "a@b@c",
        r#""a@z"#,
        r#""a"b@z"#,
        r#"a"b"@z"#,
        r#"""@z"#,
        "a\r@z",
        "a\n@z",
        "a\0@z",
        "a\t@z",
        "\"a\r\"@z",
        "\"\\\r\"@z",
        "\"a\0\"@z",
        "a@z\\",
        "<;x;>",
        "a@z;sh",
        "a@z|sh",
        "a(b)@z",
        "a@[1.2.3]",
        "a@[1.2.3.4",
        "a@[x:y]",
        "a@[IPv6:1.2.3.4]",
        "a@[01.2.3.4]",
        "a@[1.2.3.4]z",
        "a@z_y",
        "a\u{85}@z",
        "a@z\u{2028}",
        "a\u{7f}@z",
    ];
    for text in none {
        assert!(Address::parse(text).is_err(), "{text:?}");
        assert!(rcpt(&format!("<{text}>")).is_err(), "{text:?}");
    }
    assert_eq!(Address::parse(&format!("{}@z", "a".repeat(253))), Err(Malformed::TooLong));
    assert!(Address::parse(&format!("{}@z", "a".repeat(252))).is_ok());
    assert!(Address::parse(&format!("a@{}", "z".repeat(64))).is_err());
}

#[test]
fn what_a_shell_would_expand_is_only_letters() {
    for text in ["${run{x}}@z", "`id`@z", "|sh@z", "$(x)@z"] {
        let parsed = Address::parse(text).map(|address| address.to_string());
        // Parentheses need quotes, the others don't.
        assert_eq!(parsed.is_ok(), !text.contains('('), "{text}");
        assert!(parsed.is_err() || parsed.as_deref() == Ok(text));
    }
}

#[test]
fn literals_are_addresses() {
    assert_eq!(address("a@[192.0.2.1]").domain().literal(), "192.0.2.1".parse().ok());
    assert_eq!(address("a@[IPv6:2001:db8::1]").domain().literal(), "2001:db8::1".parse().ok());
    assert_eq!(address("a@[ipv6:::ffff:192.0.2.1]").domain().as_str(), "[ipv6:::ffff:192.0.2.1]");
    assert_eq!(address("a@example").domain().literal(), None);
    assert!(Address::parse("a@[::1]").is_err(), "only a greeting may forget the tag");
}

#[test]
fn source_routes_are_forgotten() {
    let (path, rest) = rcpt("<@one,@[IPv6:::1],@two:a@z>x").unwrap();
    assert_eq!((path.to_string().as_str(), rest), ("<a@z>", "x"));
    for bad in
        ["<@one a@z>", "<@one,a@z>", "<@one:>", "<@:a@z>", "<@one,@:a@z>", "<@one", "<@[:a@z>"]
    {
        assert!(rcpt(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_path_ends_at_its_own_bracket() {
    assert_eq!(sender("<>x").unwrap(), (Sender::Null, "x"));
    assert_eq!(rcpt("<>"), Err(Malformed::Null));
    for bad in ["a@z", "<a@z", "a@z>", "<<a@z>>", "< a@z>", "<a@z >", "<a@z\r>"] {
        assert!(rcpt(bad).is_err(), "{bad}");
    }
}

#[test]
fn case_counts_on_the_left_alone() {
    assert_eq!(address("a@Example.ORG"), address("a@example.org"));
    assert_ne!(address("A@example.org"), address("a@example.org"));
    assert_eq!(address("a@Example.ORG").to_string(), "a@Example.ORG");
}

#[test]
fn letters_beyond_ascii_are_known_as_such() {
    assert!(!address("é@z").is_ascii());
    assert!(!address("a@é.example").is_ascii());
    assert!(address("a@z").is_ascii());
}

#[test]
fn hosts_may_be_called_as_they_are() {
    for good in
        ["client.oracle.test", "my_pc", "[127.0.0.2]", "localhost.", "[IPv6:::1]", "[::1]", "1"]
    {
        assert_eq!(Host::parse(good).unwrap().as_str(), good);
    }
    for bad in ["", "a b", "a\r", "a..b", "-a", "a;sh", "[", "[]", "[x]", "..", "\0"] {
        assert!(Host::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_itself(text in r#"("([ -~é]|\\[ -~]){1,9}"|[a-z+.é]{1,9})@([a-z.0-9-]{1,12}|\[1.2.3.4\])"#) {
        if let Ok(address) = Address::parse(&text) {
            prop_assert_eq!(address.as_str(), &text);
            prop_assert_eq!(Address::parse(&address.to_string()), Ok(address.clone()));
            let path = format!("<{address}>");
            prop_assert_eq!(recipient(&path), Ok((Recipient::Address(address), "")));
        }
    }

    #[test]
    fn nothing_gets_a_control_into_an_address(text in any::<String>()) {
        for candidate in [text.clone(), format!("{text}@z"), format!("\"{text}\"@z"), format!("a@{text}")] {
            if let Ok(address) = Address::parse(&candidate) {
                prop_assert!(!address.as_str().chars().any(char::is_control));
            }
        }
        let _ = recipient(&text);
        let _ = sender(&text);
        let _ = Host::parse(&text);
    }
}
