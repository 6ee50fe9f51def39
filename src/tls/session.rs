//! A TLS session: records in, bytes out, and back, over whatever stream its owner has.
//!
//! What has to be sent is put into memory of the owner's, who sends it: handshake messages and alerts too. Belongs to one
//! connection, on its thread.

use super::explain::{explain, is_refusal};
use rustls::Connection;
use std::io::{self, Read, Write};

/// Nobody means so many bytes that hold nothing for us.
const FRUITLESS: usize = 256 << 10;
/// Above a record's length, head and all; what TLS holds of one that is not complete is less.
const RECORD: usize = 18 << 10;

pub struct Session {
    tls: Box<Connection>,
    /// The handshake has been behind us.
    is_shaken: bool,
    /// What was found wrong behind bytes that were read first.
    wrong: Option<io::Error>,
    has_come: bool,
    is_refused: bool,
    records: Records,
}

impl Session {
    pub(super) fn new(mut tls: Connection) -> Session {
        // What is put into a session is taken out of it at once.
        tls.set_buffer_limit(None);
        Session {
            tls: Box::new(tls),
            is_shaken: false,
            wrong: None,
            has_come: false,
            is_refused: false,
            records: Records::default(),
        }
    }

    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// True once: when the handshake has just come to its end.
    pub fn has_just_shaken(&mut self) -> bool {
        !self.is_shaken && !self.tls.is_handshaking() && {
            self.is_shaken = true;
            true
        }
    }

    /// Whether the peer has refused our certificate. It has looked at nothing of what was sent then, although a client of
    /// TLS 1.3 hears of it when its own part of the handshake is over.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Bytes held of a record that is not complete.
    pub fn held(&self) -> usize {
        self.records.got
    }

    /// The version and cipher suite, for logs.
    pub fn describe(&self) -> String {
        let version = self.tls.protocol_version().and_then(|v| v.as_str()).unwrap_or("no version");
        let suite = self.tls.negotiated_cipher_suite().and_then(|s| s.suite().as_str()).unwrap_or("no suite");
        format!("{version}, {suite}")
    }

    /// Takes in what has come of the handshake, for one who waits for nothing but its end; how many bytes, 0 at the end of
    /// the stream. Errors as with [`read`](Session::read).
    pub fn shake(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        self.more(from)
    }

    /// Reads what the peer has sent, from records that `from` gives: 0 at its end. What is wrong with the records is
    /// `InvalidData`, in words; the alert that says so to the peer is then in [`take_records`](Session::take_records).
    pub fn read(&mut self, from: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
        let (mut filled, mut fruitless) = (0, 0);
        while filled < out.len() {
            match self.tls.reader().read(&mut out[filled..]) {
                Ok(0) => break,
                Ok(n) => {
                    (filled, fruitless) = (filled + n, 0);
                    continue;
                }
                // The end of the stream without the peer's goodbye: Java's clients do that.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(_) => {}
            }
            match self.wrong.take().map_or_else(|| self.pull(from, &mut out[filled..]), Err) {
                Ok((n, 0)) => fruitless += n,
                Ok((_, n)) => (filled, fruitless) = (filled + n, 0),
                Err(e) if filled > 0 => {
                    self.wrong = Some(e).filter(|e| e.kind() != io::ErrorKind::WouldBlock);
                    break;
                }
                Err(e) => return Err(e),
            }
            if fruitless > FRUITLESS {
                return Err(wrong("TLS records that go on without holding anything"));
            }
        }
        Ok(filled)
    }

    /// Takes in what has come: how many bytes, and how many that they held are in `room` then.
    ///
    /// TLS itself reads pieces of 4 KiB, a system call each. A large `room` takes the records first, all in one read, a
    /// record's length behind where it takes what they hold: that comes out later, and never more than went in.
    fn pull(&mut self, from: &mut dyn Read, room: &mut [u8]) -> io::Result<(usize, usize)> {
        if self.tls.is_handshaking() || room.len() < 2 * RECORD {
            return Ok((self.more(from)?, 0));
        }
        let n = from.read(&mut room[RECORD..])?;
        let (mut taken, mut filled) = (0, 0);
        loop {
            let (plain, records) = room.split_at_mut(RECORD + taken);
            match self.more(&mut &records[..n - taken]) {
                // What follows the peer's goodbye is not for us.
                Ok(0) => break,
                Ok(more) => taken += more,
                Err(e) => {
                    self.wrong = Some(e);
                    break;
                }
            }
            filled += self.tls.reader().read(&mut plain[filled..]).unwrap_or(0);
            if taken == n {
                break;
            }
        }
        Ok((n, filled))
    }

    /// Takes in what has come; how many bytes.
    fn more(&mut self, from: &mut dyn Read) -> io::Result<usize> {
        if self.tls.is_handshaking() && self.tls.wants_write() {
            // The peer waits for what is to be sent now.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = self.tls.read_tls(&mut Watched { from, records: &mut self.records })?;
        self.has_come |= n > 0;
        if let Err(e) = self.tls.process_new_packets() {
            self.is_refused |= is_refusal(&e);
            return Err(wrong(&explain(&e)));
        }
        match n {
            // One that only looks whether somebody listens says nothing.
            0 if self.tls.is_handshaking() && self.has_come => {
                Err(wrong("it closed within the TLS handshake"))
            }
            n => Ok(n),
        }
    }

    /// Adds bytes, as the records that bring them.
    pub fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        // Memory takes everything; before the handshake's end nothing is put.
        let _ = self.tls.writer().write_all(bytes);
        self.take_records(out);
    }

    /// Adds the records that wait to be sent.
    pub fn take_records(&mut self, out: &mut Vec<u8>) {
        while self.tls.wants_write() {
            if self.tls.write_tls(out).is_err() {
                return;
            }
        }
    }

    /// Adds our goodbye.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.tls.send_close_notify();
        self.take_records(out);
    }
}

/// Where records begin and end in what has come.
#[derive(Default)]
struct Records {
    /// Type, version, length.
    head: [u8; HEAD],
    /// Bytes of the record at hand, its head among them, that have come and are to come.
    got: usize,
    length: usize,
}

const HEAD: usize = 5;

impl Records {
    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            let n = match self.head.get_mut(self.got) {
                Some(place) => {
                    *place = *first;
                    let [.., high, low] = self.head;
                    self.length = HEAD + usize::from(u16::from_be_bytes([high, low]));
                    1
                }
                None => bytes.len().min(self.length - self.got),
            };
            self.got += n;
            bytes = &bytes[n..];
            if self.got >= HEAD && self.got == self.length {
                self.got = 0;
            }
        }
    }
}

/// The stream of records, looked at as it is read.
struct Watched<'a> {
    from: &'a mut dyn Read,
    records: &'a mut Records,
}

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.from.read(out).inspect(|n| self.records.pass(&out[..*n]))
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_record_lacks_is_known_wherever_it_is_cut() {
        let record = |n: usize| [&[0x17, 3, 3, (n >> 8) as u8, n as u8][..], &vec![9; n]].concat();
        let bytes = [record(300), record(0), record(16_000), record(1)].concat();
        for piece in [1, 7, 4096, bytes.len()] {
            let mut records = Records::default();
            bytes.chunks(piece).for_each(|p| records.pass(p));
            assert_eq!(records.got, 0);
            records.pass(&record(10_000)[..9000]);
            assert_eq!(records.got, 9000);
        }
    }
}
