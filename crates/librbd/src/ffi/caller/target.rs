//! Filling the caller's memory, piece after piece, with what a read brings.
use lsd_engine::ReadTarget;
use std::slice::Iter;

/// One piece of the caller's memory.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) start: *mut u8,
    pub(super) len: usize,
}

/// What is left of the memory to fill; what comes beyond its end is dropped.
pub struct CallerTarget<'a> {
    place: Piece,
    pieces: Iter<'a, Piece>,
}

// SAFETY: as for `CallerMemory`, whose pieces these are.
unsafe impl Send for CallerTarget<'_> {}

impl<'a> CallerTarget<'a> {
    pub(super) fn new(pieces: &'a [Piece]) -> Self {
        Self { place: Piece { start: std::ptr::null_mut(), len: 0 }, pieces: pieces.iter() }
    }

    /// The next bytes in one piece, at most `most`.
    fn next(&mut self, most: usize) -> Option<Piece> {
        while self.place.len == 0 {
            self.place = *self.pieces.next()?;
        }
        let Piece { start, len } = self.place;
        let now = len.min(most);
        // SAFETY: `now` is at most the length of the piece.
        self.place = Piece { start: unsafe { start.add(now) }, len: len - now };
        Some(Piece { start, len: now })
    }
}

impl ReadTarget for CallerTarget<'_> {
    fn data(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(place) = self.next(bytes.len()) else { return };
            let (now, later) = bytes.split_at(place.len);
            // SAFETY: both sides have so many bytes; the engine's buffers are never the caller's memory.
            unsafe { place.start.copy_from_nonoverlapping(now.as_ptr(), now.len()) };
            bytes = later;
        }
    }

    fn zeroes(&mut self, mut len: u64) {
        while len > 0 {
            let Some(place) = self.next(usize::try_from(len).unwrap_or(usize::MAX)) else { return };
            // SAFETY: the place has so many bytes.
            unsafe { place.start.write_bytes(0, place.len) };
            len -= place.len as u64;
        }
    }
}
