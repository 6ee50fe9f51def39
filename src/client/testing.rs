//! Servers that do as a test says, one connection after another: they speak the codecs' own server sides, over TLS with
//! certificates that are made for it.

use super::layers::Order;
use super::stream::Stream;
use crate::codec::feed::Seen;
use crate::codec::rpc::Status;
use crate::codec::{avro, thrift, Chunk, Decoded, Then};
use crate::event::{Batch, Body, Buffer, Key};
use crate::lock::lock;
use crate::tls::{self, Identity, Options};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use crate::tls::tests::pki;
pub use crate::tls::tests::Folder;

/// No test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server speaks.
#[derive(Clone, Default)]
pub struct Speaks {
    pub thrift: bool,
    pub deflate: bool,
    pub tls: Option<tls::Server>,
    pub order: Order,
}

impl Speaks {
    pub fn deflate() -> Speaks {
        Speaks { deflate: true, ..Speaks::default() }
    }

    pub fn thrift() -> Speaks {
        Speaks { thrift: true, ..Speaks::default() }
    }

    /// The same over TLS, with this certificate.
    pub fn over_tls(self, folder: &Folder, certified: &pki::Certified, more: Options) -> Speaks {
        let identity = Some(Identity::Store(folder.store("server.pem", certified.pem())));
        let tls = tls::Server::new("test", Options { identity, ..more }).unwrap();
        Speaks { tls: Some(tls), ..self }
    }
}

/// The server's side of either protocol.
pub enum Server {
    Avro(avro::Server),
    Thrift(thrift::Server),
}

impl Server {
    pub fn new(is_thrift: bool) -> Server {
        match is_thrift {
            true => Server::Thrift(thrift::Server::new(64 << 20, Arc::default())),
            false => Server::Avro(avro::Server::new(64 << 20)),
        }
    }

    fn decode(&mut self, chunk: &Chunk<'_>, batch: &mut Batch) -> Decoded {
        match self {
            Server::Avro(s) => s.decode(chunk, usize::MAX, batch),
            Server::Thrift(s) => s.decode(chunk, usize::MAX, batch),
        }
    }

    fn answer(&mut self, status: Status, out: &mut Vec<u8>) {
        match self {
            Server::Avro(s) => s.answer(status, out),
            Server::Thrift(s) => s.answer(status, out),
        }
    }
}

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
    /// What was wrong with handshakes.
    refusals: Mutex<Vec<String>>,
}

impl Scripted {
    /// `script` gets each connection with its number, on a thread of its own.
    pub fn new(script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Scripted {
        Scripted::with(Speaks::default(), script)
    }

    pub fn with(speaks: Speaks, script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Scripted {
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
                let (shared, script, speaks) = (its.clone(), script.clone(), speaks.clone());
                std::thread::spawn(move || {
                    let session = speaks.tls.as_ref().map(|tls| tls.accept().unwrap());
                    let mut stream = Stream::over(stream, session, speaks.deflate.then_some(6), speaks.order);
                    if let Err(e) = stream.shake(Instant::now() + PATIENCE) {
                        lock(&shared.refusals).push(e.to_string());
                        return;
                    }
                    let server = Server::new(speaks.thrift);
                    script(n, &mut Peer { stream, server, bytes: Vec::new(), shared });
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

    pub fn refusals(&self) -> Vec<String> {
        lock(&self.shared.refusals).clone()
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
    stream: Stream,
    pub server: Server,
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
            let decoded = self.server.decode(&chunk, &mut batch);
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
            let n = self.read(&mut piece);
            if n == 0 {
                return None;
            }
            self.bytes.extend_from_slice(&piece[..n]);
        }
    }

    /// Reads something, whatever it is; 0 when the client has gone.
    fn read(&mut self, piece: &mut [u8]) -> usize {
        self.stream.read(piece, Instant::now() + PATIENCE).unwrap_or(0)
    }

    pub fn piece(&mut self) {
        self.read(&mut [0; 4096]);
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

    /// And waits for the client to go.
    pub fn answer_and_hang(&mut self, status: Status) {
        self.answer(status);
        self.hang();
    }

    /// The client may be gone.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes);
    }

    /// `false`: the client has gone.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.send(bytes, Instant::now() + PATIENCE).is_ok()
    }

    /// Takes the ping and answers it, where there is one.
    pub fn shake(&mut self) {
        if matches!(self.server, Server::Avro(_)) && self.call() == Some(0) {
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
        while self.read(&mut [0; 4096]) > 0 {}
    }

    /// The connection will be reset when the script ends, not closed.
    pub fn reset(&mut self) {
        socket2::SockRef::from(self.stream.socket()).set_linger(Some(Duration::ZERO)).unwrap();
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
