//! Certificates that openssl itself is asked about in the same run: name constraints, strange names, lists of revoked ones.

use std::process::Command;

use mta::tls::Verify;
use mta::tls::server::{Ask, Server};

use crate::workshop::{Workshop, settings};

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
const LEAF: &str = "basicConstraints=CA:FALSE\nextendedKeyUsage=clientAuth\n";

/// A certificate of this name with these extensions.
fn issue(shop: &Workshop, name: &str, issuer: &str, subject: &str, extensions: &str) {
    shop.write(&format!("{name}.ext"), extensions);
    shop.run(&format!("openssl ecparam -name prime256v1 -genkey -noout -out {name}.key"));
    shop.run(&format!(
        "openssl req -new -key {name}.key -utf8 -config empty.cnf -subj '{subject}' -out {name}.csr"
    ));
    shop.run(&format!(
        "openssl x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial 0x$(openssl rand -hex 8) \
         -days 30 -sha256 -extfile {name}.ext -out {name}.pem"
    ));
}

/// openssl's own reason for a leaf with one intermediate; `ok` if it is good.
fn openssl(shop: &Workshop, leaf: &str, intermediate: &str) -> String {
    let ran = Command::new("openssl")
        .args(["verify", "-purpose", "sslclient", "-auth_level", "2", "-CAfile", "root.pem"])
        .args(["-untrusted", &format!("{intermediate}.pem"), &format!("{leaf}.pem")])
        .current_dir(shop.path("."))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&ran.stderr).into_owned();
    let reason = text.lines().find_map(|line| Some(line.split_once("lookup: ")?.1.to_owned()));
    if ran.status.success() { "ok".into() } else { reason.unwrap_or(text) }
}

#[test]
fn name_constraints_hold_as_with_openssl() {
    let shop = Workshop::open();
    let permitted = format!(
        "{AUTHORITY}nameConstraints=critical,permitted;DNS:good.example,permitted;email:.good.example,permitted;IP:10.0.0.0/255.0.0.0,excluded;DNS:bad.good.example\n"
    );
    issue(shop, "nc-ca", "root", "/CN=Constrained CA", &permitted);
    for (at, (subject, names)) in [
        ("/CN=machine", "DNS:mx.good.example"),
        ("/CN=machine", "DNS:mx.evil.example"),
        ("/CN=machine", "DNS:mx.good.example,DNS:mx.evil.example"),
        ("/CN=machine", "DNS:mx.bad.good.example"),
        ("/CN=machine", "email:a@mx.good.example"),
        ("/CN=machine", "email:a@evil.example"),
        ("/CN=machine", "IP:10.1.2.3"),
        ("/CN=machine", "IP:192.0.2.1"),
        ("/CN=machine", "URI:https://evil.example/"),
        ("/CN=mx.evil.example", "email:a@mx.good.example"),
        ("/CN=mx.evil.example", "DNS:mx.good.example"),
        ("/CN=machine/emailAddress=a@evil.example", "DNS:mx.good.example"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("nc-{at}");
        issue(shop, &name, "nc-ca", subject, &format!("{LEAF}subjectAltName={names}\n"));
        let tls = settings("", shop);
        let facts = shop.present(&tls, Ask::Yes, "1.3", &[&name, "nc-ca"]).unwrap();
        assert_eq!(facts.reason, openssl(shop, &name, "nc-ca"), "{subject} {names}");
        assert_eq!(facts.verify == Verify::Ok, facts.reason == "ok");
    }
}

#[test]
fn keys_of_every_kind_finish_a_handshake() {
    let shop = Workshop::open();
    for (name, kind, verify) in [
        ("kind-p521", "EC -pkeyopt ec_paramgen_curve:P-521", Verify::Ok),
        ("kind-p384", "EC -pkeyopt ec_paramgen_curve:P-384", Verify::Ok),
        ("kind-rsa3072", "RSA -pkeyopt rsa_keygen_bits:3072", Verify::Ok),
        ("kind-rsa1024", "RSA -pkeyopt rsa_keygen_bits:1024", Verify::Fail),
        ("kind-rsa1536", "RSA -pkeyopt rsa_keygen_bits:1536", Verify::Fail),
        // Nobody here can verify it; openssl isn't told that we could, and shows none.
        ("kind-ed448", "ED448", Verify::No),
    ] {
        issue(shop, name, "root", "/CN=machine", LEAF);
        shop.run(&format!("openssl genpkey -algorithm {kind} -out {name}.key"));
        shop.run(&format!(
            "openssl req -new -key {name}.key -config empty.cnf -subj /CN=machine -out {name}.csr"
        ));
        shop.run(&format!("openssl x509 -req -in {name}.csr -CA root.pem -CAkey root.key -set_serial 77 -days 30 -sha256 -extfile {name}.ext -out {name}.pem"));
        for version in ["1.2", "1.3"] {
            let facts = shop.present(&settings("", shop), Ask::Yes, version, &[name]).unwrap();
            assert_eq!(facts.verify, verify, "{name} {version}: {}", facts.reason);
        }
    }
}

#[test]
fn a_revoked_certificate_is_found_in_any_list() {
    let shop = Workshop::open();
    let mut tls = settings("", shop);
    tls.revoked = vec![shop.path("root.crl"), shop.path("root.crl.der")];
    let facts = shop.present(&tls, Ask::Yes, "1.3", &["revoked"]).unwrap();
    assert_eq!(facts.reason, "certificate revoked");
    let facts = shop.present(&tls, Ask::Yes, "1.3", &["valid"]).unwrap();
    assert_eq!(facts.reason, "ok");
    let root = std::fs::read(shop.path("root.crl.der")).unwrap();
    for cut in [1, 10, root.len() / 2, root.len() - 1] {
        std::fs::write(shop.path("cut.crl"), &root[..cut]).unwrap();
        tls.revoked = vec![shop.path("cut.crl")];
        let text = Server::new(&tls, &shop.material(), "test").err().unwrap().to_string();
        assert!(text.contains("cut.crl"), "{text}");
    }
}
