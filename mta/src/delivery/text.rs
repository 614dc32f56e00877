//! The text of a kept message, read in pieces beside the runtime's own threads, since a disk may make one wait.
//!
//! Runs in the sender. Nothing of it is believed: what it is made of is looked at when it matters.

use std::io::{self, Read};
use std::sync::Arc;

use super::transport::Text;

/// Bytes of a piece.
const PIECE: usize = 64 * 1024;

/// A text that is being read.
pub struct Pieces {
    reader: Option<Box<dyn Read + Send>>,
}

impl Pieces {
    /// From its first byte.
    ///
    /// # Errors
    /// The disk's.
    pub async fn open(text: &Arc<dyn Text>) -> io::Result<Self> {
        let text = Arc::clone(text);
        let reader = aside(move || text.open()).await?;
        Ok(Self { reader: Some(reader) })
    }

    /// The next piece, of any size; `None` at the end.
    ///
    /// # Errors
    /// The disk's; it can't go on then.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(mut reader) = self.reader.take() else {
            return Err(io::Error::other("it failed before"));
        };
        let (reader, piece) = aside(move || {
            let mut piece = Vec::with_capacity(PIECE);
            reader.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
            Ok((reader, piece))
        })
        .await?;
        self.reader = Some(reader);
        Ok(Some(piece).filter(|piece| !piece.is_empty()))
    }
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What a text is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nature {
    /// It has bytes beyond ASCII.
    pub beyond_ascii: bool,
    /// Its header has.
    pub header_beyond_ascii: bool,
}

impl Nature {
    /// Reads all of it.
    ///
    /// # Errors
    /// The disk's.
    pub async fn of(text: &Arc<dyn Text>) -> io::Result<Self> {
        let mut pieces = Pieces::open(text).await?;
        let mut found = Self::default();
        let mut header = Header { last: *b"\r\n", ended: false };
        while let Some(piece) = pieces.next().await? {
            if found.beyond_ascii && header.ended {
                break;
            }
            if !header.ended {
                found.header_beyond_ascii |= !header.part(&piece).is_ascii();
            }
            found.beyond_ascii |= !piece.is_ascii();
        }
        Ok(found)
    }
}

/// Finds the empty line that ends a header, across pieces.
struct Header {
    last: [u8; 2],
    ended: bool,
}

impl Header {
    /// What of a piece belongs to the header.
    fn part<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        for (at, byte) in piece.iter().enumerate() {
            // CR LF CR: a line that begins with a CR is empty.
            if self.last == *b"\r\n" && *byte == b'\r' {
                self.ended = true;
                return piece.get(..at).unwrap_or_default();
            }
            let [_, before] = self.last;
            self.last = [before, *byte];
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static [u8]);

    impl Text for Fixed {
        fn open(&self) -> io::Result<Box<dyn Read + Send>> {
            Ok(Box::new(self.0))
        }
    }

    #[tokio::test]
    async fn what_a_text_is_made_of() {
        for (text, beyond_ascii, header_beyond_ascii) in [
            (&b""[..], false, false),
            (b"A: b\r\n\r\nc\r\n", false, false),
            (b"A: b\r\n\r\n\xc3\xa9\r\n", true, false),
            (b"A: \xc3\xa9\r\n\r\nb\r\n", true, true),
            (b"\r\n\xc3\xa9\r\n", true, false),
        ] {
            let text: Arc<dyn Text> = Arc::new(Fixed(text));
            let nature = Nature::of(&text).await.unwrap();
            assert_eq!(nature, Nature { beyond_ascii, header_beyond_ascii });
        }
    }
}
