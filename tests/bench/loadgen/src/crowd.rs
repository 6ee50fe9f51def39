//! Crowds of HTTP connections on one thread: those that post one request after the other, and those that hang on and send
//! a byte now and then.

use crate::client::{self, Mode};
use crate::event::Images;
use crate::http::{self, Body};
use crate::http_in::{Head, HttpIn};
use crate::stats::Hist;
use crate::Opts;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

struct Poll(libc::c_int);

impl Poll {
    fn new() -> Poll {
        // SAFETY: no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        assert!(fd >= 0, "epoll_create1: {}", io::Error::last_os_error());
        Poll(fd)
    }

    /// Edge-triggered, for both directions; a closed socket takes itself out.
    fn add(&self, s: &TcpStream, token: usize) {
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) as u32;
        let mut e = libc::epoll_event { events, u64: token as u64 };
        // SAFETY: `e` outlives the call.
        let r = unsafe { libc::epoll_ctl(self.0, libc::EPOLL_CTL_ADD, s.as_raw_fd(), &mut e) };
        assert!(r == 0, "epoll_ctl: {}", io::Error::last_os_error());
    }

    fn wait(&self, ready: &mut Vec<libc::epoll_event>, at_most: Duration) {
        let ms = at_most.as_micros().div_ceil(1000).min(1000) as libc::c_int;
        // SAFETY: the vector has room for as many as the call is told of.
        let n = unsafe { libc::epoll_wait(self.0, ready.as_mut_ptr(), ready.capacity() as libc::c_int, ms) };
        // SAFETY: so many were written; none where it was interrupted.
        unsafe { ready.set_len(n.max(0) as usize) };
    }
}

/// As many descriptors as the hard limit allows.
fn raise_limit() {
    // SAFETY: both calls work on the local.
    unsafe {
        let mut l: libc::rlimit = std::mem::zeroed();
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut l);
        l.rlim_cur = l.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &l);
    }
}

fn connect(o: &Opts) -> io::Result<TcpStream> {
    let s = TcpStream::connect((o.host.as_str(), o.port))?;
    s.set_nodelay(true)?;
    s.set_nonblocking(true)?;
    Ok(s)
}

