//! The targets: what is fuzzed, from which seeds, with which words, and what it may take.
//!
//! A target is one file with a `TARGET`, and one line in [`ALL`].

mod avro;
mod charset;
mod config;
mod dates;
mod file_channel;
mod flume_channel;
mod http;
mod inflate;
mod interpolation;
mod line;
mod posted;
mod properties;
mod readline;
mod regex;
mod syslog;
mod thrift;

use crate::random::Random;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

pub struct Target {
    pub name: &'static str,
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Changes an input; `mutate::bytes` or what knows its form.
    pub mutate: Mutate,
    pub words: &'static [&'static str],
    /// The most bytes of an input.
    pub longest: usize,
    /// Bytes that may be allocated at once: for each byte of input, and besides.
    pub memory: (usize, usize),
    pub run: fn(&[u8]) -> Verdict,
}

pub type Mutate = fn(&mut Random, &[u8], &[u8], &[&str], usize) -> Vec<u8>;

/// What an input did, or which promise it broke.
pub type Verdict = Result<Signature, String>;

pub static ALL: &[&Target] = &[
    &syslog::STREAM,
    &syslog::DATAGRAM,
    &syslog::MULTIPORT,
    &line::TARGET,
    &readline::TARGET,
    &charset::TARGET,
    &properties::TARGET,
    &config::TARGET,
    &interpolation::TARGET,
    &regex::TARGET,
    &http::TARGET,
    &http::SERVER,
    &posted::JSON,
    &posted::XML,
    &avro::CALLS,
    &avro::ANSWERS,
    &thrift::CALLS,
    &thrift::ANSWERS,
    &inflate::TARGET,
    &dates::TARGET,
    &file_channel::FILES,
    &file_channel::RECOVERY,
    &flume_channel::TARGET,
];

/// The kind of an outcome: inputs with a new one are kept, to be changed further.
#[derive(Default)]
pub struct Signature(u64);

impl Signature {
    /// Adds what matters as it is.
    pub fn exact(&mut self, value: impl Hash) {
        let mut hash = DefaultHasher::new();
        (self.0, value).hash(&mut hash);
        self.0 = hash.finish();
    }

    /// Adds a number, of which only the size matters.
    pub fn count(&mut self, n: usize) {
        self.exact(usize::BITS - n.leading_zeros());
    }

    /// Adds a message without what it quotes: its words in small letters.
    pub fn words(&mut self, message: &str) {
        for word in message.split_whitespace().filter(|w| w.bytes().all(|b| b.is_ascii_lowercase())).take(8) {
            self.exact(word);
        }
    }

    pub fn value(&self) -> u64 {
        self.0
    }
}

/// Inputs of a text target begin with as many bytes that choose settings.
pub const CHOICES: usize = 4;

/// The bytes that choose settings, zeros where there are none, and the text.
pub fn choices(input: &[u8]) -> ([u8; CHOICES], &[u8]) {
    let (front, rest) = input.split_at(input.len().min(CHOICES));
    let mut chosen = [0; CHOICES];
    chosen[..front.len()].copy_from_slice(front);
    (chosen, rest)
}

/// Seeds of these texts, each under a few choices.
pub fn chosen<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Vec<Vec<u8>> {
    let mut random = Random::new(7);
    let with = |text: T| {
        let mut seed = (random.next() as u32).to_le_bytes().to_vec();
        seed.extend_from_slice(text.as_ref());
        seed
    };
    texts.into_iter().map(with).collect()
}

/// One of `all`, by a byte that chooses.
pub fn choose<T: Copy>(by: u8, all: &[T]) -> T {
    all[usize::from(by) % all.len()]
}

/// A place in the source tree.
pub fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The content of the files of a directory, in the order of their names.
pub fn files_of(dir: &Path, ends: &str) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|p| p.is_file() && p.to_string_lossy().ends_with(ends)).collect();
    paths.sort();
    paths.iter().filter_map(|p| std::fs::read(p).ok()).collect()
}
