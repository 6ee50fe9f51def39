//! A checkpoint: the queue and the transactions under way at one moment.
//!
//! `checkpoint` is an array of 64-bit words, big-endian: [0] version, [1] write order, [4] 0 when complete, and from
//! [1029] on a ring of as many pointers as the channel's capacity. `checkpoint.meta` is a message behind its length: 1
//! version, 2 write order, 3 length and 4 head of the queue. `inflightputs` and `inflighttakes` hold the MD5 of what
//! follows, then for each transaction its number, a count, and as many pointers, and two words of 0 at the end.
//!
//! What Flume would not use is [`Trouble::Bad`], and a few things more: pointers to nothing, or twice the same.

use super::error::FlumeError;
use super::md5::md5;
use super::proto::{delimited, Fields, Value};
use super::window::Window;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const VERSION: u64 = 3;
/// Words in front of the ring.
const HEAD_WORDS: u64 = 1029;
/// Pointers read at once.
const STEP: u64 = 8192;
/// More than the metadata of any checkpoint has.
const META_BYTES: u64 = 16 << 20;
/// In-flight files are as large as the transactions of all sources and sinks at one moment.
const IN_FLIGHT_BYTES: u64 = 1 << 30;

#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    pub(super) order: i64,
    pub(super) queue: Vec<u64>,
    pub(super) puts: HashMap<i64, Vec<u64>>,
    pub(super) takes: HashMap<i64, Vec<u64>>,
}

#[derive(Debug)]
pub(super) enum Trouble {
    /// Not to be used, and why.
    Bad(String),
    Failed(FlumeError),
}

fn bad<T>(why: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Bad(why.into()))
}

/// The checkpoint in a directory.
pub(super) fn load(dir: &Path) -> Result<Checkpoint, Trouble> {
    let meta = content(&dir.join("checkpoint.meta"), META_BYTES)?;
    let path = dir.join("checkpoint");
    let window = match Window::whole(&path) {
        Ok(window) if window.end() > 0 => Some(window),
        Ok(_) => None,
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(failed(&path, e)),
    };
    let (meta, mut window) = match (meta, window) {
        (Some(meta), Some(window)) => (meta, window),
        (Some(_), None) => return bad("checkpoint is missing or empty"),
        (None, Some(_)) => return bad("checkpoint.meta is missing"),
        (None, None) => return bad("there is none"),
    };
    let Some(meta) = Meta::parse(&meta) else { return bad("checkpoint.meta is unreadable") };
    let capacity = match (window.end() / 8).checked_sub(HEAD_WORDS) {
        Some(capacity) if capacity > 0 && window.end() % 8 == 0 => capacity,
        _ => return bad("checkpoint has an impossible length"),
    };
    let head = words(&mut window, &path, 0, 5)?;
    if head[0] != VERSION || meta.version != VERSION as i32 {
        return bad(format!(
            "it has version {} and {}, only version 3 is read",
            head[0] as i64, meta.version
        ));
    }
    if head[4] != 0 {
        return bad("the agent ended while it was written");
    }
    if head[1] as i64 != meta.order {
        return bad("checkpoint and checkpoint.meta were written at different times");
    }
    let (size, at) = (u64::try_from(meta.size), u64::try_from(meta.head));
    let (Ok(size), Ok(at)) = (size, at) else { return bad("the queue has a negative length or head") };
    if size > capacity || at >= capacity {
        return bad("the queue is longer than the channel's capacity");
    }
    let mut queue = Vec::new();
    while (queue.len() as u64) < size {
        let slot = (at + queue.len() as u64) % capacity;
        let count = STEP.min(size - queue.len() as u64).min(capacity - slot);
        let pointers = words(&mut window, &path, HEAD_WORDS + slot, count)?;
        if pointers.contains(&0) {
            return bad("the queue has an empty place");
        }
        queue.extend(pointers);
    }
    let checkpoint = Checkpoint {
        order: meta.order,
        queue,
        puts: in_flight(dir, "inflightputs")?,
        takes: in_flight(dir, "inflighttakes")?,
    };
    checkpoint.check_pointers()?;
    Ok(checkpoint)
}

impl Checkpoint {
    /// No event waits twice, and every pointer leads somewhere.
    fn check_pointers(&self) -> Result<(), Trouble> {
        let mut all: Vec<u64> = self.queue.iter().chain(self.takes.values().flatten()).copied().collect();
        all.sort_unstable();
        if all.first() == Some(&0) {
            return bad("a take under way is of nothing");
        }
        if all.windows(2).any(|pair| pair[0] == pair[1]) {
            return bad("the queue holds an event twice");
        }
        Ok(())
    }
}

fn failed(path: &Path, source: io::Error) -> Trouble {
    Trouble::Failed(FlumeError::Io { path: path.to_owned(), source })
}

/// All of a file, if it exists.
fn content(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Trouble> {
    let mut bytes = Vec::new();
    match File::open(path).and_then(|f| f.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed(path, e)),
    }
}

/// `count` words of a file, at most [`STEP`].
fn words(window: &mut Window, path: &Path, from: u64, count: u64) -> Result<Vec<u64>, Trouble> {
    let bytes = window.at(from * 8, count as usize * 8).map_err(|e| failed(path, e))?;
    let words: Vec<u64> = big_endian(bytes).collect();
    if words.len() as u64 != count {
        return bad("checkpoint has become shorter");
    }
    Ok(words)
}

fn big_endian(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).map(|b| b.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
}

/// The pointers of each transaction that was under way.
fn in_flight(dir: &Path, name: &str) -> Result<HashMap<i64, Vec<u64>>, Trouble> {
    let Some(bytes) = content(&dir.join(name), IN_FLIGHT_BYTES)? else {
        return bad(format!("{name} is missing"));
    };
    let mut transactions = HashMap::new();
    if bytes.is_empty() {
        return Ok(transactions);
    }
    match bytes.split_first_chunk::<16>() {
        Some((sum, rest)) if md5(rest) == *sum => {
            let mut words = big_endian(rest);
            while let Some(transaction) = words.next() {
                let count = words.next().and_then(|n| usize::try_from(n).ok());
                let mut pointers: Vec<u64> = words.by_ref().take(count.unwrap_or(0)).collect();
                if count != Some(pointers.len()) {
                    return bad(format!("{name} is cut"));
                }
                // Flume writes them in no order. A transaction has one dataDir, where later is further on.
                pointers.sort_unstable();
                if !pointers.is_empty() {
                    transactions.insert(transaction as i64, pointers);
                }
            }
            Ok(transactions)
        }
        _ => bad(format!("{name} has a wrong checksum")),
    }
}

struct Meta {
    version: i32,
    order: i64,
    size: i32,
    head: i32,
}

impl Meta {
    fn parse(mut bytes: &[u8]) -> Option<Meta> {
        let (mut order, mut numbers) = (None, [None; 5]);
        for field in Fields::of(delimited(&mut bytes)?) {
            match field.ok()? {
                (2, Value::Fixed64(n)) => order = Some(n as i64),
                (n @ (1 | 3 | 4), Value::Fixed32(value)) => numbers[n as usize] = Some(value as i32),
                (1..=4, _) => return None,
                _ => {}
            }
        }
        Some(Meta { version: numbers[1]?, order: order?, size: numbers[3]?, head: numbers[4]? })
    }
}
