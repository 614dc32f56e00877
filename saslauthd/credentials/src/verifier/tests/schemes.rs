//! Stored secrets that other programs wrote, and the forms that are parsed here without libxcrypt.

use super::*;

/// The password `pencil` as Dovecot 2.3.19's `doveadm pw` stores it, as Debian's libsasl2 2.1.28 does (the third and
/// fourth SCRAM), and as Python's hashlib computes the rest.
pub(super) fn of_pencil() -> Vec<(Scheme, String)> {
    let known = [
        (Scheme::Plain, "{PLAIN}pencil"),
        (Scheme::Plain, "{CLEARTEXT}pencil"),
        (Scheme::Plain, "{cleartext}pencil"),
        (Scheme::Plain, "{PLAIN.B64}cGVuY2ls"),
        (Scheme::Plain, "{PLAIN.HEX}70656e63696C"),
        (Scheme::Bcrypt, "{CRYPT}$2y$05$b58QADcOgrWhTgqypjHAROCqo30iVrLyMnbikaExe4X6ItDjBuhje"),
        (Scheme::Bcrypt, "{BLF-CRYPT}$2y$05$dliY81kmGabwZAERHTeOyOprpvgqzohNmksbMEUa4.BBDuxeUQHW."),
        (Scheme::Md5Crypt, "{MD5-CRYPT}$1$wionXJoR$zJ1aHCxhioCSDtmr4mXP7."),
        (Scheme::Md5Crypt, "{MD5}$1$kILxVBJs$lCj9Wci6/4m1Rk3Yxo/sf0"),
        (
            Scheme::Sha256Crypt,
            "{SHA256-CRYPT}$5$5RJfdtGf8nuHHWDL$h2qDgHnsxCcgq8Gmjq/ubKh8X5p3wyUloiOL6jjNciD",
        ),
        (
            Scheme::Sha512Crypt,
            "{SHA512-CRYPT}$6$Z2dSKx/xs5k7dU7y$OLScIPrXq6jLXES2oHBopntsuIPZoQiCgSc4I.XWmdLtM2VKELnxqMNJZM/xNMa1b5S.s36sQtq7A1ZOeyCE//",
        ),
        (
            Scheme::Sha512Crypt,
            "{SHA512-CRYPT.B64}JDYkVkI4aERTQ0c4RWgwY1J6RiQ0OWx6YVR0bTd5alJYT21KM0JKMEtYSi4wVTNiL1doY0JzdFczejY1UTVaNUVjYjZ1U2xNNmhSZjZ0R1RMbkN5VE1kQjlManQ4US50QU5ycHJ1ZGREMA==",
        ),
        (Scheme::DesCrypt, "{DES-CRYPT}rIl4.J6Do2Llw"),
        (
            Scheme::Argon2i,
            "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$BBs9aZ/ej1QB53LzCOt7SA$olVzdaXQDx3UYStl5XqYdirVagPWkuBVi5nTGk3O65Q",
        ),
        (
            Scheme::Argon2id,
            "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$0uzoT/zGU+yV8G0vutSkRQ$s5T0MWPIv/bh7os+lmDXKvE/SvNIdm0/9nWX1vaFiVo",
        ),
        (Scheme::Sha1, "{SHA}0vxRJJChUDZGC1SJQBQ51tpUB/o="),
        (Scheme::Sha1, "{SHA1}0vxRJJChUDZGC1SJQBQ51tpUB/o="),
        (Scheme::Sha1, "{SHA}d2fc512490a15036460b5489401439d6da5407fa"),
        (Scheme::Sha256, "{SHA256}E4CWaPtDY4Zwb2fcsFLtWEoEuhaowCoX1m00ww/O2iE="),
        (
            Scheme::Sha256,
            "{SHA256.HEX}13809668fb436386706f67dcb052ed584a04ba16a8c02a17d66d34c30fceda21",
        ),
        (
            Scheme::Sha512,
            "{SHA512}Gd8Bqrgo+NUINrp1cJcTrtInM1344YZDkYXAbJF6Kn03cat24wfPo7a4nvGmaC1mgd3xGISHDl3hPnk/uVXu6w==",
        ),
        (Scheme::SaltedSha1, "{SSHA}PoHwu2GBpy9OjiHRbPJe+x6UgM/m42JF"),
        (Scheme::SaltedSha1, "{SSHA.HEX}494aa9a905e97da4f420b2e39ddc6fbf5862dd796bb57999"),
        (Scheme::SaltedSha256, "{SSHA256}w/ecbcG4T+pxqXWvaDRT84vHSV+UAaTwzfWruQ7auVq4Y3RA"),
        (
            Scheme::SaltedSha512,
            "{SSHA512}q0UgkamvKkgFJi4PiuirBFEXfuwf1ylH3AEcflIAEShgXNE0aQmrxEDOFK+G3545YrP+0yMxS/2ogq6utiTlF/KttjY=",
        ),
        (Scheme::SaltedMd5, "{SMD5}JWhi1oYN1LwsT6ox1Vu4Hj6bFBg="),
        (Scheme::Md5, "{PLAIN-MD5}a8f6830bce790a8a67fc2e84e12093ba"),
        (Scheme::Md5, "{LDAP-MD5}qPaDC855Copn/C6E4SCTug=="),
        (
            Scheme::Pbkdf2Sha1,
            "{PBKDF2}$1$9aIW4bOtXm3stBDE$5000$e0e270dc61be240e13428455d83e5ca1d297ce3a",
        ),
        (
            Scheme::ScramSha1,
            "{SCRAM-SHA-1}4096,CQyJagumWaDJ2/A5Ytr36w==,yq2/4l+gpr7n/26gLowKDtZMJ2U=,hpjwh+wC4mMybwNrqC0wL8zvu2c=",
        ),
        (
            Scheme::ScramSha256,
            "{SCRAM-SHA-256}4096,kkrXuPYGE5SJuWEMkgIfVw==,fU9qMSc/JuGXiNmh1AlXG+2FuKeIYSyxojczL/wGVuc=,wYEd45jANkuEvBPaesn1Ztr3tKFGrGokvHnpDM9i7ps=",
        ),
        (
            Scheme::ScramSha224,
            "SCRAM-SHA-224$17:c2FsdHNhbHQ=$0efmCKXYX1gUBRQMe1tK7f7k/jDgsxRL7qV/0A==:9I9utpV01YSKaCBODlleTeeZY50NsamsfkODtA==",
        ),
        (
            Scheme::ScramSha384,
            "SCRAM-SHA-384$17:c2FsdHNhbHQ=$gSUa7gp9cMEN96gH3Wi3tj6lXMDuLUqIUN+nop1O37QoglPqSxVwCm+CtdUrEATq:pIJ++ns/hN1Yv15OXMzi3CC+pmUC/IhDHtQQ9ZTFjvwNVNAjPnI77X0yHyr/HA+t",
        ),
        (
            Scheme::ScramSha512,
            "SCRAM-SHA-512$17:c2FsdHNhbHQ=$CKy58LvYpIqGtehoqxQv/FfRRZ28aUE2QVPg4L4tJjtfPNPiIzAgoZXKSIsmzT9yP03Tlq4m/PbBnTjCSYGitQ==:yUNfmwyKWje+xXyn1xfRKQ+mjphrXJEM4MkRNI+iWYIhu0EVe4EYBsU+OFyV1l5VVkzMkRaDjk5b5XwjksJvUQ==",
        ),
    ];
    known.into_iter().map(|(scheme, stored)| (scheme, stored.to_owned())).collect()
}

