//! CRAM-MD5 and DIGEST-MD5.

use super::*;

const CRAM: &str = "challenge <1896.697170952@postoffice.reston.mci.net>";

fn cram() -> Exchange {
    let mut facts = facts("1896");
    facts.hosts = vec!["postoffice.reston.mci.net".to_owned()];
    Exchange::of(Mechanism::CramMd5, facts)
}

#[test]
fn the_example_of_rfc_2195() {
    let response = b"tim b913a602c7eda7a495b4e6e7334d3890";
    let wants = "wants \"tim\" \"\" Shared";
    cram()
        .is_silent(CRAM)
        .says(response, wants)
        .has(shared("tanstaaftanstaaf"), "proof None \"tim\"")
        .ends("proven")
        .is_over();
    for secret in [shared("tanstaaftanstaag"), Material::Shared(SharedSecret::stand_in())] {
        cram()
            .says(b"", CRAM)
            .says(response, wants)
            .has(secret, "proof None \"tim\"")
            .ends("refused wrong-password")
            .is_over();
    }
    // A name may have spaces.
    cram()
        .is_silent(CRAM)
        .says(b"tim o b913a602c7eda7a495b4e6e7334d3890", "wants \"tim o\" \"\" Shared");
}

#[test]
fn what_is_no_cram_md5_message() {
    cram().says(b"tim", "refused malformed-exchange").is_over();
    for wrong in [
        b"".as_slice(),
        b"tim",
        b"tim ",
        b" b913a602c7eda7a495b4e6e7334d3890",
        b"b913a602c7eda7a495b4e6e7334d3890",
        b"tim b913a602c7eda7a495b4e6e7334d389",
        b"tim b913a602c7eda7a495b4e6e7334d38900",
        b"tim b913a602c7eda7a495b4e6e7334d389g",
        b"t\0im b913a602c7eda7a495b4e6e7334d3890",
        b"t\nim b913a602c7eda7a495b4e6e7334d3890",
    ] {
        cram().is_silent(CRAM).says(wrong, "refused malformed-exchange").is_over();
    }
}

const RESPONSE: &str = "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",\
    nonce=\"OA6MG9tEQGm2hh\",nc=00000001,cnonce=\"OA6MHXh6VqTrRk\",\
    digest-uri=\"imap/elwood.innosoft.com\",response=d388dad90d4bbd760a152321f2143af7,qop=auth";
const CHALLENGE: &str = "challenge realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",\
    qop=\"auth\",algorithm=md5-sess,charset=utf-8";
const WANTS: &str = "wants \"chris\" \"elwood.innosoft.com\" Shared";
const PROOF: &str = "proof None \"chris\"";
const RSPAUTH: &str = "rspauth=ea40f60335c427b5527b84dbabcdfffd";

fn digest() -> Exchange {
    Exchange::of(Mechanism::DigestMd5, facts("OA6MG9tEQGm2hh"))
}

fn digest_as(change: impl FnOnce(&mut Facts)) -> Exchange {
    let mut facts = facts("OA6MG9tEQGm2hh");
    change(&mut facts);
    Exchange::of(Mechanism::DigestMd5, facts)
}

#[test]
fn the_imap_example_of_rfc_2831() {
    digest()
        .is_silent(CHALLENGE)
        .says(RESPONSE.as_bytes(), WANTS)
        .has(shared("secret"), PROOF)
        .ends(&format!("proven {RSPAUTH}"))
        .is_over();
    // The same as in the RFC's picture: the client answers the last words with nothing.
    digest_as(|facts| facts.last_words = LastWords::AsChallenge)
        .is_silent(CHALLENGE)
        .says(RESPONSE.as_bytes(), WANTS)
        .has(shared("secret"), PROOF)
        .ends(&format!("challenge {RSPAUTH}"))
        .says(b"", "proven")
        .is_over();
    digest_as(|facts| facts.last_words = LastWords::AsChallenge)
        .is_silent(CHALLENGE)
        .says(RESPONSE.as_bytes(), WANTS)
        .has(shared("secret"), PROOF)
        .ends(&format!("challenge {RSPAUTH}"))
        .says(b"more", "refused malformed-exchange")
        .is_over();
}

#[test]
fn the_acap_example_of_rfc_2831() {
    let response = "username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"OA9BSXrbuRhWay\",\
        nc=00000001,cnonce=\"OA9BSuZWMSpW8m\",digest-uri=\"acap/elwood.innosoft.com\",\
        response=6084c6db3fede7352c551284490fd0fc,qop=auth";
    let mut facts = facts("OA9BSXrbuRhWay");
    facts.service = b"acap".to_vec();
    let mut exchange = Exchange::of(Mechanism::DigestMd5, facts);
    let _ = exchange.step(None, None);
    exchange
        .says(response.as_bytes(), WANTS)
        .has(shared("secret"), PROOF)
        .ends("proven rspauth=2f0b3d7c3c2e486600ef710726aa2eae");
}

#[test]
fn a_wrong_password_and_none_at_all_end_alike() {
    for secret in [shared("Secret"), Material::Shared(SharedSecret::stand_in())] {
        digest()
            .is_silent(CHALLENGE)
            .says(RESPONSE.as_bytes(), WANTS)
            .has(secret, PROOF)
            .ends("refused wrong-password")
            .is_over();
    }
}

/// An old nonce lets nobody in; the client has to answer the new one.
#[test]
fn there_is_no_fast_reauthentication() {
    digest().says(RESPONSE.replace("00000001", "00000002").as_bytes(), CHALLENGE);
    let another = RESPONSE.replace("OA6MG9tEQGm2hh", "OA6MG9tEQGm2hi");
    digest().is_silent(CHALLENGE).says(another.as_bytes(), "refused malformed-exchange").is_over();
    let again = RESPONSE.replace("00000001", "00000002");
    digest().is_silent(CHALLENGE).says(again.as_bytes(), "refused malformed-exchange").is_over();
}

