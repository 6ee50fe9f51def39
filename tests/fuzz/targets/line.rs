//! The line decoder of the netcat source, in several charsets.

use super::{choices, choose, chosen, Target, Verdict};
use crate::{feed, mutate};
use flumed::codec::charset::Charset;
use flumed::codec::line::LineDecoder;
use flumed::codec::{BatchLimits, Chunk};
use flumed::event::Batch;

pub static TARGET: Target = Target {
    name: "line",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 1 << 20),
    run,
};

pub const WORDS: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\n\n",
    "\0\n",
    "\n\0",
    "\u{feff}",
    "\u{e4}",
    "\u{20ac}",
    "\u{1f600}",
    "\u{85}",
    "\u{2028}",
    "\x1b$B",
    "\x1b(B",
];

/// Charsets of every kind there is.
pub const CHARSETS: [&str; 12] = [
    "UTF-8",
    "US-ASCII",
    "ISO-8859-1",
    "UTF-16",
    "UTF-16LE",
    "UTF-16BE",
    "Shift_JIS",
    "GB18030",
    "ISO-2022-JP",
    "windows-1252",
    "EUC-KR",
    "Big5",
];

pub fn charset(by: u8) -> Charset {
    Charset::named(choose(by, &CHARSETS)).expect("a charset there is")
}

pub fn seeds() -> Vec<Vec<u8>> {
    let lines = "first\nsecond \u{e4}\u{20ac}\u{1f600}\r\n\nlast without end";
    let mut texts: Vec<Vec<u8>> = CHARSETS
        .iter()
        .filter_map(|name| Charset::named(name))
        .map(|charset| charset.encode(lines))
        .collect();
    texts.push(b"x".repeat(600));
    texts.push(b"ok\n".repeat(300));
    let texts = texts.into_iter().flat_map(|t| [t.clone(), t]);
    // The first byte chooses the charset, so that each text meets its own.
    let own = |(i, mut seed): (usize, Vec<u8>)| {
        seed[0] = (i / 2) as u8;
        seed
    };
    chosen(texts).into_iter().enumerate().map(own).collect()
}

fn run(input: &[u8]) -> Verdict {
    let (chosen, text) = choices(input);
    let longest = choose(chosen[1], &[512, 1, 16, 5000]);
    let make = || {
        let mut d = LineDecoder::new(longest, charset(chosen[0]));
        move |c: &Chunk<'_>, eof: bool, l: BatchLimits, b: &mut Batch| d.decode(c, eof, l, b)
    };
    let limits = BatchLimits { events: choose(chosen[3], &[100, 1, 7]), bytes: 1 << 20 };
    feed::agree(make, text, limits, feed::LINES)
}
