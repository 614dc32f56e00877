//! `mailauth queue …`: from words and options to a question for the mta's sender.

use std::ffi::OsString;

use protocol::queue::{Filter, MessageId, Part, PartOf, Request, Standing, Which};

use super::{Reader, text};
use crate::failure::Failure;
use crate::queue::Task;

/// Where the mta has its control socket unless it is configured otherwise.
const CONTROL: &str = "/run/mta/control";

impl Reader<'_> {
    pub(super) fn queue(&self, operands: &[OsString]) -> Result<Task, Failure> {
        let request = match (self.command.words, operands) {
            ("queue status", []) => Request::Status,
            ("queue list", []) => Request::List(self.filter()?),
            ("queue show", [id]) => Request::Show(message(id)?, self.part()),
            ("queue hold", [which]) => Request::Hold(several(which)?),
            ("queue release", [which]) => Request::Release(several(which)?),
            ("queue retry", [which]) => Request::Retry(several(which)?),
            ("queue delete", [which]) => Request::Delete(several(which)?),
            _ => return Err(self.operands()),
        };
        Ok(Task { control: self.path("control", CONTROL)?, request, form: self.form() })
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let part = |name: &'static str| {
            let Some(words) = self.text(name)? else { return Ok(None) };
            let part = PartOf::new(&words).ok_or_else(|| {
                Failure::usage(format!("--{name} takes a part of an address, at most 320 bytes"))
            });
            part.map(Some)
        };
        let standing = self.text("state")?.map(|word| {
            Standing::from_word(&word)
                .ok_or_else(|| Failure::usage("--state takes waiting, active or held"))
        });
        Ok(Filter {
            standing: standing.transpose()?,
            sender: part("sender")?,
            recipient: part("recipient")?,
        })
    }

    fn part(&self) -> Part {
        if self.is_given("header") { Part::Header } else { Part::Envelope }
    }
}

fn message(id: &OsString) -> Result<MessageId, Failure> {
    MessageId::parse(&text("ID", id)?).ok_or_else(|| {
        Failure::usage("an ID is 16 letters and digits, as mailauth queue list prints it")
    })
}

fn several(which: &OsString) -> Result<Which, Failure> {
    Which::parse(&text("ID", which)?).ok_or_else(|| {
        Failure::usage(
            "say all, or an ID of 16 letters and digits, as mailauth queue list prints it",
        )
    })
}
