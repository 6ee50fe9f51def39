//! A client's end of a connection, with TLS or without: bytes out, bytes in, and Thrift calls over it.

use crate::util::PATIENCE;
use flumed::codec::rpc::{Reply, Status};
use flumed::codec::thrift::{Caller, Encoding};
use flumed::event::{Batch, Body};
use flumed::tls::{self, Session};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

pub const OK: Reply = Reply::Status(Status::Ok);
pub const FAILED: Reply = Reply::Status(Status::Failed);

pub struct Wire {
    pub socket: TcpStream,
    tls: Option<Session>,
}

/// A socket that is read once: what it has then, and no more.
struct Once<'a>(Option<&'a TcpStream>);

impl Read for Once<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut socket = self.0.take().ok_or(ErrorKind::WouldBlock)?;
        socket.read(out).map_err(|e| match e.kind() {
            ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
            _ => e,
        })
    }
}

impl Wire {
    pub fn plain(to: SocketAddr) -> Wire {
        let socket = TcpStream::connect(to).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire { socket, tls: None }
    }

    /// With its own part of the handshake behind it. What the server thinks of it shows when it is read.
    pub fn tls(to: SocketAddr, client: &tls::Client) -> io::Result<Wire> {
        let mut wire = Wire::plain(to);
        let mut session = client.connect("127.0.0.1").unwrap();
        while session.is_handshaking() {
            let shaken = session.shake(&mut Once(Some(&wire.socket)));
            let mut records = Vec::new();
            session.take_records(&mut records);
            wire.socket.write_all(&records)?;
            match shaken {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == ErrorKind::WouldBlock && !records.is_empty() => {}
                other => drop(other?),
            }
        }
        let mut records = Vec::new();
        session.take_records(&mut records);
        wire.socket.write_all(&records)?;
        wire.tls = Some(session);
        Ok(wire)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).unwrap();
    }

    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.socket.write_all(bytes) };
        for piece in bytes.chunks(64 << 10) {
            let mut records = Vec::new();
            tls.put(piece, &mut records);
            self.socket.write_all(&records)?;
        }
        Ok(())
    }

    /// What brings these bytes, for the test to send.
    pub fn record(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        self.tls.as_mut().unwrap().put(bytes, &mut records);
        records
    }

    /// Says that nothing more comes; reads on.
    pub fn end(&mut self) {
        let mut goodbye = Vec::new();
        if let Some(tls) = &mut self.tls {
            tls.close(&mut goodbye);
        }
        self.socket.write_all(&goodbye).unwrap();
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    pub fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(piece) };
        loop {
            match tls.read(&mut Once(Some(&self.socket)), piece) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Whether the agent has closed, or closes now; it says nothing first.
    pub fn is_closed(&mut self) -> bool {
        match self.read(&mut [0; 1]) {
            Ok(n) => n == 0,
            Err(e) => {
                assert_ne!(e.kind(), ErrorKind::TimedOut, "still open");
                true
            }
        }
    }
}

/// A Thrift client on one connection.
pub struct Rpc {
    pub caller: Caller,
    pub wire: Wire,
    unread: Vec<u8>,
}

impl Rpc {
    pub fn new(to: SocketAddr) -> Rpc {
        Rpc::over(Wire::plain(to), Encoding::Compact)
    }

    pub fn over(wire: Wire, encoding: Encoding) -> Rpc {
        Rpc { caller: Caller::new(encoding), wire, unread: Vec::new() }
    }

    pub fn call(&mut self, bodies: &[&str]) -> Vec<u8> {
        let (batch, mut out) = (batch(bodies), Vec::new());
        self.caller.append_some(bodies.len(), || batch.iter(), &mut out).unwrap();
        out
    }

    pub fn send(&mut self, bodies: &[&str]) {
        let call = self.call(bodies);
        self.wire.write(&call);
    }

    /// The next answer with its number; `None` when the agent has closed.
    pub fn answer(&mut self) -> Option<(i32, Reply)> {
        loop {
            let (used, got) = self.caller.feed(&self.unread);
            self.unread.drain(..used);
            if let Some(reply) = got.unwrap() {
                return Some(reply);
            }
            let mut piece = [0; 4096];
            match self.wire.read(&mut piece) {
                Ok(0) => return None,
                Err(e) if [ErrorKind::ConnectionReset, ErrorKind::InvalidData].contains(&e.kind()) => {
                    return None;
                }
                n => self.unread.extend_from_slice(&piece[..n.unwrap()]),
            }
        }
    }

    pub fn ask(&mut self, bodies: &[&str]) -> Reply {
        self.send(bodies);
        self.answer().expect("an answer").1
    }
}

pub fn batch(bodies: &[&str]) -> Batch {
    let mut batch = Batch::new();
    bodies.iter().for_each(|b| batch.push(Body::Copy(b.as_bytes())));
    batch
}
