//! The root of a checkpoint: what moment it is of, where every leaf of the map is stored, and what is known of every segment.
//!
//! Owns: the payload, and joining it from its pages. Does not own: the pages around it (`checkpoint.rs`), leaves.
//!
//! Roots are written in the third version. Those of the first two have no moment, no table of pinned pages and shorter entries for
//! segments; the first has no table of patches either.
mod entries;

use super::checkpoint::{LeafPlace, PageIdentity, PageKind, PatchPointer, decode_page};
use super::codec::{Put, Take};
use super::{FormatError, FormatResult, Refusal};
use crate::units::{LeafNo, MAX_IMAGE_BYTES};
pub use entries::{LeafEntry, PinnedPage, SegmentEntry};

const WHAT: &str = "checkpoint root";

/// What the image was when the checkpoint was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Bytes.
    pub size: u64,
    pub features: u64,
    /// Nanoseconds since 1970.
    pub time_ns: u64,
}

/// How long the tables of a root are. Its payload is the moment, that, the leaves, the segments, the patches and the pinned pages,
/// each in order, so it can be written piece by piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootCounts {
    pub leaves: usize,
    pub segments: usize,
    /// Leaves that have a patch.
    pub patches: usize,
    /// Pages that snapshots need, or that were let go.
    pub pages: usize,
}

const MOMENT_BYTES: usize = 24;

impl RootCounts {
    pub fn payload_bytes(&self) -> usize {
        self.payload_bytes_in(PageKind::MomentRoot)
    }

    fn payload_bytes_in(&self, kind: PageKind) -> usize {
        let counts = match kind {
            PageKind::MomentRoot => MOMENT_BYTES + 16,
            PageKind::PatchedRoot => 12,
            _ => 8,
        };
        let leaves = self.leaves.saturating_mul(LeafEntry::BYTES);
        let segments = self.segments.saturating_mul(SegmentEntry::bytes_in(kind));
        let patches = self.patches.saturating_mul(LeafEntry::PATCH_BYTES);
        let pages = self.pages.saturating_mul(PinnedPage::BYTES);
        counts.saturating_add(leaves).saturating_add(segments).saturating_add(patches).saturating_add(pages)
    }

    /// Appends the beginning of the payload.
    pub fn put(&self, moment: &Moment, out: &mut Vec<u8>) {
        out.put_u64(moment.size);
        out.put_u64(moment.features);
        out.put_u64(moment.time_ns);
        for count in [self.leaves, self.segments, self.patches, self.pages] {
            out.put_u32(count as u32);
        }
    }

    fn take(kind: PageKind, take: &mut Take<'_>) -> FormatResult<Self> {
        let mut counts = Self { leaves: take.u32()? as usize, segments: take.u32()? as usize, ..RootCounts::default() };
        if kind != PageKind::Root {
            counts.patches = take.u32()? as usize;
        }
        if kind == PageKind::MomentRoot {
            counts.pages = take.u32()? as usize;
        }
        Ok(counts)
    }
}

/// Everything a checkpoint's root says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// `None` in roots of the first two versions.
    pub moment: Option<Moment>,
    pub leaves: Vec<LeafEntry>,
    pub segments: Vec<SegmentEntry>,
    /// Pages with leaves that snapshots need, and pages that were let go.
    pub pages: Vec<PinnedPage>,
}

/// The pages of a root, joined one after another.
#[derive(Debug, Default)]
pub struct RootPages {
    kind: Option<PageKind>,
    payload: Vec<u8>,
}

impl RootPages {
    /// Checks the next page and takes it in.
    pub fn add(&mut self, identity: &PageIdentity, page: &[u8]) -> FormatResult<()> {
        let kind = self.kind.unwrap_or_else(|| PageKind::of_root(page));
        self.payload.extend_from_slice(decode_page(identity, kind, page)?);
        self.kind = Some(kind);
        Ok(())
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    pub fn decode(&self) -> FormatResult<Root> {
        Root::decode(self.kind.unwrap_or(PageKind::Root), &self.payload)
    }
}

fn refuse<T>(field: &'static str) -> FormatResult<T> {
    Err(FormatError::new(WHAT, Refusal::Value(field)))
}

impl Root {
    /// The payload, to be cut into pages of [`PageKind::MomentRoot`].
    pub fn encode(&self) -> Vec<u8> {
        let patches = self.leaves.iter().filter(|entry| entry.at.patch.is_some());
        let counts = RootCounts {
            leaves: self.leaves.len(),
            segments: self.segments.len(),
            patches: patches.clone().count(),
            pages: self.pages.len(),
        };
        let mut out = Vec::with_capacity(counts.payload_bytes());
        counts.put(&self.moment.unwrap_or_default(), &mut out);
        self.leaves.iter().for_each(|entry| entry.put(&mut out));
        self.segments.iter().for_each(|entry| entry.put(&mut out));
        patches.for_each(|entry| entry.put_patch(&mut out));
        self.pages.iter().for_each(|page| page.put(&mut out));
        out
    }

    /// Decodes the joined payload of all root pages, which are of `kind`. All tables must ascend.
    pub fn decode(kind: PageKind, bytes: &[u8]) -> FormatResult<Self> {
        let mut take = Take::new(WHAT, bytes);
        let mut root = Self { moment: take_moment(kind, &mut take)?, ..Self::default() };
        let counts = RootCounts::take(kind, &mut take)?;
        if counts.payload_bytes_in(kind) != bytes.len() {
            return refuse("counts");
        }
        root.leaves.reserve_exact(counts.leaves);
        for _ in 0..counts.leaves {
            let entry = LeafEntry::take(&mut take)?;
            if root.leaves.last().is_some_and(|last| last.leaf >= entry.leaf) {
                return refuse("leaf order");
            }
            root.leaves.push(entry);
        }
        root.segments.reserve_exact(counts.segments);
        for _ in 0..counts.segments {
            let entry = SegmentEntry::take(kind, &mut take)?;
            if root.segments.last().is_some_and(|last| last.segment >= entry.segment) {
                return refuse("segment entry");
            }
            root.segments.push(entry);
        }
        root.take_patches(counts.patches, &mut take)?;
        root.pages.reserve_exact(counts.pages);
        for _ in 0..counts.pages {
            let page = PinnedPage::take(&mut take)?;
            if root.pages.last().is_some_and(|last| last.key() >= page.key()) {
                return refuse("page order");
            }
            root.pages.push(page);
        }
        take.end()?;
        if kind == PageKind::PatchedRoot && counts.patches == 0 {
            return refuse("patches");
        }
        Ok(root)
    }

    fn take_patches(&mut self, count: usize, take: &mut Take<'_>) -> FormatResult<()> {
        let mut leaves = self.leaves.iter_mut();
        for _ in 0..count {
            let (leaf, spent) = (LeafNo(take.u32()?), take.u32()?);
            let at = entries::take_pointer(take)?;
            // The iterator does not go back, so this finds patches in ascending order only.
            let Some(entry) = leaves.find(|entry| entry.leaf == leaf) else { return refuse("patch order") };
            entry.at = LeafPlace { patch: Some(PatchPointer { at, spent }), ..entry.at };
        }
        Ok(())
    }
}

fn take_moment(kind: PageKind, take: &mut Take<'_>) -> FormatResult<Option<Moment>> {
    if kind != PageKind::MomentRoot {
        return Ok(None);
    }
    let moment = Moment { size: take.u64()?, features: take.u64()?, time_ns: take.u64()? };
    if moment.size > MAX_IMAGE_BYTES {
        return refuse("size");
    }
    Ok(Some(moment))
}
