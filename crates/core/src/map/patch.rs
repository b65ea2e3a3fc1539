//! A patch: what changed in a leaf since its stored base, in a checkpoint.
//!
//! Owns: which changes can be told in a patch, its bytes, what a patched leaf is, and when a patch is worth it. Does not
//! own: which blocks may differ from the base (`slots.rs`), the page that holds patches. All integers are little-endian.
//!
//! ```text
//! offset  size  field
//!      0     4  magic    bytes "LSDP"
//!      4     2  version  1; 2 if a block is zeroed
//!      6     2  reserved 0
//!      8     4  leaf     number of the leaf
//!     12     4  count    blocks that the patch replaces, 1 to 4096
//!     16     4  crc      CRC-32C of all bytes of the patch, this field taken as zero
//!     20    20  base     the leaf that the patch is for: checkpoint epoch, number, page, offset, length
//!     40     8  lowest   the lowest segment that an entry names; 0 when there is none
//!     48     4  groups   segments that follow
//!     52     6  group    u32 segment - lowest, u16 entries of that segment, at least 1; segments ascend from 0
//!      -     3  entry    `count` of them: block of the leaf << 12 | offset in the segment / 4096; first those of each group
//!                        in order, then the blocks that are in none: holes (offset 0) and, in version 2, zeroed ones (1);
//!                        ascending by block within each
//! ```
//!
//! Every block is replaced at most once. The blocks that a patch does not name are those of the base.
use super::codec::{RUN_BYTES, checksum, u16_at, u32_at, u64_at};
use super::dense::BLOCKS;
use super::{BlockSet, LEAF_HEADER_BYTES, Leaf, MapError, Run};
use crate::format::checkpoint::{LeafPlace, LeafPointer};
use crate::units::{BLOCK_BYTES, CheckpointId, LeafNo, Loc, MAX_SEGMENT_NO, SegmentNo};

/// "LSDP" read as a little-endian number.
pub const PATCH_MAGIC: u32 = u32::from_le_bytes(*b"LSDP");
/// The version of a patch that makes no block zeroed.
pub const PATCH_FORMAT_VERSION: u16 = 1;
/// The version of one that does.
pub const PATCH_ZEROED_VERSION: u16 = 2;
/// A leaf whose full encoding is not larger than this gets no patches: it costs little more than one.
pub const LEAST_PATCHED_BYTES: u32 = 2 << 10;

const CRC_OFFSET: usize = 16;
const HEADER_BYTES: usize = 52;
const GROUP_BYTES: usize = 6;
const ENTRY_BYTES: usize = 3;

/// Blocks of a leaf and where they live now, ascending by block; [`Loc::NOWHERE`] is a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    blocks: Vec<(u16, Loc)>,
}

/// False for a leaf so small that it gets no patches: which of its blocks change need not be noted.
pub(super) fn may_follow(base: &Leaf) -> bool {
    base.run_count() * RUN_BYTES > LEAST_PATCHED_BYTES as usize
}

/// False for a change that no patch can tell: it has whole blocks only.
pub(super) fn may_tell(start: u32, len: u32) -> bool {
    (start | len).is_multiple_of(BLOCK_BYTES)
}

/// About what a checkpoint writes for a patch of so many blocks: each may need a segment of its own.
pub(super) fn likely_bytes(blocks: u32) -> usize {
    HEADER_BYTES + blocks as usize * (GROUP_BYTES + ENTRY_BYTES)
}

impl Patch {
    /// What `leaf` has in the blocks of `changed`. `None` when these are not all either one hole or one aligned block of a
    /// segment, when these segments are too far apart, or when there are no blocks.
    #[must_use]
    pub fn of(leaf: &Leaf, changed: &BlockSet) -> Option<Patch> {
        let mut blocks = Vec::with_capacity(changed.count() as usize);
        let mut is_aligned = changed.count() > 0;
        for range in changed.ranges() {
            let first = blocks.len();
            blocks.extend(range.clone().map(|block| (block as u16, Loc::NOWHERE)));
            let (start, len) = (range.start * BLOCK_BYTES, (range.end - range.start) * BLOCK_BYTES);
            leaf.visit(start, len, &mut |run: Run| {
                let offset = if run.loc == Loc::ZEROED { 0 } else { run.loc.offset() };
                is_aligned &= (run.start | run.len | offset).is_multiple_of(BLOCK_BYTES);
                let at = first + ((run.start - start) / BLOCK_BYTES) as usize;
                for step in 0..run.len / BLOCK_BYTES {
                    blocks[at + step as usize].1 = run.loc.advance(step * BLOCK_BYTES);
                }
            });
        }
        let segments = || blocks.iter().filter(|(_, loc)| loc.is_data()).map(|(_, loc)| loc.segment().0);
        let span = segments().max().unwrap_or(0) - segments().min().unwrap_or(0);
        (is_aligned && u32::try_from(span).is_ok()).then_some(Patch { blocks })
    }

