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
Connect:d.example\tRJECT
Connect:e.example
 f.example\tOK
TLS_Clt:A.example\tOK
TLS_Clt:a.EXAMPLE\tOK
CertIssuer:/CN=x\tRELAY # partner
";
    assert_eq!(
        mistakes(source),
        [
            "1:19: `VERFIY` is no requirement, and sendmail would require nothing; did you mean `VERIFY`?",
            "3:33: further requirements are set off by `++`",
            "4:1: `TSL_Clt:` is no tag, and sendmail would never look it up; did you mean `TLS_Clt`?",
            "5:19: `RJECT` is no verdict, and sendmail would refuse with it as text; did you mean `REJECT`?",
            "6:18: the key has no value",
            "7:1: a line may not begin with a blank; makemap knows no continuation",
            "9:1: the key `TLS_Clt:a.EXAMPLE` stands in line 8 already",
            "10:24: a comment stands on a line of its own; here it is part of the value",
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
        mistakes("TLS_Srv:\tVERIFY+CITag:MyCA\nMyAC:/CN=x\tRELAY\n"),
        ["2:1: `MyAC:` is no tag, and sendmail would never look it up; did you mean `myca`?"]
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
    assert_eq!(
        mistakes(&pin.repeat(2)),
        [
            "2:1: the key `CertKey:sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=` stands in line 1 already"
        ]
    );
}

#[test]
fn passwords_are_not_shown() {
    let map = Map::parse("AuthInfo:mx.example\t\"U:joe\" \"P:secret\"\n").expect("a map");
    assert!(map.holds_passwords());
    let entry = map.find("authinfo:mx.example").expect("an entry");
    assert_eq!(&*entry.value, "…");
    assert!(!format!("{map:?} {entry:?}").contains("secret"));
}
