//! `mailauth cert`: what it makes is what OpenSSL verifies and the access map lets relay, and nothing is lost by a second run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mailauth");

fn run(program: &str, words: &[&str]) -> Output {
    Command::new(program).args(words).output().unwrap()
}

fn cert(directory: &Path, words: &str) -> Output {
    let mut line: Vec<&str> = words.split_whitespace().collect();
    let path = directory.to_str().unwrap();
    line.splice(0..0, ["cert"]);
    line.extend(["--directory", path]);
    run(PROGRAM, &line)
}

#[track_caller]
fn good(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// It ended with `code`, said `parts` in one line, and printed nothing.
#[track_caller]
fn bad(output: Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.len(), said.lines().count()),
        (Some(code), 0, 1),
        "{said}"
    );
    for part in parts {
        assert!(said.contains(part), "{part}: {said}");
    }
}

fn openssl(words: &[&str], directory: &Path) -> String {
    let output = Command::new("openssl").args(words).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn openssl_verifies_what_was_made_for_what_it_is() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("new/tls");
    good(cert(
        &directory,
        "init --name Mail.Example.com --name *.example.net --name 192.0.2.1 --name mail.example.com",
    ));
    good(cert(
        &directory,
        "issue --client printer --san printer.example.com --san p@example.com --san urn:x:1",
    ));
    good(cert(&directory, "issue --server mx2.example.com"));
    for key in ["ca.key", "mail.example.com.key", "printer.key", "mx2.example.com.key"] {
        assert_eq!(mode(&directory.join(key)), 0o600, "{key}");
    }
    let verify = |purpose, file| {
        openssl(
            &["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose, file],
            &directory,
        )
    };
    verify("sslserver", "mail.example.com.pem");
    verify("sslserver", "mx2.example.com.pem");
    verify("sslclient", "printer.pem");
    let wrong = ["verify", "-CAfile", "ca.pem", "-purpose", "sslclient", "mail.example.com.pem"];
    assert!(
        !Command::new("openssl")
            .args(wrong)
            .current_dir(&directory)
            .output()
            .unwrap()
            .status
            .success()
    );
    let shown = openssl(&["x509", "-noout", "-text", "-in", "mail.example.com.pem"], &directory);
    for part in [
        "DNS:mail.example.com, DNS:*.example.net, IP Address:192.0.2.1\n",
        "prime256v1",
        "TLS Web Server",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let authority = openssl(&["x509", "-noout", "-text", "-in", "ca.pem"], &directory);
    for part in [
        "Basic Constraints: critical\n                CA:TRUE, pathlen:0",
        "Key Usage: critical\n                Certificate Sign, CRL Sign",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "CN = mail.example.com private CA ",
    ] {
        assert!(authority.contains(part), "{part}: {authority}");
    }
    let chain = fs::read_to_string(directory.join("mail.example.com.pem")).unwrap();
    assert!(chain.ends_with(&fs::read_to_string(directory.join("ca.pem")).unwrap()));
    // Nothing half-made stays.
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 8);
}

#[test]
fn two_authorities_of_one_host_have_two_names() {
    let home = tempfile::tempdir().unwrap();
    let subject = |name: &str| {
        let directory = home.path().join(name);
        good(cert(&directory, "init --name mail.example.com"));
        openssl(&["x509", "-noout", "-subject", "-in", "ca.pem"], &directory)
    };
    assert_ne!(subject("one"), subject("two"));
}

#[test]
fn the_printed_lines_let_the_machine_relay_each_alone() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    good(cert(directory, "init --name mail.example.com"));
    let lines = good(cert(directory, "issue --client build-7"));
    let entries: Vec<&str> = lines.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(entries.len(), 3, "{lines}");
    let map = directory.join("access");
    let pem = directory.join("build-7.pem");
    for (text, verify, relays) in [
        (entries[0].to_owned(), "FAIL", "relay     yes"),
        (entries[1..].join("\n"), "OK", "relay     yes"),
        (entries[1..].join("\n"), "FAIL", "relay     no"),
        (lines.clone(), "OK", "relay     yes"),
    ] {
        fs::write(&map, text + "\n").unwrap();
        let map = map.to_str().unwrap();
        good(run(PROGRAM, &["access", "check", map]));
        let verify = format!("verify={verify}");
        let pem = pem.to_str().unwrap();
        let said = good(run(
            PROGRAM,
            &["access", "explain", "--ruleset", "relay", "--cert", pem, map, &verify],
        ));
        assert!(said.contains(relays), "{said}");
    }
}

