//! Accounts of a house in every kind of store, made by the programs that administrators use.

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::subject::built;
use harness::{PATIENCE, Ran, Sandbox};

use crate::house::House;

/// The SQLite accounts of a house, as the test sees them.
pub(crate) fn database(house: &House) -> PathBuf {
    house.sandbox.path().join("tmp/state/accounts/accounts.sqlite")
}

/// Runs mailauth inside; it has to succeed.
pub(crate) fn mailauth(house: &House, args: &[&str], input: &str) -> String {
    let mut command = house.sandbox.command(built("mailauth"));
    let ran = Ran::of(command.args(args), input.as_bytes(), PATIENCE).expect("mailauth runs");
    assert_eq!(ran.code, Some(0), "mailauth {args:?}: {} {}", ran.out(), ran.err());
    ran.out()
}

/// Adds an account to the SQLite accounts, or changes it.
pub(crate) fn user(house: &House, verb: &str, name: &str, realm: &str, rest: &[&str], input: &str) {
    let path = database(house).display().to_string();
    let mut args = vec!["user", verb, "--database", &path, "--realm", realm];
    args.extend(rest);
    args.extend(["--", name]);
    mailauth(house, &args, input);
}

/// Runs statements with SQLite's own shell.
pub(crate) fn sqlite(path: &Path, sql: &str) -> String {
    let ran = Command::new("sqlite3").arg(path).arg(sql).output().expect("sqlite3");
    assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).trim_end().to_owned()
}

/// Appends rows of name and password field, any bytes, to a sandbox's shadow.
pub(crate) fn add_rows(sandbox: &Sandbox, rows: &[(String, Vec<u8>)]) {
    let path = sandbox.path().join("etc/shadow");
    let mut shadow = std::fs::read(&path).unwrap();
    for (name, field) in rows {
        shadow.extend([name.as_bytes(), b":", field, b":19000:0:99999:7:::\n"].concat());
    }
    std::fs::write(&path, shadow).unwrap();
}

/// A file of records `user NUL realm NUL userPassword`, made by Berkeley DB's own tools.
pub(crate) fn sasldb(sandbox: &Sandbox, accounts: &[(&str, &str, &str)]) {
    let keys: Vec<String> =
        accounts.iter().map(|(user, realm, _)| format!("{user}\0{realm}\0userPassword")).collect();
    let records: Vec<(&[u8], &[u8])> = keys
        .iter()
        .zip(accounts)
        .map(|(key, (.., password))| (key.as_bytes(), password.as_bytes()))
        .collect();
    sandbox.load_sasldb(&records).expect("db5.3_load");
}
