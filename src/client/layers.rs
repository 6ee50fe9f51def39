//! What lies between a connection's socket and its messages: nothing, TLS, a zlib stream in each direction, or both.
//!
//! With both, Flume 1.10 and later deflate the records of TLS, 1.9 encrypts what it has deflated: [`Order`] says which
//! (reference, wire.md 1.6). Sockets are given with each call. Belongs to the thread of its connection; no locks.

use crate::codec::zlib::{Deflater, Inflater};
use crate::tls::Session;
use std::io::{self, Read, Write};

/// So much is encrypted at once.
const PIECE: usize = 64 << 10;

/// What is deflated where there is TLS, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// The records of TLS: Flume 1.10 and later.
    #[default]
    Records,
    /// What is encrypted then: Flume 1.9.
    Text,
}

pub struct Layers {
    pub tls: Option<Session>,
    pub zlib: Option<(Deflater, Inflater)>,
    pub order: Order,
}

impl Layers {
    pub fn read(&mut self, socket: &mut dyn Read, out: &mut [u8]) -> io::Result<usize> {
        match (&mut self.tls, &mut self.zlib) {
            (None, None) => socket.read(out),
            (None, Some((_, inflater))) => inflater.read(socket, out),
            (Some(tls), None) => tls.read(socket, out),
            (Some(tls), Some((_, inflater))) => match self.order {
                Order::Records => tls.read(&mut Inflated { inflater, socket }, out),
                Order::Text => inflater.read(&mut Decrypted { tls, socket }, out),
            },
        }
    }

    pub fn shake(&mut self, socket: &mut dyn Read) -> io::Result<usize> {
        match (&mut self.tls, &mut self.zlib) {
            (None, _) => Ok(0),
            (Some(tls), Some((_, inflater))) if self.order == Order::Records => {
                tls.shake(&mut Inflated { inflater, socket })
            }
            (Some(tls), _) => tls.shake(socket),
        }
    }

    pub fn write(&mut self, mut socket: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
        match (&mut self.tls, &mut self.zlib) {
            (None, None) => socket.write_all(bytes),
            (None, Some((deflater, _))) => deflater.write_all(socket, bytes),
            (Some(tls), None) => Encrypted { tls, socket }.write_all(bytes),
            (Some(tls), Some((deflater, _))) => match self.order {
                Order::Records => {
                    let mut socket = Deflated { deflater, socket };
                    Encrypted { tls, socket: &mut socket }.write_all(bytes)
                }
                Order::Text => deflater.write_all(&mut Encrypted { tls, socket: &mut socket }, bytes),
            },
        }
    }

    /// Sends the records that wait.
    pub fn send_records(&mut self, socket: &mut impl Write) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let mut records = Vec::new();
        tls.take_records(&mut records);
        self.write_records(socket, &records)
    }

    pub fn write_records(&mut self, socket: &mut impl Write, records: &[u8]) -> io::Result<()> {
        match &mut self.zlib {
            _ if records.is_empty() => Ok(()),
            Some((deflater, _)) if self.order == Order::Records => deflater.write_all(socket, records),
            _ => socket.write_all(records),
        }
    }
}

struct Inflated<'a> {
    inflater: &'a mut Inflater,
    socket: &'a mut dyn Read,
}

impl Read for Inflated<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.inflater.read(self.socket, out)
    }
}

struct Decrypted<'a> {
    tls: &'a mut Session,
    socket: &'a mut dyn Read,
}

impl Read for Decrypted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.tls.read(self.socket, out)
    }
}

struct Encrypted<'a, W> {
    tls: &'a mut Session,
    socket: &'a mut W,
}

impl<W: Write> Write for Encrypted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        let mut records = Vec::new();
        self.tls.put(piece, &mut records);
        self.socket.write_all(&records).map(|()| piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Deflated<'a, W> {
    deflater: &'a mut Deflater,
    socket: &'a mut W,
}

impl<W: Write> Write for Deflated<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.deflater.write_all(self.socket, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
