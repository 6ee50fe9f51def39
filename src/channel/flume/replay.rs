//! Replay: from a checkpoint, or nothing, and the records since, to the queue.
//!
//! Records of all files are merged by write order. A transaction collects the events it puts and takes until its
//! commit, which appends the puts to the queue and removes the takes; a rollback, or no end at all, leaves the queue
//! as it is. Takes that were under way at the checkpoint are still in our queue, at its head: Flume keeps them apart
//! and puts them back at the end, even if another transaction has taken and committed them since.

use super::checkpoint::Checkpoint;
use super::datafile::{self, DataFile};
use super::error::FlumeError;
use super::queue::Queue;
use super::record::{self, Found, Header, Kind, Record};
use super::report::{OpenTransactions, Report};
use super::scan::Scanner;
use super::window::Window;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Bytes between two calls of `progress`.
const PROGRESS: u64 = 4 << 20;

#[derive(Default)]
struct Transaction {
    puts: Vec<u64>,
    takes: Vec<u64>,
}

/// Pointers to the events that were not delivered, in order.
pub(super) fn replay(
    files: &[DataFile],
    checkpoint: Option<Checkpoint>,
    report: &mut Report,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Vec<u64>, FlumeError> {
    // Flume's counters begin at the clock, so an absent checkpoint is older than any record.
    let after = checkpoint.as_ref().map(|c| c.order);
    let mut state = State::new(files, checkpoint.unwrap_or_default(), report)?;
    let mut merge = Merge::new(files, after, state.report)?;
    let all = merge.left;
    let mut told = 0;
    progress(0, all);
    while let Some((file, offset, record)) = merge.next(state.report)? {
        if after.is_some_and(|order| record.header.order <= order) {
            state.report.covered += 1;
        } else {
            state.apply(record::pointer(file, offset), &record);
        }
        let done = all - merge.left;
        if done - told >= PROGRESS {
            told = done;
            progress(done, all);
        }
    }
    state.report.bytes = all;
    progress(all, all);
    Ok(state.finish())
}

/// The files' records in one order.
struct Merge<'a> {
    scanners: Vec<Scanner<'a>>,
    /// The next record of each file that has one.
    heads: BinaryHeap<Reverse<Head>>,
    /// Bytes still to be read.
    left: u64,
}

/// A record and what orders it, which comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    order: i64,
    transaction: i64,
    kind: Kind,
    scanner: usize,
    offset: u64,
    takes: u64,
    end: u64,
}

impl<'a> Merge<'a> {
    fn new(files: &'a [DataFile], after: Option<i64>, report: &mut Report) -> Result<Merge<'a>, FlumeError> {
        let mut merge = Merge { scanners: Vec::new(), heads: BinaryHeap::new(), left: 0 };
        for (i, file) in files.iter().enumerate() {
            let start = after.map_or(0, |order| file.start(order));
            let scanner = Scanner::new(file, start, report)?;
            merge.left += scanner.left();
            merge.scanners.push(scanner);
            // Whether it is there at all is settled; its first record says when its turn comes.
            merge.advance(i, report)?;
            merge.scanners[i].rest();
        }
        Ok(merge)
    }

    fn advance(&mut self, i: usize, report: &mut Report) -> Result<(), FlumeError> {
        if let Some((offset, r)) = self.scanners[i].next(report)? {
            let Header { order, transaction, kind } = r.header;
            let head = Head { order, transaction, kind, scanner: i, offset, takes: r.takes, end: r.end };
            self.heads.push(Reverse(head));
        }
        Ok(())
    }

    /// The number of its file, its offset, and the record.
    fn next(&mut self, report: &mut Report) -> Result<Option<(u32, u64, Record)>, FlumeError> {
        let Some(Reverse(head)) = self.heads.pop() else { return Ok(None) };
        let i = head.scanner;
        let before = self.scanners[i].left();
        self.advance(i, report)?;
        self.left = self.left.saturating_sub(before - self.scanners[i].left());
        let Head { order, transaction, kind, offset, takes, end, .. } = head;
        let record = Record { header: Header { kind, transaction, order }, takes, end };
        Ok(Some((self.scanners[i].file.id, offset, record)))
    }
}

struct State<'a> {
    files: &'a [DataFile],
    queue: Queue,
    open: HashMap<i64, Transaction>,
    report: &'a mut Report,
}

impl<'a> State<'a> {
    fn new(
        files: &'a [DataFile],
        checkpoint: Checkpoint,
        report: &'a mut Report,
    ) -> Result<State<'a>, FlumeError> {
        let mut open: HashMap<i64, Transaction> = HashMap::new();
        for (transaction, puts) in checkpoint.puts {
            open.entry(transaction).or_default().puts = puts;
        }
        let mut head = Vec::new();
        for (transaction, takes) in checkpoint.takes {
            head.extend_from_slice(&takes);
            open.entry(transaction).or_default().takes = takes;
        }
        in_write_order(files, &mut head)?;
        head.extend(checkpoint.queue);
        Ok(State { files, queue: Queue::new(head), open, report })
    }

    fn apply(&mut self, pointer: u64, record: &Record) {
        let transaction = record.header.transaction;
        match record.header.kind {
            Kind::Put => {
                self.report.puts += 1;
                self.open.entry(transaction).or_default().puts.push(pointer);
            }
            Kind::Take => {
                self.report.takes += 1;
                self.open.entry(transaction).or_default().takes.push(record.takes);
            }
            Kind::Rollback => {
                self.report.rollbacks += 1;
                self.open.remove(&transaction);
            }
            Kind::Commit => {
                self.report.commits += 1;
                let transaction = self.open.remove(&transaction).unwrap_or_default();
                self.commit(transaction);
            }
        }
    }

    /// A commit says whether it is of puts or of takes; a transaction has only ever one kind, so that adds nothing.
    fn commit(&mut self, transaction: Transaction) {
        for pointer in transaction.puts {
            self.queue.put(pointer);
        }
        for pointer in transaction.takes {
            if datafile::index_of(self.files, pointer).is_some() {
                self.queue.take(pointer);
            } else {
                self.report.unmatched_takes += 1;
            }
        }
    }

    fn finish(self) -> Vec<u64> {
        let mut open = OpenTransactions::default();
        for transaction in self.open.values() {
            open.transactions += 1;
            open.puts += transaction.puts.len() as u64;
            open.takes += transaction.takes.len() as u64;
        }
        self.report.open = open;
        let (pointers, unmatched) = self.queue.finish();
        self.report.unmatched_takes += unmatched;
        pointers
    }
}

/// Sorts events by the write order of their puts: across dataDirs the pointers do not tell which came first.
fn in_write_order(files: &[DataFile], pointers: &mut Vec<u64>) -> Result<(), FlumeError> {
    pointers.sort_unstable();
    let mut window: Option<(usize, Window)> = None;
    let mut ordered = Vec::new();
    for &pointer in pointers.iter() {
        let mut order = i64::MIN; // an unreadable one is not worth a place
        if let Some(index) = datafile::index_of(files, pointer) {
            let io = |source| FlumeError::Io { path: files[index].path.clone(), source };
            let window = match &mut window {
                Some((i, window)) if *i == index => window,
                other => &mut other.insert((index, Window::open(&files[index].path).map_err(io)?)).1,
            };
            if let Found::Record(r) = record::examine(window, record::offset_of(pointer)).map_err(io)? {
                order = r.header.order;
            }
        }
        ordered.push((order, pointer));
    }
    ordered.sort_unstable();
    pointers.clear();
    pointers.extend(ordered.into_iter().map(|(_, pointer)| pointer));
    Ok(())
}
