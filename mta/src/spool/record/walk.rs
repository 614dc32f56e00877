//! Walks through a message from its first record to its last, and lets none stand where it can't.

use std::io::Read;

use super::envelope::{beginning, rcpt};
use super::{Damage, Kind, Records};
use crate::spool::id::Id;

const DISORDER: Damage = Damage::Damaged("a record stands where it can't");

/// Where one is in a message: what may follow is what may stand there.
#[derive(Debug)]
pub struct Walk {
    /// Whose message it is.
    pub id: Id,
    /// Recipients that are still to come.
    missing: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Recipients,
    Padding,
    Text,
    Behind,
}

impl Walk {
    /// Begins a message; its text follows.
    ///
    /// # Errors
    /// [`Damage`].
    pub fn begin<R: Read>(records: &mut Records<R>) -> Result<Self, Damage> {
        let (envelope, missing) = beginning(records)?;
        Ok(Self { id: envelope.id, missing, place: Place::Recipients })
    }

    /// The next piece of text; `None` behind the end, when everything is as it was written.
    ///
    /// # Errors
    /// [`Damage`]: what was read before isn't to be believed either.
    pub fn next<'a, R: Read>(
        &mut self,
        records: &'a mut Records<R>,
    ) -> Result<Option<&'a [u8]>, Damage> {
        loop {
            match self.step(records)? {
                Step::Other => {}
                Step::End => return Ok(None),
                Step::Text => return Ok(Some(records.payload())),
            }
        }
    }

    fn step<R: Read>(&mut self, records: &mut Records<R>) -> Result<Step, Damage> {
        let (found, next) = match records.next()? {
            None if self.missing == 0 => return Ok(Step::End),
            Some((Kind::Text, text)) if !text.is_empty() => (Step::Text, Place::Text),
            Some((Kind::Padding, zeros)) if zeros.iter().all(|byte| *byte == 0) => {
                (Step::Other, Place::Padding)
            }
            Some((Kind::Rcpt, line)) if self.missing > 0 => {
                rcpt(line)?;
                self.missing -= 1;
                let behind = self.place > Place::Recipients;
                (Step::Other, if behind { Place::Behind } else { Place::Recipients })
            }
            _ => return Err(DISORDER),
        };
        let again = next == self.place && next == Place::Padding;
        if next < self.place || again {
            return Err(DISORDER);
        }
        self.place = next;
        Ok(found)
    }
}

#[derive(Clone, Copy)]
enum Step {
    Text,
    Other,
    End,
}
