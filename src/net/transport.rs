//! What lies between a connection's socket and its messages: nothing, or a zlib stream in each direction.
//!
//! Belongs to its connection, on the loop's thread.

use crate::codec::zlib::{put_stored, Inflater};
use std::io::{self, Read};

#[derive(Default)]
pub(super) struct Transport(Option<Box<Zlib>>);

struct Zlib {
    inflater: Inflater,
    /// Something was sent.
    begun: bool,
}

impl Transport {
    pub fn deflate() -> Transport {
        Transport(Some(Box::new(Zlib { inflater: Inflater::default(), begun: false })))
    }

    /// What a read leaves may be here and not in the socket: only a read that finds nothing says that there is nothing.
    pub fn holds_back(&self) -> bool {
        self.0.is_some()
    }

    /// Adds an answer as it goes over the wire.
    pub fn put(&mut self, answer: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            None => out.extend_from_slice(answer),
            Some(z) if !answer.is_empty() => {
                put_stored(!z.begun, answer, out);
                z.begun = true;
            }
            Some(_) => {}
        }
    }

    /// The socket, seen through it.
    pub fn over<'a, S: Read>(&'a mut self, socket: &'a mut S) -> Over<'a, S> {
        Over(self, socket)
    }
}

pub(super) struct Over<'a, S>(&'a mut Transport, &'a mut S);

impl<S: Read> Read for Over<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 .0 {
            None => self.1.read(out),
            Some(z) => z.inflater.read(self.1, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_make_one_stream() {
        let mut t = Transport::deflate();
        let mut out = Vec::new();
        for answer in [&b""[..], b"one", b"", b"two"] {
            t.put(answer, &mut out);
        }
        let mut reader = Transport::deflate();
        let mut text = Vec::new();
        reader.over(&mut &out[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, b"onetwo");
        let mut plain = Vec::new();
        Transport::default().put(b"one", &mut plain);
        assert_eq!(plain, b"one");
    }
}
