//! How a handle that does not own the image keeps up with who does.
//!
//! Owns: how old a reader's view may be, and what of the log it has read. Does not own: reading (`read/`), the whole of a load
//! (`recovery/open.rs`), who is told what (`watch.rs`).
//!
//! The reader asks, and only when it is read from: one look at the header for a second's reads, and where somebody has the image open for
//! writing, one at the tails of the segments that are being filled. What is new there is read from where the last look ended. So an
//! owner does nothing for its readers, and an image that nobody reads costs nothing.
use crate::api::error::corrupt;
use crate::api::limits::VIEW_AGE;
use crate::compiled_here;
use crate::objects::header::Header;
use crate::objects::parallel;
use crate::recovery::open::{self, Found};
use crate::recovery::{self, Tails};
use crate::session::Session;
use crate::{Error, ErrorKind, Result};
use futures::FutureExt;
use lsd_core::format::batch::Batch;
use lsd_core::format::header::{LogRecord, SnapRecord};
use lsd_core::format::record::RecordKind;
use lsd_core::replay::{Promises, TailRule, in_order, join, scan_from};
use lsd_core::units::{Epoch, SegmentNo, Seq};
use lsd_state::protocol;
use lsd_state::state::{Rest, cleared_range};
use lsd_store::LogTail;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use tokio::time::Instant;

/// How far one segment behind the replay point was read.
#[derive(Clone, Copy, Debug)]
struct Progress {
    /// Bytes: the end of its last batch.
    to: u64,
    /// Nothing follows.
    sealed: bool,
}

/// What of the log is in the state of a handle that does not own the image.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// `None`: not known.
    segments: Option<BTreeMap<SegmentNo, Progress>>,
    /// Batches that were read and do not follow on the others yet.
    ahead: Vec<Batch>,
    /// How far the log is durable by what these segments say (rule 13).
    reach: Seq,
}

/// What a look brought.
#[derive(Debug)]
pub(crate) enum Followed {
    Nothing,
    /// The state went on by some of the log.
    More,
    /// The state was read anew, from these segments.
    All(Tails),
}

/// The view of a handle, and when it was taken.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// Everything that was durable then is in the state. Meaningless for an owner.
    at: Mutex<Option<Instant>>,
    /// Held while the state is brought up to date, also by who becomes the owner.
    pub(crate) view: tokio::sync::Mutex<View>,
}

impl Follower {
    fn is_recent(&self) -> bool {
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| at.elapsed() < VIEW_AGE)
    }

    /// The state has everything that was durable at this moment; `None`: the next read looks.
    pub(crate) fn set_age(&self, at: Option<Instant>) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

impl View {
    /// After a load from these segments, which left `rest` of them.
    pub(crate) fn loaded(&mut self, tails: &Tails, rest: Rest) {
        let progress = |segment: &SegmentNo, tail: &LogTail| Progress {
            to: rest.torn.get(segment).map_or(tail.len, |at| u64::from(*at)),
            sealed: tail.summary_len > 0,
        };
        let segments = tails.iter().map(|(segment, (_, tail))| (*segment, progress(segment, tail))).collect();
        *self = View { segments: Some(segments), ahead: rest.ahead, ..View::default() };
    }
}

/// What of a log was not read before.
struct NewBatches {
    segments: BTreeMap<SegmentNo, Progress>,
    batches: Vec<Batch>,
    promises: Promises,
}

impl Session {
    /// Before a read: what this handle shows is at most [`VIEW_AGE`] old. Who owns the image is up to date.
    pub(crate) async fn keep_up(&self) -> Result<()> {
        if self.owns() || self.hold_moment || self.follower.is_recent() {
            return Ok(());
        }
        Box::pin(self.catch_up()).await
    }

    #[compiled_here]
    async fn catch_up(&self) -> Result<()> {
        let mut view = self.follower.view.lock().await;
        // Somebody else looked, or this handle has become the owner.
        if self.follower.is_recent() || self.shared.lock().writer.is_some() {
            return Ok(());
        }
        self.follow(&mut view).await.map(drop)
    }

    /// Brings the state of a handle that does not own the image up to date.
    pub(crate) async fn follow(&self, view: &mut View) -> Result<Followed> {
        let began = Instant::now();
        let log = self.shared.lock().log().clone();
        let fresh = match &view.segments {
            Some(segments) if !log.clean => Some(self.read_on(&log, segments).await),
            _ => None,
        };
        // Rule 26: behind the segments, so that none of them was deleted while they were looked at.
        let header = Header::read(&self.objects).await?;
        if header.log == log && self.shared.lock().writer.is_none() {
            // Rule 46: where the base was dropped, a checkpoint came before, and this is no longer the same log.
            self.shared.lock().view.map.keep_zeroed_below(header.base_overlap());
        }
        let followed = match fresh {
            _ if header.log != log => None,
            Some(fresh) => match self.advance(view, &log, fresh?).await {
                // A checkpoint that was committed just now took a leaf away.
                Err(error) if error.kind == ErrorKind::NotFound => None,
                followed => followed?,
            },
            None => (log.clean && view.segments.is_some()).then_some(Followed::Nothing),
        };
        let followed = match followed {
            Some(followed) => {
                let mut state = self.shared.lock();
                (state.view.size, state.view.features) = (header.state.size, header.state.features);
                drop(state);
                self.describe(&header);
                followed
            }
            None => self.load_anew(view, header).await?,
        };
        self.follower.set_age(Some(began));
        Ok(followed)
    }

