//! Lines to batches to calls, and how far that came. Progress is read by the signal thread, too: atomics, and a lock for
//! the name of the file at hand, which nobody holds for long.

use crate::client::{Client, Error, Outcome};
use crate::codec::charset::Charset;
use crate::codec::readline::ReadLine;
use crate::codec::{BatchLimits, Chunk, Then};
use crate::event::{Batch, Buffer, Key};
use crate::lock::lock;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What is read at once.
const PIECE: usize = 64 << 10;
/// A longer line becomes several events.
const LONGEST: usize = 16 << 20;
/// What a batch may hold beside its first event.
const BATCH_BYTES: usize = 16 << 20;
/// Between two looks of the progress line.
const REDRAW: Duration = Duration::from_secs(1);

/// How far it came.
#[derive(Default)]
pub struct Progress {
    acknowledged: AtomicUsize,
    /// Sent, and not known to be stored.
    open: AtomicUsize,
    is_shown: AtomicBool,
    /// The file of a directory that is being sent and has not been renamed.
    file: Mutex<Option<PathBuf>>,
}

impl Progress {
    /// For the end: what is stored, what may be, and what will be sent again.
    pub fn told(&self) -> String {
        let (n, open) = (self.acknowledged.load(Relaxed), self.open.load(Relaxed));
        let mut text = format!("events acknowledged: {n}");
        if open > 0 {
            text += &format!(", sent without an answer and possibly stored: {open}");
        }
        if let Some(file) = &*lock(&self.file) {
            text += &format!("; the next run sends {} again, from its first line", file.display());
        }
        text
    }

    /// `None`: the one before is done and has its new name.
    pub fn at_file(&self, file: Option<&Path>) {
        *lock(&self.file) = file.map(Path::to_owned);
    }

    fn show(&self, since: Instant) {
        let n = self.acknowledged.load(Relaxed);
        let rate = n as f64 / since.elapsed().as_secs_f64().max(0.001);
        self.is_shown.store(true, Relaxed);
        // Who cannot be told is not told.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{n} events, {rate:.0} events/s");
    }

    /// Ends the line, if there is one.
    pub fn finish(&self) {
        if self.is_shown.swap(false, Relaxed) {
            let _ = writeln!(std::io::stderr().lock());
        }
    }
}

pub struct Sender {
    client: Client,
    headers: Vec<(Key, String)>,
    progress: Arc<Progress>,
    began: Instant,
    /// `None`: standard error is no terminal.
    redraw: Option<Instant>,
}

impl Sender {
    pub fn new(client: Client, headers: Vec<(Key, String)>, progress: Arc<Progress>) -> Sender {
        let began = Instant::now();
        let redraw = std::io::stderr().is_terminal().then_some(began);
        Sender { client, headers, progress, began, redraw }
    }

    /// Sends all lines of the input, or says why not.
    pub fn send(&mut self, input: &mut (impl Read + AsFd)) -> Result<(), String> {
        let limits = BatchLimits { events: self.client.batch_size(), bytes: BATCH_BYTES };
        let mut lines = ReadLine::new(LONGEST, Charset::UTF_8);
        let mut batch = Batch::new();
        let mut bytes: Vec<u8> = Vec::new();
        let mut is_over = false;
        while !is_over {
            // Lines do not wait for others that come later.
            if !batch.is_empty() && !is_ready(input) {
                self.pass_on(&mut batch)?;
            }
            let before = bytes.len();
            bytes.resize(before + PIECE, 0);
            let n = loop {
                match input.read(&mut bytes[before..]) {
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    done => break done.map_err(|e| format!("cannot read: {e}"))?,
                }
            };
            bytes.truncate(before + n);
            is_over = n == 0;
            let buffer = Buffer::owned(bytes);
            let (mut from, to) = (0, before + n);
            loop {
                let chunk = Chunk { buffer: &buffer, from, to };
                let decoded = lines.decode(&chunk, is_over, limits, &mut batch);
                from += decoded.used;
                if decoded.then != Then::Full {
                    break;
                }
                self.pass_on(&mut batch)?;
            }
            bytes = buffer[from..to].to_vec();
        }
        let cut = lines.take_cut();
        if cut > 0 {
            log::warn!("{cut} lines above {} MiB became several events each", LONGEST >> 20);
        }
        self.pass_on(&mut batch)?;
        if self.redraw.is_some() {
            self.progress.show(self.began);
        }
        Ok(())
    }

    /// Sends the batch, which is empty afterwards.
    fn pass_on(&mut self, batch: &mut Batch) -> Result<(), String> {
        let mut batch = std::mem::take(batch);
        if batch.is_empty() {
            return Ok(());
        }
        for (key, value) in &self.headers {
            let value = batch.store(value.as_bytes());
            (0..batch.len()).for_each(|i| batch.set_header(i, *key, value));
        }
        self.progress.open.store(batch.len(), Relaxed);
        let sent = self.client.append_batch(&batch);
        let (stored, open) = match &sent {
            Ok(()) => (batch.len(), 0),
            Err(Error { outcome: Outcome::Unknown, acknowledged, failed, .. }) => (*acknowledged, *failed),
            Err(e) => (e.acknowledged, 0),
        };
        self.progress.acknowledged.fetch_add(stored, Relaxed);
        self.progress.open.store(open, Relaxed);
        let now = Instant::now();
        if self.redraw.is_some_and(|at| at <= now) {
            self.redraw = Some(now + REDRAW);
            self.progress.show(self.began);
        }
        sent.map_err(|e| e.why)
    }
}

/// Whether a read would not wait.
fn is_ready(input: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO) != Ok(0)
}
