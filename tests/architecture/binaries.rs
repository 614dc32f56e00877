//! What the built executables link.

use std::process::Command;

use harness::subject::built;

#[test]
fn the_listener_links_no_library_that_reads_secrets() {
    for name in ["saslauthd-listener", "saslauthd"] {
        let libraries = ldd(name);
        assert!(libraries.contains("libc.so"), "ldd of {name} shows nothing: {libraries}");
        for bad in ["libcrypt", "libdb", "libpq", "libsqlite", "libpam", "libsystemd"] {
            assert!(!libraries.contains(bad), "{name} links {bad}: {libraries}");
        }
    }
    assert!(ldd("saslauthd-checker").contains("libcrypt"), "the checker verifies with libxcrypt");
}

fn ldd(name: &str) -> String {
    let output = Command::new("ldd").arg(built(name)).output().expect("ldd runs");
    String::from_utf8(output.stdout).expect("ldd prints text")
}
