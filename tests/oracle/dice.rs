//! Chance: everything that is drawn comes from one seed, so the same seed invents the same case.

use crate::support::load::Random;

/// Draws numbers, choices and picks.
pub struct Dice(Random);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        // The first numbers of neighbouring seeds are alike.
        for _ in 0..8 {
            random.below(2);
        }
        Self(random)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.below(limit as u64)).unwrap()
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    /// Yes in so many cases of a hundred.
    pub fn percent(&mut self, yes: usize) -> bool {
        self.below(100) < yes
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Any 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.below(1 << 32) << 32 | self.0.below(1 << 32)
    }

    /// Few bits or many: small numbers are as frequent as large ones.
    pub fn magnitude(&mut self, bits: usize) -> u64 {
        match self.between(0, bits) {
            0 => 0,
            width => self.bits() >> (64 - width),
        }
    }
}
