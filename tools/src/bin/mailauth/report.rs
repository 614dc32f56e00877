//! Accounts and the daemon's figures as text and as JSON.
//!
//! Names come from files and peers: what a terminal could take for more than a name is shown quoted. No password and
//! no hash is ever part of a report; of a hash only the scheme is.

mod daemon;

use accounts::{Account, AccountName, SCRAM_HASHES, StoredHash, UnixTime};
use credentials::sasldb::Format;
use credentials::{Policy, ScramKeys, Verifier, WeakSchemes};
use protocol::{Quoted, Senders};
use serde_json::{Value, json};

use crate::moment::shown;

pub(crate) use daemon::{figures_of_user, limits, line, list, sentence, status};

/// Somebody in a sasldb, and which secrets there are.
pub(crate) struct Holder {
    pub(crate) user: Vec<u8>,
    pub(crate) realm: Vec<u8>,
    pub(crate) secrets: Vec<Vec<u8>>,
}

/// `user@realm`, or the user alone.
pub(crate) fn name(name: &AccountName) -> String {
    joined(name.user().as_bytes(), name.realm().as_bytes())
}

/// The same of bytes.
pub(crate) fn joined(user: &[u8], realm: &[u8]) -> String {
    if realm.is_empty() { word(user) } else { word(&[user, b"@", realm].concat()) }
}

/// Bytes of a name: as they are when they are one plain word, quoted otherwise, `-` for none.
fn word(bytes: &[u8]) -> String {
    let quoted = Quoted(bytes).to_string();
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    match inner {
        "" | "-" if bytes.is_empty() => "-".into(),
        inner if inner.as_bytes() == bytes && !inner.contains(char::is_whitespace) => inner.into(),
        _ => quoted,
    }
}

/// Rows with columns of one width, the last one ragged.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:<width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

pub(crate) fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

/// Accounts as a table with a heading; nothing for none.
pub(crate) fn accounts(accounts: &[Account], now: UnixTime) -> String {
    if accounts.is_empty() {
        return String::new();
    }
    let mut rows = vec![row(&["USER", "REALM", "KIND", "STATE", "EXPIRES", "LAST-USED"])];
    for account in accounts {
        rows.push(vec![
            word(account.name.user().as_bytes()),
            word(account.name.realm().as_bytes()),
            account.kind.as_str().into(),
            state(account, now).into(),
            account.expires.map_or_else(|| "never".into(), shown),
            account.last_used.map_or_else(|| "-".into(), shown),
        ]);
    }
    table(&rows)
}

fn state(account: &Account, now: UnixTime) -> &'static str {
    match (account.disabled, account.expires) {
        (true, _) => "locked",
        (false, Some(end)) if now >= end => "expired",
        _ if secrets(account).is_empty() => "no-password",
        _ => "open",
    }
}

/// One account, a line for each thing.
pub(crate) fn account(account: &Account, now: UnixTime) -> String {
    let list = |text: Option<String>| match text {
        None => "any".to_owned(),
        Some(text) if text.is_empty() => "none".to_owned(),
        Some(text) => text,
    };
    let secrets = secrets(account);
    let lines = [
        ("user", word(account.name.user().as_bytes())),
        ("realm", word(account.name.realm().as_bytes())),
        ("kind", account.kind.as_str().into()),
        ("state", state(account, now).into()),
        ("secrets", if secrets.is_empty() { "none".into() } else { secrets.join(" ") }),
        ("services", list(account.restrictions.services.to_text())),
        ("networks", list(account.restrictions.networks.to_text())),
        ("senders", senders(&account.senders)),
        ("expires", account.expires.map_or_else(|| "never".into(), shown)),
        ("created", shown(account.created)),
        ("changed", shown(account.changed)),
        ("last used", account.last_used.map_or_else(|| "never".into(), shown)),
    ];
    lines.map(|(what, value)| format!("{:<11}{value}\n", format!("{what}:"))).concat()
}

