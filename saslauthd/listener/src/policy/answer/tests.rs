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
    Settings {
        local_domains: vec!["here.example".into()],
        relay_domains: vec!["relayed.example".into()],
        trusted_mechanisms: vec!["PLAIN".into()],
        own_host_needs_a_word: true,
        ..Settings::default()
    }
}

fn asked(map: &str, text: &str) -> String {
    let map = Map::parse(map).unwrap();
    answer(&settings(), Access::Loaded(&map), &request(text)).response.action.to_string()
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
        let action = answer(&settings(), Access::Unavailable, &request(&text)).response.action;
        if let Action::Reply(reply) = action {
            assert!(reply.is_temporary());
            states += 1;
        }
    }
    assert!(states >= 3, "{states}");
    let action = answer(&settings(), Access::Unavailable, &request(RCPT)).response.action;
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

const DENIED: &str = "550 5.7.1 Relaying denied. Proper authentication required.";

#[test]
fn a_sender_that_may_pass_is_nobodys_word_for_relaying() {
    for answer in ["", "answer=final"] {
        let said = asked("From:joe@example.org\tRELAY\n", &format!("{RCPT} {answer}"));
        assert_ne!(said, "OK", "{answer}");
    }
}

#[test]
fn whoever_has_no_rules_is_told_yes_or_no() {
    let denied = "550 5.7.1 Relaying denied. IP name lookup failed [203.0.113.9]";
    let resolved = "client_resolve=OK";
    let pin = "ccert_pubkey_fingerprint=E3:B0:C4:42:98:FC:1C:14:9A:FB:F4:C8:99:6F:B9:24:27:AE:41:E4:64:9B:93:4C:A4:95:99:1B:78:52:B8:55";
    let key = "CertKey:sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\tRELAY\n";
    let ours = RCPT.replace("elsewhere.example", "Here.example");
    let relayed = RCPT.replace("elsewhere.example", "deep.relayed.example");
    let postmaster = RCPT.replace("ann@elsewhere.example", "postmaster");
    for (map, text, said) in [
        ("", format!("{RCPT} {resolved}"), DENIED),
        ("", RCPT.replace("mx.example.org", "unknown"), denied),
        ("", ours.clone(), "OK"),
        ("", relayed, "OK"),
        ("", postmaster, "OK"),
        ("", format!("{RCPT} sasl_method=PLAIN sasl_username=alice"), "OK"),
        ("", format!("{RCPT} sasl_method=ANONYMOUS sasl_username=alice"), DENIED),
        ("", format!("{RCPT} sasl_username=alice"), DENIED),
        (key, format!("{RCPT} {TLS} {pin}"), "OK"),
        ("", format!("{RCPT} {TLS} {pin}"), DENIED),
        ("Connect:203.0.113\tRELAY\n", RCPT.to_owned(), "OK"),
        ("Connect:203.0.113\tREJECT\n", ours.clone(), "550 5.7.1 Access denied"),
        ("From:joe@example.org\tREJECT\n", ours.clone(), "550 5.7.1 Access denied"),
        ("From:joe@example.org\tQUARANTINE:odd\n", ours, "HOLD odd"),
        ("From:joe@example.org\tQUARANTINE:odd\n", RCPT.to_owned(), DENIED),
        ("From:joe@example.org\tOK\n", RCPT.to_owned(), DENIED),
    ] {
        assert_eq!(asked(map, &format!("{text} answer=final")), said, "{map}{text}");
    }
}

#[test]
fn being_on_this_host_is_no_word_for_relaying() {
    for here in ["127.0.0.1", "127.0.0.9", "::1", "0", "::ffff:127.0.0.1", ""] {
        let from_here = RCPT.replace("203.0.113.9", here).replace("client_address= ", "");
        for name in ["mx.example.org", "localhost", "here.example", "unknown"] {
            let text = format!("{} answer=final", from_here.replace("mx.example.org", name));
            assert_eq!(asked("", &text), DENIED, "{here} {name}");
            let ours = text.replace("elsewhere.example", "here.example");
            assert_eq!(asked("", &ours), "OK", "{here} {name}");
        }
    }
    let text = format!("{} answer=final", RCPT.replace("203.0.113.9", "127.0.0.1"));
    assert_eq!(asked("Connect:127.0.0.1\tRELAY\n", &text), "OK");
}

#[test]
fn the_postmaster_without_a_domain_is_ours() {
    for postmaster in ["postmaster", "Postmaster"] {
        let text = RCPT.replace("ann@elsewhere.example", postmaster);
        assert_eq!(asked("", &format!("{text} answer=final")), "OK", "{postmaster}");
    }
}

#[test]
fn delayed_checks_are_those_of_the_recipient() {
    let map = Map::parse("Connect:203.0.113\tREJECT\nFrom:spam@example.org\tREJECT\n").unwrap();
    let settings = Settings { delay_checks: true, ..settings() };
    let asked = |text: &str| {
        let request = request(&format!("{text} answer=final"));
        answer(&settings, Access::Loaded(&map), &request).response.action.to_string()
    };
    let refused = "550 5.7.1 Access denied";
    for (state, said) in [("CONNECT", "DUNNO"), ("MAIL", "DUNNO"), ("RCPT", DENIED)] {
        assert_eq!(asked(&RCPT.replace("RCPT", state)), said, "{state}");
    }
    let ours = RCPT.replace("elsewhere.example", "here.example");
    assert_eq!(asked(&ours), refused);
    let other = ours.replace("203.0.113.9", "198.51.100.1");
    assert_eq!(asked(&other), "OK");
    assert_eq!(asked(&other.replace("joe@", "spam@")), refused);
    let login = format!("{RCPT} sasl_method=PLAIN sasl_username=alice");
    assert_eq!(asked(&login), "OK");
}

