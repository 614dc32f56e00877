//! saslpasswd2 and what it is given: the bytes on standard input, and files of every kind to write to.

use crate::passwd::{Before, Run, act, fresh, run, set_up};
use crate::suite::{Case, Listed, case, compare, listed};

/// What standard input becomes.
fn input_cases() -> Vec<Case<Run>> {
    let with = |input: &[u8]| fresh(&["-p", "-c", "alice"], input);
    vec![
        case(
            "passwd-input-nothing",
            with(b""),
            r#"exit 7; err "saslpasswd2: invalid parameter supplied"; absent; nothing"#,
        ),
        case(
            "passwd-input-only-newline",
            with(b"\n"),
            r#"exit 7; err "saslpasswd2: invalid parameter supplied"; absent; nothing"#,
        ),
        case(
            "passwd-input-two-newlines",
            with(b"\n\n"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=\n"#,
        ),
        case(
            "passwd-input-carriage-return",
            with(b"pw\r\n"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=pw\r"#,
        ),
        case(
            "passwd-input-only-crlf",
            with(b"\r\n"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=\r"#,
        ),
        case(
            "passwd-input-two-lines",
            with(b"line1\nline2\n"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=line1\nline2"#,
        ),
        case(
            "passwd-input-newlines-behind",
            with(b"pw\n\n"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=pw\n"#,
        ),
        case(
            "passwd-input-nul-middle",
            with(b"pw\0rest"),
            "exit 0; file 0640; +alice@mailhost userPassword=pw",
        ),
        case(
            "passwd-input-nul-first",
            with(b"\0rest"),
            "exit 0; file 0640; +alice@mailhost userPassword=",
        ),
        case(
            "passwd-input-nul-last",
            with(b"pw\0"),
            "exit 0; file 0640; +alice@mailhost userPassword=pw",
        ),
        case(
            "passwd-input-spaces",
            with(b"  two  \n"),
            "exit 0; file 0640; +alice@mailhost userPassword=  two  ",
        ),
        case(
            "passwd-input-only-space",
            with(b" "),
            "exit 0; file 0640; +alice@mailhost userPassword= ",
        ),
        case(
            "passwd-input-utf-8",
            with("Paßwörd\n".as_bytes()),
            r#"exit 0; file 0640; +alice@mailhost userPassword=Pa\xc3\x9fw\xc3\xb6rd"#,
        ),
        case(
            "passwd-input-latin-1",
            with(b"Pa\xdfw\xf6rd\n"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=Pa\xdfw\xf6rd"#,
        ),
        case(
            "passwd-input-control-bytes",
            with(b"\x01\x02\x1b\x7f"),
            r#"exit 0; file 0640; +alice@mailhost userPassword=\x01\x02\x1b\x7f"#,
        ),
        case(
            "passwd-input-one-byte",
            with(b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-input-1023",
            with(&[b'x'; 1023]),
            "exit 0; file 0640; +alice@mailhost userPassword=<1023 x>",
        ),
        case(
            "passwd-input-1024",
            with(&[b'x'; 1024]),
            "exit 0; file 0640; +alice@mailhost userPassword=<1024 x>",
        ),
        case(
            "passwd-input-1025",
            with(&[b'x'; 1025]),
            "exit 0; file 0640; +alice@mailhost userPassword=<1025 x>",
        ),
        case(
            "passwd-input-2047",
            with(&[b'x'; 2047]),
            "exit 0; file 0640; +alice@mailhost userPassword=<2047 x>",
        ),
        case(
            "passwd-input-2048",
            with(&[b'x'; 2048]),
            "exit 0; file 0640; +alice@mailhost userPassword=<2048 x>",
        ),
        case(
            "passwd-input-2049",
            with(&[b'x'; 2049]),
            "exit 0; file 0640; +alice@mailhost userPassword=<2048 x>",
        ),
        case(
            "passwd-input-2048-and-newline",
            with(&[&[b'x'; 2048][..], b"\n"].concat()),
            "exit 0; file 0640; +alice@mailhost userPassword=<2048 x>",
        ),
        case(
            "passwd-input-9000",
            with(&[b'x'; 9000]),
            "exit 0; file 0640; +alice@mailhost userPassword=<2048 x>",
        ),
    ]
}

fn file_cases() -> Vec<Case<Run>> {
    let with = |file| fresh(&["-p", "-c", "-f", file, "alice"], b"x");
    let on = |fixture| run(Before::Fixture(fixture), &["-p", "-c", "-u", "new", "new"], b"x");
    vec![
        case(
            "passwd-file",
            with("/etc/sasldb2"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-file-twice",
            fresh(&["-p", "-c", "-f", "/nowhere/x", "-f", "/etc/sasldb2", "alice"], b"x"),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-file-no-directory",
            with("/etc/no-such-directory/sasldb2"),
            r#"exit 1; err "saslpasswd2: generic failure"; absent; nothing"#,
        ),
        case(
            "passwd-file-is-directory",
            with("/etc/ld.so.conf.d"),
            r#"exit 1; err "saslpasswd2: generic failure"; absent; nothing"#,
        ),
        case(
            "passwd-file-empty-name",
            with(""),
            "exit 0; file 0640; +alice@mailhost userPassword=x",
        ),
        case(
            "passwd-file-through-link",
            run(Before::Link, &["-p", "alice"], b"new one"),
            "exit 0; link 0777; -alice@mailhost userPassword=secret1 +alice@mailhost userPassword=new one",
        ),
        case(
            "passwd-file-garbage",
            on("garbage.sasldb2"),
            r#"exit 1; err "saslpasswd2: generic failure"; file 0644; nothing"#,
        ),
        case(
            "passwd-file-btree",
            on("notahash-btree.db"),
            r#"exit 1; err "saslpasswd2: generic failure"; file 0644; nothing"#,
        ),
        case(
            "passwd-file-zero-length",
            on("zero-length.sasldb2"),
            "exit 0; file 0644; +new@new userPassword=x",
        ),
        case(
            "passwd-file-empty",
            on("empty.sasldb2"),
            "exit 0; file 0644; +new@new userPassword=x",
        ),
        case(
            "passwd-file-basic",
            on("basic.sasldb2"),
            "exit 0; file 0644; +new@new userPassword=x",
        ),
        case(
            "passwd-file-badkeys",
            on("badkeys.sasldb2"),
            "exit 0; file 0644; +new@new userPassword=x",
        ),
        case(
            "passwd-file-allprops",
            run(Before::Fixture("allprops.sasldb2"), &["-p", "-u", "example.com", "alice"], b"x"),
            r#"exit 0; file 0644; -alice@example.com cmusaslsecretCRAM-MD5=@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_ -alice@example.com cmusaslsecretDIGEST-MD5=q\xba\x0e\xbd\x86@\x9f\xe9x\x0e\xe0\xc67\x0fY\xe6 -alice@example.com cmusaslsecretPLAIN=\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f\x10\x00\xb3e\xaf\xc6D\xd3K\xc0\xf5\xd6\x10\xc8 LN\xe6 -alice@example.com userPassword=secret1 +alice@example.com userPassword=x"#,
        ),
        case(
            "passwd-file-scram",
            run(Before::Fixture("scram.sasldb2"), &["-p", "-u", "example.com", "scramonly"], b"x"),
            "exit 0; file 0644; +scramonly@example.com userPassword=x",
        ),
        case(
            "passwd-file-page512",
            on("allprops-page512.sasldb2"),
            "exit 0; file 0644; +new@new userPassword=x",
        ),
        case(
            "passwd-file-chksum",
            on("allprops-chksum.sasldb2"),
            "exit 0; file 0644; +new@new userPassword=x",
        ),
    ]
}

fn cases() -> Vec<Case<Run>> {
    [input_cases(), file_cases()].into_iter().flatten().collect()
}

pub(crate) fn all() -> Listed {
    listed(&cases())
}

#[test]
fn passwd_input() {
    compare("saslpasswd2's input and files", &cases(), set_up, act);
}
