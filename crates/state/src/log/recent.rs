//! Where the guest's latest writes lie in the open group, by their place in the image: a later write to the same place can take
//! the place in the log of an earlier one (LSVD coalesces overwrites inside a batch as well).
//!
//! Owns: finding them. Does not own: whether the map still points at one (`state/mod.rs`).
use crate::places::place;
use lsd_core::units::Seq;

/// Places (a power of two, as bits), 10 KiB; a newer write takes the place of an older one, which is then found no more.
const PLACE_BITS: u32 = 8;

/// A write in the open group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) batch: usize,
    pub(super) record: usize,
    pub(super) piece: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Noted {
    /// The first sequence of its group; there is no sequence 0.
    group: Seq,
    offset: u64,
    at: At,
}

#[derive(Debug)]
pub(super) struct Recent(Box<[Noted]>);

impl Default for Recent {
    fn default() -> Self {
        Self(vec![Noted::default(); 1 << PLACE_BITS].into())
    }
}

impl Recent {
    pub(super) fn note(&mut self, group: Seq, offset: u64, at: At) {
        self.0[place(offset, PLACE_BITS)] = Noted { group, offset, at };
    }

    pub(super) fn find(&self, group: Seq, offset: u64) -> Option<At> {
        let noted = self.0[place(offset, PLACE_BITS)];
        (noted.group == group && noted.offset == offset).then_some(noted.at)
    }
}
