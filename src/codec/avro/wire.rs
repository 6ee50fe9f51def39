//! Avro binary encoding, as much of it as the RPC needs (Avro specification, "Binary encoding").
//!
//! ```text
//!   long, int, enum, union index, length   zig-zag varint, 7 bits per byte, low group first
//!   string, bytes                          length, then data
//!   map, array                             blocks: count (negative: its absolute value, then a byte size), entries; 0 ends
//! ```
//! Nothing here allocates for what a length claims: it is compared with what is there first.

use std::ops::Range;

/// What is wrong with an encoding; in the words of the answer its sender gets.
#[derive(Debug, PartialEq, Eq, Clone)]
pub struct Malformed(pub &'static str);

pub type Result<T> = std::result::Result<T, Malformed>;

/// The bytes that are not read yet, and how many were.
#[derive(Clone)]
pub struct Input<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub fn new(all: &'a [u8]) -> Input<'a> {
        Input { all, at: 0 }
    }

    /// The whole of it, read or not.
    pub fn all(&self) -> &'a [u8] {
        self.all
    }

    /// Where a string or bytes are.
    #[inline]
    pub fn span(&mut self) -> Result<Range<usize>> {
        let n = self.bytes()?.len();
        Ok(self.at - n..self.at)
    }

    pub fn left(&self) -> usize {
        self.all.len() - self.at
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.all[self.at..]
    }

    #[inline]
    pub fn long(&mut self) -> Result<i64> {
        // Most lengths have one byte.
        let Some(&first) = self.all.get(self.at) else { return Err(Malformed("cut short in a number")) };
        self.at += 1;
        let mut bits = u64::from(first & 0x7f);
        if first >= 0x80 {
            bits = self.more_of_long(bits)?;
        }
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    fn more_of_long(&mut self, mut bits: u64) -> Result<u64> {
        for shift in (7..64).step_by(7) {
            let Some(&b) = self.all.get(self.at) else { return Err(Malformed("cut short in a number")) };
            self.at += 1;
            if shift == 63 && b > 1 {
                break;
            }
            bits |= u64::from(b & 0x7f) << shift;
            if b < 0x80 {
                return Ok(bits);
            }
        }
        Err(Malformed("a number of more than 64 bits"))
    }

    #[inline]
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if n > self.left() {
            return Err(Malformed("a length that goes beyond the message"));
        }
        let taken = &self.all[self.at..self.at + n];
        self.at += n;
        Ok(taken)
    }

    /// A string or bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.long()?;
        self.take(usize::try_from(n).map_err(|_| Malformed("a negative length"))?)
    }

    /// Whether there is a value in a union of null and something.
    pub fn is_some(&mut self) -> Result<bool> {
        match self.long()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a union index other than 0 and 1")),
        }
    }

    /// The count of the next block of a map or array; 0 ends it. Every entry has at least `smallest` bytes, so a count
    /// that cannot be true is not believed.
    #[inline]
    pub fn block(&mut self, smallest: usize) -> Result<usize> {
        let mut n = self.long()?;
        if n < 0 {
            n = n.checked_neg().ok_or(Malformed("a count out of range"))?;
            let size = self.long()?;
            if usize::try_from(size).map_or(true, |s| s > self.left()) {
                return Err(Malformed("a block that goes beyond the message"));
            }
        }
        let n = usize::try_from(n).map_err(|_| Malformed("a count out of range"))?;
        if n > self.left() / smallest {
            return Err(Malformed("a count that goes beyond the message"));
        }
        Ok(n)
    }

    /// Passes over a map of bytes or strings.
    pub fn skip_map(&mut self) -> Result<()> {
        loop {
            let n = self.block(2)?;
            if n == 0 {
                return Ok(());
            }
            for _ in 0..n {
                self.bytes()?;
                self.bytes()?;
            }
        }
    }
}

pub fn put_long(out: &mut Vec<u8>, v: i64) {
    let mut bits = ((v << 1) ^ (v >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_are_as_in_the_specification() {
        for (v, bytes) in [(0, &[0][..]), (-1, &[1]), (1, &[2]), (-64, &[0x7f]), (64, &[0x80, 1])] {
            let mut out = Vec::new();
            put_long(&mut out, v);
            assert_eq!(out, bytes);
        }
        for v in [i64::MIN, i64::MAX, 0, 1 << 33, -(1 << 50), 8191, 8192] {
            let mut out = Vec::new();
            put_long(&mut out, v);
            let mut input = Input::new(&out);
            assert_eq!((input.long(), input.left()), (Ok(v), 0));
            for cut in 0..out.len() {
                assert!(Input::new(&out[..cut]).long().is_err());
            }
        }
        assert!(Input::new(&[0xff; 20]).long().is_err());
        assert!(Input::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]).long().is_err());
    }

    #[test]
    fn counts_and_lengths_that_lie_are_refused() {
        let long = |v: i64| {
            let mut out = Vec::new();
            put_long(&mut out, v);
            out
        };
        for v in [i64::MAX, i64::MIN, -1, 3] {
            assert!(Input::new(&[long(v), vec![0, 0]].concat()).bytes().is_err(), "length {v}");
        }
        for v in [i64::MAX, i64::MIN, 3, -3] {
            assert!(Input::new(&[long(v), vec![0, 0]].concat()).block(1).is_err(), "count {v}");
        }
        assert_eq!(Input::new(&[3, 4, 0, 0]).block(1), Ok(2), "a block with its size");
        assert!(Input::new(&[4]).is_some().is_err());
    }

    #[test]
    fn maps_are_passed_over_in_any_blocks() {
        for map in [&b"\x00"[..], b"\x02\x02a\x02b\x00", b"\x02\x02a\x02b\x01\x08\x02c\x02d\x00"] {
            let mut input = Input::new(map);
            assert_eq!((input.skip_map(), input.left()), (Ok(()), 0));
            for cut in 0..map.len() {
                assert!(Input::new(&map[..cut]).skip_map().is_err());
            }
        }
    }
}
