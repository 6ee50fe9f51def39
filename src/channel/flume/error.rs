//! Why a Flume channel cannot be read, by what the caller can do about it. Damage inside data files is none of these:
//! it is skipped and reported.

use std::path::PathBuf;
use std::{fmt, io};

#[derive(Debug)]
pub enum FlumeError {
    /// Try again, or give the right directory.
    Io { path: PathBuf, source: io::Error },
    /// Only Flume can read it.
    Encrypted { path: PathBuf },
    /// Only an older Flume wrote such, and only Flume reads it. `found` is the version of the file.
    Version { path: PathBuf, found: i32 },
    /// A data file with records but without metadata: Flume would not start either.
    NoMeta { path: PathBuf },
    /// A metadata file that makes no sense.
    Corrupt { path: PathBuf, offset: u64, why: &'static str },
    /// Two data files with the same number: directories of different channels, or one given twice.
    Twice { first: PathBuf, second: PathBuf },
    /// The checkpoint names events of a data file that is in none of the directories.
    MissingFile { id: u32, events: usize },
    /// A header name that the process cannot keep.
    HeaderName { path: PathBuf, offset: u64, name: String },
}

impl fmt::Display for FlumeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlumeError::Io { path, source } => write!(f, "{}: {source}", path.display()),
            FlumeError::Encrypted { path } => write!(
                f,
                "{}: the channel is encrypted, and encrypted channels cannot be imported: drain it with Flume first",
                path.display()
            ),
            FlumeError::Version { path, found } => {
                write!(f, "{}: written in version {found} of Flume's format, only version 3 is read", path.display())
            }
            FlumeError::NoMeta { path } => {
                write!(f, "{}: has records, but its .meta file is missing or empty", path.display())
            }
            FlumeError::Corrupt { path, offset, why } => {
                write!(f, "{}, at byte {offset}: {why}", path.display())
            }
            FlumeError::Twice { first, second } => write!(
                f,
                "{} and {} have the same number: are these the data directories of one channel, each given once?",
                first.display(),
                second.display()
            ),
            FlumeError::MissingFile { id, events } => write!(
                f,
                "{events} undelivered events are, by the checkpoint, in log-{id} or others that are in none of the \
                 data directories: were all of the channel's given? (Without the checkpoint, what there is is read)"
            ),
            FlumeError::HeaderName { path, offset, name } => {
                write!(
                    f,
                    "{}, at byte {offset}: too many different header names, or one too long: {name}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for FlumeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FlumeError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
