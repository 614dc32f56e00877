//! What the access map is asked at each command, and that nothing but somebody's word is a yes.

use access::Map;

use super::*;

fn request(text: &str) -> Request {
    text.split(' ').filter(|word| !word.is_empty()).fold(Request::default(), |request, word| {
        let (name, value) = word.split_once('=').unwrap();
        request.with(Attribute::from_name(name.as_bytes()).unwrap(), value).unwrap()
    })
}

fn settings() -> Settings {
    Settings { local_domains: vec!["here.example".into()], ..Settings::default() }
}

fn asked(map: &str, text: &str) -> String {
    let map = Map::parse(map).unwrap();
    answer(&settings(), Access::Loaded(&map), &request(text)).action.to_string()
}

const RCPT: &str = "protocol_state=RCPT client_address=203.0.113.9 client_name=mx.example.org \
    sender=joe@example.org recipient=ann@elsewhere.example";
const TLS: &str = "encryption_protocol=TLSv1.3 encryption_keysize=256 ccert_fingerprint=AA";

#[test]
fn nothing_for_it_is_no_yes() {
    assert_eq!(asked("", RCPT), "DUNNO");
    let own = RCPT.replace("elsewhere.example", "here.example");
    assert_eq!(asked("", &own), "DUNNO");
    for here in ["127.0.0.1", "::1", "0", ""] {
        let from_here = RCPT.replace("203.0.113.9", here).replace("client_address= ", "");
        assert_eq!(asked("", &from_here), "DUNNO", "{here}");
    }
}

#[test]
fn entries_permit_and_refuse() {
    assert_eq!(asked("To:elsewhere.example\tRELAY\n", RCPT), "OK");
    assert_eq!(asked("Connect:203.0.113\tRELAY\n", RCPT), "OK");
    assert_eq!(asked("Connect:203.0.113\tREJECT\n", RCPT), "550 5.7.1 Access denied");
    assert_eq!(asked("Connect:203.0.113\tDISCARD\n", RCPT), "DISCARD");
    assert!(asked("From:joe@example.org\tREJECT\n", RCPT).starts_with("550 5.7.1 "));
    assert!(asked("TLS_Clt:example.org\tVERIFY:128\n", RCPT).starts_with("454 4.7.0 "));
    assert_eq!(
        asked("Connect:203.0.113\tREJECT\n", "protocol_state=DATA client_address=203.0.113.9"),
        "DUNNO"
    );
}

#[test]
fn certificates_relay_by_key_and_by_name() {
    let pin = "ccert_pubkey_fingerprint=E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
    let map = "CertKey:sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\tRELAY\n";
    assert_eq!(asked(map, &format!("{RCPT} {TLS} {pin}")), "OK");
    assert_eq!(asked(map, &format!("{RCPT} {TLS}")), "DUNNO");
    let map = "CertIssuer:/CN=CA\tSUBJECT\nCertSubject:/CN=mx\tRELAY\n";
    let named = format!("{RCPT} {TLS} cert_issuer=/CN=CA cert_subject=/CN=mx");
    assert_eq!(asked(map, &format!("{named} verify=OK")), "OK");
    assert_eq!(asked(map, &format!("{named} verify=FAIL")), "DUNNO");
    // Postfix's own words say that it did not verify.
    assert_eq!(asked(map, &named), "DUNNO");
}

#[test]
fn verification_is_what_postfix_implies() {
    let map = "TLS_Clt:\tVERIFY:128\n";
    let mail = "protocol_state=MAIL client_address=203.0.113.9 sender=joe@example.org";
    assert_eq!(asked(map, mail), "454 4.7.0 authentication required");
    assert_eq!(
        asked(map, &format!("{mail} encryption_protocol=TLSv1.3 encryption_keysize=256")),
        "454 4.7.0 not authenticated"
    );
    assert_eq!(asked(map, &format!("{mail} {TLS}")), "454 4.7.0 authentication failed");
    assert_eq!(asked(map, &format!("{mail} {TLS} ccert_subject=mx")), "DUNNO");
    let cn = "TLS_Clt:\tVERIFY+CN:a+28b\n";
    assert_eq!(asked(cn, &format!("{mail} {TLS} ccert_subject=a(b")), "DUNNO");
    // A client that has not begun TLS yet must be able to.
    assert_eq!(asked(map, "protocol_state=EHLO client_address=203.0.113.9"), "DUNNO");
}

#[test]
fn a_map_that_is_not_there_is_a_temporary_failure() {
    let mut states = 0;
    for state in ["CONNECT", "MAIL", "RCPT", "VRFY"] {
        let text = RCPT.replace("RCPT", state);
        let action = answer(&settings(), Access::Unavailable, &request(&text)).action;
        if let Action::Reply(reply) = action {
            assert!(reply.is_temporary());
            states += 1;
        }
    }
    assert!(states >= 3, "{states}");
    let action = answer(&settings(), Access::Unavailable, &request(RCPT)).action;
    assert_eq!(action.to_string(), "451 4.3.0 Temporary system failure. Please try again later.");
}

#[test]
fn what_is_not_understood_is_no_yes() {
    for text in [
        "ruleset=authinfo server_name=mx.example",
        "ruleset=nonsense",
        "protocol_state=RCPT purpose=clients",
        "protocol_state=RCPT certificate=AAAA",
        "client_address=203.0.113.9",
    ] {
        assert!(asked("", text).starts_with("451 4.3.5 "), "{text}: {}", asked("", text));
    }
}
