//! Where the texts of a stream begin and end: at newlines, or by a count of octets before each (RFC 6587).
//!
//! ```text
//!   stream  = *( counted / line )
//!   counted = MSG-LEN SP text          MSG-LEN = "1"-"9" *6DIGIT, and the text begins with "<" DIGIT     RFC 6587, 3.4.1
//!   line    = *OCTET LF                                                                                  RFC 6587, 3.4.2
//! ```
//!
//! Which of the two it is is seen at the beginning of each: a line seldom begins like that, and Flume, which knows no
//! counts, marks such a line Invalid. A counted text may have newlines in it; one at its end is no part of it. A text of more
//! than the limit is cut there, and goes on as further texts until its count, or its newline, is reached.

use super::End;
use memchr::memchr;

/// The most digits of a count. (A date, of eight, is none.)
const DIGITS: usize = 7;

#[derive(Default)]
pub struct Frames {
    /// Bytes at the front known to hold no newline.
    seen: usize,
    /// Bytes of a counted text that are still to come.
    left: usize,
}

/// A text at the front of the bytes.
pub struct Piece {
    /// Its first byte, and behind its last.
    pub from: usize,
    pub to: usize,
    pub end: End,
    /// Bytes that it takes with what stands before and behind it.
    pub used: usize,
    left: usize,
}

impl Frames {
    /// The next text of at most `size` bytes, if it is there. It is taken by [`took`](Frames::took), or comes again.
    #[inline]
    pub fn next(&mut self, bytes: &[u8], size: usize, eof: bool) -> Option<Piece> {
        if self.left > 0 {
            return counted(bytes, 0, self.left, size, eof);
        }
        if let [b'1'..=b'9', ..] = bytes {
            match count(bytes) {
                Count::Is { from, len } => return counted(bytes, from, len, size, eof),
                Count::Perhaps if !eof => return None,
                Count::Perhaps | Count::No => {}
            }
        }
        let window = &bytes[..bytes.len().min(size)];
        let seen = self.seen.min(window.len());
        let (to, end) = match memchr(b'\n', &window[seen..]) {
            Some(i) => (seen + i, End::Newline),
            None if window.len() == size => (size, End::Cut),
            None if eof && !window.is_empty() => (window.len(), End::Input),
            None => {
                self.seen = window.len();
                return None;
            }
        };
        Some(Piece { from: 0, to, end, used: to + usize::from(end == End::Newline), left: 0 })
    }

    #[inline]
    pub fn took(&mut self, piece: &Piece) {
        (self.seen, self.left) = (0, piece.left);
    }
}

/// The next piece of a text of which `len` bytes follow from `from` on.
#[cold]
fn counted(bytes: &[u8], from: usize, len: usize, size: usize, eof: bool) -> Option<Piece> {
    let there = (bytes.len() - from).min(len);
    let wanted = len.min(size);
    let (to, end, left) = match there {
        _ if there >= wanted && wanted < len => (from + wanted, End::Cut, len - wanted),
        _ if there >= wanted => (from + wanted, End::Newline, 0),
        _ if eof && there > 0 => (from + there, End::Cut, 0),
        _ => return None,
    };
    let newline = usize::from(end == End::Newline && bytes[..to].ends_with(b"\n"));
    Some(Piece { from, to: to - newline, end, used: to, left })
}

enum Count {
    Is {
        from: usize,
        len: usize,
    },
    /// It may become one.
    Perhaps,
    No,
}

/// The count at the front of `bytes`, which begin with a digit.
#[cold]
fn count(bytes: &[u8]) -> Count {
    let digits = bytes.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    if digits > DIGITS {
        return Count::No;
    }
    let from = digits + 1;
    match bytes[digits..] {
        [] | [b' '] | [b' ', b'<'] => Count::Perhaps,
        [b' ', b'<', d, ..] if d.is_ascii_digit() => {
            let len = bytes[..digits].iter().fold(0, |n, d| n * 10 + usize::from(d - b'0'));
            Count::Is { from, len }
        }
        _ => Count::No,
    }
}