#[test]
fn what_other_programs_store_is_recognised_and_agrees() {
    for (scheme, stored) in of_pencil() {
        let verifier = parse(&stored).expect(&stored);
        assert_eq!(verifier.scheme(), scheme, "{stored}");
        assert!(accepts(&stored, "pencil"), "{stored}");
        assert_eq!(compare(&stored, "pencim"), Verdict::Refuse(Reason::WrongPassword), "{stored}");
    }
}

#[test]
fn libsasl2s_scram_secrets_agree() {
    for (stored, hash) in [
        (
            "SCRAM-SHA-256$4096:/A4hnHmiZxLD4W4jB9X9jQ==$fso+rU/ZNbm7QG5cYnPAQraWDU0+zl5KJ+zqnVtC+Xc=:uzleKaK5cU5/yDCITD7MX5uf83rMUOBqtuys5ixcMHM=",
            Scheme::ScramSha256,
        ),
        (
            "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=",
            Scheme::ScramSha1,
        ),
    ] {
        assert_eq!(parse(stored).expect(stored).scheme(), hash);
        assert!(accepts(stored, "pencil"), "{stored}");
        assert!(!accepts(stored, "pencils"), "{stored}");
    }
}

#[test]
fn b3_cut_and_extended_secrets_agree_with_nothing() {
    for (scheme, stored) in of_pencil() {
        if scheme == Scheme::Plain || matches!(scheme, Scheme::Argon2i | Scheme::Argon2id) {
            continue;
        }
        for length in 0..stored.len() {
            let cut = stored.get(..length).expect("ASCII");
            assert!(!accepts(cut, "pencil"), "{cut}");
        }
        for extra in ["x", "=", " ", "\n", "$", ",", ":", "AAAA"] {
            assert!(!accepts(format!("{stored}{extra}"), "pencil"), "{stored} with {extra:?}");
        }
        let at = stored.find('}').map_or(0, |at| at + 1);
        if stored.starts_with('{') {
            let (label, rest) = stored.split_at(at);
            let locked = format!("{}!{rest}", label);
            if !label.contains("SCRAM") {
                assert_eq!(parse(&locked).err(), Some(Reason::Locked), "{locked}");
            }
        }
        assert_eq!(parse(format!("!{stored}")).err(), Some(Reason::Locked));
    }
}

