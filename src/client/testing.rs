//! Servers that do as a test says, one connection after another: they speak the codec's own server side.

use crate::codec::avro::{Server, Status};
use crate::codec::feed::Seen;
use crate::codec::zlib::{Deflater, Inflater};
use crate::codec::{Chunk, Then};
use crate::event::{Batch, Body, Buffer, Key};
use crate::lock::lock;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Script = dyn Fn(usize, &mut Peer) + Send + Sync;

/// A server on a port of its own, until it is dropped.
pub struct Scripted {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// The calls that came, in their order.
    calls: Mutex<Vec<Vec<Seen>>>,
    connections: AtomicUsize,
}

impl Scripted {
    /// `script` gets each connection with its number, on a thread of its own.
    pub fn new(script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Scripted {
        Scripted::with(false, script)
    }

    /// `deflate`: whether it speaks compressed.
    pub fn with(deflate: bool, script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let (its, script): (_, Arc<Script>) = (shared.clone(), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming().map(|s| s.unwrap()) {
                if its.is_over.load(SeqCst) {
                    return;
                }
                let n = its.connections.fetch_add(1, SeqCst);
                let (shared, script) = (its.clone(), script.clone());
                let zlib = deflate.then(|| (Inflater::default(), Deflater::new(6)));
                std::thread::spawn(move || {
                    let server = Server::new(64 << 20);
                    script(n, &mut Peer { stream, server, zlib, bytes: Vec::new(), shared });
                });
            }
        });
        Scripted { port, shared }
    }

    /// One that stores everything.
    pub fn good() -> Scripted {
        Scripted::new(|_, peer| peer.serve(Status::Ok))
    }

    pub fn calls(&self) -> Vec<Vec<Seen>> {
        lock(&self.shared.calls).clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
        // So that it looks.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// The server's end of a connection.
pub struct Peer {
    stream: TcpStream,
    pub server: Server,
    zlib: Option<(Inflater, Deflater)>,
    bytes: Vec<u8>,
    shared: Arc<Shared>,
}

impl Peer {
    /// The bodies of the next call, which is listed unless it was a ping; `None` when the client has gone.
    pub fn call(&mut self) -> Option<usize> {
        loop {
            let buffer = Buffer::owned(std::mem::take(&mut self.bytes));
            let mut batch = Batch::new();
            let chunk = Chunk { buffer: &buffer, from: 0, to: buffer.len() };
            let decoded = self.server.decode(&chunk, usize::MAX, &mut batch);
            self.bytes = buffer[decoded.used..].to_vec();
            match decoded.then {
                Then::Call(_) => {
                    if !batch.is_empty() {
                        lock(&self.shared.calls).push(Seen::all(&batch));
                    }
                    return Some(batch.len());
                }
                Then::NeedMore => {}
                other => panic!("{other:?}"),
            }
            let mut piece = vec![0; 1 << 16];
            let n = match &mut self.zlib {
                None => self.stream.read(&mut piece).unwrap_or(0),
                Some((z, _)) => z.read(&mut self.stream, &mut piece).unwrap_or(0),
            };
            if n == 0 {
                return None;
            }
            self.bytes.extend_from_slice(&piece[..n]);
        }
    }

    /// Reads something, whatever it is.
    pub fn piece(&mut self) {
        let _ = self.stream.read(&mut [0; 4096]);
    }

    /// The bytes of the answer to the call that is longest without one.
    pub fn answer_to(&mut self, status: Status) -> Vec<u8> {
        let mut out = Vec::new();
        self.server.answer(status, &mut out);
        out
    }

    pub fn answer(&mut self, status: Status) {
        let out = self.answer_to(status);
        self.send(&out);
    }

    /// The client may be gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes);
    }

    /// `false`: the client has gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.zlib {
            None => self.stream.write_all(bytes).is_ok(),
            Some((_, z)) => z.write_all(&mut self.stream, bytes).is_ok(),
        }
    }

    /// Takes the ping and answers it.
    pub fn shake(&mut self) {
        if self.call() == Some(0) {
            self.answer(Status::Ok);
        }
    }

    /// Answers every call in this way, until the client goes.
    pub fn serve(&mut self, status: Status) {
        while self.call().is_some() {
            self.answer(status);
        }
    }

    /// Waits for the client to go; reads what it sends.
    pub fn hang(&mut self) {
        while self.stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
    }

    /// The connection will be reset when the script ends, not closed.
    pub fn reset(&mut self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Events with these bodies, each with a header `n`, its number.
pub fn batch(bodies: &[&str]) -> Batch {
    let mut batch = Batch::new();
    for (i, body) in bodies.iter().enumerate() {
        batch.push(Body::Copy(body.as_bytes()));
        let value = batch.store(i.to_string().as_bytes());
        batch.push_header(Key::intern("n").unwrap(), value);
    }
    batch
}

/// A port that nobody listens on.
pub fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
