//! The loop on real sockets, over a channel that misbehaves on cue.

use super::*;
use crate::channel::scripted::Scripted;
use crate::channel::{Channel, Limits, Take};
use crate::codec::charset::Charset;
use crate::codec::line::LineDecoder;
use crate::counters::SourceCounters;
use crate::deliver::Deliver;
use crate::interceptor::Chain;
use crate::selector::replicating;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod loops;
mod pool;

const PATIENCE: Duration = Duration::from_secs(20);

/// Lines, answered or not; a line `panic` does.
struct Lines {
    answers: bool,
    longest: usize,
}

impl Protocol for Lines {
    fn can_refuse(&self) -> bool {
        self.answers
    }
    fn open(&self, _: &Peer) -> Box<dyn Session> {
        Box::new(LineSession { lines: LineDecoder::new(self.longest, Charset::UTF_8), answers: self.answers })
    }
}

struct LineSession {
    lines: LineDecoder,
    answers: bool,
}

impl Session for LineSession {
    fn decode(&mut self, chunk: &Chunk<'_>, eof: bool, limits: BatchLimits, batch: &mut Batch) -> Decoded {
        let decoded = self.lines.decode(chunk, eof, limits, batch);
        assert!(batch.iter().all(|e| e.body() != b"panic"), "planned");
        decoded
    }
    fn answer(&mut self, events: usize, outcome: Outcome<'_>, out: &mut Vec<u8>) -> After {
        if self.answers {
            let line = match outcome {
                Outcome::Stored => "OK\n".to_owned(),
                Outcome::Refused(why) | Outcome::TooLarge(why) => format!("FAILED: {why}\n"),
            };
            out.extend(line.repeat(events).bytes());
        }
        After::Continue
    }
}

struct Bench {
    net: Loops,
    threads: Vec<std::thread::JoinHandle<()>>,
    next: u32,
}

struct Served {
    id: SourceId,
    addr: SocketAddr,
    counters: Arc<SourceCounters>,
}

impl Bench {
    fn new(settings: Settings) -> Bench {
        Bench::of(1, settings)
    }

    fn of(loops: usize, settings: Settings) -> Bench {
        let (net, threads) = start(loops, settings, Arc::new(Names::default())).unwrap();
        Bench { net, threads, next: 0 }
    }

    fn serve(&mut self, answers: bool, channels: &[&Arc<Scripted>]) -> Served {
        self.serve_lines(answers, 100, channels)
    }

    fn serve_lines(&mut self, answers: bool, longest: usize, channels: &[&Arc<Scripted>]) -> Served {
        let listener = bind_tcp(&Endpoint { host: Some("127.0.0.1".into()), port: 0 }).unwrap();
        let addr = listener.local_addr().unwrap();
        let counters = SourceCounters::new("r1");
        let id = self.attach(listener, Arc::new(Lines { answers, longest }), &counters, channels);
        Served { id, addr, counters }
    }

    fn attach(
        &mut self,
        listener: TcpListener,
        protocol: Arc<dyn Protocol>,
        counters: &Arc<SourceCounters>,
        channels: &[&Arc<Scripted>],
    ) -> SourceId {
        let list = channels.iter().map(|c| (*c).clone() as Arc<dyn Channel>).collect();
        let selector = replicating::for_tests(channels.len(), &[]);
        let deliver = Arc::new(Deliver::new(counters.clone(), Chain::default(), selector, list));
        let id = SourceId(self.next);
        self.next += 1;
        self.net.attach(id, Attach::Stream { listener, protocol, deliver });
        id
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.net.shutdown();
        let joined: Vec<bool> = self.threads.drain(..).map(|t| t.join().is_ok()).collect();
        if !std::thread::panicking() {
            assert!(joined.iter().all(|ok| *ok), "the loops lived to their end");
        }
    }
}

fn channel(capacity: usize, keep_alive: Duration) -> Arc<Scripted> {
    let (transaction_capacity, byte_capacity) = (capacity, usize::MAX);
    Scripted::new("c1", Limits { capacity, transaction_capacity, byte_capacity, keep_alive, durable: true })
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn to(s: &Served) -> Client {
        let socket = TcpStream::connect(s.addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(socket))
    }
    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }
    fn finish(&mut self) {
        self.0.get_mut().shutdown(std::net::Shutdown::Write).unwrap();
    }
    /// Breaks the connection off: the other side sees an error, not an end.
    fn reset(self) {
        socket2::SockRef::from(self.0.get_ref()).set_linger(Some(Duration::ZERO)).unwrap();
    }
    fn rest(mut self) -> String {
        let mut text = String::new();
        let _ = self.0.read_to_string(&mut text);
        text
    }
}

