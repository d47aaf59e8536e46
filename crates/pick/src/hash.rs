/// Hashes bytes to the same number on every machine and in every version, for tables and keys on which several balancers
/// must agree: FNV-1a, whose high bits are then mixed into the low ones (Steele and others, Fast Splittable
/// Pseudorandom Number Generators, 2014: the finalizer of SplitMix64). It does not withstand who chooses the bytes.
#[inline]
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    let begin = 0xCBF2_9CE4_8422_2325 ^ seed;
    let hash =
        bytes.iter().fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3));
    mix(hash)
}

/// Lets every bit depend on every other.
#[inline]
pub(crate) fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}
