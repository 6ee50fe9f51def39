//! The beginning of a connection that is to bring lines: TLS, where none is spoken, is told at once.
//!
//! Its first message would lie there as half a line, and both ends would wait for each other. No line of text begins like
//! it: a control character, and a version. Belongs to one connection.

use super::{Decoded, Fault, Then};

/// Two bytes are every version's; the third is one of few.
const HANDSHAKE: [u8; 2] = [0x16, 3];

#[derive(Default)]
pub struct Beginning {
    is_past: bool,
}

impl Beginning {
    /// The fault, if the connection begins with TLS. `bytes`: what a decoder is about to be given.
    pub fn fault(&mut self, bytes: &[u8]) -> Option<Decoded> {
        if self.is_past {
            return None;
        }
        if matches!(bytes, [0x16, 3, 0..=4, ..]) {
            let reason = "no lines: it looks like TLS, which this port does not speak".to_owned();
            return Some(Decoded { used: 0, then: Then::Fail(Fault { reason, answer: Vec::new() }) });
        }
        self.is_past = !HANDSHAKE.starts_with(bytes);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_seen_at_the_beginning_and_nowhere_else() {
        let is_told = |pieces: &[&[u8]]| {
            let mut beginning = Beginning::default();
            pieces.iter().any(|p| beginning.fault(p).is_some())
        };
        assert!(is_told(&[b"\x16\x03\x01\x02\x00"]));
        assert!(is_told(&[b"", b"\x16", b"\x16\x03", b"\x16\x03\x03"]), "offered again, with more");
        assert!(!is_told(&[b"\x16\x03\x05"]) && !is_told(&[b"\x16\n"]));
        assert!(!is_told(&[b"a line\n", b"\x16\x03\x01"]));
    }
}