/// Waits until something other threads bring about is true.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn bodies(c: &Arc<Scripted>) -> Vec<String> {
    let c: Arc<dyn Channel> = c.clone();
    let t = Take::begin(&c, usize::MAX, Instant::now(), &AtomicBool::new(false)).unwrap();
    let all = t.events().map(|e| String::from_utf8_lossy(e.body()).into_owned()).collect();
    t.commit().unwrap();
    all
}

#[test]
fn an_answer_waits_for_its_ticket_and_for_those_before_it() {
    let mut b = Bench::new(Settings::default());
    let c = channel(100, PATIENCE);
    c.script.lock().unwrap().late = true;
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send("one\n");
    until("the first is appended", || c.open_tickets() == 1);
    client.send("two\n");
    until("the second is appended", || c.open_tickets() == 2);
    c.end(1, Ok(()));
    assert_eq!(s.counters.event_accepted.get(), 0, "the second is done, the first is not");
    c.end(0, Err("sync failed".into()));
    assert_eq!((client.line(), client.line()), ("FAILED: sync failed\n".into(), "OK\n".into()));
    assert_eq!((s.counters.event_accepted.get(), s.counters.event_refused.get()), (1, 1));
}

#[test]
fn a_reset_connection_is_kept_until_its_tickets_end() {
    let mut b = Bench::new(Settings::default());
    let c = channel(100, PATIENCE);
    c.script.lock().unwrap().late = true;
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send("one\n");
    until("it is appended", || c.open_tickets() == 1);
    client.reset();
    c.script.lock().unwrap().late = false;
    c.end(0, Ok(()));
    until("the connection is gone", || s.counters.open_connections.get() == 0);
    assert_eq!((s.counters.event_accepted.get(), s.counters.event_refused.get()), (1, 0));
    let mut other = Client::to(&s);
    other.send("two\n");
    assert_eq!(other.line(), "OK\n");
    assert_eq!(bodies(&c), ["one", "two"]);
}

#[test]
fn who_cannot_be_refused_is_stored_again_after_a_failure() {
    let mut b = Bench::new(Settings::default());
    let c = channel(100, PATIENCE);
    c.script.lock().unwrap().append_fails = vec![Some("disk gone".into()), Some("still gone".into())];
    let s = b.serve(false, &[&c]);
    let mut client = Client::to(&s);
    client.send("one\ntwo\n");
    until("both are there", || s.counters.event_accepted.get() == 2);
    assert_eq!(bodies(&c), ["one", "two"]);
    c.script.lock().unwrap().late = true;
    client.send("three\n");
    until("it is appended", || c.open_tickets() == 1);
    c.end(0, Err("sync failed".into()));
    until("it is appended again", || c.open_tickets() == 1);
    c.end(0, Ok(()));
    until("it is accepted", || s.counters.event_accepted.get() == 3);
    assert_eq!(s.counters.event_dropped.get(), 0);
}

#[test]
fn a_refused_line_is_told_so_at_once_without_keep_alive() {
    let mut b = Bench::new(Settings::default());
    let c = channel(2, Duration::ZERO);
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send("1\n2\n");
    assert_eq!((client.line(), client.line()), ("OK\n".into(), "OK\n".into()));
    client.send("3\n");
    assert_eq!(client.line(), "FAILED: channel c1 is full\n");
    assert_eq!(bodies(&c), ["1", "2"]);
    client.send("4\n");
    assert_eq!(client.line(), "OK\n");
}

#[test]
fn a_full_channel_holds_back_its_own_connections_only_and_loses_nothing() {
    let mut b = Bench::new(Settings::default());
    let (small, large) = (channel(10, PATIENCE), channel(100_000, PATIENCE));
    let stuck = b.serve(false, &[&small]);
    let free = b.serve(true, &[&large]);
    let mut sender = Client::to(&stuck);
    let text: String = (0..5000).map(|i| format!("{i}\n")).collect();
    sender.send(&text);
    sender.finish();
    until("it is parked", || stuck.counters.parked.get() == 1);
    let mut other = Client::to(&free);
    for _ in 0..100 {
        other.send("x\n");
        assert_eq!(other.line(), "OK\n");
    }
    let mut got = Vec::new();
    until("everything came out", || {
        got.extend(bodies(&small));
        got.len() == 5000
    });
    assert!(got.iter().enumerate().all(|(i, t)| *t == i.to_string()), "in order");
    until("the connection is closed", || stuck.counters.open_connections.get() == 0);
    assert_eq!(stuck.counters.event_dropped.get(), 0);
}

