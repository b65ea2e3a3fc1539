//! Objects of an image that nothing needs and that nothing will delete.
use super::finding::{CheckReport, Fault};
use super::pages::PageKey;
use super::{Look, look};
use crate::Result;
use crate::objects::Objects;
use crate::objects::header::Header;
use lsd_core::format::names;
use lsd_core::units::{Epoch, SegmentNo};
use lsd_store::{ObjectName, ObjectStore};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An object to be deleted, in its pool.
#[derive(Clone, Debug)]
pub(super) struct Orphan {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) name: ObjectName,
}

/// What of the image is in force.
pub(super) struct InForce<'a> {
    pub(super) header: &'a Header,
    /// Pages that the checkpoint names; `None` if its root does not verify.
    pub(super) pages: Option<&'a BTreeSet<PageKey>>,
    /// Segments that the checkpoint's table or the map names.
    pub(super) segments: &'a BTreeSet<SegmentNo>,
    /// Somebody may be writing a checkpoint or segments right now.
    pub(super) in_use: bool,
}

/// Walks the pools. Names that do not parse as this image's are left alone.
pub(super) async fn find(objects: &Objects, force: &InForce<'_>, report: &mut CheckReport) -> Result<Vec<Orphan>> {
    let id = &objects.id.0;
    let mut found = Vec::new();
    if let Some(needed) = force.pages {
        for name in objects.meta.list(&format!("{}.", names::map_prefix(id))).await? {
            let Some(page) = names::parse_map_page(id, &name.0) else { continue };
            if !needed.contains(&page) && !may_be_growing(page, force) {
                found.push((Orphan { store: objects.meta.clone(), name }, Fault::OrphanPage));
            }
        }
    }
    for name in objects.data.list(&format!("{}.", names::data_prefix(id))).await? {
        let Some((epoch, no)) = names::parse_segment(id, &name.0) else { continue };
        if is_needed(epoch, no, force) {
            continue;
        }
        // Tombstones stay as long as the image (rule 7 of `protocol.rs`).
        if !matches!(look(objects.data.log_tail(&name).await)?, Look::Found(tail) if tail.len == 0) {
            found.push((Orphan { store: objects.data.clone(), name }, Fault::OrphanSegment));
        }
    }
    let mut orphans = Vec::new();
    for (orphan, fault) in found {
        // An owner that is at work may have deleted it since.
        if force.in_use && matches!(look(orphan.store.stat(&orphan.name).await)?, Look::Gone) {
            continue;
        }
        report.add(&orphan.name, fault);
        orphans.push(orphan);
    }
    Ok(orphans)
}

/// A page of a checkpoint that an owner may be writing: of its epoch, and younger than the one in force.
fn may_be_growing((id, _): PageKey, force: &InForce<'_>) -> bool {
    let current = force.header.log.checkpoint.map(|checkpoint| checkpoint.id);
    force.in_use && u64::from(id.epoch) >= force.header.epoch.0 && current.is_none_or(|current| id > current)
}

fn is_needed(epoch: Epoch, no: SegmentNo, force: &InForce<'_>) -> bool {
    let log = &force.header.log;
    if epoch > force.header.epoch || (force.in_use && epoch == force.header.epoch) {
        return true;
    }
    let of_its_epoch = log.epoch_of(no) == Some(epoch);
    // Behind a clean end nothing is replayed, whatever lies there.
    let replayed = !log.clean && no >= log.replay_from;
    of_its_epoch && (replayed || force.segments.contains(&no))
}
