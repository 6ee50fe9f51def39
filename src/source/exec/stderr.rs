//! What a command writes to its standard error: read always, so that it cannot block the command; logged where that is
//! wanted; its last line is kept, because it often says why a command ended.
//!
//! A thread of its own, `source:<name>:stderr`. A flood is read slowly, its lines are cut, and of those only so many go
//! into the log.

use super::wait::readable;
use memchr::memchr2;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of a line that are kept.
const LONGEST: usize = 1000;
/// Lines that are logged in a second.
const PER_SECOND: u32 = 100;
/// Bytes of one read. After so many comes a pause: some MB a second are enough.
const READ: usize = 1 << 16;
const PAUSE: Duration = Duration::from_millis(10);
/// Reads after the command's end: what a pipe holds.
const LAST_READS: u32 = 16;
const FOR_EVER: Duration = Duration::MAX;

/// The reader of one command's standard error.
pub(super) struct Stderr {
    /// Closed to end the thread, should something else hold the pipe open.
    end: PipeWriter,
    thread: JoinHandle<String>,
}

impl Stderr {
    pub fn read(pipe: PipeReader, source: &str, is_logged: bool) -> io::Result<Stderr> {
        let (ended, end) = io::pipe()?;
        let lines = Lines {
            source: source.to_owned(),
            is_logged,
            line: Vec::new(),
            last: Vec::new(),
            window: Instant::now(),
            logged: 0,
            held_back: 0,
        };
        let name = format!("source:{source}:stderr");
        let thread = std::thread::Builder::new().name(name).spawn(move || run(pipe, &ended, lines))?;
        Ok(Stderr { end, thread })
    }

    /// The command has ended: its last line, empty if it wrote none.
    pub fn finish(self) -> String {
        drop(self.end);
        self.thread.join().unwrap_or_default()
    }
}

fn run(mut pipe: PipeReader, ended: &PipeReader, mut lines: Lines) -> String {
    let mut room = vec![0; READ];
    let (mut left, mut since_pause) = (LAST_READS, 0);
    while left > 0 {
        let [more, is_over] = readable([pipe.as_fd(), ended.as_fd()], FOR_EVER);
        if is_over {
            left -= 1;
        }
        if more {
            match pipe.read(&mut room) {
                Ok(0) => break,
                Ok(n) => {
                    lines.take(&room[..n]);
                    since_pause += n;
                    if since_pause >= READ {
                        since_pause = 0;
                        readable([ended.as_fd()], PAUSE);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        } else if is_over {
            break;
        }
    }
    lines.end()
}

struct Lines {
    source: String,
    is_logged: bool,
    /// The beginning of the line that is not complete.
    line: Vec<u8>,
    last: Vec<u8>,
    /// Since when `logged` and `held_back` count.
    window: Instant,
    logged: u32,
    held_back: u64,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(end) = memchr2(b'\n', b'\r', bytes) {
            self.add(&bytes[..end]);
            self.complete();
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    fn add(&mut self, bytes: &[u8]) {
        let room = LONGEST.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn complete(&mut self) {
        if self.line.is_empty() {
            return;
        }
        std::mem::swap(&mut self.line, &mut self.last);
        self.line.clear();
        if !self.is_logged {
            return;
        }
        if self.logged == PER_SECOND && self.window.elapsed() < Duration::from_secs(1) {
            self.held_back += 1;
            return;
        }
        if self.logged == PER_SECOND {
            self.tell_held_back();
        }
        if self.logged == 0 {
            self.window = Instant::now();
        }
        self.logged += 1;
        log::info!("source {}: stderr: {}", self.source, printable(&self.last));
    }

    /// Begins a new second.
    fn tell_held_back(&mut self) {
        let n = std::mem::take(&mut self.held_back);
        if n > 0 {
            log::info!("source {}: {n} lines of stderr were not logged", self.source);
        }
        self.logged = 0;
    }

    fn end(mut self) -> String {
        self.complete();
        self.tell_held_back();
        printable(&self.last)
    }
}

/// Text of a stranger for one line of a log.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_last_line_is_kept_short_and_printable() {
        for (text, last) in [
            (&b"one\ntwo \x1b[31m\xff\r\n"[..], "two \u{fffd}[31m\u{fffd}".to_owned()),
            (b"one\nunfinished", "unfinished".to_owned()),
            (b"", String::new()),
            (&[b'x'; 5000], "x".repeat(LONGEST)),
        ] {
            let (reader, mut writer) = io::pipe().unwrap();
            let stderr = Stderr::read(reader, "r1", true).unwrap();
            writer.write_all(text).unwrap();
            drop(writer);
            assert_eq!(stderr.finish(), last);
        }
    }

    #[test]
    fn ends_although_somebody_holds_the_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        let stderr = Stderr::read(reader, "r1", false).unwrap();
        writer.write_all(b"still there\n").unwrap();
        assert_eq!(stderr.finish(), "still there");
        drop(writer);
    }

    #[test]
    fn a_flood_is_counted_not_logged() {
        let mut lines = Lines {
            source: "r1".into(),
            is_logged: true,
            line: Vec::new(),
            last: Vec::new(),
            window: Instant::now() + Duration::from_secs(60),
            logged: PER_SECOND,
            held_back: 0,
        };
        lines.take(&b"x\n".repeat(1000));
        assert_eq!((lines.held_back, lines.logged), (1000, PER_SECOND));
        lines.window = Instant::now() - Duration::from_secs(2);
        lines.take(b"y\n");
        assert_eq!((lines.held_back, lines.logged), (0, 1));
    }
}
