//! What lies between a connection's socket and its messages: nothing, TLS, a zlib stream in each direction, or both.
//!
//! With both, Flume 1.9 encrypts what it compressed, 1.10 compresses the TLS records; the first byte of a connection
//! says which it is (reference, wire.md 1.6), and answers go the same way. Belongs to its connection, on the loop's thread.

use crate::codec::zlib::{put_stored, Inflater};
use crate::tls;
use std::io::{self, Read};

/// What a source has between its sockets and their messages.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Wire {
    pub tls: Option<tls::Server>,
    /// A zlib stream in each direction.
    pub deflate: bool,
}

impl Wire {
    /// TLS, or nothing.
    pub fn tls(tls: Option<tls::Server>) -> Wire {
        Wire { tls, deflate: false }
    }
}

#[derive(Default)]
pub(super) struct Transport(Option<Box<Layers>>);

struct Layers {
    wire: Wire,
    zlib: Option<Zlib>,
    tls: Option<tls::Session>,
    order: Order,
    /// Something of the handshake has come.
    has_begun: bool,
}

#[derive(Default)]
struct Zlib {
    inflater: Inflater,
    /// Something was sent.
    begun: bool,
}

/// Which layer is next to the socket, where there are two.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Unknown,
    Tls,
    Zlib,
}

impl Zlib {
    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if !bytes.is_empty() {
            put_stored(!self.begun, bytes, out);
            self.begun = true;
        }
    }
}

impl Transport {
    pub fn new(wire: &Wire) -> Result<Transport, String> {
        let zlib = wire.deflate.then(Zlib::default);
        let tls = wire.tls.as_ref().map(tls::Server::accept).transpose()?;
        let order = match (&zlib, &tls) {
            (Some(_), Some(_)) => Order::Unknown,
            (Some(_), None) => Order::Zlib,
            _ => Order::Tls,
        };
        let has_layers = zlib.is_some() || tls.is_some();
        Ok(Transport(
            has_layers.then(|| Box::new(Layers { wire: wire.clone(), zlib, tls, order, has_begun: false })),
        ))
    }

    /// Whether it is as safe as one that is made by this now.
    pub fn is_as_safe_as(&self, wire: &Wire) -> bool {
        let Some(asked) = &wire.tls else { return true };
        self.0.as_ref().and_then(|l| l.wire.tls.as_ref()).is_some_and(|made| made.asks_the_same(asked))
    }

    /// What a read leaves may be here and not in the socket: only a read that finds nothing says that there is nothing.
    pub fn holds_back(&self) -> bool {
        self.0.is_some()
    }

    /// Bytes held of a TLS record that is not complete.
    pub fn held(&self) -> usize {
        let tls = self.0.as_ref().and_then(|l| l.tls.as_ref());
        tls.map_or(0, tls::Session::held)
    }

    /// Whether a handshake has begun and not ended.
    pub fn is_handshaking(&self) -> bool {
        let layers = self.0.as_ref().filter(|l| l.has_begun);
        layers.and_then(|l| l.tls.as_ref()).is_some_and(tls::Session::is_handshaking)
    }

    /// What was agreed on, once, when the handshake has come to its end.
    pub fn just_agreed(&mut self) -> Option<String> {
        let tls = self.0.as_mut()?.tls.as_mut()?;
        tls.has_just_shaken().then(|| tls.describe())
    }

    /// Adds an answer as it goes over the wire.
    pub fn put(&mut self, answer: &[u8], out: &mut Vec<u8>) {
        let Some(layers) = &mut self.0 else { return out.extend_from_slice(answer) };
        if answer.is_empty() {
            return;
        }
        let mut inner = Vec::new();
        match (&mut layers.tls, &mut layers.zlib) {
            (None, None) => out.extend_from_slice(answer),
            (None, Some(zlib)) => zlib.put(answer, out),
            (Some(tls), None) => tls.put(answer, out),
            (Some(tls), Some(zlib)) if layers.order == Order::Zlib => {
                tls.put(answer, &mut inner);
                zlib.put(&inner, out);
            }
            (Some(tls), Some(zlib)) => {
                zlib.put(answer, &mut inner);
                tls.put(&inner, out);
            }
        }
    }

    /// Adds what TLS has to say for itself: its part of the handshake, alerts.
    pub fn put_own(&mut self, out: &mut Vec<u8>) {
        self.with_tls(out, tls::Session::take_records);
    }

    /// Adds the end of what is sent.
    pub fn put_end(&mut self, out: &mut Vec<u8>) {
        self.with_tls(out, tls::Session::close);
    }

    fn with_tls(&mut self, out: &mut Vec<u8>, put: impl FnOnce(&mut tls::Session, &mut Vec<u8>)) {
        let Some(layers) = &mut self.0 else { return };
        let Some(tls) = &mut layers.tls else { return };
        match &mut layers.zlib {
            Some(zlib) if layers.order == Order::Zlib => {
                let mut records = Vec::new();
                put(tls, &mut records);
                zlib.put(&records, out);
            }
            _ => put(tls, out),
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
            Some(layers) => layers.read(self.1, out),
        }
    }
}

impl Layers {
    fn read(&mut self, socket: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
        let mut first = [0; 1];
        let mut begin: &[u8] = &[];
        if self.order == Order::Unknown {
            if socket.read(&mut first)? == 0 {
                return Ok(0);
            }
            // A TLS record of a handshake; anything else is for the inflater to judge.
            self.order = if first[0] == 0x16 { Order::Tls } else { Order::Zlib };
            begin = &first;
        }
        let mut socket = Noticed { stream: begin.chain(socket), has_come: &mut self.has_begun };
        match (&mut self.tls, &mut self.zlib) {
            (None, None) => socket.read(out),
            (None, Some(zlib)) => zlib.inflater.read(&mut socket, out),
            (Some(tls), None) => tls.read(&mut socket, out),
            (Some(tls), Some(zlib)) if self.order == Order::Zlib => {
                tls.read(&mut Inflated { zlib, socket: &mut socket }, out)
            }
            (Some(tls), Some(zlib)) => zlib.inflater.read(&mut Decrypted { tls, socket: &mut socket }, out),
        }
    }
}

/// Notices that something has come.
struct Noticed<'a, S> {
    stream: S,
    has_come: &'a mut bool,
}

impl<S: Read> Read for Noticed<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.stream.read(out).inspect(|n| *self.has_come |= *n > 0)
    }
}

struct Inflated<'a, S> {
    zlib: &'a mut Zlib,
    socket: &'a mut S,
}

impl<S: Read> Read for Inflated<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.zlib.inflater.read(self.socket, out)
    }
}

struct Decrypted<'a, S> {
    tls: &'a mut tls::Session,
    socket: &'a mut S,
}

impl<S: Read> Read for Decrypted<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.tls.read(self.socket, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflate() -> Transport {
        Transport::new(&Wire { deflate: true, tls: None }).unwrap()
    }

    #[test]
    fn answers_make_one_stream() {
        let mut t = deflate();
        let mut out = Vec::new();
        for answer in [&b""[..], b"one", b"", b"two"] {
            t.put(answer, &mut out);
        }
        let mut reader = deflate();
        let mut text = Vec::new();
        reader.over(&mut &out[..]).read_to_end(&mut text).unwrap();
        assert_eq!(text, b"onetwo");
        let mut plain = Vec::new();
        Transport::default().put(b"one", &mut plain);
        assert_eq!(plain, b"one");
    }
}
