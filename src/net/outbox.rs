//! The bytes a connection still has to send.

use std::io::{self, Write};

/// Above this the connection is not read any further.
const ENOUGH: usize = 64 << 10;
/// What may stay allocated for the next answer: one of HTTP's fits.
const KEPT: usize = 128;

#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    pub fn is_crowded(&self) -> bool {
        self.bytes.len() - self.sent > ENOUGH
    }

    /// Bytes of memory that the peer's reading sets free.
    pub fn memory(&self) -> usize {
        if self.is_empty() {
            0
        } else {
            self.bytes.capacity()
        }
    }

    /// Sends what the socket takes. Returns the number of bytes sent.
    pub fn flush(&mut self, socket: &mut impl Write) -> io::Result<usize> {
        let before = self.sent;
        while !self.is_empty() {
            match socket.write(&self.bytes[self.sent..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(self.sent - before),
                Err(e) => return Err(e),
            }
        }
        let sent = self.sent - before;
        self.sent = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        } else {
            self.bytes.clear();
        }
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow(Vec<u8>, usize);
    impl Write for Slow {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            if self.1 == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.1 -= 1;
            let n = b.len().min(3);
            self.0.extend_from_slice(&b[..n]);
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_does_not_go_out_stays() {
        let mut o = Outbox::default();
        o.bytes().extend_from_slice(b"OK\nOK\nOK\n");
        let mut s = Slow(Vec::new(), 2);
        assert_eq!(o.flush(&mut s).unwrap(), 6);
        assert!(!o.is_empty());
        s.1 = 9;
        o.flush(&mut s).unwrap();
        assert!(o.is_empty());
        assert_eq!(s.0, b"OK\nOK\nOK\n");
    }

    #[test]
    fn what_is_sent_holds_no_memory() {
        let mut o = Outbox::default();
        o.bytes().extend_from_slice(&[b'x'; 3000]);
        assert!(o.memory() >= 3000);
        o.flush(&mut Slow(Vec::new(), 1000)).unwrap();
        assert_eq!((o.memory(), o.bytes().capacity()), (0, 0));
    }
}
