//! What may block, on the pool: order, who goes on meanwhile, and how it ends.

use super::*;
use crate::codec::{Call, CallKind, Then, Work};
use crate::event::Body;
use crate::interceptor::Interceptor;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex};

/// Holds whoever brings `hold <word>` until that is let through, and notes who came.
#[derive(Default)]
struct Gate {
    state: Mutex<(Vec<String>, BTreeSet<String>)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self, word: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut s = self.state.lock().unwrap();
        s.0.push(word.to_owned());
        while word.starts_with("hold") && !s.1.contains(word) && Instant::now() < deadline {
            s = self.changed.wait_timeout(s, Duration::from_millis(100)).unwrap().0;
        }
    }
    fn release(&self, word: &str) {
        self.state.lock().unwrap().1.insert(word.to_owned());
        self.changed.notify_all();
    }
    fn has(&self, word: &str) -> bool {
        self.state.lock().unwrap().0.iter().any(|w| w == word)
    }
    fn came(&self) -> usize {
        self.state.lock().unwrap().0.len()
    }
    fn await_word(&self, word: &str) {
        until(&format!("{word} is at the gate"), || self.has(word));
    }
}

/// An interceptor that waits at the gate; it drops `drop`, and panics at `break`.
struct Gated(Arc<Gate>);

impl Interceptor for Gated {
    fn intercept(&self, batch: &mut Batch) {
        assert!(std::thread::current().name().unwrap_or_default().starts_with("pool:"));
        for e in batch.iter() {
            self.0.pass(&String::from_utf8_lossy(e.body()));
        }
        assert!(batch.iter().all(|e| e.body() != b"break"), "planned");
        batch.retain(|e| e.body() != b"drop");
    }
    fn may_block(&self) -> bool {
        true
    }
}

fn gated(counters: &Arc<SourceCounters>, c: &Arc<Scripted>, gate: &Arc<Gate>) -> Arc<Deliver> {
    let chain = Chain::new(vec![Box::new(Gated(gate.clone()))]);
    let list = vec![c.clone() as Arc<dyn Channel>];
    Arc::new(Deliver::new(counters.clone(), chain, replicating::for_tests(1, &[]), list))
}

impl Bench {
    fn serve_gated(&mut self, protocol: Arc<dyn Protocol>, c: &Arc<Scripted>, gate: &Arc<Gate>) -> Served {
        let counters = SourceCounters::new("g1");
        let deliver = gated(&counters, c, gate);
        self.serve_with(protocol, deliver, counters)
    }

    fn serve_with(
        &mut self,
        protocol: Arc<dyn Protocol>,
        deliver: Arc<Deliver>,
        counters: Arc<SourceCounters>,
    ) -> Served {
        let listener = bind_tcp(&Endpoint { host: Some("127.0.0.1".into()), port: 0 }).unwrap();
        let addr = listener.local_addr().unwrap();
        let id = SourceId(self.next);
        self.next += 1;
        self.net.attach(id, Attach::Stream { listener, protocol, deliver });
        Served { id, addr, counters }
    }
}

fn lines(answers: bool) -> Arc<dyn Protocol> {
    Arc::new(Lines { answers, longest: 1 << 20 })
}

/// Calls, a line each, that are decoded on the pool: the gate first. `refuse` is one that is no good.
struct Calls(Arc<Gate>);

struct CallSession {
    lines: LineDecoder,
    gate: Arc<Gate>,
}

impl Protocol for Calls {
    fn can_refuse(&self) -> bool {
        true
    }
    fn makes_calls(&self) -> bool {
        true
    }
    fn open(&self, _: &Peer) -> Box<dyn Session> {
        let lines = LineDecoder::new(1 << 20, Charset::UTF_8);
        Box::new(CallSession { lines, gate: self.0.clone() })
    }
}

impl Session for CallSession {
    fn decode(&mut self, chunk: &Chunk<'_>, eof: bool, limits: BatchLimits, _: &mut Batch) -> Decoded {
        let mut line = Batch::new();
        let decoded = self.lines.decode(chunk, eof, BatchLimits { events: 1, ..limits }, &mut line);
        if line.is_empty() {
            return decoded;
        }
        let text = line.get(0).body().to_vec();
        let gate = self.gate.clone();
        let run = move |batch: &mut Batch| {
            assert!(std::thread::current().name().unwrap_or_default().starts_with("pool:"));
            let word = String::from_utf8_lossy(&text).into_owned();
            gate.pass(&word);
            assert_ne!(word, "break", "planned");
            batch.push(Body::Copy(&text));
            Call { kind: CallKind::Append, refused: None }
        };
        Decoded { used: decoded.used, then: Then::Work(Work { bytes: 100, run: Box::new(run) }) }
    }
    fn answer(&mut self, _: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
        let line = match outcome {
            Outcome::Stored => "OK\n".to_owned(),
            Outcome::Refused(why) | Outcome::TooLarge(why) => format!("FAILED: {why}\n"),
        };
        out.extend(line.bytes());
        After::Continue
    }
}

