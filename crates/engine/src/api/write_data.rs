//! The data of a write: cut into records, with their checksums.
//!
//! Owns: copying it out of memory that is not ours to keep, and the checksums, all outside of any lock. Does not own: where it goes.
use bytes::Bytes;
use lsd_core::format::block_sums::SummedCopy;
use lsd_core::format::record::MAX_RECORD_BYTES;
use lsd_state::state::Chunk;

const MOST: usize = MAX_RECORD_BYTES as usize;

/// Made from `Bytes`, which are kept, or copied from anywhere.
#[derive(Debug)]
pub struct WriteData {
    /// All but the last have [`MAX_RECORD_BYTES`].
    chunks: Vec<Chunk>,
}

impl WriteData {
    /// A copy of `len` bytes from these pieces; of fewer if they end before.
    pub fn copied<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, len: usize) -> Self {
        let mut chunks = Vec::with_capacity(len.div_ceil(MOST));
        let mut left = len;
        let mut copy = SummedCopy::new(left.min(MOST));
        let mut room = left.min(MOST);
        for mut piece in pieces {
            while left > 0 && !piece.is_empty() {
                let (now, later) = piece.split_at(piece.len().min(room));
                copy.push(now);
                (piece, left, room) = (later, left - now.len(), room - now.len());
                if room == 0 {
                    room = left.min(MOST);
                    chunks.push(Chunk::from(std::mem::replace(&mut copy, SummedCopy::new(room))));
                }
            }
        }
        let last = Chunk::from(copy);
        chunks.extend((last.bytes() > 0).then_some(last));
        Self { chunks }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> u64 {
        Chunk::total(&self.chunks)
    }

    pub(crate) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    pub(crate) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }
}

impl From<Bytes> for WriteData {
    fn from(data: Bytes) -> Self {
        let cut = |start: usize| Chunk::new(data.slice(start..data.len().min(start + MOST)));
        Self { chunks: (0..data.len()).step_by(MOST).map(cut).collect() }
    }
}

#[cfg(test)]
mod tests;