#[test]
fn many_who_wait_are_all_served() {
    let mut b = Bench::new(Settings::default());
    let c = channel(3, PATIENCE);
    let s = b.serve(false, &[&c]);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::to(&s)).collect();
    for (i, k) in clients.iter_mut().enumerate() {
        k.send(&(0..50).map(|n| format!("{i}.{n}\n")).collect::<String>());
        k.finish();
    }
    let mut got = Vec::new();
    until("everything came out", || {
        got.extend(bodies(&c));
        got.len() == 1000
    });
    for i in 0..20 {
        let of = |t: &&String| t.starts_with(&format!("{i}."));
        let mine: Vec<_> = got.iter().filter(of).collect();
        assert!(mine.iter().enumerate().all(|(n, t)| **t == format!("{i}.{n}")), "{mine:?}");
    }
}

/// Who moves from the line of one full channel to that of another must not keep a place in the first.
#[test]
fn a_place_in_line_is_given_up_on_moving_on() {
    let mut b = Bench::new(Settings::default());
    let (one, two) = (channel(10, PATIENCE), channel(10, PATIENCE));
    let both = b.serve(false, &[&one, &two]);
    let second = b.serve(true, &[&two]);
    two.script.lock().unwrap().reserve_left = Some(0);
    Client::to(&both).send("x\n");
    until("it waits for the second", || both.counters.parked.get() == 1);
    one.script.lock().unwrap().reserve_left = Some(0);
    two.script.lock().unwrap().reserve_left = None;
    two.wake_line();
    let mut other = Client::to(&second);
    let long_after = Instant::now() + 2 * crate::channel::Waiters::PATIENCE;
    while Instant::now() < long_after {
        other.send("y\n");
        assert_eq!(other.line(), "OK\n", "nobody who waits elsewhere is in the way");
        bodies(&two);
    }
    one.script.lock().unwrap().reserve_left = None;
    one.wake_line();
    until("it is stored", || both.counters.event_accepted.get() == 1);
}

#[test]
fn what_a_reset_connection_sent_is_still_stored() {
    let mut b = Bench::new(Settings::default());
    let c = channel(1, PATIENCE);
    let s = b.serve(false, &[&c]);
    let mut client = Client::to(&s);
    client.send("1\n2\n3\ntail");
    until("it is parked", || s.counters.parked.get() == 1);
    client.reset();
    let mut got = Vec::new();
    until("all three came out", || {
        got.extend(bodies(&c));
        got.len() == 3
    });
    until("the connection is gone", || s.counters.open_connections.get() == 0);
    assert_eq!(got, ["1", "2", "3"]);
    assert_eq!((s.counters.event_dropped.get(), s.counters.event_read_fail.get()), (0, 1));
}

/// A reset met while writing answers once threw away complete lines that had been read before it.
#[test]
fn what_a_reset_connection_with_answers_sent_is_stored_too() {
    let mut b = Bench::new(Settings::default());
    let c = channel(1, PATIENCE);
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send("1\n2\n3\n4\n");
    until("it is parked", || s.counters.parked.get() == 1);
    client.reset();
    let mut got = Vec::new();
    until("all four came out", || {
        got.extend(bodies(&c));
        got.len() == 4
    });
    until("the connection is gone", || s.counters.open_connections.get() == 0);
    assert_eq!(s.counters.event_accepted.get(), 4);
}

/// One that was reset while its last batch was parked once stayed open for ever, and the batch uncounted.
#[test]
fn a_reset_connection_is_gone_when_its_last_batch_is_stored() {
    let mut b = Bench::new(Settings::default());
    let c = channel(1, PATIENCE);
    let s = b.serve(false, &[&c]);
    let mut client = Client::to(&s);
    client.send("1\n2\n");
    until("it is parked", || s.counters.parked.get() == 1);
    client.reset();
    // Until the log has told of its wait a deadline gives it one more turn.
    let long_after = Instant::now() + Duration::from_millis(1200);
    until("nothing else gives it a turn", || Instant::now() > long_after);
    assert_eq!(bodies(&c), ["1"]);
    until("the connection is gone", || s.counters.open_connections.get() == 0);
    assert_eq!((bodies(&c), s.counters.event_accepted.get()), (vec!["2".to_owned()], 2));
}