/// Both ways to the pool.
fn both(test: impl Fn(&mut Bench, &dyn Fn(&mut Bench, &Arc<Scripted>, &Arc<Gate>) -> Served)) {
    for loops in [1, 2] {
        test(&mut Bench::of(loops, Settings::default()), &|b, c, gate| b.serve_gated(lines(true), c, gate));
        test(&mut Bench::of(loops, Settings::default()), &|b, c, gate| {
            let counters = SourceCounters::new("w1");
            let selector = replicating::for_tests(1, &[]);
            let list = vec![c.clone() as Arc<dyn Channel>];
            let deliver = Arc::new(Deliver::new(counters.clone(), Chain::default(), selector, list));
            b.serve_with(Arc::new(Calls(gate.clone())), deliver, counters)
        });
    }
}

#[test]
fn order_is_each_connections_own() {
    both(|b, serve| {
        let (c, gate) = (channel(100, PATIENCE), Arc::default());
        let s = serve(b, &c, &gate);
        let mut clients: Vec<Client> = (0..3).map(|_| Client::to(&s)).collect();
        for (i, k) in clients.iter_mut().enumerate() {
            k.send(&format!("hold {i}\n"));
            gate.await_word(&format!("hold {i}"));
            k.send(&format!("{i}a\n{i}b\n"));
        }
        assert_eq!(gate.came(), 3, "nothing of a connection passes what is at the gate");
        for i in [2, 0, 1] {
            gate.release(&format!("hold {i}"));
            (0..3).for_each(|_| assert_eq!(clients[i].line(), "OK\n"));
        }
        let expected = [2, 0, 1].map(|i| [format!("hold {i}"), format!("{i}a"), format!("{i}b")]).concat();
        assert_eq!(bodies(&c), expected);
        assert_eq!((s.counters.event_received.get(), s.counters.event_accepted.get()), (9, 9));
    });
}

#[test]
fn others_are_served_and_earlier_answers_go_out_while_one_hangs() {
    both(|b, serve| {
        let (c, other, gate) = (channel(100, PATIENCE), channel(100, PATIENCE), Arc::default());
        let s = serve(b, &c, &gate);
        let free = b.serve(true, &[&other]);
        c.script.lock().unwrap().late = true;
        let mut hangs = Client::to(&s);
        hangs.send("first\n");
        until("it is appended", || c.open_tickets() == 1);
        hangs.send("hold x\n");
        gate.await_word("hold x");
        c.end(0, Ok(()));
        assert_eq!(hangs.line(), "OK\n");
        c.script.lock().unwrap().late = false;
        let (mut same, mut free) = (Client::to(&s), Client::to(&free));
        for _ in 0..20 {
            same.send("x\n");
            free.send("y\n");
            assert_eq!((same.line(), free.line()), ("OK\n".into(), "OK\n".into()));
        }
        gate.release("hold x");
        assert_eq!(hangs.line(), "OK\n");
    });
}

/// Jobs that hang, more than there are threads, stop the connections of their own source only.
#[test]
fn another_source_finds_a_thread() {
    let mut b = Bench::new(Settings { pool_threads: 2, ..Settings::default() });
    let (c, gate) = (channel(100, PATIENCE), Arc::default());
    let (one, two) = (b.serve_gated(lines(true), &c, &gate), b.serve_gated(lines(true), &c, &gate));
    let mut hang: Vec<Client> = (0..4).map(|_| Client::to(&one)).collect();
    hang.iter_mut().for_each(|k| k.send("hold x\n"));
    until("two are at the gate", || gate.came() == 2);
    let mut other = Client::to(&two);
    for _ in 0..3 {
        other.send("y\n");
        assert_eq!(other.line(), "OK\n");
    }
    gate.release("hold x");
    hang.iter_mut().for_each(|k| assert_eq!(k.line(), "OK\n"));
}

#[test]
fn a_panic_ends_its_connection_and_no_thread() {
    both(|b, serve| {
        let (c, gate) = (channel(100, PATIENCE), Arc::default());
        let s = serve(b, &c, &gate);
        let mut good = Client::to(&s);
        for _ in 0..8 {
            let mut bad = Client::to(&s);
            bad.send("break\n");
            assert_eq!(bad.rest(), "");
        }
        good.send("one\n");
        assert_eq!(good.line(), "OK\n");
        until("they are gone", || s.counters.open_connections.get() == 1);
        assert_eq!(bodies(&c), ["one"]);
        let n = &s.counters;
        assert_eq!(n.event_refused.get() + n.event_read_fail.get(), 8);
        assert_eq!(n.event_received.get(), n.event_accepted.get() + n.event_refused.get());
    });
}

