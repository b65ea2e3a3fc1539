//! Becoming the writer of an image: rules 6 and 7 of `protocol.rs`, step by step.
//!
//! Owns: raising the epoch, fencing the old owner's log, committing where the new one's starts. Does not own: the advisory lock
//! that keeps polite clients apart (`lock.rs`): what is here holds without it.
use crate::objects::Objects;
use crate::objects::header::Header;
use crate::objects::parallel;
use crate::recovery::{self, Tails};
use crate::{Error, ErrorKind, Result};
use futures::FutureExt;
use lsd_core::format::header::{EpochStart, LogRecord, encode_epoch, key};
use lsd_core::units::{Epoch, SegmentNo, Seq};
use lsd_state::protocol;
use lsd_store::{Append, KvPresence, KvUpdate, LogTail, StoreErrorKind};

/// An update of the header that only the owner of this epoch can make.
pub(crate) fn guarded(epoch: Epoch) -> KvUpdate {
    KvUpdate::default().presence(KvPresence::MustExist).expect(key::EPOCH, encode_epoch(epoch))
}

/// Step 1: nobody of an older epoch can change the header from here on. `Busy` if another taker was faster.
pub(crate) async fn raise_epoch(objects: &Objects, header: &Header) -> Result<Epoch> {
    let epoch = Epoch(header.epoch.0 + 1);
    if epoch.0 > u64::from(u32::MAX) {
        return Err(Error::new(ErrorKind::Unsupported, "the image was taken over 2^32 times: copy it to a new one"));
    }
    let update = guarded(header.epoch).set(key::EPOCH, encode_epoch(epoch));
    match objects.meta.kv_update(&objects.header(), update).await {
        Ok(()) => Ok(epoch),
        Err(error) if error.kind == StoreErrorKind::Stale => {
            Err(Error::new(ErrorKind::Busy, "another client is taking the image over"))
        }
        Err(error) => Err(error.into()),
    }
}

/// Step 2: every segment that the old owner could append to refuses it, and every name that it could create is taken.
/// Returns what its log is, for good.
pub(crate) async fn fence_log(objects: &Objects, log: &LogRecord, epoch: Epoch) -> Result<Tails> {
    if log.clean {
        return Ok(Tails::new());
    }
    let mut fenced = Tails::new();
    loop {
        let seen = recovery::probe(objects, log).await?;
        let mut fences = Vec::new();
        for (segment, (old, _)) in seen.iter().filter(|(segment, _)| !fenced.contains_key(*segment)) {
            fences.push(fence_segment(objects, *segment, *old, epoch).boxed());
        }
        let tails = parallel::try_all(fences).await?;
        fenced.extend(tails);
        if bury(objects, log, &fenced, epoch).await? {
            fenced.retain(|_, (_, tail)| tail.len > 0);
            return Ok(fenced);
        }
    }
}

async fn fence_segment(
    objects: &Objects,
    segment: SegmentNo,
    old: Epoch,
    epoch: Epoch,
) -> Result<(SegmentNo, (Epoch, LogTail))> {
    match objects.data.fence(&objects.segment(old, segment), epoch.0).await {
        Ok(tail) => Ok((segment, (old, tail))),
        // Only an owner of a newer epoch deletes what this one is about to read, or fences it.
        Err(error) if matches!(error.kind, StoreErrorKind::NotFound | StoreErrorKind::Stale) => Err(overtaken()),
        Err(error) => Err(error.into()),
    }
}

/// The last number known to exist, or the one before the first that may.
pub(crate) fn last_segment(log: &LogRecord, tails: &Tails) -> SegmentNo {
    let replayed = SegmentNo(log.replay_from.0.saturating_sub(1));
    let own = log.epochs.last().map_or(SegmentNo(0), |start| SegmentNo(start.first_segment.0.saturating_sub(1)));
    tails.keys().next_back().copied().unwrap_or(replayed).max(own)
}

/// Takes every name that the old owner could still create with an empty object of the new epoch: those that it has left out so
/// far, and the next ones. False if one of them exists: the old owner was faster, so there is more of its log to fence.
async fn bury(objects: &Objects, log: &LogRecord, fenced: &Tails, epoch: Epoch) -> Result<bool> {
    let Some(old) = log.epochs.last() else { return Ok(true) };
    let first = old.first_segment.max(log.replay_from);
    let free = protocol::tombstone_range(first, last_segment(log, fenced)).map(SegmentNo);
    let free: Vec<SegmentNo> = free.filter(|segment| !fenced.contains_key(segment)).collect();
    let tomb = |segment: &SegmentNo| {
        let empty = Append { epoch: epoch.0, at: 0, data: Vec::new(), summary_len: 0, urgent: true };
        objects.data.append(&objects.segment(old.epoch, *segment), empty)
    };
    let results = parallel::all(free.iter().map(tomb).collect()).await;
    let mut all_ours = true;
    for (segment, result) in free.into_iter().zip(results) {
        match result {
            Ok(()) => {}
            Err(error) if matches!(error.kind, StoreErrorKind::Exists | StoreErrorKind::Stale) => {
                all_ours &= is_tombstone(objects, old.epoch, segment, epoch).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all_ours)
}

pub(crate) fn overtaken() -> Error {
    Error::new(ErrorKind::Busy, "another client has taken the image over")
}

/// What it means that an object is missing which the header named when this takeover read it: a later owner deleted it, or it is damage.
pub(crate) async fn why_missing(objects: &Objects, epoch: Epoch, error: Error) -> Error {
    if error.kind != ErrorKind::NotFound {
        return error;
    }
    match objects.read_epoch().await {
        Ok(now) if now == epoch => error.with_kind(ErrorKind::Corrupt),
        Ok(_) => overtaken(),
        Err(error) => error.into(),
    }
}

/// A tombstone of an earlier takeover that did not finish is as good as ours; anything with data is not. `Busy`: a later takeover
/// was here, so this one has lost the image and would never come to an end.
async fn is_tombstone(objects: &Objects, old: Epoch, segment: SegmentNo, epoch: Epoch) -> Result<bool> {
    match objects.data.log_tail(&objects.segment(old, segment)).await {
        Ok(tail) if tail.epoch > epoch.0 => Err(overtaken()),
        Ok(tail) => Ok(tail.len == 0 && tail.epoch != old.0),
        Err(error) if error.kind == StoreErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Last step: the header says where the new epoch's log starts. From here on its batches count.
pub(crate) async fn commit_start(
    objects: &Objects,
    header: &Header,
    epoch: Epoch,
    end: Seq,
    first_segment: SegmentNo,
) -> Result<LogRecord> {
    let tombs = header.tombs.clone().with_takeover(&header.log, epoch, first_segment);
    let mut log = header.log.clone();
    log.clean = false;
    log.epochs.push(EpochStart { epoch, first_segment, first_seq: end.next() });
    let update = guarded(epoch).set(key::LOG, log.encode()).set(key::TOMBS, tombs.encode());
    objects.meta.kv_update(&objects.header(), update).await?;
    Ok(log)
}
