//! Whole maps: what is read, and every mistake with its place.

use super::*;

fn mistakes(source: &str) -> Vec<String> {
    match Map::parse(source) {
        Ok(map) => panic!("{source:?} was read: {map:?}"),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(source: &str) -> Vec<String> {
    let map = Map::parse(source).unwrap_or_else(|errors| panic!("{errors}"));
    map.warnings().iter().map(ToString::to_string).collect()
}

#[test]
fn a_map_is_read_as_makemap_reads_it() {
    let source = "\
# Partners
TLS_Clt:Partner.example\tPERM+VERIFY:128
TLS_Clt:\t\tOK

Connect:192.0.2   RELAY
192.0.2.9\tERROR:\"550 5.7.1 not you\"
IPv6:2001:db8\tREJECT
CertIssuer:/C=DE/CN=A+20CA  SUBJECT
CertKey:sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU= RELAY
";
    let map = Map::parse(source).expect("a map");
    assert_eq!(map.len(), 7);
    assert!(!map.is_empty() && !map.holds_passwords());
    assert!(map.warnings().is_empty(), "{:?}", map.warnings());
    let entry = map.find("tls_clt:partner.example").expect("an entry");
    assert_eq!((entry.line, &*entry.key), (2, "TLS_Clt:Partner.example"));
    assert!(map.find("certissuer:/c=de/cn=a+20ca").is_some());
    assert!(map.find("TLS_Clt:Partner.example").is_none());
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let source = "\
TLS_Clt:a.example\tVERFIY
# fine
TLS_Srv:b.example\tVERIFY:128+CN+CI:/CN=x
TSL_Clt:c.example\tVERIFY
Connect:d.example\tERROR:250 ok
TLS_Clt:e.example
 TLS_Clt:f.example\tVERIFY
TLS_Clt:g.example\tOK
TLS_Clt:G.EXAMPLE\tVERIFY
CertIssuer:/CN=x\tRELAY PURPOSE:sever
";
    assert_eq!(
        mistakes(source),
        [
            "1:19: `VERFIY` is no requirement, and sendmail would require nothing; did you mean `VERIFY`?",
            "3:33: further requirements are set off by `++`",
            "4:1: `TSL_Clt:` is no tag, and sendmail would never look it up; did you mean `TLS_Clt`?",
            "5:19: a refusal wants a code from 400 to 599 and a text, such as ERROR:\"550 5.7.1 no\"",
            "6:18: the key has no value",
            "7:1: a line may not begin with a blank; makemap knows no continuation",
            "9:1: the key `TLS_Clt:G.EXAMPLE` stands in line 8 already",
            "10:32: `sever` is no purpose: client, server or any; did you mean `server`?",
        ]
    );
}

#[test]
fn pairs_are_counted_and_measured_as_lines() {
    let errors =
        Map::from_pairs([("TLS_Clt:", "OK"), ("TLS_Srv:x", "PERM+OK")]).expect_err("refused");
    assert_eq!((errors.0[0].line, errors.0[0].column), (2, 16));
}

#[test]
fn an_unknown_tag_is_one_only_if_a_requirement_names_it() {
    let source = "TLS_Srv:\tVERIFY+CITag:MyCA\nmyca:/CN=x\tOK\n";
    assert!(warnings(source).is_empty());
    assert_eq!(
        mistakes("TLS_Srv:\tVERIFY+CITag:MyCA\nMyCA:/CN=x\tRELAY\n"),
        [
            "2:12: an issuer's entry for CITag says OK; sendmail accepts any word; did you mean `OK`?"
        ]
    );
    assert_eq!(warnings("Other:/CN=x\tOK\n"), ["1: no requirement says CITag:Other"]);
    assert_eq!(
        mistakes("TLS_Srv:\tVERIFY+CITag:MyCA\nTLS_Server:x\tENCR:128\n"),
        [
            "2:1: `TLS_Server:` is no tag, and sendmail would never look it up; did you mean `TLS_Srv`?"
        ]
    );
    assert_eq!(
        warnings("TLS_Srv:\tVERIFY+CITag:MyCA\nMyCA:/CN=x\tOK\nMyAC:/CN=x\tRELAY\n"),
        ["3: `MyAC:` is no tag, and sendmail would never look it up; did you mean `myca`?"]
    );
}

#[test]
fn what_has_less_effect_than_it_looks_is_warned_of() {
    assert_eq!(warnings("TLS_Clt:\tENCR:128+CN\n").len(), 1);
    assert_eq!(warnings("CertIssuer:\tRELAY\n").len(), 1);
    assert_eq!(warnings("CertIssuer:/CN=x\tOK\n").len(), 1);
    assert_eq!(warnings("Srv_Features:\tVLA q\n").len(), 2);
    assert_eq!(warnings("TLS_Srv_Features:a\tBogus=1\n").len(), 1);
    assert_eq!(warnings("TLS_Srv_Features:a\tCertFile=/x\n").len(), 1);
    assert_eq!(warnings("TLS_Srv:\tVERIFY+CITag:x\nCertIssuer:/CN=x\tALTNAMES:y\n").len(), 2);
}

#[test]
fn keys_are_checked_too() {
    assert_eq!(mistakes("CertKey:sha256/abc\tRELAY\n").len(), 1);
    assert_eq!(mistakes("SubjAltName:host.example\tRELAY\n").len(), 1);
    let pin = "CertKey:sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\tRELAY\n";
    assert_eq!(warnings(&pin.repeat(2)).len(), 1);
    let later = pin.replace("RELAY", "OK");
    assert_eq!(mistakes(&format!("{pin}{later}")).len(), 1);
    assert_eq!(warnings(&format!("{later}{pin}")).len(), 2);
}

#[test]
fn passwords_are_not_shown() {
    let map = Map::parse("AuthInfo:mx.example\t\"U:joe\" \"P:secret\"\n").expect("a map");
    assert!(map.holds_passwords());
    let entry = map.find("authinfo:mx.example").expect("an entry");
    assert_eq!(&*entry.value, "…");
    assert!(!format!("{map:?} {entry:?}").contains("secret"));
}

/// Lines that mail servers' maps have had for decades, and some that makemap complains of.
const OLD: &str = "\
# access of mail.example, see cf/README
Spam:abuse@\t\tFRIEND
ClientRate:\t\t10
ClientConn:192.0.2\t0
GreetPause:localhost\t0
QuotaFor:someone\t\t5
   # indented
\t
  old.example\t\tREJECT
spammer@aol.com\t\tREJECT
cyberspammer.com\t\tERROR:\"550 We don't accept mail from spammers\"
FREE.STEALTH.MAILER@\tERROR:5.7.1:550 no
okay.cyberspammer.com\tOK
sendmail.org\t\tRELAY
128.32\t\t\tRELAY
IPv6:2002:c0a8:02c7\tRELAY
[127.0.0.3]\t\tOK
2001:db8::1\t\tREJECT
bad.example\t\tgo away
no.value
From:joe@\t\tREJECT
From:joe@\t\tOK
TLS_Srv:mx.example\tVERIFY
TLS_Srv:mx.example\tVERIFY
Try_TLS:broken.example\tNO
";

#[test]
fn an_old_map_is_read_with_warnings() {
    let map = Map::parse(OLD).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(map.len(), 16);
    let lines: Vec<u32> = map.warnings().iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [2, 3, 4, 5, 6, 9, 18, 19, 20, 22, 24]);
    // Of two lines with one key the first holds.
    let entry = map.find("from:joe@").expect("an entry");
    assert_eq!((entry.line, &*entry.value), (21, "REJECT"));
}

#[test]
fn two_lines_with_one_key_may_not_open_anything() {
    for (first, later) in [("RELAY", "REJECT"), ("RELAY", "OK"), ("RELAY", "ERROR:\"550 no\"")] {
        assert_eq!(mistakes(&format!("Connect:a\t{first}\nconnect:A\t{later}\n")).len(), 1);
        assert_eq!(warnings(&format!("Connect:a\t{later}\nconnect:A\t{first}\n")).len(), 1);
    }
    assert_eq!(mistakes("TLS_Clt:\tVERIFY:112\nTLS_Clt:\tVERIFY:256\n").len(), 1);
    assert_eq!(mistakes("CertIssuer:/CN=a\tRELAY\nCertIssuer:/CN=a\tSUBJECT\n").len(), 1);
}
