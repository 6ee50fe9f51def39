//! What an avro or thrift sink delivers to: a server that takes its connections and answers its calls one by one, as a
//! test says.

use crate::util::wait;
use flumed::codec::avro::Status;
use flumed::codec::{avro, thrift, Chunk, Decoded, Then};
use flumed::event::{Batch, Buffer};
use flumed::tls::{self, Session};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub struct Downstream {
    pub address: SocketAddr,
    listener: TcpListener,
    is_thrift: bool,
    tls: Option<tls::Server>,
}

impl Downstream {
    pub fn new() -> Downstream {
        Downstream::at("127.0.0.1:0".parse().unwrap())
    }

    pub fn at(address: SocketAddr) -> Downstream {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Downstream { address: listener.local_addr().unwrap(), listener, is_thrift: false, tls: None }
    }

    pub fn thrift() -> Downstream {
        Downstream { is_thrift: true, ..Downstream::new() }
    }

    pub fn over(self, tls: tls::Server) -> Downstream {
        Downstream { tls: Some(tls), ..self }
    }

    /// Where one can be later, and nobody is yet.
    pub fn address_without() -> SocketAddr {
        Downstream::new().address
    }

    /// The next connection, to which nothing has been said.
    pub fn accept_silent(&self) -> Peer {
        let mut accepted = None;
        wait(true, || {
            accepted = self.listener.accept().ok();
            accepted.is_some()
        });
        let stream = accepted.unwrap().0;
        stream.set_nonblocking(true).unwrap();
        let server = match self.is_thrift {
            true => Server::Thrift(thrift::Server::new(1 << 20, Arc::default())),
            false => Server::Avro(avro::Server::new(1 << 20)),
        };
        let session = self.tls.as_ref().map(|tls| tls.accept().unwrap());
        Peer { stream, session, server, unread: Vec::new() }
    }

    /// The next connection, with the handshake behind it.
    pub fn accept(&self) -> Peer {
        let mut peer = self.accept_silent();
        if self.is_thrift {
            return peer;
        }
        assert_eq!(peer.call(), [""; 0], "the sink asks before it sends");
        peer.answer(Status::Ok);
        peer
    }
}

enum Server {
    Avro(avro::Server),
    Thrift(thrift::Server),
}

impl Server {
    fn decode(&mut self, chunk: &Chunk<'_>, batch: &mut Batch) -> Decoded {
        match self {
            Server::Avro(s) => s.decode(chunk, 1000, batch),
            Server::Thrift(s) => s.decode(chunk, 1000, batch),
        }
    }
}

/// The server's end of a connection. Dropped, it is closed.
pub struct Peer {
    stream: TcpStream,
    session: Option<Session>,
    server: Server,
    unread: Vec<u8>,
}

impl Peer {
    /// The bodies of the next call.
    pub fn call(&mut self) -> Vec<String> {
        loop {
            let buffer = Buffer::owned(std::mem::take(&mut self.unread));
            let mut batch = Batch::new();
            let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
            let decoded = self.server.decode(&chunk, &mut batch);
            self.unread = buffer[decoded.used..].to_vec();
            if let Then::Call(_) = decoded.then {
                return batch.iter().map(|e| String::from_utf8(e.body().to_vec()).unwrap()).collect();
            }
            assert_eq!(decoded.then, Then::NeedMore);
            let mut piece = [0; 4096];
            let n = self.read(&mut piece).unwrap();
            assert!(n > 0, "the sink has closed");
            self.unread.extend_from_slice(&piece[..n]);
        }
    }

    /// What comes next; what was wrong with TLS, if something was.
    pub fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        let mut got = Ok(0);
        wait(true, || {
            got = match &mut self.session {
                None => self.stream.read(piece),
                Some(session) => {
                    let got = session.read(&mut self.stream, piece);
                    let mut records = Vec::new();
                    session.take_records(&mut records);
                    let _ = self.stream.write_all(&records);
                    got
                }
            };
            !matches!(&got, Err(e) if e.kind() == ErrorKind::WouldBlock)
        });
        got
    }

    /// Answers the call that is longest without an answer. The sink may have gone.
    pub fn answer(&mut self, status: Status) {
        let mut answer = Vec::new();
        match &mut self.server {
            Server::Avro(s) => s.answer(status, &mut answer),
            Server::Thrift(s) => s.answer(status, &mut answer),
        }
        if let Some(session) = &mut self.session {
            let text = std::mem::take(&mut answer);
            session.put(&text, &mut answer);
        }
        let _ = self.stream.write_all(&answer);
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