#[test]
fn argon2_strings_are_taken_whole_and_in_order_only() {
    let good =
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    assert!(accepts(good, "password"));
    for length in 0..good.len() {
        assert!(!accepts(good.get(..length).expect("ASCII"), "password"), "{length}");
    }
    for (from, to) in [
        ("v=19", "v=20"),
        ("v=19", "v=019"),
        ("v=19", ""),
        ("m=256", "m=0256"),
        ("m=256", "m=-256"),
        ("m=256", "m="),
        ("m=256,t=2", "t=2,m=256"),
        (",p=1", ""),
        (",p=1", ",p=1,keyid=AAAA"),
        ("p=1", "p=0"),
        ("t=2", "t=0"),
        ("m=256", "m=7"),
        ("p=1", "p=33"),
        ("c29tZXNhbHQ", ""),
        ("c29tZXNhbHQ", "c29tZXNh"),
        ("c29tZXNhbHQ", "c29tZXNhbHQ="),
        ("c29tZXNhbHQ", "c29tZXNhbHR"),
        ("i/4", "i/4="),
        ("i/4", "i/5"),
        ("i/4", "i/4AA"),
        ("$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "$nf65EOgLrQMR/uI"),
        ("m=256", "m=99999999999999999999"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_eq!(parse(&bad).err(), Some(Reason::Malformed), "{bad}");
    }
}

/// As the reference implementation's `argon2` program (20171227) prints them, both versions, both kinds.
#[test]
fn argon2s_own_program_agrees() {
    for stored in [
        "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        "$argon2id$v=19$m=64,t=3,p=4$c29tZXNhbHQ$NoUfhJlLDC8zDxj08ISYXe720Y2S127386cusQ5ZPoME1sOzF6jzsD+CaCPAGT8ff9ukZO1CEjcgKfQdn5F+mQ",
        "$argon2id$v=16$m=256,t=1,p=1$c29tZXNhbHQ$toBfgBFCwZdZQh+pLMuSgqdBXltPZlBgpyAu74D3UO4",
        "$argon2i$v=19$m=1024,t=2,p=1$c29tZXNhbHQ$/AomWzXGuO56QhmXE3p9/0R81VDwTUaD1xQMkGw+IbQ",
        "$argon2i$v=19$m=256,t=2,p=2$c29tZXNhbHQ$T/XOJ2mh1/TIpJHfCdQan76Q5esCFVoT5MAeIM1Oq2E",
        "$argon2i$v=16$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ] {
        assert!(accepts(stored, "password"), "{stored}");
        assert!(!accepts(stored, "Password"), "{stored}");
    }
}

#[test]
fn a_label_must_fit_what_it_stands_before() {
    let md5 = "$1$wionXJoR$zJ1aHCxhioCSDtmr4mXP7.";
    assert!(parse(format!("{{CRYPT}}{md5}")).is_ok());
    for label in
        ["SHA512-CRYPT", "BLF-CRYPT", "DES-CRYPT", "ARGON2ID", "SSHA", "PBKDF2", "SCRAM-SHA-1"]
    {
        assert_eq!(parse(format!("{{{label}}}{md5}")).err(), Some(Reason::Malformed), "{label}");
    }
    for label in ["SHA.", "SHA.B32", "SHA.HEX.B64", ".HEX", "", "SHA3", "CRAM-MD5", "OTP"] {
        let stored = format!("{{{label}}}0vxRJJChUDZGC1SJQBQ51tpUB/o=");
        assert_eq!(parse(&stored).err(), Some(Reason::SchemeNotAllowed), "{label}");
    }
    assert_eq!(parse("{SSHA}0vxRJJChUDZGC1SJQBQ51tpUB/o=").err(), Some(Reason::Malformed));
    assert_eq!(parse("{SHA}PoHwu2GBpy9OjiHRbPJe+x6UgM/m42JF").err(), Some(Reason::Malformed));
}

#[test]
fn cyrus_plain_is_sixteen_a_nul_and_sixteen() {
    let salt = *b"0123456789abcdef";
    let digest = crate::digests::Function::Md5.digest(&[&salt, b"sasldb", b"pencil"]);
    let stored = [salt.as_slice(), &[0], &digest].concat();
    let check = |stored: &[u8], candidate: &str| {
        Verifier::cyrus_plain(stored, &Policy::default())
            .map(|verifier| verifier.compare(&password(candidate), &mut Scratch::new()))
    };
    assert!(matches!(check(&stored, "pencil"), Ok(Verdict::Accept(_))));
    assert_eq!(check(&stored, "pencils"), Ok(Verdict::Refuse(Reason::WrongPassword)));
    for length in 1..stored.len() {
        let cut = stored.get(..length).expect("in range");
        assert_eq!(check(cut, "pencil"), Err(Reason::Malformed), "{length}");
    }
    assert_eq!(check(&[stored.as_slice(), b"x"].concat(), "pencil"), Err(Reason::Malformed));
    let mut marked = stored.clone();
    marked.splice(16..17, [1]);
    assert_eq!(check(&marked, "pencil"), Err(Reason::Malformed));
    assert_eq!(check(b"", "pencil"), Err(Reason::NoPassword));
}