    /// The patch that a checkpoint should write for `leaf` instead of the whole of it: one of what is stored at `place`.
    /// `None` when the leaf is small, when a patch would not be less than half of it, or when the patches of its base have
    /// cost as much by now as a base does, which is when a new one costs the least over time.
    #[must_use]
    pub fn worth_writing(leaf: &Leaf, changed: &BlockSet, place: &LeafPlace) -> Option<Patch> {
        let runs = LEAF_HEADER_BYTES + leaf.run_count() * RUN_BYTES;
        let whole = (place.base.len as usize).min(runs);
        let least = HEADER_BYTES + changed.count() as usize * ENTRY_BYTES;
        if whole <= LEAST_PATCHED_BYTES as usize || least > whole / 2 {
            return None;
        }
        let patch = Patch::of(leaf, changed)?;
        let bytes = patch.encoded_bytes();
        let spent = place.patch.map_or(0, |patch| patch.spent) as usize + bytes;
        (bytes <= whole / 2 && spent <= whole).then_some(patch)
    }

    /// The blocks that the patch replaces.
    #[must_use]
    pub fn changed(&self) -> BlockSet {
        let mut changed = BlockSet::default();
        for (block, _) in &self.blocks {
            changed.insert(u32::from(*block) * BLOCK_BYTES, BLOCK_BYTES);
        }
        changed
    }

    /// Makes of its base the leaf that the patch was made of.
    pub fn apply(&self, base: &mut Leaf) {
        let mut replaced = Vec::new();
        for (block, loc) in &self.blocks {
            let start = u32::from(*block) * BLOCK_BYTES;
            match *loc {
                Loc::NOWHERE => base.clear(start, BLOCK_BYTES, &mut replaced),
                Loc::ZEROED => base.zero(start, BLOCK_BYTES, &mut replaced),
                loc => base.set(start, BLOCK_BYTES, loc, &mut replaced),
            }
        }
    }

    fn has_zeroed(&self) -> bool {
        self.blocks.iter().any(|(_, loc)| *loc == Loc::ZEROED)
    }

    /// The entries as they are stored: by segment, then what is in none.
    fn sorted(&self) -> Vec<(u64, u32)> {
        let key = |&(block, loc): &(u16, Loc)| {
            let (segment, place) = match loc.is_data() {
                true => (loc.segment().0, loc.offset() / BLOCK_BYTES),
                false => (u64::MAX, loc.offset()),
            };
            (segment, u32::from(block) << 12 | place)
        };
        let mut entries: Vec<(u64, u32)> = self.blocks.iter().map(key).collect();
        entries.sort_unstable();
        entries
    }