#[test]
fn realm_service_and_host_are_ours() {
    let changed = |from: &str, to: &str| RESPONSE.replace(from, to);
    for wrong in [
        changed("realm=\"elwood.innosoft.com\"", "realm=\"example.org\""),
        changed("realm=\"elwood.innosoft.com\"", "realm=\"ELWOOD.innosoft.com\""),
        changed("realm=\"elwood.innosoft.com\",", ""),
        changed("imap/elwood", "smtp/elwood"),
        changed("imap/elwood.innosoft.com", "imap/example.org"),
        changed("imap/elwood.innosoft.com", "imap/"),
        changed("imap/elwood.innosoft.com", "imap"),
        changed("imap/elwood.innosoft.com", "imap/a/b"),
        changed("imap/elwood.innosoft.com", "imap/elwood.innosoft.com/b/c"),
    ] {
        digest().is_silent(CHALLENGE).says(wrong.as_bytes(), "refused wrong-place").is_over();
    }
    for fine in
        ["imap/ELWOOD.innosoft.com", "IMAP/elwood.innosoft.com", "imap/a/elwood.innosoft.com"]
    {
        let fine = changed("imap/elwood.innosoft.com", fine);
        digest().is_silent(CHALLENGE).says(fine.as_bytes(), WANTS);
    }
    let aliases = [("submission", "smtp"), ("pop3", "pop"), ("sieve", "sieve"), ("", "anything")];
    for (service, said) in aliases {
        let mut exchange = digest_as(|facts| facts.service = service.as_bytes().to_vec());
        exchange.is_silent(CHALLENGE).says(changed("imap/", &format!("{said}/")).as_bytes(), WANTS);
    }
}

#[test]
fn without_realms_the_name_carries_it() {
    let begin = || digest_as(|facts| facts.realms.clear());
    let challenge =
        "challenge nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",algorithm=md5-sess,charset=utf-8";
    let wants = "wants \"chris\" \"\" Shared";
    for realm in ["realm=\"elwood.innosoft.com\",", "realm=\"\",", ""] {
        let response = RESPONSE.replace("realm=\"elwood.innosoft.com\",", realm);
        begin().is_silent(challenge).says(response.as_bytes(), wants);
    }
    let response = RESPONSE.replace("realm=\"elwood", "realm=\"other");
    begin().is_silent(challenge).says(response.as_bytes(), "refused wrong-place");
    // The proof is over the realm that the client filled in.
    begin()
        .is_silent(challenge)
        .says(RESPONSE.as_bytes(), wants)
        .has(shared("secret"), PROOF)
        .ends(&format!("proven {RSPAUTH}"));
    digest_as(|facts| facts.realms = vec!["a\"b\\c".to_owned(), "d".to_owned()]).is_silent(
        "challenge realm=\"a\\\"b\\\\c\",realm=\"d\",nonce=\"OA6MG9tEQGm2hh\",qop=\"auth\",\
         algorithm=md5-sess,charset=utf-8",
    );
}

#[test]
fn whom_the_client_wants_to_be_is_told_and_bound() {
    let response = RESPONSE.replace("qop=auth", "qop=auth,authzid=\"boss\"");
    digest()
        .is_silent(CHALLENGE)
        .says(response.as_bytes(), WANTS)
        .has(shared("secret"), "proof Some(\"boss\") \"chris\"")
        .ends("refused wrong-password");
    let nobody = RESPONSE.replace("username=\"chris\"", "username=\"\"");
    digest().is_silent(CHALLENGE).says(nobody.as_bytes(), "refused malformed-exchange");
}

/// `jos\xe9` without a charset is looked up as it is stored.
#[test]
fn latin_1_names_are_looked_up_in_utf_8() {
    let text = RESPONSE.replace("charset=utf-8,", "");
    let (before, after) = text.split_once("chris").expect("a name");
    let response = [before.as_bytes(), b"jos\xe9", after.as_bytes()].concat();
    let mut exchange = digest();
    let _ = exchange.step(None, None);
    let Step::Wants { authid, .. } = exchange.step(Some(&response), None) else {
        panic!("nothing is wanted");
    };
    assert_eq!(authid.as_bytes(), "jos\u{e9}".as_bytes());
}

/// Debian 12's libsasl2 2.1.28: UTF-8, and no charset.
#[test]
fn libsasl2_says_nothing_of_its_charset() {
    let response = "username=\"jos\u{e9}\",realm=\"example.org\",\
        nonce=\"MDcyODFmNDEtYTQ0Yy00NzQ2\",cnonce=\"lVf0AnDlxc9C3yB6bq/XVXCU1+ypKKV2snykvgSlLRI=\",\
        nc=00000001,qop=auth,maxbuf=2048,digest-uri=\"smtp/mail.example.org\",\
        response=2bf6081a0c40ace82a8337bc0c1530a9";
    let mut facts = facts("MDcyODFmNDEtYTQ0Yy00NzQ2");
    facts.service = b"smtp".to_vec();
    facts.hosts = vec!["mail.example.org".to_owned()];
    facts.realms = vec!["example.org".to_owned()];
    let mut exchange = Exchange::of(Mechanism::DigestMd5, facts);
    let _ = exchange.step(None, None);
    let Step::Wants { authid, .. } = exchange.step(Some(response.as_bytes()), None) else {
        panic!("nothing is wanted");
    };
    assert_eq!(authid.as_bytes(), "jos\u{e9}".as_bytes());
    let _ = exchange.supply(shared("p\u{e4}ss"));
    assert!(matches!(exchange.conclude(), Step::Proven { .. }));
}