#[test]
fn a_stop_waits_for_what_the_pool_has() {
    both(|b, serve| {
        let (c, gate) = (channel(100, PATIENCE), Arc::<Gate>::default());
        let s = serve(b, &c, &gate);
        let mut client = Client::to(&s);
        client.send("hold x\n");
        gate.await_word("hold x");
        client.send("y\n");
        let gone = b.net.detach(s.id, Instant::now() + PATIENCE);
        until("nobody listens", || TcpStream::connect(s.addr).is_err());
        assert!(!gone.wait(Instant::now()));
        gate.release("hold x");
        assert_eq!(client.rest(), "OK\nOK\n");
        assert!(gone.wait(Instant::now() + PATIENCE));
        assert_eq!(bodies(&c), ["hold x", "y"]);
    });
}

#[test]
fn a_stop_does_not_wait_longer_than_its_deadline() {
    both(|b, serve| {
        let (c, gate) = (channel(100, PATIENCE), Arc::<Gate>::default());
        let s = serve(b, &c, &gate);
        let mut client = Client::to(&s);
        client.send("hold x\n");
        gate.await_word("hold x");
        let gone = b.net.detach(s.id, Instant::now() + Duration::from_millis(100));
        assert!(gone.wait(Instant::now() + PATIENCE));
        assert_eq!(client.rest(), "FAILED: the agent stops\n");
        let n = &s.counters;
        assert_eq!((n.event_accepted.get(), n.event_refused.get() + n.event_read_fail.get()), (0, 1));
        // What comes back for it finds nobody.
        gate.release("hold x");
        let other = serve(b, &c, &gate);
        let mut next = Client::to(&other);
        next.send("z\n");
        assert_eq!(next.line(), "OK\n");
        assert_eq!(bodies(&c), ["z"]);
    });
}

#[test]
fn what_a_peer_sent_before_it_went_is_stored() {
    both(|b, serve| {
        let (c, gate) = (channel(100, PATIENCE), Arc::<Gate>::default());
        let s = serve(b, &c, &gate);
        let (mut ends, mut breaks) = (Client::to(&s), Client::to(&s));
        ends.send("hold x\na\n");
        gate.await_word("hold x");
        breaks.send("hold y\n");
        gate.await_word("hold y");
        ends.finish();
        breaks.reset();
        gate.release("hold x");
        assert_eq!(ends.rest(), "OK\nOK\n");
        gate.release("hold y");
        until("they are gone", || s.counters.open_connections.get() == 0);
        assert_eq!(bodies(&c), ["hold x", "a", "hold y"]);
        assert_eq!(s.counters.event_accepted.get(), 3);
    });
}

#[test]
fn time_at_the_pool_counts_for_no_deadline_of_the_peer() {
    let (idle, message) = (Some(Duration::from_millis(150)), Duration::from_millis(150));
    let mut b = Bench::new(Settings { idle, message, ..Settings::default() });
    let (c, gate) = (channel(100, PATIENCE), Arc::<Gate>::default());
    let s = b.serve_gated(lines(true), &c, &gate);
    let mut client = Client::to(&s);
    client.send(&format!("hold x\n{}", "x".repeat(20_000)));
    gate.await_word("hold x");
    let long_after = Instant::now() + 3 * message;
    until("both deadlines are over", || Instant::now() > long_after);
    gate.release("hold x");
    assert_eq!(client.line(), "OK\n");
    client.send("y\n");
    assert_eq!(client.line(), "OK\n");
    assert_eq!(bodies(&c).len(), 2);
}

#[test]
fn what_finds_no_room_afterwards_is_kept_as_the_interceptors_left_it() {
    let mut b = Bench::new(Settings::default());
    let (c, gate) = (channel(1, PATIENCE), Arc::<Gate>::default());
    let s = b.serve_gated(lines(true), &c, &gate);
    let mut client = Client::to(&s);
    client.send("1\n");
    assert_eq!(client.line(), "OK\n");
    client.send("drop\n2\n");
    until("it is parked", || s.counters.parked.get() == 1);
    assert_eq!(bodies(&c), ["1"]);
    assert_eq!((client.line(), client.line()), ("OK\n".into(), "OK\n".into()));
    assert_eq!(bodies(&c), ["2"]);
    let n = ["1", "drop", "2"].map(|w| gate.state.lock().unwrap().0.iter().filter(|x| *x == w).count());
    assert_eq!(n, [1; 3], "each was there once");
}

