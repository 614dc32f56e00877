//! What may be wrong with a command, and what the client is told.
//!
//! Runs in the receiver of the mta. Replies repeat nothing of what a client sent.

use crate::address::Malformed;
use crate::reply::{Code, Reply};

/// Why a line is no command. What was wrong is the client's fault, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A control character, or bytes that aren't UTF-8 (500).
    Byte,
    /// A verb that nobody knows (500).
    Unknown,
    /// A request of HTTP: this is a browser, and the connection ends (421).
    Http,
    /// A verb that others know (502).
    NotImplemented,
    /// Something is missing behind the verb (501).
    ArgumentMissing,
    /// `STARTTLS now` (501).
    ArgumentUnwanted,
    /// The name in EHLO or HELO is none (501).
    Host(Malformed),
    /// The path of MAIL is none (501, or 553 for what brackets can't mend).
    Sender(Malformed),
    /// The path of RCPT is none (501, or 553).
    Recipient(Malformed),
    /// Something stands right behind the `>` (501).
    BehindPath,
    /// A name that no mechanism has (504).
    Mechanism,
    /// The initial response is not base64 (501).
    Base64,
    /// A parameter that isn't known (555).
    UnknownParameter,
    /// A parameter twice (501).
    DuplicateParameter,
    /// A value that the parameter can't have, or none where it needs one (501).
    ParameterValue,
    /// A value that is known and isn't offered: `BODY=BINARYMIME` (504).
    ParameterNotImplemented,
    /// Letters beyond ASCII without SMTPUTF8 (553).
    Smtputf8Needed,
    /// BDAT without a size, or with something other than LAST behind it. How many bytes follow isn't known, so that the
    /// connection ends (501).
    ChunkSize,
}

impl Fault {
    /// What the client is told.
    pub fn reply(self) -> Reply {
        let (code, subject, detail, text) = match self {
            Self::Byte => (Code::UNRECOGNIZED, 5, 2, "A command is printable text"),
            Self::Unknown => (Code::UNRECOGNIZED, 5, 1, "Command unrecognized"),
            Self::Http => (Code::UNAVAILABLE, 7, 0, "This is no web server"),
            Self::NotImplemented => (Code::NOT_IMPLEMENTED, 5, 1, "Command not implemented"),
            Self::ArgumentMissing => (Code::SYNTAX, 5, 4, "Syntax error: an argument is missing"),
            Self::ArgumentUnwanted => (Code::SYNTAX, 5, 4, "Syntax error: no parameters allowed"),
            Self::Host(_) => (Code::SYNTAX, 5, 4, "Syntax error: that is no host name"),
            Self::Sender(why) => return path(why, 7),
            Self::Recipient(why) => return path(why, 3),
            Self::BehindPath => (Code::SYNTAX, 5, 4, "Syntax error behind the path"),
            Self::Mechanism => (Code::NO_SUCH_PARAMETER, 5, 4, "Mechanism not available"),
            Self::Base64 => (Code::SYNTAX, 5, 2, "That is not base64"),
            Self::UnknownParameter => (Code::PARAMETER, 5, 4, "Parameter unrecognized"),
            Self::DuplicateParameter => (Code::SYNTAX, 5, 4, "Duplicate parameter"),
            Self::ParameterValue => (Code::SYNTAX, 5, 4, "Syntax error in a parameter's value"),
            Self::ParameterNotImplemented => {
                (Code::NO_SUCH_PARAMETER, 5, 4, "Parameter value not implemented")
            }
            Self::Smtputf8Needed => (Code::BAD_MAILBOX, 6, 7, "That address needs SMTPUTF8"),
            Self::ChunkSize => (Code::SYNTAX, 5, 4, "Syntax error: BDAT size [LAST]"),
        };
        Reply::new(code, subject, detail, text)
    }

    /// Whether the connection ends after the reply: what follows can't be told apart, or isn't SMTP.
    pub fn ends_connection(self) -> bool {
        matches!(self, Self::Http | Self::ChunkSize)
    }
}

/// A path that isn't one: bad syntax, or (X.1.3 of a recipient, X.1.7 of a sender) a mailbox that can't exist.
fn path(why: Malformed, detail: u16) -> Reply {
    let (code, text) = match why {
        Malformed::Brackets => (Code::SYNTAX, "Syntax error: an address stands between < and >"),
        Malformed::Route => (Code::SYNTAX, "Syntax error in the source route"),
        Malformed::LocalPart => (Code::BAD_MAILBOX, "The local part is malformed"),
        Malformed::Domain => (Code::BAD_MAILBOX, "The domain is malformed"),
        Malformed::Literal => (Code::BAD_MAILBOX, "The address literal is malformed"),
        Malformed::TooLong => (Code::BAD_MAILBOX, "The address is too long"),
        Malformed::Null => (Code::BAD_MAILBOX, "Nobody is no recipient"),
    };
    Reply::new(code, 1, detail, text)
}
