/// Chance, from a seed that the caller has: SplitMix64 (Steele and others, Fast Splittable Pseudorandom Number
/// Generators, 2014). The same seed, the same numbers; it keeps no secret.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Begins at this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    #[inline]
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        crate::hash::mix(self.0)
    }

    /// An index below `len`, which is not 0. None is likelier than another by more than `len` in 2⁶⁴.
    #[inline]
    pub fn below(&mut self, len: usize) -> usize {
        // Below `len`, which is a usize.
        ((u128::from(self.number()) * len as u128) >> 64) as usize
    }

    /// A number from 0 up, below 1.
    #[inline]
    pub fn fraction(&mut self) -> f32 {
        (self.number() >> 40) as f32 / (1_u64 << 24) as f32
    }
}