#[test]
fn an_outage_is_no_answer_to_whoever_has_no_rules() {
    for text in [RCPT.to_owned(), format!("{RCPT} {TLS}")] {
        let request = request(&format!("{text} answer=final"));
        let said = answer(&settings(), Access::Unavailable, &request).response.action;
        assert!(said.to_string().starts_with("451 4.3.0 "), "{said}");
    }
    for ruleset in
        ["srv_features", "clt_features", "tls_srv_features", "tls_clt_features", "try_tls"]
    {
        let text = format!("ruleset={ruleset} client_address=203.0.113.9 server_name=mx.example");
        let said = answer(&settings(), Access::Unavailable, &request(&text)).response;
        assert!(matches!(said.action, Action::Reply(reply) if reply.is_temporary()), "{ruleset}");
        assert_eq!(said.value, None);
    }
}

#[test]
fn features_and_options_are_values() {
    let map = "Srv_Features:203.0.113\tS V\nTLS_Srv_Features:203.0.113\tCipherList=HIGH\n\
               Clt_Features:mx.example\tD\nTLS_Clt_Features:198.51.100\tflags=R\n\
               TLS_Clt_Features:IPv6:2001:db8\tflags=S\n";
    let map = Map::parse(map).unwrap();
    let response = |text: &str| answer(&settings(), Access::Loaded(&map), &request(text)).response;
    for (text, value) in [
        ("ruleset=srv_features client_address=203.0.113.9", "S V"),
        ("ruleset=srv_features client_address=198.51.100.1", ""),
        ("ruleset=tls_srv_features client_address=203.0.113.9", "CipherList=HIGH"),
        ("ruleset=tls_srv_features client_address=198.51.100.1", ""),
        ("ruleset=clt_features server_name=mx.example", "D"),
        ("ruleset=tls_clt_features server_name=x.example server_addr=198.51.100.1", "flags=R"),
        ("ruleset=tls_clt_features server_name=x.example server_addr=2001:db8::1", "flags=S"),
    ] {
        let value = Some(value.to_owned());
        assert_eq!(response(text), Response { action: Action::Dunno, value }, "{text}");
    }
    assert_eq!(response(RCPT).value, None);
}

#[test]
fn a_sender_of_mail_asks_about_servers() {
    let map = "Try_TLS:bad.example\tNO\nTLS_Srv:mx.example\tVERIFY:112\nTLS_Rcpt:ann@b.example\tENCR:256\n";
    let skip = "550 5.7.1 do not try TLS with bad.example [198.51.100.1]";
    let to = "server_addr=198.51.100.1 answer=final server_name";
    let inside = "encryption_protocol=TLSv1.3 encryption_keysize=128";
    for (text, said) in [
        (format!("ruleset=try_tls {to}=good.example"), "OK"),
        (format!("ruleset=try_tls {to}=bad.example"), skip),
        (format!("ruleset=tls_server {to}=mx.example verify=OK {inside}"), "DUNNO"),
        (
            format!("ruleset=tls_server {to}=mx.example verify=FAIL {inside}"),
            "454 4.7.0 authentication failed",
        ),
        (
            format!("ruleset=tls_server {to}=mx.example verify=NONE"),
            "454 4.7.0 other side does not support STARTTLS",
        ),
        (
            format!("ruleset=tls_server {to}=any.example verify=SOFTWARE"),
            "454 4.7.0 TLS handshake failed.",
        ),
        (
            format!("ruleset=tls_rcpt {to}=mx.example verify=OK {inside} recipient=ann@b.example"),
            "454 4.7.0 encryption too weak 128 less than 256",
        ),
        (
            format!("ruleset=tls_rcpt {to}=mx.example verify=OK {inside} recipient=bob@b.example"),
            "DUNNO",
        ),
        ("ruleset=trust_auth sasl_method=PLAIN sasl_username=a@b sasl_sender=a@b".into(), "OK"),
        (
            "ruleset=trust_auth sasl_method=PLAIN sasl_username=a@b sasl_sender=c@b".into(),
            "550 5.7.1 a@b not allowed to act as c@b",
        ),
    ] {
        assert_eq!(asked(map, &text), said, "{text}");
    }
}

#[test]
fn expn_and_vrfy_may_need_a_login() {
    let settings = Settings { expn_needs_auth: true, ..settings() };
    for state in ["VRFY", "EXPN"] {
        let asked = |more: &str| {
            let text = format!("protocol_state={state} client_address=203.0.113.9 {more}");
            let map = Map::parse("").unwrap();
            answer(&settings, Access::Loaded(&map), &request(&text)).response.action.to_string()
        };
        assert_eq!(asked("answer=final"), "550 5.7.0 authentication required");
        assert_eq!(asked("answer=final sasl_method=PLAIN sasl_username=a"), "DUNNO");
    }
}
