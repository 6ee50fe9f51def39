//! What an avro sink delivers to: a server that takes its connections and answers its calls one by one, as a test says.

use crate::util::{wait, PATIENCE};
use flumed::codec::avro::{Server, Status};
use flumed::codec::{Chunk, Then};
use flumed::event::{Batch, Buffer};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

pub struct Downstream {
    pub address: SocketAddr,
    listener: TcpListener,
}

impl Downstream {
    pub fn new() -> Downstream {
        Downstream::at("127.0.0.1:0".parse().unwrap())
    }

    pub fn at(address: SocketAddr) -> Downstream {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Downstream { address: listener.local_addr().unwrap(), listener }
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
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { stream, server: Server::new(1 << 20), unread: Vec::new() }
    }

    /// The next connection, with the handshake behind it.
    pub fn accept(&self) -> Peer {
        let mut peer = self.accept_silent();
        assert_eq!(peer.call(), [""; 0], "the sink asks before it sends");
        peer.answer(Status::Ok);
        peer
    }
}

/// The server's end of a connection. Dropped, it is closed.
pub struct Peer {
    stream: TcpStream,
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
            let decoded = self.server.decode(&chunk, 1000, &mut batch);
            self.unread = buffer[decoded.used..].to_vec();
            if let Then::Call(_) = decoded.then {
                return batch.iter().map(|e| String::from_utf8(e.body().to_vec()).unwrap()).collect();
            }
            assert_eq!(decoded.then, Then::NeedMore);
            let mut piece = [0; 4096];
            let n = self.stream.read(&mut piece).unwrap();
            assert!(n > 0, "the sink has closed");
            self.unread.extend_from_slice(&piece[..n]);
        }
    }

    /// Answers the call that is longest without an answer. The sink may have gone.
    pub fn answer(&mut self, status: Status) {
        let mut answer = Vec::new();
        self.server.answer(status, &mut answer);
        let _ = self.stream.write_all(&answer);
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