#[test]
fn above_the_budget_nothing_is_read_until_the_pool_is_through() {
    let mut b = Bench::of(2, Settings { max_in_flight: 200_000, pool_threads: 1, ..Settings::default() });
    let (c, gate) = (channel(10, PATIENCE), Arc::<Gate>::default());
    let s = b.serve_gated(lines(false), &c, &gate);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::to(&s)).collect();
    let text: String = (0..1000).map(|i| format!("{i:030}\n")).collect();
    for k in &mut clients {
        k.send(&text);
        k.finish();
    }
    let mut got = 0;
    until("everything came out", || {
        got += bodies(&c).len();
        got == 8000
    });
    until("all are closed", || s.counters.open_connections.get() == 0);
    assert_eq!((s.counters.event_accepted.get(), s.counters.event_dropped.get()), (8000, 0));
}

#[test]
fn a_connection_changes_over_when_the_pool_is_through_with_it() {
    // Of one loop: it hears of the end before it hears from the pool.
    let mut b = Bench::new(Settings::default());
    let (old, new, gate) = (channel(100, PATIENCE), channel(100, PATIENCE), Arc::<Gate>::default());
    let s = b.serve_gated(lines(true), &old, &gate);
    let mut client = Client::to(&s);
    client.send("hold x\n");
    gate.await_word("hold x");
    let next = b.serve_gated(lines(true), &new, &gate);
    let gone = b.net.replace(s.id, Instant::now() + PATIENCE, false, Some(next.id));
    client.send("y\n");
    assert!(!gone.wait(Instant::now()));
    gate.release("hold x");
    assert_eq!((client.line(), client.line()), ("OK\n".into(), "OK\n".into()));
    assert!(gone.wait(Instant::now() + PATIENCE));
    assert_eq!((bodies(&old), bodies(&new)), (vec!["hold x".to_owned()], vec!["y".to_owned()]));
}

struct Udp {
    counters: Arc<SourceCounters>,
    socket: std::net::UdpSocket,
}

impl Udp {
    fn to(b: &Bench, c: &Arc<Scripted>, gate: &Arc<Gate>) -> Udp {
        let socket = bind_udp(&Endpoint { host: Some("127.0.0.1".into()), port: 0 }, None).unwrap();
        let to = socket.local_addr().unwrap();
        let counters = SourceCounters::new("u1");
        let deliver = gated(&counters, c, gate);
        b.net.attach(SourceId(9), Attach::Datagram { socket, protocol: Box::new(Datagram), deliver });
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(to).unwrap();
        Udp { counters, socket }
    }
    /// Sends and waits until it is read: UDP itself drops nothing then.
    fn send(&self, text: &str) {
        let n = self.counters.event_received.get();
        self.socket.send(text.as_bytes()).unwrap();
        until("it is received", || self.counters.event_received.get() == n + 1);
    }
}

#[test]
fn datagrams_wait_for_the_pool_in_order_and_a_stop_waits_for_them() {
    let b = Bench::new(Settings::default());
    let (c, gate) = (channel(1000, PATIENCE), Arc::<Gate>::default());
    let u = Udp::to(&b, &c, &gate);
    u.send("hold x");
    gate.await_word("hold x");
    (0..50).for_each(|i| u.send(&i.to_string()));
    u.send("break");
    u.send("drop");
    u.send("last");
    assert_eq!(gate.came(), 1);
    let gone = b.net.detach(SourceId(9), Instant::now() + PATIENCE);
    assert!(!gone.wait(Instant::now()));
    gate.release("hold x");
    assert!(gone.wait(Instant::now() + PATIENCE));
    let expected: Vec<String> = ["hold x".to_owned()]
        .into_iter()
        .chain((0..50).map(|i| i.to_string()))
        .chain(["last".into()])
        .collect();
    assert_eq!(bodies(&c), expected);
    let n = &u.counters;
    assert_eq!((n.event_received.get(), n.event_accepted.get(), n.event_dropped.get()), (54, 53, 1));
}

#[test]
fn datagrams_that_the_pool_does_not_come_to_are_dropped_and_counted() {
    let b = Bench::new(Settings { max_in_flight: 80_000, ..Settings::default() });
    let (c, gate) = (channel(1000, PATIENCE), Arc::<Gate>::default());
    let u = Udp::to(&b, &c, &gate);
    u.send("hold x");
    gate.await_word("hold x");
    (0..50).for_each(|_| u.send(&"x".repeat(900)));
    let dropped = u.counters.event_dropped.get();
    assert!((39..48).contains(&dropped), "an eighth of the budget waits, {dropped} of 50 are dropped");
    let gone = b.net.detach(SourceId(9), Instant::now() + Duration::from_millis(50));
    assert!(gone.wait(Instant::now() + PATIENCE));
    gate.release("hold x");
    assert_eq!((u.counters.event_accepted.get(), u.counters.event_dropped.get()), (0, 51));
}
