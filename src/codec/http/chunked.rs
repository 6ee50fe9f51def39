//! The chunked transfer coding (RFC 9112, 7.1): where the bytes of a body lie between its chunks' lines.
//!
//! ```text
//!   body    = *( size [ ";" extension ] CRLF  size bytes  CRLF )  "0" [ ";" extension ] CRLF  *( trailer CRLF )  CRLF
//! ```
//! Extensions and trailers are dropped, and bounded together: nobody means well who sends many. Strict where proxies differ:
//! a size is hexadecimal digits alone, lines end with CRLF. Belongs to one request.

use super::head::Refused;

/// Bytes of all lines' extensions and of all trailers of one body.
const MOST: usize = 16 << 10;
/// Digits of a size: more would be more than there is.
const DIGITS: u8 = 15;

#[derive(Default)]
pub struct Chunks {
    state: State,
    /// Bytes missing of the chunk at hand; while its size is read, of that.
    size: u64,
    dropped: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Before the size, or within it: digits so far.
    #[default]
    Begin,
    Size(u8),
    /// Blanks behind the size, where only an extension may follow: others could read something else there.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Trailer,
    InTrailer,
    TrailerLf,
    LastLf,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    NeedMore,
    /// So many of the bytes that follow are of the body, as far as they are there.
    Data(u64),
    End,
}

impl Chunks {
    /// Reads what is not of the body: how many bytes of `bytes` that is, and what follows.
    pub fn next(&mut self, bytes: &[u8]) -> Result<(usize, Next), Refused> {
        for (at, &b) in bytes.iter().enumerate() {
            if self.state == State::Data {
                return Ok((at, Next::Data(self.size)));
            }
            self.state = match (self.state, b) {
                (State::Begin | State::Size(_), b) if b.is_ascii_hexdigit() => self.digit(b)?,
                (State::Size(_) | State::Blank, b' ' | b'\t') => self.dropping(State::Blank)?,
                (State::Size(_) | State::Blank, b';') => self.dropping(State::Extension)?,
                (State::Size(_) | State::Extension, b'\r') => State::SizeLf,
                (State::Extension, b) if is_text(b) => self.dropping(State::Extension)?,
                (State::SizeLf, b'\n') if self.size == 0 => State::Trailer,
                (State::SizeLf, b'\n') => State::Data,
                (State::DataCr, b'\r') => State::DataLf,
                (State::DataLf, b'\n') => State::Begin,
                (State::Trailer, b'\r') => State::LastLf,
                (State::InTrailer, b'\r') => State::TrailerLf,
                (State::Trailer | State::InTrailer, b) if is_text(b) => self.dropping(State::InTrailer)?,
                (State::TrailerLf, b'\n') => State::Trailer,
                (State::LastLf, b'\n') => return Ok((at + 1, Next::End)),
                (State::DataCr | State::DataLf, _) => return wrong("a chunk is longer than its size"),
                (State::Trailer | State::InTrailer | State::TrailerLf | State::LastLf, _) => {
                    return wrong("a trailer that is no header line");
                }
                _ => return wrong("the size of a chunk is no hexadecimal number, or its line is wrong"),
            };
        }
        match self.state {
            State::Data => Ok((bytes.len(), Next::Data(self.size))),
            _ => Ok((bytes.len(), Next::NeedMore)),
        }
    }

    /// So many bytes of the chunk's were taken.
    pub fn took(&mut self, n: usize) {
        self.size -= n as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
    }

    fn digit(&mut self, b: u8) -> Result<State, Refused> {
        let before = match self.state {
            State::Size(n) => n,
            _ => {
                self.size = 0;
                0
            }
        };
        if before == DIGITS {
            return wrong("the size of a chunk has too many digits");
        }
        self.size = self.size << 4 | u64::from((b as char).to_digit(16).unwrap_or(0));
        Ok(State::Size(before + 1))
    }

    fn dropping(&mut self, next: State) -> Result<State, Refused> {
        self.dropped += 1;
        match self.dropped > MOST {
            true => {
                Err(Refused::new(431, format!("more than {MOST} bytes of chunk extensions and trailers")))
            }
            false => Ok(next),
        }
    }
}

/// A byte of a line of text.
fn is_text(b: u8) -> bool {
    b == b'\t' || (b >= b' ' && b != 0x7f)
}

fn wrong<T>(why: &str) -> Result<T, Refused> {
    Err(Refused::new(400, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body, bytes used if it ended, or the status.
    fn read(pieces: &[&[u8]]) -> Result<(Vec<u8>, Option<usize>), u16> {
        let (mut c, mut body, mut all) = (Chunks::default(), Vec::new(), 0);
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let (used, next) = c.next(rest).map_err(|r| r.status)?;
                (rest, all) = (&rest[used..], all + used);
                match next {
                    Next::End => return Ok((body, Some(all))),
                    Next::NeedMore => break,
                    Next::Data(n) => {
                        let n = rest.len().min(n as usize);
                        if n == 0 {
                            break;
                        }
                        body.extend_from_slice(&rest[..n]);
                        c.took(n);
                        (rest, all) = (&rest[n..], all + n);
                    }
                }
            }
        }
        Ok((body, None))
    }

    /// The same in every cut.
    fn cut(bytes: &[u8]) -> Result<(Vec<u8>, Option<usize>), u16> {
        let whole = read(&[bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single), whole);
        for at in 0..bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]]), whole, "at {at}");
        }
        whole
    }

    #[test]
    fn chunks_make_a_body() {
        let body = |b: &[u8], n| Ok((b.to_vec(), Some(n)));
        assert_eq!(cut(b"0\r\n\r\nGET"), body(b"", 5));
        assert_eq!(cut(b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), body(b"hello!", 21));
        assert_eq!(
            cut(b"00000a;x=\"y\"\r\n0123456789\r\n000\r\nA: b\r\nC:\r\n\r\n"),
            body(b"0123456789", 43)
        );
        assert_eq!(
            cut(b"B \t;a\r\n\r\n\r\n\r\n\r\n\r\n-\r\n0;\r\n\r\n").unwrap().0,
            b"\r\n\r\n\r\n\r\n\r\n-"
        );
        assert_eq!(cut(b"3\r\nab"), Ok((b"ab".to_vec(), None)));
    }

    #[test]
    fn what_proxies_could_read_in_another_way_is_refused() {
        for bad in [
            "+5\r\nhello\r\n",
            "-1\r\n",
            "0x5\r\nhello\r\n",
            " 5\r\nhello\r\n",
            "5 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "\r\n",
            ";a\r\n",
            "g\r\n",
            "5\nhello\r\n",
            "5\r\rhello",
            "5;a\nb\r\nhello\r\n",
            "5;a\0\r\nhello\r\n",
            "5\r\nhelloX\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\rX",
            "0\r\nA: b\n\r\n",
            "0\r\nA\0: b\r\n\r\n",
            "0\r\n\rX",
            "0000000000000005\r\nhello\r\n",
            "fffffffffffffffff\r\n",
        ] {
            assert_eq!(cut(bad.as_bytes()), Err(400), "{bad:?}");
        }
    }

    #[test]
    fn what_is_dropped_is_bounded() {
        let one = |n: usize| format!("1;{}\r\nx\r\n", "e".repeat(n));
        assert!(read(&[one(MOST - 1).as_bytes()]).is_ok());
        assert_eq!(read(&[one(MOST).as_bytes()]), Err(431));
        assert_eq!(read(&[one(100).repeat(200).as_bytes()]), Err(431), "together");
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(MOST / 4 + 1));
        assert_eq!(read(&[trailers.as_bytes()]), Err(431));
    }
}
