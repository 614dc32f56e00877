//! Whose programs are under test: Debian's originals or ours.

use std::fmt;
use std::path::{Path, PathBuf};

/// One of the two houses that a compliance case is run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The programs of Debian's package sasl2-bin.
    Theirs,
    /// The programs of this workspace, as built beside the running test.
    Ours,
}

impl Subject {
    /// The subjects that `UNDER_TEST` names: `theirs`, `ours`; both, theirs first, when it is unset.
    pub fn selected() -> Vec<Self> {
        match std::env::var("UNDER_TEST").as_deref() {
            Ok("theirs") => vec![Self::Theirs],
            Ok("ours") => vec![Self::Ours],
            Ok("") | Err(_) => vec![Self::Theirs, Self::Ours],
            Ok(other) => {
                eprintln!("UNDER_TEST={other} is neither ours nor theirs; taking both");
                vec![Self::Theirs, Self::Ours]
            }
        }
    }

    /// Where this subject's `program` lies (`saslauthd`, `testsaslauthd`, `saslpasswd2`, `sasldblistusers2`).
    pub fn program(self, program: &str) -> PathBuf {
        match self {
            Self::Theirs => Path::new("/usr/sbin").join(program),
            Self::Ours => built(program),
        }
    }

    /// Whether this subject can run here; otherwise a loud skip, or a failure with `CI=true`.
    #[must_use]
    pub fn available(self) -> bool {
        let programs = ["saslauthd", "testsaslauthd", "saslpasswd2", "sasldblistusers2"];
        crate::require_root()
            && crate::require("perl", "perl-base")
            && programs.iter().all(|program| match self {
                Self::Theirs => crate::require(&format!("/usr/sbin/{program}"), "sasl2-bin"),
                Self::Ours => require_built(program),
            })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Theirs => "theirs",
            Self::Ours => "ours",
        })
    }
}

/// Where this workspace's `program` was built: beside the running executable, which of a test is one below,
/// in `deps`.
pub fn built(program: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_default();
    let dir = own.parent().unwrap_or(Path::new("."));
    let profile = if dir.ends_with("deps") { dir.parent().unwrap_or(dir) } else { dir };
    profile.join(program)
}

/// Whether `program` of this workspace has been built for this profile; otherwise a loud skip.
#[must_use]
pub fn require_built(program: &str) -> bool {
    let path = built(program);
    path.exists()
        || crate::skip(&format!(
            "{} is missing; build it first: cargo build --workspace",
            path.display()
        ))
}