#[test]
fn nothing_is_replaced_unless_that_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    good(cert(directory, "init --name mail.example.com"));
    good(cert(directory, "issue --client one"));
    let all = || -> Vec<_> {
        let mut files: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.iter().map(|path| fs::read(path).unwrap()).collect()
    };
    let before = all();
    bad(
        cert(directory, "init --name mail.example.com"),
        1,
        &["ca.key: it is there already", "cert issue", "--force"],
    );
    bad(cert(directory, "init --name other.example.com"), 1, &["ca.key: it is there already"]);
    bad(cert(directory, "issue --client one"), 1, &["one.key: it is there already", "--force"]);
    assert_eq!(all(), before);
    good(cert(directory, "issue --client one --force"));
    assert_ne!(all(), before);
    good(cert(directory, "init --name mail.example.com --force"));
    openssl(&["verify", "-CAfile", "ca.pem", "mail.example.com.pem"], directory);
    assert_eq!(mode(&directory.join("ca.key")), 0o600);
}

#[test]
fn what_cannot_be_is_named_with_the_next_step() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("tls");
    bad(cert(&directory, "issue --client x"), 69, &["tls/ca.pem: not there", "cert init"]);
    bad(cert(&directory, "init"), 64, &["--name"]);
    bad(run(PROGRAM, &["cert", "init", "--name", "x"]), 64, &["--directory"]);
    bad(cert(&directory, "issue"), 64, &["--client", "--server"]);
    bad(cert(&directory, "issue --client a --server b"), 64, &["--client", "--server"]);
    bad(cert(&directory, "issue --client ../x"), 64, &["../x", "letters"]);
    bad(cert(&directory, "issue --client ca"), 64, &["the authority's"]);
    bad(cert(&directory, "init --name b\u{fc}cher.example"), 64, &["xn--"]);
    bad(cert(&directory, "init --name x --days 0"), 64, &["--days"]);
    assert!(!directory.exists());
    good(cert(&directory, "init --name mail.example.com"));
    bad(cert(&directory, "issue --client x --days 4000"), 1, &["the authority ends on", "--days"]);
    let other = home.path().join("other");
    good(cert(&other, "init --name mail.example.com"));
    fs::copy(other.join("ca.key"), directory.join("ca.key")).unwrap();
    bad(cert(&directory, "issue --client x"), 1, &["ca.pem", "does not belong to the key"]);
    fs::copy(directory.join("mail.example.com.pem"), directory.join("ca.pem")).unwrap();
    bad(cert(&directory, "issue --client x"), 1, &["no authority's certificate"]);
    fs::write(directory.join("ca.pem"), "hello").unwrap();
    bad(cert(&directory, "issue --client x"), 1, &["no certificate in PEM"]);
    bad(cert(&directory.join("ca.pem"), "init --name x"), 1, &["no directory"]);
    let long = format!("init --name {}.example.com --name x", "a".repeat(60));
    let third = home.path().join("third");
    good(cert(&third, &long));
}

#[test]
fn a_certificate_is_shown_with_what_it_counts_as() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path();
    good(cert(directory, "init --name mail.example.com --name 2001:db8::1 --days 10"));
    good(cert(directory, "issue --client printer --san p@example.com"));
    let show =
        |name: &str| good(run(PROGRAM, &["cert", "show", directory.join(name).to_str().unwrap()]));
    let server = show("mail.example.com.pem");
    let own = server.split("\n\n").next().unwrap();
    assert_eq!(server.split("\n\n").count(), 2);
    for part in [
        "subject:     /CN=mail.example.com\n",
        "names:       DNS:mail.example.com, IP:2001:db8::1\n",
        "purposes:    server\n",
        " h left)\n",
        "counts as:   server certificate: ",
    ] {
        assert!(own.contains(part), "{part}: {own}");
    }
    assert!(server.contains("counts as:   an authority"), "{server}");
    let client = show("printer.pem");
    let pem = directory.join("printer.pem");
    for line in good(run(PROGRAM, &["access", "key", pem.to_str().unwrap()])).lines() {
        assert!(line.starts_with('#') || client.contains(line), "{line}: {client}");
    }
    assert!(
        client.contains("counts as:   client certificate")
            && client.contains("email:p@example.com"),
        "{client}"
    );
    fs::write(directory.join("x"), "nothing").unwrap();
    bad(
        run(PROGRAM, &["cert", "show", directory.join("x").to_str().unwrap()]),
        1,
        &["x: there is no whole"],
    );
    bad(run(PROGRAM, &["cert", "show", "/nonexistent"]), 69, &["/nonexistent: not there"]);
}
