//! Sees whether the text of a message turns out to be damaged while it is sent.
//!
//! Runs in the sender. When a message is taken up only its envelope is read; of its text the checksums are seen by whoever
//! sends it, who never finishes a damaged one. That it will never be whole again is for the manager to know.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use crate::delivery::transport::Text;

/// What was seen of a text.
pub(super) struct Watch(Arc<OnceLock<String>>);

impl Watch {
    /// Puts itself before a text.
    pub(super) fn over(text: &mut Arc<dyn Text>) -> Self {
        let seen = Arc::new(OnceLock::new());
        *text = Arc::new(Watched { text: Arc::clone(text), seen: Arc::clone(&seen) });
        Self(seen)
    }

    /// What is wrong with it. A disk that could not be read is none of that.
    pub(super) fn damage(&self) -> Option<String> {
        self.0.get().cloned()
    }
}

struct Watched {
    text: Arc<dyn Text>,
    seen: Arc<OnceLock<String>>,
}

impl Text for Watched {
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let text = self.text.open().inspect_err(|error| note(&self.seen, error))?;
        Ok(Box::new(Reading { text, seen: Arc::clone(&self.seen) }))
    }
}

struct Reading {
    text: Box<dyn Read + Send>,
    seen: Arc<OnceLock<String>>,
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.text.read(buffer).inspect_err(|error| note(&self.seen, error))
    }
}

fn note(seen: &OnceLock<String>, error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData {
        seen.get_or_init(|| error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(io::ErrorKind);

    impl Text for Broken {
        fn open(&self) -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(Self(self.0)))
        }
    }

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(self.0, "so"))
        }
    }

    #[test]
    fn damage_is_told_from_a_disk_that_does_not_answer() {
        let seen = |kind| {
            let mut text: Arc<dyn Text> = Arc::new(Broken(kind));
            let watch = Watch::over(&mut text);
            assert_eq!(watch.damage(), None);
            text.open().unwrap().read_to_end(&mut Vec::new()).unwrap_err();
            watch.damage()
        };
        assert_eq!(seen(io::ErrorKind::InvalidData).as_deref(), Some("so"));
        assert_eq!(seen(io::ErrorKind::StorageFull), None);
    }
}
