//! The arguments of our own children: who to become, and nothing else. Nothing in argv is ever secret.

use std::ffi::OsString;

use crate::identity::Identity;
use crate::{Error, Result};

/// Reads `--uid N --gid N --groups N,N,…` (without the program's name); no argument at all keeps the identity.
pub fn identity(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Identity>> {
    let (mut uid, mut gid, mut groups) = (None, None, None);
    let mut arguments = arguments.into_iter();
    while let Some(option) = arguments.next() {
        let value = arguments.next().and_then(|value| value.into_string().ok());
        let (Some(option), Some(value)) = (option.to_str(), value) else {
            return Err(wrong("an option without its value"));
        };
        match option {
            "--uid" => uid = value.parse().ok(),
            "--gid" => gid = value.parse().ok(),
            "--groups" => groups = numbers(&value),
            _ => return Err(wrong("an option that is not --uid, --gid or --groups")),
        }
    }
    match (uid, gid, groups) {
        (None, None, None) => Ok(None),
        (Some(uid), Some(gid), Some(groups)) => Ok(Some(Identity { uid, gid, groups })),
        _ => Err(wrong("--uid, --gid and --groups must come together, as numbers")),
    }
}

/// The arguments that [`identity`] reads.
pub fn for_identity(identity: &Identity) -> [String; 6] {
    let groups: Vec<String> = identity.groups.iter().map(u32::to_string).collect();
    [
        "--uid".into(),
        identity.uid.to_string(),
        "--gid".into(),
        identity.gid.to_string(),
        "--groups".into(),
        groups.join(","),
    ]
}

fn numbers(list: &str) -> Option<Vec<u32>> {
    let numbers = list.split(',').filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}

fn wrong(what: &str) -> Error {
    Error::HandedOver(format!("started with {what}; this program is started by saslauthd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Identity>> {
        identity(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_the_parent_writes_is_what_the_child_reads() {
        for groups in [vec![], vec![42], vec![42, 45]] {
            let who = Identity { uid: 101, gid: 102, groups };
            let arguments = for_identity(&who);
            let read = identity(arguments.iter().map(OsString::from)).unwrap();
            assert_eq!(read, Some(who));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(parse(&[]).unwrap(), None);
        for wrong in [
            &["--uid", "1"][..],
            &["--uid"],
            &["--help"],
            &["--uid", "x", "--gid", "1", "--groups", ""],
            &["--uid", "1", "--gid", "1", "--groups", "x"],
            &["--uid", "-1", "--gid", "1", "--groups", ""],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