/// The schemes that the account's secrets are stored in.
fn secrets(account: &Account) -> Vec<&'static str> {
    // What the daemon's policy thinks of a scheme is another question than what is stored.
    let policy = Policy {
        max_millis: u64::MAX,
        max_memory_kib: u64::MAX,
        weak: WeakSchemes::allow_all(),
        ..Policy::default()
    };
    let scheme = |hash: &StoredHash| match Verifier::parse(hash.reveal().as_bytes(), &policy) {
        Ok(verifier) => verifier.scheme().as_str(),
        Err(reason) => reason.as_str(),
    };
    let mechanism = |keys: &ScramKeys| keys.hash().mechanism();
    let stored = &account.secrets;
    stored
        .password()
        .map(scheme)
        .into_iter()
        .chain(SCRAM_HASHES.into_iter().filter_map(|hash| stored.scram(hash)).map(mechanism))
        .collect()
}

/// As whom an account may send.
pub(crate) fn senders(senders: &Senders) -> String {
    match senders.text() {
        None => "own name".to_owned(),
        Some(text) if text == "*" => "any".to_owned(),
        Some(text) if text.is_empty() => "none".to_owned(),
        Some(text) => text,
    }
}

/// One account for a program; moments are seconds since 1970.
pub(crate) fn account_json(account: &Account) -> Value {
    let words = |text: Option<String>| match text {
        None => Value::Null,
        Some(text) => text.split_whitespace().map(Value::from).collect(),
    };
    json!({
        "user": account.name.user(),
        "realm": account.name.realm(),
        "kind": account.kind.as_str(),
        "locked": account.disabled,
        "expires": account.expires.map(|end| end.0),
        "secrets": secrets(account),
        "services": words(account.restrictions.services.to_text()),
        "networks": words(account.restrictions.networks.to_text()),
        "senders": words(account.senders.text()),
        "created": account.created.0,
        "changed": account.changed.0,
        "last_used": account.last_used.map(|moment| moment.0),
    })
}

/// All accounts for a program.
pub(crate) fn accounts_json(accounts: &[Account]) -> Value {
    accounts.iter().map(account_json).collect()
}

/// Who is in a sasldb, as a table with a heading; nothing for none.
pub(crate) fn holders(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return String::new();
    }
    let mut rows = vec![row(&["USER", "REALM", "SECRETS"])];
    for holder in holders {
        rows.push(vec![word(&holder.user), word(&holder.realm), words(&holder.secrets)]);
    }
    table(&rows)
}

/// One of them.
pub(crate) fn holder(holder: &Holder, format: Format) -> String {
    format!(
        "user:      {}\nrealm:     {}\nsecrets:   {}\nformat:    {format}\n",
        word(&holder.user),
        word(&holder.realm),
        words(&holder.secrets)
    )
}

fn words(list: &[Vec<u8>]) -> String {
    list.iter().map(|bytes| word(bytes)).collect::<Vec<_>>().join(" ")
}

/// One of them for a program; what is no UTF-8 is replaced.
pub(crate) fn holder_json(holder: &Holder) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "user": text(&holder.user),
        "realm": text(&holder.realm),
        "secrets": holder.secrets.iter().map(|secret| text(secret)).collect::<Vec<_>>(),
    })
}

/// All of them for a program.
pub(crate) fn holders_json(holders: &[Holder]) -> Value {
    holders.iter().map(holder_json).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_or_quoted() {
        assert_eq!(word(b"alice"), "alice");
        assert_eq!(word("b\u{fc}cher".as_bytes()), "b\u{fc}cher");
        assert_eq!(word(b""), "-");
        assert_eq!(word(b"-"), "-");
        assert_eq!(word(b"two words"), "\"two words\"");
        assert_eq!(word(b"\x1b[2J"), r#""\x1b[2J""#);
        assert_eq!(word(b"\xff"), r#""\xff""#);
        assert_eq!(joined(b"a", b"b"), "a@b");
        assert_eq!(joined(b"a\nb", b""), r#""a\x0ab""#);
    }

    #[test]
    fn tables_have_straight_columns_and_no_trailing_blanks() {
        let rows = [row(&["A", "B", "C"]), row(&["longer", "x", "-"]), row(&["\u{fc}", "", ""])];
        assert_eq!(table(&rows), "A       B  C\nlonger  x  -\n\u{fc}\n");
    }
}
