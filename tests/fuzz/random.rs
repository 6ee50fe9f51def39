//! A small seeded generator: the same seed gives the same inputs on every machine.

/// Xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Spread, so that seeds 1, 2, 3 begin apart; never zero.
        Random(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One that depends on these bytes only.
    pub fn of(bytes: &[u8]) -> Random {
        let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
        Random::new(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    /// Less than `n`; 0 when that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// True one time in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// A range within `len` bytes, mostly a short one.
    pub fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let from = self.below(len + 1);
        let most = if self.one_in(4) { len } else { 16 };
        from..(from + self.below(most.min(len - from) + 1))
    }

    /// `bytes` in pieces of random length.
    pub fn split<'a>(&mut self, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let most = if self.one_in(2) { bytes.len() } else { bytes.len().min(40) };
            let (piece, rest) = bytes.split_at(1 + self.below(most));
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }
}
