//! The file channel on a simulated file system: what it does, then what it survives.

use super::fs::sim::SimFs;
use super::*;
use crate::channel::{Put, Take, TicketState};
use crate::event::{Batch, Body, Key};
use std::path::Path;

mod basics;
mod crash;
mod faults;
mod forged;
mod full;
mod golden;
mod model;
mod offsets;
mod tool;

/// A source's thread.
struct Unpark(std::thread::Thread);
impl Wake for Unpark {
    fn wake(&self) {
        self.0.unpark();
    }
}

fn waker() -> Arc<dyn Wake> {
    Arc::new(Unpark(std::thread::current()))
}

fn settings() -> Settings {
    Settings {
        limits: Limits {
            capacity: 100_000,
            transaction_capacity: 10_000,
            byte_capacity: usize::MAX,
            keep_alive: Duration::from_secs(3),
            durable: true,
        },
        max_transaction: 256 << 20,
        required_space: 1,
        segment_size: 4096,
        checkpoint_interval: Duration::from_secs(3600),
        checkpoint_on_close: true,
        sync_interval: None,
        take_sync: Duration::from_millis(100),
    }
}

fn fixed(dirs: usize) -> Fixed {
    Fixed {
        checkpoint_dir: "/chk".into(),
        backup_dir: None,
        compresses_backup: false,
        data_dirs: (0..dirs).map(|d| format!("/d{d}").into()).collect(),
        key_file: None,
        old_key_files: Vec::new(),
    }
}

fn try_open(fs: &SimFs, fixed: Fixed, settings: Settings) -> Result<Arc<FileChannel>, String> {
    let c = FileChannel::new("c1", fixed, settings, ChannelCounters::new("c1"), Arc::new(fs.clone()));
    while !c.open()? {}
    Ok(c)
}

fn open(fs: &SimFs, dirs: usize) -> Arc<FileChannel> {
    try_open(fs, fixed(dirs), settings()).unwrap()
}

fn dynamic(c: &Arc<FileChannel>) -> Arc<dyn Channel> {
    c.clone()
}

fn events(bodies: &[String]) -> Events {
    let mut b = Batch::new();
    for t in bodies {
        b.push(Body::Copy(t.as_bytes()));
        let v = b.store(b"h\xc3\xa4");
        b.push_header(Key::HOST, v);
    }
    Events::all(Arc::new(b))
}

fn bodies(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| format!("event {n} {}", "x".repeat((n % 50) as usize))).collect()
}

/// Hands events to the channel; the ticket may be open.
fn begin_put(c: &Arc<FileChannel>, bodies: &[String]) -> Result<Ticket, PutError> {
    let (events, c) = (events(bodies), dynamic(c));
    let put = Put::reserve(&c, Room::of(&events), None)?;
    put.append(events, &waker())
}

fn settled(t: &Ticket) -> Result<(), String> {
    loop {
        match t.state() {
            TicketState::Open => std::thread::park_timeout(Duration::from_millis(20)),
            TicketState::Done => return Ok(()),
            TicketState::Failed(why) => return Err(why),
        }
    }
}

/// Puts events and waits until they are stored.
fn put(c: &Arc<FileChannel>, bodies: &[String]) -> Result<(), String> {
    settled(&begin_put(c, bodies).map_err(|e| e.to_string())?)
}

fn take(c: &Arc<FileChannel>, max: usize) -> Result<Take, TakeError> {
    Take::begin(&dynamic(c), max, Instant::now(), &AtomicBool::new(false))
}

fn texts(t: &Take) -> Vec<String> {
    t.events()
        .map(|e| {
            assert_eq!(e.header(Key::HOST), Some(&b"h\xc3\xa4"[..]));
            String::from_utf8(e.body().to_vec()).unwrap()
        })
        .collect()
}

/// Everything that is left, in order.
fn drain(c: &Arc<FileChannel>, max: usize) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let t = take(c, max).unwrap();
        if t.is_empty() {
            return all;
        }
        all.extend(texts(&t));
        t.commit().unwrap();
    }
}

/// Waits until everything written is synced.
fn settle(engine: &Engine) {
    for d in 0..engine.dirs.len() {
        while lock(&engine.state).dirs[d].unsynced_since.is_some() {
            lock(&engine.state).dirs[d].wants_sync = true;
            engine.dirs[d].work.notify_one();
            std::thread::yield_now();
        }
    }
}

fn engine(c: &FileChannel) -> Arc<Engine> {
    c.engine().expect("the channel is open")
}

fn ours(dir: &str) -> std::path::PathBuf {
    Path::new(dir).join("flumed")
}
