//! New inputs from old ones: small changes, words of the target's grammar, two inputs joined, lengths that lie.

use crate::random::Random;

/// What lengths, counts and numbers are set to.
const EXTREMES: [i64; 16] = [
    0,
    1,
    -1,
    2,
    -2,
    127,
    128,
    255,
    256,
    0xffff,
    i32::MAX as i64,
    i32::MIN as i64,
    u32::MAX as i64,
    i64::MAX,
    i64::MIN,
    1 << 40,
];

/// `input` changed a few times over; `other` is what may be joined to it, `longest` what comes out at most.
pub fn bytes(random: &mut Random, input: &[u8], other: &[u8], words: &[&str], longest: usize) -> Vec<u8> {
    let mut out = input.to_vec();
    let times = if random.one_in(8) { 24 } else { 5 };
    for _ in 0..=random.below(times) {
        change(random, &mut out, other, words);
        out.truncate(longest);
    }
    out
}

fn change(random: &mut Random, out: &mut Vec<u8>, other: &[u8], words: &[&str]) {
    let at = random.below(out.len() + 1);
    let range = random.range(out.len());
    match random.below(17) {
        0 => edit(out, at, |b| *b ^= 1 << (at % 8)),
        1 => {
            let to = random.next() as u8;
            edit(out, at, |b| *b = to);
        }
        2 => edit(out, at, |b| *b = b.wrapping_add(1)),
        3 => edit(out, at, |b| *b = b.wrapping_sub(1)),
        4 => drop(out.drain(range)),
        5 => {
            let copy = out[range].to_vec();
            insert(out, at, &copy);
        }
        6 => {
            // Once in a while very often: depth and counts.
            let many = if random.one_in(4) { 3000 } else { 8 };
            let copy = out[range].repeat(1 + random.below(many)).into_iter().take(1 << 20);
            drop(out.splice(at..at, copy));
        }
        7 => {
            let more: Vec<u8> = (0..1 + random.below(8)).map(|_| random.next() as u8).collect();
            insert(out, at, &more);
        }
        8 | 9 => {
            if let Some(word) = random.pick(words) {
                insert(out, at, word.as_bytes());
            }
        }
        10 => {
            if let Some(word) = random.pick(words) {
                overwrite(out, at, word.as_bytes());
            }
        }
        11 => out.truncate(at),
        12 => {
            let from = random.below(other.len() + 1);
            out.truncate(at);
            out.extend_from_slice(&other[from..]);
        }
        13 => {
            let piece = &other[random.range(other.len())];
            insert(out, at, piece);
        }
        14 => length(random, out, at),
        15 => number(random, out, at),
        _ => {
            let copy = out[range].to_vec();
            overwrite(out, at, &copy);
        }
    }
}

fn edit(out: &mut [u8], at: usize, how: impl FnOnce(&mut u8)) {
    if let Some(b) = out.get_mut(at) {
        how(b);
    }
}

fn insert(out: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(out.splice(at..at, bytes.iter().copied()));
}

fn overwrite(out: &mut [u8], at: usize, bytes: &[u8]) {
    out[at..].iter_mut().zip(bytes).for_each(|(to, b)| *to = *b);
}

/// Puts an extreme, or a length near the real one, where a length field may be.
fn length(random: &mut Random, out: &mut Vec<u8>, at: usize) {
    let near = (out.len() - at) as i64 + random.below(5) as i64 - 2;
    let value = if random.one_in(3) { near } else { *random.pick(&EXTREMES).unwrap_or(&0) };
    match random.below(8) {
        0 => overwrite(out, at, &(value as u16).to_be_bytes()),
        1 => overwrite(out, at, &(value as u16).to_le_bytes()),
        2 => overwrite(out, at, &(value as u32).to_be_bytes()),
        3 => overwrite(out, at, &(value as u32).to_le_bytes()),
        4 => overwrite(out, at, &value.to_be_bytes()),
        5 => overwrite(out, at, &value.to_le_bytes()),
        n => {
            // In place of the varint that may stand here: plain, or zigzag as in Avro.
            let rest = &out[at..];
            let old = rest.iter().position(|b| b & 0x80 == 0).map_or(rest.len(), |n| n + 1);
            let value = if n == 6 { value as u64 } else { ((value << 1) ^ (value >> 63)) as u64 };
            drop(out.splice(at..at + old.min(10), varint(value)));
        }
    }
}

pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Puts an extreme in place of the next decimal number.
fn number(random: &mut Random, out: &mut Vec<u8>, at: usize) {
    let Some(from) = out[at..].iter().position(u8::is_ascii_digit).map(|n| at + n) else { return };
    let to = out[from..].iter().position(|b| !b.is_ascii_digit()).map_or(out.len(), |n| from + n);
    let text = match random.below(6) {
        0 => "9".repeat(1 + random.below(40)),
        1 => String::new(),
        2 => format!("0{}", random.below(1000)),
        3 => random.below(70).to_string(),
        _ => random.pick(&EXTREMES).unwrap_or(&0).to_string(),
    };
    drop(out.splice(from..to, text.into_bytes()));
}