fn is_wait(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// One of those that post.
struct Poster {
    s: TcpStream,
    rd: HttpIn,
    req: Vec<u8>,
    written: usize,
    head: Option<Head>,
    since: Instant,
    dead: bool,
}

impl Poster {
    /// Goes on until it would block; true when an answer is there whole. Fails on any status but 2xx.
    fn drive(&mut self) -> io::Result<bool> {
        while self.written < self.req.len() {
            match self.s.write(&self.req[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if is_wait(&e) => break,
                Err(e) => return Err(e),
            }
        }
        let got = match self.answer() {
            Err(e) if is_wait(&e) => return Ok(false),
            got => got?,
        };
        if !(200..300).contains(&got.status) {
            return Err(io::Error::other(format!("HTTP status {}", got.status)));
        }
        if got.close {
            return Err(io::Error::other("answered with Connection: close"));
        }
        Ok(true)
    }

    fn answer(&mut self) -> io::Result<Head> {
        let closed = || io::Error::new(ErrorKind::UnexpectedEof, "closed by the server");
        let head = match self.head {
            Some(head) => head,
            None => *self.head.insert(self.rd.head(&mut self.s)?.ok_or_else(closed)?),
        };
        self.rd.body(&mut self.s, &head)?;
        self.rd.done();
        self.head = None;
        Ok(head)
    }

    fn next(&mut self, o: &Opts, img: &Images, n: u64) {
        self.req.clear();
        self.written = 0;
        http::request(&mut self.req, o, Body::Json, img, n, o.batch as u64);
        self.since = Instant::now();
    }
}

/// Every connection posts, and again as soon as it is answered, until time is over; then each waits for its last answer.
pub fn posters(o: &Opts) -> i32 {
    raise_limit();
    let img = client::images(Mode::Http(Body::Json), o, 0);
    let poll = Poll::new();
    let mut all: Vec<Poster> = Vec::new();
    for i in 0..o.conns as usize {
        match connect(o) {
            Ok(s) => {
                poll.add(&s, i);
                let rd = HttpIn::new(512);
                let since = Instant::now();
                all.push(Poster { s, rd, req: vec![], written: 0, head: None, since, dead: false });
            }
            Err(e) => {
                eprintln!("loadgen: connection {i}: {e}");
                return 1;
            }
        }
    }
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(o.max_secs);
    let last = end + Duration::from_secs_f64(o.io_timeout);
    let (mut lat, mut n, mut acked, mut failed, mut open) = (Hist::new(), o.start, 0u64, 0u32, 0usize);
    let mut fail = |i: usize, e: io::Error| {
        failed += 1;
        if failed <= 3 || o.verbose {
            eprintln!("loadgen: connection {i}: {e}");
        }
    };
    let mut ready: Vec<usize> = (0..all.len()).collect();
    for p in &mut all {
        p.next(o, &img, n);
        n += o.batch as u64;
        open += 1;
    }
    let mut events = Vec::with_capacity(1024);
    while open > 0 && Instant::now() < last {
        for i in ready.drain(..) {
            let p = &mut all[i];
            while !p.dead {
                match p.drive() {
                    Ok(false) => break,
                    Ok(true) => {
                        lat.add(p.since.elapsed().as_micros() as u64);
                        acked += o.batch as u64;
                        if Instant::now() >= end || n - o.start >= o.events {
                            (p.dead, open) = (true, open - 1);
                        } else {
                            p.next(o, &img, n);
                            n += o.batch as u64;
                        }
                    }
                    Err(e) => {
                        fail(i, e);
                        (p.dead, open) = (true, open - 1);
                    }
                }
            }
        }
        poll.wait(&mut events, Duration::from_millis(100));
        ready.extend(events.iter().map(|e| e.u64 as usize));
    }
    let secs = began.elapsed().as_secs_f64();
    println!(
        "{{\"sent\":{},\"acked\":{acked},\"errors\":{failed},\"unanswered\":{open},\"secs\":{secs:.4},\"batches\":{},\"ack_us_p50\":{},\"ack_us_p99\":{},\"ack_us_max\":{},\"cpu_s\":{:.3}}}",
        n - o.start,
        lat.n,
        lat.pct(50.0),
        lat.pct(99.0),
        lat.max,
        crate::cpu_secs()
    );
    i32::from(failed > 0 || open > 0)
}

/// One of those that hang on.
struct Loris {
    s: TcpStream,
    sent: usize,
}

/// Half of them never end their head, half never end their body.
fn slow_bytes(i: usize, at: usize) -> u8 {
    let head: &[u8] = if i % 2 == 0 {
        b"POST / HTTP/1.1\r\nHost: slow\r\nX-Slow: "
    } else {
        b"POST / HTTP/1.1\r\nHost: slow\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n[{\"body\":\""
    };
    head.get(at).copied().unwrap_or(b'z')
}

/// Connections that each send a byte every --every seconds. One that the server ends is counted, with the status of its
/// answer, and opened again, so that the crowd stays.
pub fn loris(o: &Opts) -> i32 {
    raise_limit();
    let poll = Poll::new();
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(o.max_secs);
    let every = Duration::from_secs_f64(o.every);
    let mut all: Vec<Option<Loris>> = (0..o.conns).map(|_| None).collect();
    let (mut opened, mut unopened, mut closed, mut bytes) = (0u64, 0u64, 0u64, 0u64);
    let mut answers: BTreeMap<u16, u64> = BTreeMap::new();
    // The first half of a head comes at once, so that every connection is within a request from the start.
    let open = |i: usize, opened: &mut u64, unopened: &mut u64| match connect(o) {
        Ok(mut s) => {
            poll.add(&s, i);
            *opened += 1;
            let first: Vec<u8> = (0..20).map(|at| slow_bytes(i, at)).collect();
            let sent = s.write(&first).unwrap_or(0);
            Some(Loris { s, sent })
        }
        Err(_) => {
            *unopened += 1;
            None
        }
    };
    // All have the same period: the order of what is due never changes.
    let mut due: VecDeque<(Instant, usize)> = VecDeque::new();
    for i in 0..all.len() {
        all[i] = open(i, &mut opened, &mut unopened);
        due.push_back((began + every.mul_f64(i as f64 / f64::from(o.conns)), i));
    }
    eprintln!("loadgen: {opened} slow connections");
    let mut events = Vec::with_capacity(1024);
    while Instant::now() < end && !crate::sink::term() {
        while let Some(&(at, i)) = due.front().filter(|(at, _)| *at <= Instant::now()) {
            due.pop_front();
            due.push_back((at + every, i));
            match &mut all[i] {
                Some(l) => {
                    if l.s.write(&[slow_bytes(i, l.sent)]).is_ok() {
                        l.sent += 1;
                        bytes += 1;
                    }
                }
                None => all[i] = open(i, &mut opened, &mut unopened),
            }
        }
        let next = due.front().map_or(every, |(at, _)| at.saturating_duration_since(Instant::now()));
        poll.wait(&mut events, next);
        for e in &events {
            let i = e.u64 as usize;
            let Some(l) = &mut all[i] else { continue };
            // What a server may say to it is its last word.
            match HttpIn::new(1024).head(&mut l.s) {
                Err(e) if is_wait(&e) => continue,
                Ok(Some(head)) => *answers.entry(head.status).or_default() += 1,
                _ => {}
            }
            closed += 1;
            all[i] = None;
        }
    }
    let open = all.iter().flatten().count();
    let answers: Vec<String> = answers.iter().map(|(status, n)| format!("\"{status}\":{n}")).collect();
    println!(
        "{{\"conns\":{},\"open\":{open},\"opened\":{opened},\"unopened\":{unopened},\"closed\":{closed},\"answers\":{{{}}},\"bytes\":{bytes},\"secs\":{:.3},\"cpu_s\":{:.3}}}",
        o.conns,
        answers.join(","),
        began.elapsed().as_secs_f64(),
        crate::cpu_secs()
    );
    i32::from(unopened > 0)
}
