//! The checkpoint: its root, and every page of leaves.
use super::finding::{CheckReport, Fault};
use super::{Look, look};
use crate::header::Header;
use crate::objects::Objects;
use crate::state::State;
use crate::{ErrorKind, Result, recovery};
use bytes::Bytes;
use lsd_core::format::checkpoint::{LeafPointer, PageKind, decode_page};
use lsd_core::map::Leaf;
use lsd_core::units::{CheckpointId, LEAF_SPAN_BYTES, LeafNo, SegmentNo};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub(super) type PageKey = (CheckpointId, u32);

/// A leaf as the root names it.
type LeafAt = (LeafNo, LeafPointer, u32);

/// What the checkpoint gave.
#[derive(Debug, Default)]
pub(super) struct Checkpoint {
    /// The image as of the checkpoint, without the leaves that do not verify; `None` if the root does not.
    pub(super) state: Option<State>,
    /// Leaves that do not verify.
    pub(super) lost: BTreeSet<LeafNo>,
    /// Every page that the root names, its own included.
    pub(super) pages: BTreeSet<PageKey>,
    /// Segments that the leaves point into.
    pub(super) segments: BTreeSet<SegmentNo>,
}

/// Reads and verifies all of it.
pub(super) async fn verify(objects: &Objects, header: &Header, report: &mut CheckReport) -> Result<Checkpoint> {
    let mut found = Checkpoint::default();
    let root = header.log.checkpoint.iter();
    let root = root.flat_map(|at| (0..at.root_pages).map(|index| (at.id, at.first_root_page + index)));
    found.pages = root.collect();
    let state = match recovery::load_checkpoint(objects, &header.log, header.state.size, 0).await {
        Ok(state) => state,
        Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Io { .. }) => {
            let (id, page) = found.pages.first().copied().unwrap_or_default();
            report.add(objects.page(id, page), Fault::Root { why: error.to_string() });
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    let mut by_page: BTreeMap<PageKey, Vec<LeafAt>> = BTreeMap::new();
    for (leaf, at, mapped) in state.map.stored_leaves() {
        by_page.entry((at.checkpoint, at.page)).or_default().push((leaf, *at, mapped));
    }
    report.checked.pages += (found.pages.len() + by_page.len()) as u64;
    for (page, leaves) in &by_page {
        verify_page(objects, header.state.size, *page, leaves, &mut found, report).await?;
    }
    found.pages.extend(by_page.keys());
    found.state = Some(if found.lost.is_empty() { state } else { without(state, &found.lost) });
    Ok(found)
}

/// The state without the leaves that do not verify: their ranges look like holes.
fn without(mut state: State, lost: &BTreeSet<LeafNo>) -> State {
    let kept = state.map.stored_leaves().filter(|(leaf, _, _)| !lost.contains(leaf));
    let kept: Vec<_> = kept.map(|(leaf, at, mapped)| (leaf, *at, mapped)).collect();
    state.map = lsd_core::map::ExtentMap::new();
    state.map.load_root(kept);
    state
}

/// The bytes of the image that a leaf stands for.
pub(super) fn span(leaf: LeafNo, size: u64) -> Range<u64> {
    let start = leaf.start().min(size);
    start..(leaf.start() + u64::from(LEAF_SPAN_BYTES)).min(size)
}

async fn verify_page(
    objects: &Objects,
    size: u64,
    (id, page): PageKey,
    leaves: &[LeafAt],
    found: &mut Checkpoint,
    report: &mut CheckReport,
) -> Result<()> {
    let name = objects.page(id, page);
    let bytes = match look(objects.meta.stat(&name).await)? {
        Look::Found(len) => look(objects.meta.read(&name, 0, len).await)?,
        Look::Gone => Look::Gone,
        Look::Damaged(why) => Look::Damaged(why),
    };
    let bytes: Bytes = match bytes {
        Look::Found(bytes) => bytes,
        Look::Gone | Look::Damaged(_) => {
            let why = if let Look::Damaged(why) = bytes { why } else { "it is gone".to_owned() };
            let ranges = leaves.iter().map(|(leaf, ..)| span(*leaf, size)).collect();
            report.add_at(&name, Fault::Page { why }, ranges);
            found.lost.extend(leaves.iter().map(|(leaf, ..)| *leaf));
            return Ok(());
        }
    };
    let mut all_good = true;
    for (leaf, at, mapped) in leaves {
        report.checked.leaves += 1;
        match verify_leaf(*leaf, *at, *mapped, &bytes) {
            Ok(content) => {
                report.checked.mapped_bytes += u64::from(*mapped);
                found.segments.extend(content.runs().map(|run| run.loc.segment()));
            }
            Err(why) => {
                all_good = false;
                found.lost.insert(*leaf);
                report.add_at(&name, Fault::Leaf { leaf: leaf.0, why }, vec![span(*leaf, size)]);
            }
        }
    }
    // A leaf that does not verify is why the page around it does not.
    if all_good && let Err(error) = decode_page(&objects.page_identity(id, page), PageKind::Leaves, &bytes) {
        report.add(&name, Fault::Page { why: error.to_string() });
    }
    Ok(())
}

fn verify_leaf(leaf: LeafNo, at: LeafPointer, mapped: u32, page: &[u8]) -> std::result::Result<Leaf, String> {
    let end = u64::from(at.offset) + u64::from(at.len);
    let bytes = page.get(at.offset as usize..end as usize).ok_or("the page is too short")?;
    let content = Leaf::decode(leaf, bytes).map_err(|error| error.to_string())?;
    match content.mapped_bytes() {
        found if found == mapped => Ok(content),
        found => Err(format!("maps {found} bytes, the root says {mapped}")),
    }
}
