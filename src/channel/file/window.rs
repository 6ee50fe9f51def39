//! A piece of a segment in memory, and the frames in it: the one way in which frames are read, by recovery, by takers and
//! by the tool.
//!
//! [`Window::frame_at`] tells a whole frame from bytes that are none; what bad bytes mean (a torn tail, damage) is for
//! the caller to say, who knows what is synced. Payloads are opened in place where the segment is encrypted. Belongs to
//! one thread.

use super::crypt::SegmentKey;
use super::frame::{Header, Seen, ALIGN, HEADER};
use super::fs::FsFile;
use super::segment::read_full;
use std::io;
use std::ops::Range;

/// How much is read at a time.
pub const CHUNK: usize = 256 << 10;

pub struct Window<'a> {
    file: &'a dyn FsFile,
    identity: u64,
    key: Option<&'a SegmentKey>,
    bytes: Vec<u8>,
    /// Offset in the file of the first byte, and how many bytes are there.
    base: u64,
    filled: usize,
}

/// A frame, and where its payload is in the window's bytes.
#[derive(Clone, Debug)]
pub struct Found {
    pub header: Header,
    pub payload: Range<usize>,
}

pub enum Look {
    Frame(Found),
    /// No whole frame. With a header: that is whole, its payload is not.
    Bad(Option<Header>),
    /// More of the file would have to be read.
    Beyond,
}

impl<'a> Window<'a> {
    /// `buffer`: memory to read into; its length is how much is read at a time.
    pub fn new(
        file: &'a dyn FsFile,
        identity: u64,
        key: Option<&'a SegmentKey>,
        buffer: Vec<u8>,
    ) -> Window<'a> {
        Window { file, identity, key, bytes: buffer, base: 0, filled: 0 }
    }

    /// The memory, and how much of it is filled.
    pub fn into_bytes(self) -> (Vec<u8>, usize) {
        (self.bytes, self.filled)
    }

    pub fn payload(&self, found: &Found) -> &[u8] {
        &self.bytes[found.payload.clone()]
    }

    /// Reads the file from `at` on: at least `need` bytes, if it has them.
    pub fn load(&mut self, at: u64, need: usize) -> io::Result<()> {
        if self.bytes.len() < need {
            self.bytes.resize(need, 0);
        }
        self.filled = 0;
        self.base = at;
        self.filled = read_full(self.file, &mut self.bytes, at)?;
        Ok(())
    }

    /// Whether bytes `at..at + n` are in memory, or would be if the file had them.
    fn has(&self, at: u64, n: u64) -> bool {
        at >= self.base && at + n <= self.base + self.filled as u64
    }

    /// The frame at `at`, of a segment that ends at `end`. Only what is in memory is looked at.
    pub fn look(&mut self, at: u64, end: u64) -> Look {
        if at + HEADER as u64 > end {
            return Look::Bad(None);
        }
        if !self.has(at, HEADER as u64) {
            return Look::Beyond;
        }
        let from = (at - self.base) as usize;
        let header = match Header::read(&self.bytes[from..self.filled], self.identity, at) {
            Seen::Frame(h) if h.end() <= end => h,
            Seen::Frame(h) => return Look::Bad(Some(h)),
            Seen::Nothing => return Look::Bad(None),
        };
        if !self.has(at, header.size()) {
            return Look::Beyond;
        }
        let (head, rest) = self.bytes[from..].split_at_mut(HEADER);
        let payload = &mut rest[..header.len as usize];
        if crc32fast::hash(payload) != header.payload_crc {
            return Look::Bad(Some(header));
        }
        let len = match self.key {
            None => Some(payload.len()),
            // Opened once: the bytes in memory are changed by it.
            Some(key) => key.open(head, at, payload),
        };
        match len {
            Some(len) => Look::Frame(Found { header, payload: from + HEADER..from + HEADER + len }),
            None => Look::Bad(Some(header)),
        }
    }

    /// [`look`](Window::look), reading as much as it takes. `Ok(Err)`: no whole frame.
    pub fn frame_at(&mut self, at: u64, end: u64) -> io::Result<Result<Found, Option<Header>>> {
        loop {
            match self.look(at, end) {
                Look::Frame(found) => return Ok(Ok(found)),
                Look::Bad(header) => return Ok(Err(header)),
                Look::Beyond => {}
            }
            if !self.has(at, HEADER as u64) {
                self.load(at, HEADER)?;
                if self.filled < HEADER {
                    return Ok(Err(None));
                }
                continue;
            }
            let from = (at - self.base) as usize;
            let Seen::Frame(h) = Header::read(&self.bytes[from..self.filled], self.identity, at) else {
                return Ok(Err(None));
            };
            // No memory for what the file does not have, whatever its header says.
            if h.end() > self.file.len()? {
                return Ok(Err(Some(h)));
            }
            self.load(at, h.size() as usize)?;
            if (self.filled as u64) < h.size() {
                return Ok(Err(Some(h)));
            }
        }
    }

    /// The next place from `from` on with a whole frame header of this segment.
    pub fn next_header(&mut self, from: u64, end: u64) -> io::Result<Option<Header>> {
        let wanted = self.identity.to_le_bytes();
        let finder = memchr::memmem::Finder::new(&wanted);
        let mut at = from.next_multiple_of(ALIGN);
        while at + HEADER as u64 <= end {
            self.load(at, HEADER)?;
            if self.filled < HEADER {
                return Ok(None);
            }
            let mut i = 0;
            // The identity is 16 bytes into a header.
            while let Some(hit) = finder.find(&self.bytes[i..self.filled]) {
                let hit = i + hit;
                i = hit + 1;
                let Some(begin) = hit.checked_sub(16).filter(|b| (*b as u64).is_multiple_of(ALIGN)) else {
                    continue;
                };
                let offset = at + begin as u64;
                if offset + HEADER as u64 > end {
                    return Ok(None);
                }
                if let Seen::Frame(h) = Header::read(&self.bytes[begin..self.filled], self.identity, offset) {
                    return Ok(Some(h));
                }
            }
            // A header may begin in the last bytes.
            let step = (self.filled - HEADER + 1).next_multiple_of(ALIGN as usize).max(ALIGN as usize);
            at += step as u64;
        }
        Ok(None)
    }
}