#[test]
fn time_spent_parked_counts_for_no_deadline_of_the_peer() {
    let (idle, message) = (Some(Duration::from_millis(150)), Duration::from_millis(150));
    let mut b = Bench::new(Settings { idle, message, ..Settings::default() });
    let c = channel(1, PATIENCE);
    let s = b.serve_lines(false, 1 << 20, &[&c]);
    let mut client = Client::to(&s);
    client.send(&format!("1\n2\n{}", "x".repeat(20_000)));
    until("it is parked", || s.counters.parked.get() == 1);
    let long_after = Instant::now() + 3 * message;
    until("both deadlines are over", || Instant::now() > long_after);
    assert_eq!(bodies(&c), ["1"]);
    until("the second is stored", || c.backlog() == 1);
    client.send("y\n");
    assert_eq!(bodies(&c), ["2"]);
    until("the third is stored", || c.backlog() == 1);
    assert_eq!(s.counters.event_dropped.get(), 0);
}

#[test]
fn one_long_message_may_take_what_is_there() {
    let mut b = Bench::new(Settings { max_in_flight: 300_000, ..Settings::default() });
    let c = channel(10, PATIENCE);
    let s = b.serve_lines(true, 1 << 22, &[&c]);
    let mut client = Client::to(&s);
    client.send(&format!("{}\n", "x".repeat(2_000_000)));
    assert_eq!(client.line(), "OK\n");
}

#[test]
fn a_stop_serves_the_whole_backlog() {
    let mut b = Bench::new(Settings::default());
    let c = channel(1000, PATIENCE);
    let s = b.serve(false, &[&c]);
    let clients: Vec<TcpStream> = (0..300)
        .map(|i| {
            let mut k = TcpStream::connect(s.addr).unwrap();
            k.write_all(format!("{i}\n").as_bytes()).unwrap();
            k
        })
        .collect();
    assert!(b.net.detach(s.id, Instant::now() + PATIENCE).wait(Instant::now() + PATIENCE));
    drop(clients);
    assert_eq!(bodies(&c).len(), 300);
}

/// One event a datagram.
struct Datagram;
impl DatagramProtocol for Datagram {
    fn decode(&mut self, datagram: &[u8], _: &Peer, batch: &mut Batch) -> bool {
        batch.push(crate::event::Body::Copy(datagram));
        true
    }
}

#[test]
fn datagrams_fill_the_room_there_is_and_the_rest_is_counted() {
    let b = Bench::new(Settings::default());
    let c = channel(100, PATIENCE);
    let socket = bind_udp(&Endpoint { host: Some("127.0.0.1".into()), port: 0 }, None).unwrap();
    let to = socket.local_addr().unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    // All 130 wait in the socket before the loop sees the first.
    for i in 0..130 {
        sender.send_to(i.to_string().as_bytes(), to).unwrap();
    }
    let counters = SourceCounters::new("u1");
    let selector = replicating::for_tests(1, &[]);
    let list = vec![c.clone() as Arc<dyn Channel>];
    let deliver = Arc::new(Deliver::new(counters.clone(), Chain::default(), selector, list));
    b.net.attach(SourceId(9), Attach::Datagram { socket, protocol: Box::new(Datagram), deliver });
    until("all are received", || counters.event_received.get() == 130);
    assert!(b.net.detach(SourceId(9), Instant::now() + PATIENCE).wait(Instant::now() + PATIENCE));
    assert_eq!((counters.event_accepted.get(), counters.event_dropped.get()), (100, 30));
    assert!(bodies(&c).iter().enumerate().all(|(i, t)| *t == i.to_string()));
}

#[test]
fn a_panic_ends_its_connection_alone() {
    let mut b = Bench::new(Settings::default());
    let c = channel(100, PATIENCE);
    let s = b.serve(true, &[&c]);
    let mut good = Client::to(&s);
    good.send("one\n");
    assert_eq!(good.line(), "OK\n");
    let mut bad = Client::to(&s);
    bad.send("panic\n");
    assert_eq!(bad.rest(), "");
    good.send("two\n");
    assert_eq!(good.line(), "OK\n");
    assert_eq!(bodies(&c), ["one", "two"]);
    assert_eq!(s.counters.open_connections.get(), 1);
}

