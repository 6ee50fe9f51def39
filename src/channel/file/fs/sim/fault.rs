//! What shall go wrong, and when: faults of single operations, paths that keep failing, a crash.
//!
//! Operations are those that change something or sync something; they are numbered in the order of their calls, over
//! all files and threads. The plan decides and counts; carrying out what it decided is not done here. A crash is final:
//! it is not the disk that is gone but the process, so only an image of the disk goes on.

use super::disk::errno;
use super::random::Random;
use nix::libc;
use std::io;
use std::path::Path;

/// How an operation goes wrong. What makes no sense for it fails with EIO and does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It fails with this errno and does nothing. What a failed sync did not sync, the next one does.
    Error(i32),
    /// A write writes half, at least a byte, and returns that.
    Short,
    /// A write writes half and fails with EIO.
    Torn,
    /// A file's sync fails with EIO, and what was not synced can be read but never becomes durable, whatever is synced
    /// later: what Linux does.
    SyncLost,
}

impl Fault {
    pub fn error(self) -> io::Error {
        match self {
            Fault::Error(code) => errno(code),
            Fault::Short | Fault::Torn | Fault::SyncLost => errno(libc::EIO),
        }
    }
}

/// What is to be done with an operation.
pub enum Verdict {
    Proceed,
    Fail(Fault),
    /// The process dies in the middle of it; chance says how far it came.
    Die(Random),
}

pub struct Faults {
    random: Random,
    operations: u64,
    planned: Vec<(u64, Fault)>,
    crash: Option<u64>,
    lasting: Vec<(String, i32)>,
}

impl Faults {
    /// None yet.
    pub fn new(random: Random) -> Faults {
        Faults { random, operations: 0, planned: Vec::new(), crash: None, lasting: Vec::new() }
    }

    pub fn operations(&self) -> u64 {
        self.operations
    }

    pub fn plan(&mut self, n: u64, fault: Fault) {
        self.planned.push((self.operations + n, fault));
    }

    pub fn plan_crash(&mut self, n: u64) {
        self.crash = Some(self.operations + n);
    }

    pub fn fail_always(&mut self, part: &str, code: i32) {
        self.lasting.push((part.to_owned(), code));
    }

    pub fn heal(&mut self) {
        self.lasting.clear();
    }

    /// Counts an operation and says what becomes of it.
    pub fn judge(&mut self, paths: &[&Path]) -> io::Result<Verdict> {
        self.check_alive()?;
        let number = self.operations;
        self.operations += 1;
        if self.crash == Some(number) {
            return Ok(Verdict::Die(self.random.fork(number)));
        }
        self.check_paths(paths)?;
        let planned = self.planned.iter().find(|(n, _)| *n == number);
        Ok(planned.map_or(Verdict::Proceed, |(_, fault)| Verdict::Fail(*fault)))
    }

    /// For what changes nothing and is not counted.
    pub fn check(&self, paths: &[&Path]) -> io::Result<()> {
        self.check_alive()?;
        self.check_paths(paths)
    }

    fn check_alive(&self) -> io::Result<()> {
        match self.crash {
            Some(n) if self.operations > n => Err(crashed()),
            _ => Ok(()),
        }
    }

    fn check_paths(&self, paths: &[&Path]) -> io::Result<()> {
        let hit = |part: &str| paths.iter().any(|p| p.to_string_lossy().contains(part));
        match self.lasting.iter().find(|(part, _)| hit(part)) {
            Some((_, code)) => Err(errno(*code)),
            None => Ok(()),
        }
    }
}

pub fn crashed() -> io::Error {
    io::Error::other("the simulated process has crashed")
}