    async fn load_anew(&self, view: &mut View, header: Header) -> Result<Followed> {
        let (objects, settings) = (self.objects.clone(), self.settings().clone());
        let (mut state, tails, header) = open::load_steadily(&Found { header, objects }, &settings).await?;
        view.loaded(&tails, std::mem::take(&mut state.rest));
        // First what they will look at, then the news for those who listen.
        self.shared.lock().reload(state);
        self.describe(&header);
        Ok(Followed::All(tails))
    }

    /// The batches behind those that were read.
    async fn read_on(&self, log: &LogRecord, known: &BTreeMap<SegmentNo, Progress>) -> Result<NewBatches> {
        let sealed = |(segment, progress): (&SegmentNo, &Progress)| progress.sealed.then_some(*segment);
        let done: BTreeSet<SegmentNo> = known.iter().filter_map(sealed).collect();
        let tails = recovery::probe_except(&self.objects, log, &done).await?;
        let from = |segment: &SegmentNo| known.get(segment).map_or(0, |progress| progress.to);
        let reads = tails.iter().map(|(segment, tail)| self.read_from(*segment, *tail, from(segment)).boxed());
        let mut fresh = NewBatches { segments: known.clone(), batches: Vec::new(), promises: Promises::default() };
        for (segment, progress, batches, durable) in parallel::try_all(reads.collect()).await? {
            fresh.segments.insert(segment, progress);
            fresh.batches.extend(batches);
            if let Some((epoch, _)) = tails.get(&segment) {
                fresh.promises.add(*epoch, durable);
            }
        }
        Ok(fresh)
    }

    async fn read_from(
        &self,
        segment: SegmentNo,
        (epoch, tail): (Epoch, LogTail),
        from: u64,
    ) -> Result<(SegmentNo, Progress, Vec<Batch>, Seq)> {
        if tail.summary_len > 0 {
            let mut found = recovery::read_segment(&self.objects, segment, epoch, tail).await?;
            found.batches.retain(|batch| u64::from(batch.place.offset) >= from);
            return Ok((segment, Progress { to: tail.len, sealed: true }, found.batches, found.durable));
        }
        let mut progress = Progress { to: from, sealed: false };
        let Some(len) = tail.len.checked_sub(from).filter(|len| *len > 0) else {
            return Ok((segment, progress, Vec::new(), Seq(0)));
        };
        let name = self.objects.segment(epoch, segment);
        let bytes = self.objects.data.read(&name, from, len).await?;
        let atomic = self.objects.data.limits().atomic_appends;
        if (bytes.len() as u64) < len && atomic {
            return Err(corrupt(&name, format!("has {} of {} bytes", from + bytes.len() as u64, tail.len)));
        }
        let rule = if atomic { TailRule::Whole } else { TailRule::MayBeTorn };
        let identity = self.objects.segment_identity(epoch, segment);
        let found = scan_from(&identity, from as u32, &bytes, rule).map_err(|error| corrupt(&name, error))?;
        progress.to += found.batches.iter().map(|batch| u64::from(batch.total_len)).sum::<u64>();
        Ok((segment, progress, found.batches, found.durable))
    }

    /// Applies what follows on the state; one group is applied in one step, so what is read meanwhile is of one moment.
    /// `None`: what an earlier look said to be durable is not there, so the log has to be read anew, and that says what is lost of it.
    async fn advance(&self, view: &mut View, log: &LogRecord, fresh: NewBatches) -> Result<Option<Followed>> {
        let mut found = view.ahead.clone();
        found.extend(fresh.batches);
        let after = self.shared.lock().view.end;
        let joined = join(found.clone(), after, &log.epochs).map_err(|error| corrupt(&self.objects.header(), error))?;
        for group in joined.groups() {
            self.advance_by(group).await?;
        }
        found.retain(|batch| batch.last_seq() > joined.end);
        if protocol::is_lost(joined.end, view.reach) {
            return Ok(None);
        }
        // A segment that was looked at late may speak of what came to others meanwhile: the next look must find it.
        let reach = view.reach.max(fresh.promises.reach(&log.epochs));
        *view = View { segments: Some(fresh.segments), ahead: found, reach };
        Ok(Some(if joined.end == after { Followed::Nothing } else { Followed::More }))
    }

    async fn advance_by(&self, group: &[Batch]) -> Result<()> {
        let ranges = || {
            group.iter().flat_map(|batch| &batch.records).map(|record| match record.kind {
                RecordKind::Write { len, .. } | RecordKind::Relocate { len, .. } => (record.offset, u64::from(len)),
                _ => cleared_range(record),
            })
        };
        loop {
            let mut missing: Vec<_> = {
                let mut state = self.shared.lock();
                let missing: Vec<_> = ranges().flat_map(|(offset, len)| state.view.map.missing(offset, len)).collect();
                if missing.is_empty() {
                    state.begin_replay(group);
                    for (_, batch, record) in in_order(group) {
                        state.replay(batch, record)?;
                        let (offset, len) = cleared_range(record);
                        state.clear(offset, len)?;
                    }
                    return Ok(());
                }
                missing
            };
            missing.sort_by_key(|(leaf, _)| *leaf);
            missing.dedup_by_key(|(leaf, _)| *leaf);
            self.shared.load_leaves(&self.objects, missing).await?;
        }
    }

    /// What a reader that holds its moment is told when that is gone.
    pub(crate) fn moment_is_over(&self) -> Error {
        if let Some(SnapRecord { name, .. }) = &self.shown {
            let reason = format!("{}@{name}: the snapshot was removed", self.described().name);
            return Error::new(ErrorKind::NotFound, reason);
        }
        let reason =
            format!("{}: what this reader began to read was overwritten and collected since", self.described().name);
        Error::new(ErrorKind::Outdated, reason)
    }
}
