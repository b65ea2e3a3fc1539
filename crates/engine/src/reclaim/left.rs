//! Pages that an owner wrote for a checkpoint and did not live to commit.
//!
//! Owns: finding them. Does not own: deleting them.
//!
//! They are found by their names: a checkpoint's number follows on the last committed one of its epoch, and its pages are written
//! in order, but for those in flight and those being filled. Nobody ever reads them: the epoch was raised before the header was
//! read, so what was not committed then never is (rule 6).
use crate::Result;
use crate::api::limits::{CHECKPOINTS_LEFT, OWNERS_LEFT, PAGES_LEFT_WINDOW};
use crate::objects::Objects;
use crate::objects::parallel;
use lsd_core::format::header::LogRecord;
use lsd_core::units::CheckpointId;
use lsd_state::pins::PageKey;
use lsd_store::StoreErrorKind;

/// Those of every owner since the committed checkpoint in `log`, which is the header's after its epoch was raised: one that died before
/// its own first checkpoint has not deleted what its predecessor left.
pub(crate) async fn uncommitted(objects: &Objects, log: &LogRecord) -> Result<Vec<PageKey>> {
    if log.clean {
        return Ok(Vec::new());
    }
    let committed = log.checkpoint.map(|checkpoint| checkpoint.id);
    let first = committed.map_or(0, |id| u64::from(id.epoch));
    let mut found = Vec::new();
    for owner in log.epochs.iter().rev().take(OWNERS_LEFT).filter(|owner| owner.epoch.0 >= first) {
        let epoch = owner.epoch.0 as u32;
        let number = committed.filter(|id| id.epoch == epoch).map_or(0, |id| id.number);
        found.extend(behind(objects, CheckpointId { epoch, number }).await?);
    }
    Ok(found)
}

/// Of the checkpoints of one epoch behind this one.
async fn behind(objects: &Objects, CheckpointId { epoch, mut number }: CheckpointId) -> Result<Vec<PageKey>> {
    let mut found = Vec::new();
    // One that failed before its first page has none, and the next one may have some.
    let mut without = 0;
    while without < CHECKPOINTS_LEFT {
        let Some(next) = number.checked_add(1) else { break };
        number = next;
        let pages = pages_of(objects, CheckpointId { epoch, number }).await?;
        without = if pages.is_empty() { without + 1 } else { 0 };
        found.extend(pages);
    }
    Ok(found)
}

/// The pages of a checkpoint that was not committed.
pub(crate) async fn pages_of(objects: &Objects, id: CheckpointId) -> Result<Vec<PageKey>> {
    let mut found = Vec::new();
    let mut from = 0;
    loop {
        let before = found.len();
        let names: Vec<_> = (from..from + PAGES_LEFT_WINDOW).map(|page| objects.page(id, page)).collect();
        let looks = names.iter().map(|name| objects.meta.stat(name)).collect();
        for (page, looked) in (from..).zip(parallel::all(looks).await) {
            match looked {
                Ok(_) => found.push((id, page)),
                Err(error) if error.kind == StoreErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        if found.len() == before {
            return Ok(found);
        }
        from += PAGES_LEFT_WINDOW;
    }
}
