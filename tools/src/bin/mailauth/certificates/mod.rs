//! `mailauth cert`: a private authority, certificates for servers and for machines, and what a certificate amounts to.
//!
//! Run by whoever owns the directory; no daemon is asked. Keys are made here and leave it only as files of mode 0600:
//! none is printed, and none is overwritten unless that is asked for. Text of certificates that are shown comes from
//! strangers, and reaches the terminal with every control character escaped.

mod authority;
mod files;
mod issue;
mod request;
mod show;

use std::path::PathBuf;

use accounts::UnixTime;

use crate::failure::Failure;

pub(crate) use request::{AlternativeName, FileName, HostName};

/// What is done.
pub(crate) enum Task {
    /// Makes an authority and its first server certificate.
    Init(Place, Server),
    /// Makes one more certificate.
    Issue(Place, Subject),
    /// Says what is in the certificates of a file.
    Show(PathBuf, UnixTime),
}

/// Where files are made, and for how long they count.
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) existing: Existing,
    pub(crate) now: UnixTime,
    /// Of server and client certificates; an authority's is [`authority::DAYS`].
    pub(crate) days: Option<u32>,
}

/// What becomes of files that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing is done.
    Kept,
    /// They are replaced, each as a whole.
    Replaced,
}

/// For whom a certificate is.
pub(crate) enum Subject {
    Server(Server),
    /// A machine that shows who it is, its files being called so.
    Client(FileName, Vec<AlternativeName>),
}

/// A server by all its names; the files are called by the first.
pub(crate) struct Server {
    pub(crate) file: FileName,
    pub(crate) names: Vec<HostName>,
}

/// Does it.
pub(crate) fn run(task: Task) -> Result<u8, Failure> {
    match task {
        Task::Init(place, server) => issue::init(&place, server),
        Task::Issue(place, subject) => issue::issue(&place, subject),
        Task::Show(path, now) => show::run(&path, now),
    }?;
    Ok(0)
}
