//! Asks for a password on the terminal, wherever standard input and output lead.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The longest line that Linux takes from a terminal, in bytes.
const LONGEST: usize = 4096;

/// The controlling terminal while it does not echo; its settings come back at the end.
pub struct Terminal {
    file: File,
    before: Termios,
}

impl Terminal {
    /// Opens it and stops the echo, before any prompt, so that nothing typed ahead is seen.
    ///
    /// # Errors
    /// Those of the system, when there is no terminal above all.
    pub fn quiet() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&file)?;
        let mut quiet = before.clone();
        quiet.local_flags &= !(LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK);
        quiet.local_flags |= LocalFlags::ICANON | LocalFlags::ECHONL;
        tcsetattr(&file, SetArg::TCSAFLUSH, &quiet)?;
        Ok(Self { file, before })
    }

    /// Shows `prompt` and reads a line, which is given back without its line feed.
    ///
    /// # Errors
    /// Those of the system; `UnexpectedEof` when the terminal ends instead of a line.
    pub fn ask(&mut self, prompt: &str) -> io::Result<Zeroizing<Vec<u8>>> {
        self.file.write_all(prompt.as_bytes())?;
        // A terminal hands over one whole line at a time.
        let mut line = Zeroizing::new(vec![0; LONGEST]);
        let length = self.file.read(&mut line)?;
        line.truncate(length);
        match line.pop() {
            Some(b'\n') => Ok(line),
            Some(last) => {
                // Ended by Ctrl-D behind some characters.
                line.push(last);
                self.file.write_all(b"\n")?;
                Ok(line)
            }
            None => {
                self.file.write_all(b"\n")?;
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing left to restore.
        let _ = tcsetattr(&self.file, SetArg::TCSANOW, &self.before);
    }
}
