//! Deflate streams as connections have them: bombs, stored blocks, garbage, read in pieces of any size.

use super::{choices, choose, chosen, Signature, Target, Verdict};
use crate::mutate;
use crate::random::Random;
use flumed::codec::zlib::{put_stored, Deflater, Inflater};
use std::io::{self, Read};

pub static TARGET: Target = Target {
    name: "inflate",
    seeds,
    mutate: mutate::bytes,
    words: &["\x78\x01", "\0\x04\0\u{fb}", "\x01\0\0", "\x03\0", "\0\0\0"],
    longest: 1 << 14,
    // What is made of it does not wait in memory, but for a piece.
    memory: (64, 1 << 20),
    run,
};

/// Of what a stream expands to no more is looked at.
const MOST: usize = 2 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let deflated = |level: u32, pieces: &[Vec<u8>]| {
        let (mut deflater, mut out) = (Deflater::new(level), Vec::new());
        pieces.iter().for_each(|p| deflater.write_all(&mut out, p).expect("memory takes all"));
        out
    };
    let text: Vec<Vec<u8>> = (0..20).map(|n| format!("event {n} of some length\n").into_bytes()).collect();
    let mut stored = Vec::new();
    put_stored(true, b"stored", &mut stored);
    put_stored(false, b" and more", &mut stored);
    chosen([
        deflated(6, &text),
        deflated(1, &text),
        deflated(0, &text[..3]),
        deflated(9, &[vec![0; 1 << 20]]),
        deflated(9, &[b"ab".repeat(1 << 19)]),
        stored,
    ])
}

/// Gives the pieces one by one, and between them nothing for the moment.
struct Pieces<'a> {
    left: Vec<&'a [u8]>,
    is_slow: bool,
    calls: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.calls += 1;
        if self.is_slow && self.calls % 2 == 1 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let Some(piece) = self.left.first_mut() else { return Ok(0) };
        let n = piece.len().min(out.len());
        let (now, rest) = piece.split_at(n);
        out[..n].copy_from_slice(now);
        *piece = rest;
        if piece.is_empty() {
            self.left.remove(0);
        }
        Ok(n)
    }
}

/// A hash of what comes, how much that is, and whether it ended well.
struct Inflated {
    hash: u64,
    len: usize,
    is_good: bool,
}

fn inflated(from: Vec<&[u8]>, is_slow: bool, room: usize) -> Result<Inflated, String> {
    let mut from = Pieces { left: from, is_slow, calls: 0 };
    let mut inflater = Inflater::default();
    let mut out = vec![0; room];
    let mut all = Inflated { hash: 0xcbf2_9ce4_8422_2325, len: 0, is_good: true };
    while all.len < MOST {
        match inflater.read(&mut from, &mut out) {
            Ok(0) => break,
            Ok(n) if n > room => return Err(format!("gives {n} bytes where there is room for {room}")),
            Ok(n) => {
                let n = n.min(MOST - all.len);
                for b in &out[..n] {
                    all.hash = (all.hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
                }
                all.len += n;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => {
                all.is_good = false;
                break;
            }
        }
    }
    Ok(all)
}

fn run(input: &[u8]) -> Verdict {
    let (chosen, stream) = choices(input);
    let mut random = Random::of(input);
    let whole = inflated(vec![stream], false, 64 << 10)?;
    let pieces = random.split(stream);
    let pieces: Vec<&[u8]> = pieces.into_iter().filter(|p| !p.is_empty()).collect();
    let cut = inflated(pieces, true, choose(chosen[0], &[4096, 1 << 16, 100]))?;
    // What stands before a fault may come or not, and one behind what is looked at is not seen.
    let is_cut_off = whole.len == MOST || cut.len == MOST;
    if is_cut_off && !(cut.is_good && whole.is_good) {
        return Ok(Signature::default());
    }
    if cut.is_good != whole.is_good || (whole.is_good && (cut.hash, cut.len) != (whole.hash, whole.len)) {
        let show = |i: &Inflated| format!("{} bytes, well: {}", i.len, i.is_good);
        return Err(format!("inflates whole to {}, cut to {}", show(&whole), show(&cut)));
    }
    let mut s = Signature::default();
    s.exact(whole.is_good);
    s.count(whole.len);
    s.count(stream.len());
    Ok(s)
}