    /// How many bytes [`Patch::encode`] appends.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let mut segments: Vec<u64> =
            self.blocks.iter().filter(|(_, loc)| loc.is_data()).map(|(_, loc)| loc.segment().0).collect();
        segments.sort_unstable();
        segments.dedup();
        HEADER_BYTES + segments.len() * GROUP_BYTES + self.blocks.len() * ENTRY_BYTES
    }

    /// Appends the patch's bytes, as the format of this module says.
    pub fn encode(&self, leaf: LeafNo, base: &LeafPointer, out: &mut Vec<u8>) {
        let first = out.len();
        let entries = self.sorted();
        let located = entries.iter().take_while(|(segment, _)| *segment != u64::MAX).count();
        let groups: Vec<&[(u64, u32)]> = entries[..located].chunk_by(|one, next| one.0 == next.0).collect();
        let lowest = groups.first().map_or(0, |group| group[0].0);
        out.extend_from_slice(&PATCH_MAGIC.to_le_bytes());
        let version = if self.has_zeroed() { PATCH_ZEROED_VERSION } else { PATCH_FORMAT_VERSION };
        out.extend_from_slice(&u32::from(version).to_le_bytes());
        let CheckpointId { epoch, number } = base.checkpoint;
        for field in [leaf.0, entries.len() as u32, 0, epoch, number, base.page, base.offset, base.len] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&lowest.to_le_bytes());
        out.extend_from_slice(&(groups.len() as u32).to_le_bytes());
        for group in groups {
            out.extend_from_slice(&((group[0].0 - lowest) as u32).to_le_bytes());
            out.extend_from_slice(&(group.len() as u16).to_le_bytes());
        }
        for (_, entry) in entries {
            out.extend_from_slice(&entry.to_le_bytes()[..ENTRY_BYTES]);
        }
        let crc = checksum(&out[first..]);
        out[first + CRC_OFFSET..first + CRC_OFFSET + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads what [`Patch::encode`] wrote for `leaf` and `base`. `bytes` are the patch and nothing else.
    ///
    /// # Errors
    /// [`MapError`] when the bytes are damaged, of another leaf or base, or of a version this code does not know.
    pub fn decode(leaf: LeafNo, base: &LeafPointer, bytes: &[u8]) -> Result<Patch, MapError> {
        let length = |expected| MapError::Length { leaf, found: bytes.len(), expected };
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(length(HEADER_BYTES as u64));
        };
        match u32_at(header, 0) {
            PATCH_MAGIC => {}
            found => return Err(MapError::Magic { leaf, found }),
        }
        let zeroed = match u16_at(header, 4) {
            PATCH_FORMAT_VERSION => false,
            PATCH_ZEROED_VERSION => true,
            found => return Err(MapError::Version { leaf, found }),
        };
        let (count, groups) = (u32_at(header, 12), u32_at(header, 48));
        let expected = u64::from(groups) * GROUP_BYTES as u64 + u64::from(count) * ENTRY_BYTES as u64;
        if rest.len() as u64 != expected {
            return Err(length(HEADER_BYTES as u64 + expected));
        }
        match (u32_at(header, CRC_OFFSET), checksum(bytes)) {
            (found, computed) if found != computed => return Err(MapError::Checksum { leaf, found, computed }),
            _ => {}
        }
        match LeafNo(u32_at(header, 8)) {
            found if found != leaf => return Err(MapError::OtherLeaf { leaf, found }),
            _ => {}
        }
        let named = LeafPointer {
            checkpoint: CheckpointId { epoch: u32_at(header, 20), number: u32_at(header, 24) },
            page: u32_at(header, 28),
            offset: u32_at(header, 32),
            len: u32_at(header, 36),
        };
        if named != *base {
            return Err(MapError::OtherBase { leaf });
        }
        let (table, entries) = rest.split_at(groups as usize * GROUP_BYTES);
        let is_sized = (1..=BLOCKS as u32).contains(&count) && u16_at(header, 6) == 0;
        let blocks = if is_sized { decode_blocks(u64_at(header, 40), table, entries, zeroed) } else { Err(0) };
        let patch = Patch { blocks: blocks.map_err(|index| MapError::Entry { leaf, index })? };
        match patch.has_zeroed() == zeroed {
            true => Ok(patch),
            false => Err(MapError::Version { leaf, found: PATCH_ZEROED_VERSION }),
        }
    }
}

/// The blocks ascending, or the first entry that is wrong; of the groups when there are no entries yet.
fn decode_blocks(lowest: u64, table: &[u8], entries: &[u8], zeroed: bool) -> Result<Vec<(u16, Loc)>, u32> {
    let entries = entries.as_chunks::<ENTRY_BYTES>().0;
    let mut blocks: Vec<(u16, Loc)> = Vec::with_capacity(entries.len());
    let mut before = None;
    for group in table.as_chunks::<GROUP_BYTES>().0 {
        let (above, count) = (u32_at(group, 0), u16_at(group, 4) as usize);
        let segment = lowest.checked_add(u64::from(above)).filter(|segment| (1..=MAX_SEGMENT_NO).contains(segment));
        let ascends = before.map_or(above == 0, |before| above > before);
        let (Some(segment), true, 1..) = (segment.map(SegmentNo), ascends, count) else { return Err(0) };
        before = Some(above);
        let place = |offset| Some(Loc::new(segment, offset * BLOCK_BYTES));
        take_ascending(entries, count, &mut blocks, place)?;
    }
    if before.is_none() && lowest != 0 {
        return Err(0);
    }
    let holes = entries.len() - blocks.len();
    let place = |offset| match offset {
        0 => Some(Loc::NOWHERE),
        1 if zeroed => Some(Loc::ZEROED),
        _ => None,
    };
    take_ascending(entries, holes, &mut blocks, place)?;
    blocks.sort_unstable_by_key(|(block, _)| *block);
    match blocks.array_windows().position(|[one, next]| one.0 == next.0) {
        Some(twice) => Err(twice as u32),
        None => Ok(blocks),
    }
}

/// Appends the next `count` entries, whose blocks must ascend.
fn take_ascending(
    entries: &[[u8; ENTRY_BYTES]],
    count: usize,
    blocks: &mut Vec<(u16, Loc)>,
    place: impl Fn(u32) -> Option<Loc>,
) -> Result<(), u32> {
    let first = blocks.len();
    for index in first..first + count {
        let entry = entries.get(index).ok_or(index as u32)?;
        let entry = u32::from_le_bytes([entry[0], entry[1], entry[2], 0]);
        let block = (entry >> 12) as u16;
        let ascends = index == first || blocks[index - 1].0 < block;
        let loc = place(entry & 0xfff).filter(|_| ascends).ok_or(index as u32)?;
        blocks.push((block, loc));
    }
    Ok(())
}
