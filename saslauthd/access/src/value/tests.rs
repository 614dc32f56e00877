//! Values by tag: what is read, and what refuses the map.

use super::*;

fn read(kind: Kind, value: &str) -> Rule {
    Rule::parse(kind, value).unwrap_or_else(|fault| panic!("{value}: {fault:?}"))
}

fn nearest_of(kind: Kind, value: &str) -> Option<String> {
    match Rule::parse(kind, value) {
        Ok(rule) => panic!("{value} was read as {rule:?}"),
        Err(fault) => fault.nearest,
    }
}

#[test]
fn certificates_lead_somewhere_or_nowhere() {
    let grant = |kind, value| match read(kind, value) {
        Rule::Grant(grant) => (grant.leads, grant.purpose),
        other => panic!("{value}: {other:?}"),
    };
    assert_eq!(grant(Kind::Authority, "relay"), (Leads::Relay, None));
    assert_eq!(grant(Kind::Authority, "SUBJECT PURPOSE:any"), (Leads::Subject, Some(Wanted::Any)));
    assert_eq!(grant(Kind::Authority, "ALTNAMES:Partners").0, Leads::AltNames("partners".into()));
    assert_eq!(grant(Kind::Holder, "REJECT"), (Leads::Nowhere, None));
    assert_eq!(nearest_of(Kind::Authority, "RELAY PURPOSE:sever").as_deref(), Some("server"));
    assert_eq!(nearest_of(Kind::Authority, "ALTNAMES:a.b"), None);
    for value in ["RELYA", "RELAY # partner", "RELAY SUBJECT", "\"RELAY\"", "ERROR:550 no"] {
        assert_eq!(grant(Kind::Authority, value), (Leads::Nowhere, None), "{value}");
    }
    assert_eq!(grant(Kind::Holder, "SUBJECT").0, Leads::Nowhere);
}

#[test]
fn verdicts_are_words_or_replies() {
    let reply = |value| match read(Kind::Client, value) {
        Rule::Client(Verdict::Error(reply)) => reply.to_string(),
        other => panic!("{value}: {other:?}"),
    };
    assert_eq!(reply("ERROR:\"554 go away\""), "554 5.0.0 go away");
    assert_eq!(reply("ERROR:5.7.1:550 custom refusal"), "550 5.7.1 custom refusal");
    assert_eq!(reply("ERROR:\"450 4.7.1 come back later\""), "450 4.7.1 come back later");
    // Measured: what is not quoted loses its blanks but for those between words.
    assert_eq!(reply("550 see: http://example.org/"), "550 5.0.0 see:http://example.org/");
    assert_eq!(reply("550 5.7.1 not you, now"), "550 5.7.1 not you,now");
    assert_eq!(reply("ERROR:5.7.1:\"550 not you, now\""), "550 5.7.1 not you, now");
    assert_eq!(reply("ERROR:5.7.1:550 5.1.1 both"), "550 5.1.1 both");
    assert_eq!(reply("ERROR:D.S.N:550 x"), "550 5.0.0 x");
    assert_eq!(reply("ERROR:5.7.1:go away"), "553 5.3.0 go away");
    assert_eq!(reply("RJECT"), "553 5.3.0 RJECT");
    assert_eq!(reply("OK # mine"), "553 5.3.0 OK # mine");
    assert_eq!(read(Kind::Client, "reject"), Rule::Client(Verdict::Reject));
    assert_eq!(
        read(Kind::Client, "QUARANTINE:look"),
        Rule::Client(Verdict::Quarantine("look".into()))
    );
    for value in ["ERROR:250 ok", "250 ok", "999 x", "ERROR:", "(nothing)"] {
        assert_eq!(nearest_of(Kind::Client, value), None);
    }
}

#[test]
fn login_items_are_split_at_quotes() {
    let items = |value| match read(Kind::AuthInfo, value) {
        Rule::AuthInfo(info) => info.0,
        other => panic!("{value}: {other:?}"),
    };
    assert_eq!(items("\"U:joe\" \"P:a b\" M:PLAIN"), ["\"U:joe\"", "\"P:a b\"", "M:PLAIN"]);
    assert_eq!(nearest_of(Kind::AuthInfo, "\"U:joe"), None);
    assert_eq!(items("joe secret"), ["joe", "secret"]);
}

#[test]
fn options_lose_their_blanks() {
    assert_eq!(
        read(Kind::Options, "flags=cR; cipherlist=HIGH"),
        Rule::Options("flags=cR;cipherlist=HIGH".into())
    );
    assert_eq!(read(Kind::Options, "\"CipherSuites=A\""), Rule::Options("CipherSuites=A".into()));
    let partly = "CipherList=\"HIGH aRSA\" ; Flags=R";
    assert_eq!(
        read(Kind::Options, partly),
        Rule::Options("CipherList=\"HIGH aRSA\";Flags=R".into())
    );
    assert_eq!(nearest_of(Kind::Options, "\"Flags=R"), None);
}

#[test]
fn only_no_stops_starttls() {
    assert_eq!(read(Kind::TryTls, "no"), Rule::NoTls);
    assert_eq!(read(Kind::TryTls, "REJECT"), Rule::TryTls);
    for value in ["N0", "NO NO", "\"NO\"", "never"] {
        assert_eq!(read(Kind::TryTls, value), Rule::TryTls, "{value}");
    }
}

#[test]
fn features_are_tokens() {
    let words = |value| match read(Kind::Features, value) {
        Rule::Features(words) => words,
        other => panic!("{value}: {other:?}"),
    };
    assert_eq!(words("VLA  c"), ["VLA", "c"]);
    assert_eq!(words("V+ l,A"), ["V", "+", "l", ",", "A"]);
}
