//! Small tables in which a newer entry takes the place of an older one.

/// The place of `key` in a table of 2^`bits` places. Fibonacci hashing: neighbours spread over the whole table.
pub fn place(key: u64, bits: u32) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - bits)) as usize
}
