//! The checkpoint: its root, every page of leaves and patches, and every leaf with its patch.
use super::finding::{CheckReport, Fault};
use super::{Look, look};
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::parallel;
use crate::{ErrorKind, Result, recovery};
use bytes::Bytes;
use futures::FutureExt;
use lsd_core::format::checkpoint::{LeafPlace, LeafPointer, PageKind, decode_page};
use lsd_core::map::{Leaf, MapError, Patch};
use lsd_core::units::{LEAF_SPAN_BYTES, LeafNo, SegmentNo};
use lsd_state::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub(super) use lsd_state::pins::PageKey;
use lsd_state::pins::root_pages;

/// Patched leaves that are read side by side.
const LEAVES_AT_ONCE: usize = 64;

/// A leaf as the root names it.
type LeafAt = (LeafNo, LeafPlace, u32);

/// What of a leaf lies in a page: its base or its patch.
#[derive(Debug)]
struct Part {
    leaf: LeafAt,
    at: LeafPointer,
}

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
    let mut found = Checkpoint { pages: root_pages(&header.log).collect(), ..Checkpoint::default() };
    let state = match recovery::load_checkpoint(objects, header, &header.log, 0).await {
        Ok(state) => state,
        Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::Io { .. }) => {
            let (id, page) = found.pages.first().copied().unwrap_or_default();
            report.add(objects.of_page(id).page(id, page), Fault::Root { why: error.to_string() });
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    let leaves: Vec<LeafAt> = state.view.map.stored_leaves().map(|(leaf, at, mapped)| (leaf, *at, mapped)).collect();
    let mut by_page: BTreeMap<PageKey, Vec<Part>> = BTreeMap::new();
    for (leaf, at) in leaves.iter().flat_map(|leaf| leaf.1.pointers().map(move |at| (leaf, at))) {
        by_page.entry((at.checkpoint, at.page)).or_default().push(Part { leaf: *leaf, at });
    }
    report.checked.pages += (found.pages.len() + by_page.len()) as u64;
    report.checked.leaves += leaves.len() as u64;
    for (page, parts) in &by_page {
        verify_page(objects, header.state.size, *page, parts, &mut found, report).await?;
    }
    verify_patched(objects, header.state.size, &leaves, &mut found, report).await?;
    found.pages.extend(by_page.keys());
    found.state = Some(if found.lost.is_empty() { state } else { without(state, &found.lost) });
    Ok(found)
}

/// The state without the leaves that do not verify: their ranges look like holes.
fn without(mut state: State, lost: &BTreeSet<LeafNo>) -> State {
    let kept = state.view.map.stored_leaves().filter(|(leaf, _, _)| !lost.contains(leaf));
    let kept: Vec<_> = kept.map(|(leaf, at, mapped)| (leaf, *at, mapped)).collect();
    let below = state.view.map.zeroed_below();
    state.view.map = lsd_core::map::ExtentMap::new();
    state.view.map.load_root(kept);
    state.view.map.keep_zeroed_below(below);
    // What is lost must not look as if it had never been written: a base would show through.
    for leaf in lost {
        let _ = state.view.map.clear(leaf.start(), u64::from(LEAF_SPAN_BYTES), &mut Vec::new());
    }
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
    parts: &[Part],
    found: &mut Checkpoint,
    report: &mut CheckReport,
) -> Result<()> {
    let objects = objects.of_page(id);
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
            let ranges = parts.iter().map(|part| span(part.leaf.0, size)).collect();
            report.add_at(&name, Fault::Page { why }, ranges);
            found.lost.extend(parts.iter().map(|part| part.leaf.0));
            return Ok(());
        }
    };
    let mut all_good = true;
    for Part { leaf: (leaf, place, mapped), at } in parts {
        let verified = match verify_part(*leaf, place, *at, &bytes) {
            // With a patch it is looked at when both are known to be good.
            Ok(Some(content)) if place.patch.is_none() => take_in(&content, *mapped, found, report),
            Ok(_) => Ok(()),
            Err(why) => Err(why),
        };
        if let Err(why) = verified {
            all_good = false;
            found.lost.insert(*leaf);
            report.add_at(&name, Fault::Leaf { leaf: leaf.0, why }, vec![span(*leaf, size)]);
        }
    }
    // A leaf that does not verify is why the page around it does not.
    if all_good && let Err(error) = decode_page(&objects.page_identity(id, page), PageKind::Leaves, &bytes) {
        report.add(&name, Fault::Page { why: error.to_string() });
    }
    Ok(())
}

/// The base of a leaf, or nothing for a patch that verifies.
fn verify_part(
    leaf: LeafNo,
    place: &LeafPlace,
    at: LeafPointer,
    page: &[u8],
) -> std::result::Result<Option<Leaf>, String> {
    let end = u64::from(at.offset) + u64::from(at.len);
    let bytes = page.get(at.offset as usize..end as usize).ok_or("the page is too short")?;
    let words = |error: MapError| error.to_string();
    if at == place.base {
        return Leaf::decode(leaf, bytes).map(Some).map_err(words);
    }
    Patch::decode(leaf, &place.base, bytes).map(|_| None).map_err(words)
}

/// Takes up a leaf if it agrees with the root.
fn take_in(
    content: &Leaf,
    mapped: u32,
    found: &mut Checkpoint,
    report: &mut CheckReport,
) -> std::result::Result<(), String> {
    if content.mapped_bytes() != mapped {
        return Err(format!("maps {} bytes, the root says {mapped}", content.mapped_bytes()));
    }
    report.checked.mapped_bytes += u64::from(mapped);
    found.segments.extend(content.runs().map(|run| run.loc.segment()));
    Ok(())
}

/// The leaves of which both base and patch verify, put together.
async fn verify_patched(
    objects: &Objects,
    size: u64,
    leaves: &[LeafAt],
    found: &mut Checkpoint,
    report: &mut CheckReport,
) -> Result<()> {
    let is_left = |(leaf, place, _): &&LeafAt| place.patch.is_some() && !found.lost.contains(leaf);
    let patched: Vec<LeafAt> = leaves.iter().filter(is_left).copied().collect();
    for group in patched.chunks(LEAVES_AT_ONCE) {
        let reads = group
            .iter()
            .map(|&(leaf, place, _)| async move { objects.read_leaves(&[(leaf, place)]).await }.boxed())
            .collect();
        for ((leaf, place, mapped), read) in group.iter().zip(parallel::all(reads).await) {
            let verified = match read {
                Ok(loaded) => loaded.iter().try_for_each(|loaded| take_in(&loaded.content, *mapped, found, report)),
                // It was there a moment ago: the owner writes checkpoints meanwhile.
                Err(error) if matches!(error.kind, ErrorKind::Corrupt | ErrorKind::NotFound) => Err(error.to_string()),
                Err(error) => return Err(error),
            };
            if let (Err(why), Some(patch)) = (verified, place.patch) {
                found.lost.insert(*leaf);
                let id = patch.at.checkpoint;
                let name = objects.of_page(id).page(id, patch.at.page);
                report.add_at(name, Fault::Leaf { leaf: leaf.0, why }, vec![span(*leaf, size)]);
            }
        }
    }
    Ok(())
}