#[test]
fn a_fault_is_answered_after_what_came_before_it() {
    let mut b = Bench::new(Settings::default());
    let c = channel(100, PATIENCE);
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send(&format!("one\n{}\nnever\n", "x".repeat(200)));
    let answer = client.rest();
    assert!(answer.starts_with("OK\nFAILED: Event exceeds the maximum length (100 chars"), "{answer}");
    assert_eq!(bodies(&c), ["one"]);
}

#[test]
fn above_the_budget_nothing_is_read_until_it_comes_free() {
    let mut b = Bench::new(Settings { max_in_flight: 100_000, ..Settings::default() });
    let c = channel(10, PATIENCE);
    let s = b.serve(false, &[&c]);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::to(&s)).collect();
    let text: String = (0..2000).map(|i| format!("{i:030}\n")).collect();
    for k in &mut clients {
        k.send(&text);
        k.finish();
    }
    let mut got = 0;
    until("everything came out", || {
        got += bodies(&c).len();
        got == 16_000
    });
    until("all are closed", || s.counters.open_connections.get() == 0);
    assert_eq!(s.counters.event_accepted.get(), 16_000);
}

/// Senders that never finish their long lines once held a source's share of memory for ever.
#[test]
fn unfinished_messages_give_their_memory_back_in_time() {
    let message = Duration::from_millis(200);
    let mut b = Bench::new(Settings { max_in_flight: 600_000, message, ..Settings::default() });
    let c = channel(100, PATIENCE);
    let s = b.serve_lines(true, 1 << 20, &[&c]);
    let mut hogs: Vec<Client> = (0..20).map(|_| Client::to(&s)).collect();
    for h in &mut hogs {
        h.send(&"x".repeat(60_000));
    }
    let mut other = Client::to(&s);
    other.send("y\n");
    assert_eq!(other.line(), "OK\n");
    until("the others are closed", || s.counters.open_connections.get() == 1);
    let long = "z".repeat(150_000);
    other.send(&format!("{long}\n"));
    assert_eq!(other.line(), "OK\n", "a long line that ends is stored");
    assert_eq!(bodies(&c), ["y".to_owned(), long]);
}

/// Those who had part of a long message once waited for each other, until each one's time for it was over.
#[test]
fn messages_that_do_not_fit_together_come_to_their_ends_one_after_the_other() {
    let mut b = Bench::new(Settings { max_in_flight: 600_000, ..Settings::default() });
    let c = channel(1000, PATIENCE);
    let s = b.serve_lines(true, 1 << 20, &[&c]);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::to(&s)).collect();
    for k in &mut clients {
        k.send(&"x".repeat(70_000));
    }
    std::thread::scope(|all| {
        for k in &mut clients {
            all.spawn(|| {
                for _ in 0..3 {
                    k.send(&format!("{}\n{}", "x".repeat(400_000), "y".repeat(70_000)));
                    assert_eq!(k.line(), "OK\n");
                }
            });
        }
    });
    assert_eq!(s.counters.event_accepted.get(), 24);
}

#[test]
fn who_stalls_in_a_long_message_holds_others_back_for_its_own_time_at_most() {
    let message = Duration::from_secs(1);
    let mut b = Bench::new(Settings { max_in_flight: 600_000, message, ..Settings::default() });
    let c = channel(100, PATIENCE);
    let s = b.serve_lines(true, 1 << 20, &[&c]);
    let mut stalled = Client::to(&s);
    stalled.send(&"x".repeat(500_000));
    let mut clients: Vec<Client> = (0..6).map(|_| Client::to(&s)).collect();
    std::thread::scope(|all| {
        for k in &mut clients {
            all.spawn(|| {
                k.send(&format!("{}\n", "y".repeat(400_000)));
                assert_eq!(k.line(), "OK\n");
            });
        }
    });
    until("it is closed", || s.counters.open_connections.get() == 6);
}

#[test]
fn a_stop_reads_what_is_there_and_counts_what_finds_no_room() {
    let mut b = Bench::new(Settings::default());
    let c = channel(10, PATIENCE);
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send(&"x\n".repeat(25));
    until("the channel is full", || s.counters.parked.get() == 1);
    let deadline = Instant::now() + Duration::from_millis(300);
    assert!(b.net.detach(s.id, deadline).wait(Instant::now() + PATIENCE));
    assert!(TcpStream::connect(s.addr).is_err(), "nobody listens any more");
    let stored = bodies(&c).len() as u64;
    let n = &s.counters;
    assert_eq!((stored, n.event_accepted.get()), (10, 10));
    assert_eq!(n.event_received.get(), n.event_accepted.get() + n.event_refused.get());
    assert_eq!(client.rest().matches("OK\n").count(), 10);
}

