//! Several loops: connections are spread over them, a source begins and ends on all of them.

use super::*;
use std::sync::Mutex;

/// Lines with answers; notes which thread serves each connection.
struct Noting {
    lines: Lines,
    threads: Mutex<Vec<String>>,
}

impl Protocol for Noting {
    fn can_refuse(&self) -> bool {
        true
    }
    fn open(&self, peer: &Peer) -> Box<dyn Session> {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        self.threads.lock().unwrap().push(name);
        self.lines.open(peer)
    }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = bind_tcp(&Endpoint { host: Some("127.0.0.1".into()), port: 0 }).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

#[test]
fn connections_are_handed_round() {
    let mut b = Bench::of(3, Settings::default());
    let c = channel(100, PATIENCE);
    let noting = Arc::new(Noting { lines: Lines { answers: true, longest: 100 }, threads: Mutex::default() });
    let (listener, addr) = listener();
    let counters = SourceCounters::new("r1");
    let id = b.attach(listener, noting.clone(), &counters, &[&c]);
    let s = Served { id, addr, counters };
    let mut clients: Vec<Client> = (0..9).map(|_| Client::to(&s)).collect();
    for k in &mut clients {
        k.send("x\n");
        assert_eq!(k.line(), "OK\n");
    }
    let mut threads = noting.threads.lock().unwrap().clone();
    threads.sort();
    let expected = ["loop:0", "loop:1", "loop:2"].map(|t| [t; 3]).concat();
    assert_eq!(threads, expected);
    assert_eq!(s.counters.open_connections.get(), 9);
}

#[test]
fn the_limit_on_connections_is_one_for_all_loops() {
    let mut b = Bench::of(3, Settings { max_connections: 7, ..Settings::default() });
    let c = channel(100, PATIENCE);
    let s = b.serve(true, &[&c]);
    let clients: Vec<Client> = (0..60).map(|_| Client::to(&s)).collect();
    until("all are served or refused", || {
        s.counters.connection_refused.get() + s.counters.open_connections.get() as u64 == 60
    });
    assert_eq!((s.counters.open_connections.get(), s.counters.connection_refused.get()), (7, 53));
    drop(clients);
    until("they are gone", || s.counters.open_connections.get() == 0);
}

#[test]
fn a_source_is_gone_when_its_last_connection_on_any_loop_is() {
    let mut b = Bench::of(3, Settings::default());
    let c = channel(100, PATIENCE);
    c.script.lock().unwrap().late = true;
    let s = b.serve(true, &[&c]);
    let mut clients: Vec<Client> = (0..9).map(|_| Client::to(&s)).collect();
    for (i, k) in clients.iter_mut().enumerate() {
        k.send(&format!("{i}\n"));
        until("it is appended", || c.open_tickets() == i + 1);
    }
    let gone = b.net.detach(s.id, Instant::now() + PATIENCE);
    until("nobody listens", || TcpStream::connect(s.addr).is_err());
    for _ in 0..8 {
        c.end(0, Ok(()));
    }
    let last = clients.pop().unwrap();
    for k in clients {
        assert_eq!(k.rest(), "OK\n");
    }
    until("one is left", || s.counters.open_connections.get() == 1);
    assert!(!gone.wait(Instant::now()), "its answer is open");
    c.end(0, Ok(()));
    assert_eq!(last.rest(), "OK\n");
    assert!(gone.wait(Instant::now() + PATIENCE));
    assert_eq!(s.counters.open_connections.get(), 0);
    assert_eq!(bodies(&c).len(), 9);
}

#[test]
fn a_stop_reads_what_was_sent_on_every_loop() {
    let mut b = Bench::of(3, Settings::default());
    let c = channel(100_000, PATIENCE);
    let s = b.serve(false, &[&c]);
    let clients: Vec<TcpStream> = (0..200)
        .map(|i| {
            let mut k = TcpStream::connect(s.addr).unwrap();
            let text: String = (0..50).map(|n| format!("{i}.{n}\n")).collect();
            k.write_all(text.as_bytes()).unwrap();
            k
        })
        .collect();
    assert!(b.net.detach(s.id, Instant::now() + PATIENCE).wait(Instant::now() + PATIENCE));
    drop(clients);
    let got = bodies(&c);
    assert_eq!((got.len(), s.counters.event_accepted.get()), (10_000, 10_000));
    for i in 0..200 {
        let head = format!("{i}.");
        let mine = got.iter().filter_map(|t| t.strip_prefix(&head));
        assert!(mine.eq((0..50).map(|n| n.to_string())), "client {i}");
    }
}

/// A deadline that comes later, when the home of the source has forgotten it already.
#[test]
fn an_end_can_be_hurried_on_every_loop() {
    let mut b = Bench::of(3, Settings::default());
    let c = channel(100, PATIENCE);
    c.script.lock().unwrap().late = true;
    let s = b.serve(true, &[&c]);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::to(&s)).collect();
    for (i, k) in clients.iter_mut().enumerate() {
        k.send(&format!("{i}\n"));
        until("it is appended", || c.open_tickets() == i + 1);
    }
    let _unheard = b.net.detach(s.id, Instant::now() + PATIENCE);
    // Its home, loop 0, has the third: connections go round from the loop behind it.
    c.end(2, Ok(()));
    assert_eq!(clients.pop().unwrap().rest(), "OK\n");
    until("it is gone", || s.counters.open_connections.get() == 2);
    let hurried = b.net.detach(s.id, Instant::now());
    assert!(hurried.wait(Instant::now() + PATIENCE));
    for k in clients {
        assert_eq!(k.rest(), "FAILED: the agent stops\n");
    }
    assert_eq!((s.counters.event_accepted.get(), s.counters.event_refused.get()), (1, 2));
}

#[test]
fn a_listener_that_is_handed_over_refuses_nobody() {
    let mut b = Bench::of(2, Settings::default());
    let c = channel(1 << 20, PATIENCE);
    let (listener, addr) = listener();
    let counters = SourceCounters::new("r1");
    let lines = || Arc::new(Lines { answers: true, longest: 100 });
    let mut id = b.attach(listener.try_clone().unwrap(), lines(), &counters, &[&c]);
    let over = Arc::new(AtomicBool::new(false));
    let until_then = over.clone();
    let asking = std::thread::spawn(move || {
        let (mut answered, mut closed) = (Vec::new(), 0);
        for n in 0.. {
            if until_then.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            let mut socket = TcpStream::connect(addr).expect("somebody listens");
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut answer = [0; 3];
            // A source that ends closes its connections, those without a line too.
            let sent = socket.write_all(format!("{n}\n").as_bytes());
            match sent.and_then(|()| socket.read_exact(&mut answer)) {
                Ok(()) => {
                    assert_eq!(&answer, b"OK\n");
                    answered.push(n.to_string());
                }
                Err(e) => {
                    assert_ne!(e.kind(), std::io::ErrorKind::WouldBlock, "nobody served it");
                    closed += 1;
                }
            }
        }
        (answered, closed)
    });
    for _ in 0..30 {
        let served = counters.event_accepted.get();
        until("it serves", || counters.event_accepted.get() > served + 5);
        let next = b.attach(listener.try_clone().unwrap(), lines(), &counters, &[&c]);
        assert!(b.net.replace(id, Instant::now() + PATIENCE, true, None).wait(Instant::now() + PATIENCE));
        id = next;
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let (answered, closed) = asking.join().unwrap();
    assert!(closed <= 30, "{closed} of {}", answered.len());
    let stored = bodies(&c);
    let mut at = stored.iter();
    assert!(answered.iter().all(|a| at.any(|s| s == a)), "each answered one is stored, in order");
}
