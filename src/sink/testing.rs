//! What the tests of sinks share: settings from pairs, a channel to take from, a directory that goes away.

use crate::channel::memory::MemoryChannel;
use crate::channel::{Channel, Limits, Put, Room, Take, Wake};
use crate::component::{Sink, SinkParts, SinkSpec};
use crate::config::{Catalog, Context, Declared, Kind};
use crate::counters::{ChannelCounters, SinkCounters};
use crate::event::{Batch, Body, Buffer, Events};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Knows the parts that sinks have.
struct Parts;

impl Catalog for Parts {
    fn find(&self, kind: Kind, type_name: &str) -> Option<&'static Declared> {
        self.all(kind).into_iter().find(|d| d.is_named(type_name))
    }
    fn all(&self, kind: Kind) -> Vec<&'static Declared> {
        match kind {
            Kind::Serializer => crate::serializer::ALL.iter().map(|s| &s.declared).collect(),
            Kind::PathManager => super::file_roll::PATH_MANAGERS.iter().map(|s| &s.declared).collect(),
            _ => Vec::new(),
        }
    }
    fn unsupported(&self, _: Kind, _: &str) -> Option<String> {
        None
    }
}

pub fn context(spec: &'static SinkSpec, pairs: &[(&str, &str)]) -> Context {
    context_of(&spec.declared, pairs).expect("settings are good")
}

/// The settings, or everything that is wrong with them.
pub fn context_of(declared: &'static Declared, pairs: &[(&str, &str)]) -> Result<Context, Vec<String>> {
    crate::config::testing::context(declared, &Parts, pairs)
}

/// What is wrong with these settings.
pub fn problems(spec: &'static SinkSpec, pairs: &[(&str, &str)]) -> Vec<String> {
    context_of(&spec.declared, pairs).err().unwrap_or_default()
}

pub fn build(spec: &'static SinkSpec, pairs: &[(&str, &str)]) -> (Box<dyn Sink>, Arc<SinkCounters>) {
    let counters = SinkCounters::new("k1");
    let sink = (spec.build)(&context(spec, pairs), SinkParts { counters: counters.clone() });
    (sink, counters)
}

struct Nobody;

impl Wake for Nobody {
    fn wake(&self) {}
}

/// A channel in memory that may claim to be durable.
pub struct TestChannel(Arc<dyn Channel>);

impl TestChannel {
    pub fn new(durable: bool) -> TestChannel {
        let limits = Limits {
            capacity: 1_000_000,
            transaction_capacity: 1_000_000,
            byte_capacity: usize::MAX,
            keep_alive: Duration::ZERO,
            durable,
        };
        let channel = MemoryChannel::new("c1", limits, ChannelCounters::new("c1"));
        channel.open().expect("memory opens");
        TestChannel(channel)
    }

    /// Puts a batch whose bodies are the lines of one buffer.
    pub fn put_lines<T: AsRef<str>>(&self, lines: &[T]) {
        let text: String = lines.iter().map(|l| format!("{}\n", l.as_ref())).collect();
        let mut batch = Batch::new();
        let segment = batch.attach(&Buffer::owned(text.into_bytes()));
        let mut at = 0;
        for l in lines {
            let end = at + l.as_ref().len();
            batch.push(Body::At(batch.span_of(segment, at, end)));
            at = end + 1;
        }
        let events = Events::all(Arc::new(batch));
        let wake: Arc<dyn Wake> = Arc::new(Nobody);
        let put = Put::reserve(&self.0, Room::of(&events), None).expect("there is room");
        put.append(events, &wake).expect("memory takes it");
    }

    pub fn take(&self, max: usize) -> Take {
        Take::begin(&self.0, max, Instant::now(), &AtomicBool::new(false)).expect("memory gives it")
    }

    pub fn backlog(&self) -> usize {
        self.0.backlog()
    }
}

/// A directory of its own, removed with the value.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("flumed-sink-{}-{n}", std::process::id()));
        std::fs::create_dir(&path).expect("a new directory");
        TempDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn text(&self) -> &str {
        self.0.to_str().expect("is made of plain characters")
    }

    /// Names and contents of its files; names are in the order of the number at their end.
    pub fn files(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = std::fs::read_dir(&self.0)
            .expect("is readable")
            .map(|f| {
                let path = f.expect("is listed").path();
                let name = path.file_name().expect("has one").to_string_lossy().into_owned();
                (name, std::fs::read_to_string(path).expect("is text"))
            })
            .collect();
        let number = |name: &str| {
            let digits = name.rsplit('-').next().unwrap_or("").split('.').next().unwrap_or("");
            digits.parse::<u64>().unwrap_or(0)
        };
        all.sort_by_key(|(name, _)| (number(name), name.clone()));
        all
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
