//! The lines of the exec source, in several charsets.

use super::line::{charset, seeds, WORDS};
use super::{choices, choose, Target, Verdict};
use crate::{feed, mutate};
use flumed::codec::readline::ReadLine;
use flumed::codec::{BatchLimits, Chunk};
use flumed::event::Batch;

pub static TARGET: Target = Target {
    name: "readline",
    seeds,
    mutate: mutate::bytes,
    words: WORDS,
    longest: 1 << 14,
    memory: (64, 1 << 20),
    run,
};

fn run(input: &[u8]) -> Verdict {
    let (chosen, text) = choices(input);
    let longest = choose(chosen[1], &[4096, 1, 3, 40]);
    let make = || {
        let mut d = ReadLine::new(longest, charset(chosen[0]));
        move |c: &Chunk<'_>, eof: bool, l: BatchLimits, b: &mut Batch| d.decode(c, eof, l, b)
    };
    let limits = BatchLimits { events: choose(chosen[3], &[100, 1, 7]), bytes: 1 << 20 };
    feed::agree(make, text, limits, feed::LINES)
}
