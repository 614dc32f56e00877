//! The command lines of `mailauth cert`.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Reader;
use crate::certificates::{
    AlternativeName, Existing, FileName, HostName, Place, Server, Subject, Task,
};
use crate::failure::Failure;

/// A century: more is a slip of the finger, and past the year 9999 no certificate can go.
const MAX_DAYS: u32 = 36_525;

impl Reader<'_> {
    pub(super) fn certificates(&self, operands: &[OsString]) -> Result<Task, Failure> {
        Ok(match (self.command.words, operands) {
            ("cert show", [path]) => Task::Show(path.into(), self.now),
            ("cert init", []) => Task::Init(self.kept()?, self.server(Vec::new())?),
            ("cert issue", []) => Task::Issue(self.kept()?, self.subject()?),
            _ => return Err(self.operands()),
        })
    }

    fn kept(&self) -> Result<Place, Failure> {
        let directory =
            self.value("directory").and_then(Clone::clone).filter(|path| !path.is_empty());
        let directory = directory.map(PathBuf::from).ok_or_else(|| {
            Failure::usage(format!(
                "{} needs --directory, where keys and certificates are kept",
                self.command.words
            ))
        })?;
        let existing = if self.is_given("force") { Existing::Replaced } else { Existing::Kept };
        Ok(Place { directory, existing, now: self.now, days: self.days()? })
    }

    fn days(&self) -> Result<Option<u32>, Failure> {
        let Some(days) = self.text("days")? else { return Ok(None) };
        let days = days.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days));
        days.map(Some)
            .ok_or_else(|| Failure::usage(format!("--days takes a number from 1 to {MAX_DAYS}")))
    }

    fn subject(&self) -> Result<Subject, Failure> {
        match (self.text("client")?, self.text("server")?) {
            (Some(name), None) if !self.is_given("name") => {
                let names = self.texts("san")?;
                let names = names
                    .iter()
                    .map(|name| AlternativeName::new(name))
                    .collect::<Result<_, _>>()?;
                Ok(Subject::Client(FileName::new(&name)?, names))
            }
            (None, Some(host)) if !self.is_given("san") => {
                self.server(vec![host]).map(Subject::Server)
            }
            (Some(_), None) => {
                Err(Failure::usage("further names of a --client are given as --san"))
            }
            (None, Some(_)) => {
                Err(Failure::usage("further names of a --server are given as --name"))
            }
            _ => Err(Failure::usage("cert issue needs one of --client NAME and --server HOST")),
        }
    }

    fn server(&self, mut names: Vec<String>) -> Result<Server, Failure> {
        names.extend(self.texts("name")?);
        let mut hosts: Vec<HostName> = Vec::new();
        for name in &names {
            let host = HostName::new(name)?;
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        let first = hosts.first().ok_or_else(|| {
            Failure::usage("cert init needs --name, the host's name; repeat it for all that clients may ask for")
        })?;
        Ok(Server { file: first.file_name()?, names: hosts })
    }
}
