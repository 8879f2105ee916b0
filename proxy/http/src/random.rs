//! Numbers that need not be secret: request ids and weighted choices.

use std::{
    cell::Cell,
    hash::{BuildHasher, Hasher, RandomState},
};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().build_hasher().finish());
}

/// The next number of this thread (splitmix64).
pub(crate) fn next() -> u64 {
    STATE.with(|state| {
        let seed = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(seed);
        let mixed = (seed ^ seed.wrapping_shr(30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed.wrapping_shr(27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed.wrapping_shr(31)
    })
}

/// A number below `bound`; 0 for 0. The bias is below 2^-32 for bounds below 2^32.
pub(crate) fn below(bound: u64) -> u64 {
    next().checked_rem(bound).unwrap_or(0)
}

/// 32 hexadecimal digits.
pub(crate) fn request_id() -> [u8; 32] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut id = [0; 32];
    for half in id.chunks_mut(16) {
        let mut rest = next();
        for digit in half {
            let nibble = usize::try_from(rest & 15).unwrap_or(0);
            *digit = HEX.get(nibble).copied().unwrap_or(b'0');
            rest = rest.wrapping_shr(4);
        }
    }
    id
}
