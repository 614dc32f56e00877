//! The arguments of our own children: who to become, and nothing else. Nothing in argv is ever secret.

use std::ffi::OsString;

use crate::capabilities::Kept;
use crate::identity::{Identity, drop_keeping};
use crate::{Error, Result};

/// What a child makes of itself before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Whom it becomes.
    pub identity: Identity,
    /// What it keeps of being root.
    pub kept: Kept,
}

impl Role {
    /// Becomes it, for good.
    pub fn assume(&self) -> Result<()> {
        drop_keeping(&self.identity, self.kept)
    }

    /// The arguments that [`role`] reads.
    pub fn arguments(&self) -> Vec<OsString> {
        let groups: Vec<String> = self.identity.groups.iter().map(u32::to_string).collect();
        let mut arguments = vec![
            "--uid".into(),
            self.identity.uid.to_string().into(),
            "--gid".into(),
            self.identity.gid.to_string().into(),
            "--groups".into(),
            groups.join(",").into(),
        ];
        if self.kept == Kept::ReadAnyFile {
            arguments.extend(["--keep".into(), READ_ANY_FILE.into()]);
        }
        arguments
    }
}

/// CAP_DAC_READ_SEARCH, by what it is for.
const READ_ANY_FILE: &str = "read-any-file";

/// Reads `--uid N --gid N --groups N,N,… [--keep read-any-file]` (without the program's name); no argument at
/// all keeps the identity.
pub fn role(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Role>> {
    let (mut uid, mut gid, mut groups, mut kept) = (None, None, None, Kept::Nothing);
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
            "--keep" if value == READ_ANY_FILE => kept = Kept::ReadAnyFile,
            _ => return Err(wrong("an option that is not --uid, --gid, --groups or --keep")),
        }
    }
    match (uid, gid, groups) {
        (None, None, None) if kept == Kept::Nothing => Ok(None),
        (Some(uid), Some(gid), Some(groups)) => {
            Ok(Some(Role { identity: Identity { uid, gid, groups }, kept }))
        }
        _ => Err(wrong("--uid, --gid and --groups must come together, as numbers")),
    }
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

    fn parse(arguments: &[&str]) -> Result<Option<Role>> {
        role(arguments.iter().map(OsString::from))
    }

    #[test]
    fn what_the_parent_writes_is_what_the_child_reads() {
        for groups in [vec![], vec![42], vec![42, 45]] {
            for kept in [Kept::Nothing, Kept::ReadAnyFile] {
                let identity = Identity { uid: 101, gid: 102, groups: groups.clone() };
                let wanted = Role { identity, kept };
                assert_eq!(role(wanted.arguments()).unwrap(), Some(wanted));
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert_eq!(parse(&[]).unwrap(), None);
        for wrong in [
            &["--uid", "1"][..],
            &["--uid"],
            &["--help"],
            &["--keep", "read-any-file"],
            &["--uid", "1", "--gid", "1", "--groups", "", "--keep", "everything"],
            &["--uid", "x", "--gid", "1", "--groups", ""],
            &["--uid", "1", "--gid", "1", "--groups", "x"],
            &["--uid", "-1", "--gid", "1", "--groups", ""],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
