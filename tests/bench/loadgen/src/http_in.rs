//! Reads HTTP/1.1 messages, of either direction, from a stream: heads, and bodies by length or chunked. A read that would
//! block leaves all as it is, so that it can be tried again.

use crate::event::find;
use std::io::{self, ErrorKind, Read};

pub struct HttpIn {
    buf: Vec<u8>,
    at: usize,
    end: usize,
    /// The body of a chunked message as far as it has come.
    chunks: Vec<u8>,
}

#[derive(Clone, Copy, Default)]
pub struct Head {
    /// 0 in a request.
    pub status: u16,
    pub length: usize,
    pub chunked: bool,
    pub close: bool,
    /// Expect: 100-continue
    pub expects: bool,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

impl HttpIn {
    pub fn new(capacity: usize) -> HttpIn {
        HttpIn { buf: vec![0; capacity], at: 0, end: 0, chunks: Vec::new() }
    }

    fn unread(&self) -> &[u8] {
        &self.buf[self.at..self.end]
    }

    /// Reads once; false at the end of the stream.
    fn fill(&mut self, s: &mut impl Read) -> io::Result<bool> {
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
        } else if self.end == self.buf.len() && self.at > 0 {
            self.buf.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
        }
        if self.end == self.buf.len() {
            self.buf.resize(self.buf.len() * 2, 0);
        }
        let n = s.read(&mut self.buf[self.end..])?;
        self.end += n;
        Ok(n > 0)
    }

    fn more(&mut self, s: &mut impl Read) -> io::Result<()> {
        if !self.fill(s)? {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed within a message"));
        }
        Ok(())
    }

    /// Has anything of the next message been read?
    pub fn begun(&self) -> bool {
        self.end > self.at
    }

    /// The next head; none where the stream ends in front of it.
    pub fn head(&mut self, s: &mut impl Read) -> io::Result<Option<Head>> {
        let len = loop {
            if let Some(n) = find(self.unread(), b"\r\n\r\n") {
                break n + 4;
            }
            if !self.begun() {
                if !self.fill(s)? {
                    return Ok(None);
                }
            } else {
                self.more(s)?;
            }
        };
        let mut head = Head::default();
        let mut lines = self.unread()[..len].split(|&b| b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
        let first = lines.next().unwrap_or_default();
        if first.starts_with(b"HTTP/") {
            head.status = number(first.get(9..12).unwrap_or_default()).ok_or_else(|| wrong("no status line"))? as u16;
        }
        for line in lines {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                head.length = number(value).ok_or_else(|| wrong("bad Content-Length"))?;
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                head.chunked = value.eq_ignore_ascii_case(b"chunked");
            } else if name.eq_ignore_ascii_case(b"connection") {
                head.close = value.eq_ignore_ascii_case(b"close");
            } else if name.eq_ignore_ascii_case(b"expect") {
                head.expects = value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        self.at += len;
        Ok(Some(head))
    }

    /// The body behind this head.
    pub fn body(&mut self, s: &mut impl Read, head: &Head) -> io::Result<&[u8]> {
        if !head.chunked {
            while self.end - self.at < head.length {
                self.more(s)?;
            }
            self.at += head.length;
            return Ok(&self.buf[self.at - head.length..self.at]);
        }
        loop {
            let Some(line) = find(self.unread(), b"\r\n") else {
                self.more(s)?;
                continue;
            };
            let size = self.unread()[..line].split(|&b| b == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).ok().and_then(|t| usize::from_str_radix(t.trim(), 16).ok());
            let size = size.ok_or_else(|| wrong("bad chunk size"))?;
            while self.end - self.at < line + 2 + size + 2 {
                self.more(s)?;
            }
            let from = self.at + line + 2;
            self.at = from + size + 2;
            if size == 0 {
                break;
            }
            self.chunks.extend_from_slice(&self.buf[from..from + size]);
        }
        Ok(&self.chunks)
    }

    /// To be called when the body of a message is done with.
    pub fn done(&mut self) {
        self.chunks.clear();
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 15 {
        return None;
    }
    digits.iter().try_fold(0, |n, &b| b.is_ascii_digit().then(|| n * 10 + usize::from(b - b'0')))
}