#[test]
fn a_ticket_outlives_its_connection() {
    let mut b = Bench::new(Settings::default());
    let c = channel(10, PATIENCE);
    c.script.lock().unwrap().late = true;
    let s = b.serve(true, &[&c]);
    let mut client = Client::to(&s);
    client.send("1\n");
    until("it is appended", || c.open_tickets() == 1);
    assert!(b.net.detach(s.id, Instant::now() + Duration::from_millis(50)).wait(Instant::now() + PATIENCE));
    assert_eq!(client.rest(), "FAILED: the agent stops\n", "nobody knows yet: the sender may repeat it");
    assert_eq!((s.counters.event_accepted.get(), s.counters.event_refused.get()), (0, 1));
    c.end(0, Ok(()));
    let other = b.serve(true, &[&c]);
    let mut next = Client::to(&other);
    c.script.lock().unwrap().late = false;
    next.send("2\n");
    assert_eq!(next.line(), "OK\n");
}

#[test]
fn connections_above_the_limit_are_closed_as_they_come() {
    let mut b = Bench::new(Settings { max_connections: 2, ..Settings::default() });
    let c = channel(100, PATIENCE);
    let s = b.serve(true, &[&c]);
    let mut two: Vec<Client> = (0..2).map(|_| Client::to(&s)).collect();
    for k in &mut two {
        k.send("x\n");
        assert_eq!(k.line(), "OK\n");
    }
    assert_eq!(Client::to(&s).rest(), "");
    assert_eq!(s.counters.connection_refused.get(), 1);
    two.pop();
    until("one is gone", || s.counters.open_connections.get() == 1);
    let mut next = Client::to(&s);
    next.send("x\n");
    assert_eq!(next.line(), "OK\n");
}

#[test]
fn idle_and_deaf_peers_are_closed() {
    let (idle, answer) = (Some(Duration::from_millis(100)), Duration::from_millis(100));
    let mut b = Bench::new(Settings { idle, answer, ..Settings::default() });
    let c = channel(1 << 30, PATIENCE);
    let s = b.serve(true, &[&c]);
    assert_eq!(Client::to(&s).rest(), "", "closed by the other side");
    let mut deaf = Client::to(&s);
    socket2::SockRef::from(deaf.0.get_ref()).set_recv_buffer_size(4096).unwrap();
    let lines = "x\n".repeat(1000);
    let mut sent = 0;
    while deaf.0.get_mut().write_all(lines.as_bytes()).is_ok() {
        sent += 1;
        assert!(sent < 100_000, "its input is taken although it takes no answers");
    }
    until("it is closed", || s.counters.open_connections.get() == 0);
}

/// Memory that answers had taken once stayed with their connections and was counted; many of them together had used up
/// the budget for ever.
#[test]
fn connections_that_were_answered_hold_nothing_of_the_budget() {
    let mut b = Bench::new(Settings { max_in_flight: 400_000, ..Settings::default() });
    let c = channel(1 << 20, PATIENCE);
    let s = b.serve(true, &[&c]);
    let mut clients: Vec<Client> = (0..60).map(|_| Client::to(&s)).collect();
    for k in &mut clients {
        k.send(&"x\n".repeat(1000));
        (0..1000).for_each(|_| assert_eq!(k.line(), "OK\n"));
    }
}

/// So did the short beginnings of lines, of which a slow sender may have one for as long as it likes.
#[test]
fn short_beginnings_of_lines_do_not_use_up_the_budget() {
    let mut b = Bench::new(Settings { max_in_flight: 400_000, ..Settings::default() });
    let c = channel(1000, PATIENCE);
    let s = b.serve_lines(true, 5000, &[&c]);
    let mut clients: Vec<Client> = (0..60).map(|_| Client::to(&s)).collect();
    for k in &mut clients {
        k.send(&"x".repeat(4000));
    }
    let mut other = Client::to(&s);
    other.send("y\n");
    assert_eq!(other.line(), "OK\n");
    for k in &mut clients {
        k.send("\n");
        assert_eq!(k.line(), "OK\n");
    }
}
