//! The records of one data file, one after the other, past what is damaged.
//!
//! After a bad record the next one is where its length says, if something that looks like a record begins there, else
//! the first such place. (Flume drops the rest of the file, or does not start.) What was passed over is reported, as
//! torn when nothing follows and as damage otherwise; so is what lies behind an end mark.
//!
//! Files of one dataDir follow each other in time, so only one of them is open at once: a scanner opens its file when
//! it is to give a record, and [`rest`](Scanner::rest) closes it.

use super::datafile::DataFile;
use super::error::FlumeError;
use super::record::{examine, recognisable, Found, Record, RECOGNISABLE, RECORD};
use super::report::Report;
use super::window::Window;
use std::io;

/// Pointers of Flume are 32 bits wide and signed.
const LARGEST: u64 = i32::MAX as u64;
/// Bytes looked at in one step when searching for a record.
const STEP: usize = 64 << 10;

pub(super) struct Scanner<'a> {
    pub(super) file: &'a DataFile,
    window: Option<Window>,
    /// Where the next record begins.
    at: u64,
    /// Where the used part of the file ends.
    end: u64,
}

impl<'a> Scanner<'a> {
    /// Begins at `start`. A file that ends before that has lost what the checkpoint knew of; this is reported.
    pub(super) fn new(
        file: &'a DataFile,
        start: u64,
        report: &mut Report,
    ) -> Result<Scanner<'a>, FlumeError> {
        let window = Window::open(&file.path).map_err(|source| io_error(file, source))?;
        let end = window.end();
        if start > end {
            report.torn.add(&file.path, end, start - end, "the file was longer at the last checkpoint");
        }
        if end > LARGEST {
            report.damage.add(&file.path, LARGEST, end - LARGEST, "data files are smaller than 2 GiB");
        }
        let end = end.min(LARGEST);
        Ok(Scanner { file, window: Some(window), at: start.min(end), end })
    }

    /// Bytes still to be read.
    pub(super) fn left(&self) -> u64 {
        self.end - self.at
    }

    /// Closes the file until the next record is asked for.
    pub(super) fn rest(&mut self) {
        self.window = None;
    }

    /// The next record and its offset; `None` at the end.
    pub(super) fn next(&mut self, report: &mut Report) -> Result<Option<(u64, Record)>, FlumeError> {
        let file = self.file;
        self.step(report).map_err(|source| io_error(file, source))
    }

    fn step(&mut self, report: &mut Report) -> io::Result<Option<(u64, Record)>> {
        while self.at < self.end {
            let window = match &mut self.window {
                Some(window) => window,
                closed => closed.insert(Window::open(&self.file.path)?),
            };
            let at = self.at;
            match examine(window, at)? {
                Found::Record(record) => {
                    self.at = record.end.min(self.end);
                    return Ok(Some((at, record)));
                }
                Found::Blank { end } if begins_at(window, end, self.end)? => {
                    report.blanked += 1;
                    self.at = end;
                }
                Found::Blank { .. } => self.skip(report, "a blanked record of a wrong length")?,
                Found::Bad(why) => self.skip(report, why)?,
            }
        }
        self.window = None;
        Ok(None)
    }

    /// Goes on to the next record behind a bad one.
    fn skip(&mut self, report: &mut Report, why: &'static str) -> io::Result<()> {
        let Some(window) = &mut self.window else { return Ok(()) };
        let (at, end) = (self.at, self.end);
        let by_length = match window.at(at, 5)? {
            [RECORD, len @ ..] if len.len() == 4 => {
                at + 5 + len.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
            }
            _ => u64::MAX,
        };
        let next = if begins_at(window, by_length, end)? { by_length } else { search(window, at + 1, end)? };
        let list = if next == end { &mut report.torn } else { &mut report.damage };
        list.add(&self.file.path, at, next - at, why);
        self.at = next;
        Ok(())
    }
}

fn io_error(file: &DataFile, source: io::Error) -> FlumeError {
    FlumeError::Io { path: file.path.clone(), source }
}

/// Whether a record, or the end of the file, is at `at`.
fn begins_at(window: &mut Window, at: u64, end: u64) -> io::Result<bool> {
    Ok(at == end || at < end && recognisable(window.at(at, RECOGNISABLE)?, end - at))
}

/// The first place from `at` on where a record seems to begin, else the end.
fn search(window: &mut Window, mut at: u64, end: u64) -> io::Result<u64> {
    while at < end {
        let bytes = window.at(at, STEP)?;
        if bytes.len() < RECOGNISABLE {
            break;
        }
        let whole = bytes.len() - RECOGNISABLE + 1;
        let found = memchr::memchr_iter(RECORD, &bytes[..whole])
            .find(|&i| recognisable(&bytes[i..], end.saturating_sub(at + i as u64)));
        match found {
            Some(i) => return Ok(at + i as u64),
            None => at += whole as u64,
        }
    }
    Ok(end)
}
