//! Checkpoint pages: leaf pages hold encoded map leaves and patches, root pages hold where every leaf and segment is.
//!
//! Owns: the page around its payload, and what points into leaf pages. Does not own: the root's payload (`root.rs`), those of
//! leaves and patches ([`crate::map`]).
use super::codec::{Put, Take, open_envelope, seal_envelope};
use super::{FormatError, FormatResult, ImageUuid, Refusal};
use crate::units::CheckpointId;

/// "LSDM"
pub const PAGE_MAGIC: u32 = u32::from_le_bytes(*b"LSDM");
/// The version of pages of leaves, and of a root without patches.
pub const PAGE_VERSION: u16 = 1;
/// The version of pages of a root with patches.
pub const PATCHED_ROOT_VERSION: u16 = 2;
/// The version of pages of a root that says what moment it is of, and what snapshots need.
pub const MOMENT_ROOT_VERSION: u16 = 3;
/// Bytes that a page object is filled up to; more leaves or a larger root take more pages.
pub const MAX_PAGE_BYTES: usize = 4 << 20;
/// A leaf of very many tiny extents gets a page of its own, up to this size (OSDs refuse writes beyond 90 MB). A larger
/// leaf, which takes extents of less than 4 bytes on average, cannot be stored.
pub const MAX_LEAF_BYTES: usize = 64 << 20;
/// Bytes of a page before its payload: envelope, image, checkpoint, page number.
pub const PAGE_HEADER_BYTES: usize = super::codec::ENVELOPE_BYTES + 16 + 8 + 4;

/// What a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    Leaves,
    /// Of a root in which no leaf has a patch, as it was written until November 2026.
    Root,
    /// Of one with patches, of the same time.
    PatchedRoot,
    MomentRoot,
}

impl PageKind {
    fn number(self) -> u16 {
        match self {
            PageKind::Leaves => 1,
            PageKind::Root | PageKind::PatchedRoot | PageKind::MomentRoot => 2,
        }
    }

    fn version(self) -> u16 {
        match self {
            PageKind::Leaves | PageKind::Root => PAGE_VERSION,
            PageKind::PatchedRoot => PATCHED_ROOT_VERSION,
            PageKind::MomentRoot => MOMENT_ROOT_VERSION,
        }
    }

    /// What the bytes of a root page say of themselves; whether they are one is for [`decode_page`] to find.
    pub fn of_root(page: &[u8]) -> PageKind {
        match page.get(4..6) {
            Some(version) if version == PATCHED_ROOT_VERSION.to_le_bytes() => PageKind::PatchedRoot,
            Some(version) if version == MOMENT_ROOT_VERSION.to_le_bytes() => PageKind::MomentRoot,
            _ => PageKind::Root,
        }
    }
}

/// Which page a reader expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageIdentity {
    pub image: ImageUuid,
    pub checkpoint: CheckpointId,
    pub page: u32,
}

pub fn encode_page(identity: &PageIdentity, kind: PageKind, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + payload.len());
    out.extend_from_slice(&identity.image.0);
    out.put_u32(identity.checkpoint.epoch);
    out.put_u32(identity.checkpoint.number);
    out.put_u32(identity.page);
    out.extend_from_slice(payload);
    seal_envelope(PAGE_MAGIC, kind.version(), kind.number(), &out)
}

/// Checks a whole page object and returns its payload.
pub fn decode_page<'a>(identity: &PageIdentity, kind: PageKind, bytes: &'a [u8]) -> FormatResult<&'a [u8]> {
    const WHAT: &str = "checkpoint page";
    let mut take =
        Take::new(WHAT, open_envelope(WHAT, PAGE_MAGIC, kind.version()..=kind.version(), kind.number(), bytes)?);
    let found = PageIdentity {
        image: ImageUuid(take.array()?),
        checkpoint: CheckpointId { epoch: take.u32()?, number: take.u32()? },
        page: take.u32()?,
    };
    if found != *identity {
        return Err(FormatError::new(WHAT, Refusal::Foreign("page identity")));
    }
    let len = take.remaining();
    take.bytes(len)
}

/// Where an encoded leaf or patch lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafPointer {
    pub checkpoint: CheckpointId,
    pub page: u32,
    /// Bytes from the start of the page object.
    pub offset: u32,
    pub len: u32,
}

/// Where the latest patch of a leaf lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PatchPointer {
    pub at: LeafPointer,
    /// Bytes of all patches that were written on its base, this one included.
    pub spent: u32,
}

/// Where a leaf is stored: all of it as it once was, and what changed since, if anything did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeafPlace {
    pub base: LeafPointer,
    pub patch: Option<PatchPointer>,
}

impl LeafPlace {
    /// The bytes to be read for the leaf.
    pub fn pointers(&self) -> impl Iterator<Item = LeafPointer> + use<> {
        [Some(self.base), self.patch.map(|patch| patch.at)].into_iter().flatten()
    }
}
