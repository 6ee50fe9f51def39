//! Chance that replays: a small generator (splitmix64), and the luck of what is not synced when the power goes.
//!
//! Everything random in the simulation comes from here and from seeds that tests choose and print, so that a failed
//! test can be run again. Owned by what draws from it; knows nothing of files.

/// A stream of numbers. It visits every 64-bit number once before it repeats one.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.draw() % n
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Another stream, which only this one's state and the salt decide; this one does not move.
    pub fn fork(&self, salt: u64) -> Random {
        let (mut own, mut salt) = (self.clone(), Random(salt));
        Random(own.draw() ^ salt.draw())
    }
}

/// How the changes that nobody synced fare in a power cut.
pub enum Luck {
    /// All are lost: the strictest disk.
    Bad,
    /// All are kept.
    Good,
    /// Each is kept with so many chances in eight.
    Drawn(Random, u64),
}

impl Luck {
    pub fn of(seed: u64) -> Luck {
        match seed % 8 {
            0 => Luck::Bad,
            1 => Luck::Good,
            _ => Luck::Drawn(Random::new(seed), 4),
        }
    }

    /// The luck of one file or directory. Its chances are drawn, so that there are images where one file lost nearly
    /// everything and its neighbour nothing.
    pub fn of_one(&mut self) -> Luck {
        match self {
            Luck::Bad => Luck::Bad,
            Luck::Good => Luck::Good,
            Luck::Drawn(random, _) => {
                let chances = [0, 1, 4, 7, 8][random.below(5) as usize];
                Luck::Drawn(Random::new(random.draw()), chances)
            }
        }
    }

    pub fn keeps(&mut self) -> bool {
        match self {
            Luck::Bad => false,
            Luck::Good => true,
            Luck::Drawn(random, chances) => random.below(8) < *chances,
        }
    }
}
