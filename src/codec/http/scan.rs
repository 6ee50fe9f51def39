//! Where the head of a request ends, as its bytes come in; and what will never be one.
//!
//! Lines end with CRLF: a line without CR could end elsewhere for others (RFC 9112, 2.2), and is refused. Belongs to one
//! request.

use super::head::{bad, Refused};
use memchr::memchr;

/// Looks for the end of a head. Remembers how far it came, so that one that arrives in drops costs linear time.
#[derive(Default)]
pub struct Scan {
    /// Where the line at hand begins, and how far it was looked at.
    line: usize,
    at: usize,
}

impl Scan {
    /// The head's length, once all of it is in `bytes`, which begin with it. Empty lines before it are for
    /// [`blank`]. `most`: bytes that it may have.
    pub fn end(&mut self, bytes: &[u8], most: usize) -> Result<Option<usize>, Refused> {
        if self.at < 2 {
            stranger(bytes)?;
        }
        let seen = &bytes[..bytes.len().min(most)];
        while let Some(n) = memchr(b'\n', &seen[self.at..]) {
            let end = self.at + n;
            if end == 0 || seen[end - 1] != b'\r' {
                return bad("a line of the head ends without CR");
            }
            let is_empty = end - 1 == self.line;
            (self.line, self.at) = (end + 1, end + 1);
            if is_empty {
                return Ok(Some(self.at));
            }
        }
        self.at = seen.len();
        match bytes.len() >= most {
            false => Ok(None),
            true if self.line == 0 => {
                Err(Refused::new(414, format!("a request line of more than {most} bytes")))
            }
            true => Err(Refused::new(431, format!("a head of more than {most} bytes"))),
        }
    }
}

/// Bytes of the empty lines in front of a request, which some clients send behind a body (RFC 9112, 2.2).
pub fn blank(bytes: &[u8]) -> usize {
    bytes.chunks_exact(2).take_while(|two| *two == b"\r\n").count() * 2
}

/// Refuses at once what will never be a request: it may have no end of line at all.
fn stranger(bytes: &[u8]) -> Result<(), Refused> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match *bytes {
        [0x16, 3, ..] => bad("it looks like TLS, which this port does not speak"),
        [0x16] => Ok(()),
        [first, ..] if !is_token(first) && first != b'\r' => {
            bad(format!("no HTTP: it begins with the byte 0x{first:02x}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_refused_as_soon_as_it_is() {
        let end = |text: &str, most| Scan::default().end(text.as_bytes(), most).map_err(|r| r.status);
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(100));
        assert_eq!(end(&long, 100), Err(414));
        assert_eq!(end(&format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(100)), 100), Err(431));
        assert_eq!(end("GET / HTTP/1.1\r\nX: x\r\n", 23), Ok(None));
        assert_eq!(end("GET / HTTP/1.1\r\nX: x\r\n\r\n", 24), Ok(Some(24)));
        assert_eq!(end("GET / HTTP/1.1\r\nX: x\r\n\r\n", 23), Err(431));
    }

    #[test]
    fn strangers_are_told_at_once() {
        let end = |bytes: &[u8]| Scan::default().end(bytes, 100).map_err(|r| r.why);
        assert!(end(b"\x16\x03\x01").unwrap_err().contains("TLS"));
        assert_eq!(end(b"\x16"), Ok(None));
        assert!(end(b"\0\0\0\x01").unwrap_err().contains("0x00"));
        let mut scan = Scan::default();
        assert_eq!(scan.end(b"\x16", 100), Ok(None));
        assert!(scan.end(b"\x16\x03", 100).unwrap_err().why.contains("TLS"), "in drops too");
    }
}
