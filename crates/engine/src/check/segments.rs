//! Every segment of an image: which there should be, and what is in them.
use super::finding::{CheckReport, Fault};
use super::segment::{self, Content};
use super::{Look, look};
use crate::objects::Objects;
use crate::objects::parallel;
use crate::recovery::Tails;
use crate::{Progress, Result};
use futures::FutureExt;
use lsd_core::format::batch::Batch;
use lsd_core::format::block_sums::block_table_len;
use lsd_core::format::header::LogRecord;
use lsd_core::format::segment::{Seal, decode_seal, decode_summary};
use lsd_core::replay::{TailRule, said_behind};
use lsd_core::units::{BLOCK_BYTES, Epoch, MAX_READ_SEGMENT_BYTES, SegmentNo, Seq};
use lsd_state::limits::CREATE_WINDOW;
use lsd_state::lineage::{Home, Lineage};
use lsd_store::{LogTail, ObjectName};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What is known about one segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) epoch: Epoch,
    pub(super) tail: LogTail,
    pub(super) content: Content,
    /// Its last append may be torn, because the store can tear appends and nothing was appended since.
    pub(super) may_be_torn: bool,
    /// Up to where its writer said that the log was durable.
    pub(super) durable: Seq,
    /// Bytes that must not be believed, each with its finding.
    pub(super) damage: Vec<(Range<u32>, usize)>,
}

#[derive(Debug, Default)]
pub(super) struct Segments {
    pub(super) found: BTreeMap<SegmentNo, Segment>,
    /// Segments that the map needs and that are not there, with their findings.
    pub(super) gone: BTreeMap<SegmentNo, usize>,
}

impl Segments {
    /// The segments of the log behind a checkpoint.
    pub(super) fn tails(&self, log: &LogRecord) -> Tails {
        let behind = self.found.range(log.replay_from..);
        behind.filter(|_| !log.clean).map(|(no, segment)| (*no, (segment.epoch, segment.tail))).collect()
    }

    /// Every batch whose records are known.
    pub(super) fn batches(&self) -> Vec<Batch> {
        self.found.values().flat_map(|segment| segment.content.batches.iter().cloned()).collect()
    }
}

/// Segments read and verified side by side; each takes up to 16 MiB of memory.
const SEGMENTS_AT_ONCE: usize = 4;

/// Reads and verifies the segments in `wanted` and all from the log's replay point on. `needed`: those that the map points
/// into.
pub(super) async fn verify(
    objects: &Objects,
    log: &LogRecord,
    wanted: &BTreeSet<SegmentNo>,
    needed: &BTreeSet<SegmentNo>,
    progress: Progress<'_>,
    report: &mut CheckReport,
) -> Result<Segments> {
    let mut segments = Segments::default();
    let mut looks = probe(objects, log).await?;
    let more = wanted.iter().filter(|no| !looks.contains_key(no)).copied().collect();
    looks.extend(look_at(objects, log, more).await?);
    let total = looks.len() as u64;
    let mut present = Vec::new();
    for (no, (home, tail)) in looks {
        let name = objects.segment_at(home, no);
        match tail {
            Look::Found(tail)
                if tail.len > u64::from(MAX_READ_SEGMENT_BYTES) || u64::from(tail.summary_len) > tail.len =>
            {
                report.add(&name, Fault::Tail { why: format!("{} bytes, summary {}", tail.len, tail.summary_len) });
            }
            // A tombstone, or a name that was taken and not yet used.
            Look::Found(LogTail { len: 0, .. }) if !needed.contains(&no) => {}
            Look::Found(tail) => present.push((no, home, tail)),
            Look::Gone if needed.contains(&no) => drop(segments.gone.insert(no, report.add(&name, Fault::SegmentGone))),
            Look::Gone => {}
            Look::Damaged(why) => {
                report.add(&name, Fault::Tail { why });
                // What the attributes do not say the bytes may still tell.
                if let Look::Found(len) = look(objects.at(home.whose).data.stat(&name).await)? {
                    let len = len.min(u64::from(MAX_READ_SEGMENT_BYTES));
                    present.push((no, home, LogTail { epoch: home.epoch.0, len, summary_len: 0 }));
                }
            }
        }
    }
    let mut done = total - present.len() as u64;
    for group in present.chunks(SEGMENTS_AT_ONCE) {
        progress(done, total)?;
        let reads = group
            .iter()
            .map(|(no, home, tail)| {
                let replayed = !log.clean && *no >= log.replay_from;
                read(objects.at(home.whose), *no, home.epoch, *tail, replayed).boxed()
            })
            .collect();
        for ((no, home, tail), read) in group.iter().zip(parallel::try_all(reads).await?) {
            let name = objects.segment_at(*home, *no);
            let may_be_torn = !objects.at(home.whose).data.limits().atomic_appends && tail.summary_len == 0;
            let segment = take_in(&name, home.epoch, *tail, may_be_torn, read, report);
            segments.found.insert(*no, segment);
        }
        done += group.len() as u64;
    }
    progress(done, total)?;
    Ok(segments)
}

type Looks = BTreeMap<SegmentNo, (Home, Look<LogTail>)>;

async fn look_at(objects: &Objects, log: &LogRecord, numbers: Vec<SegmentNo>) -> Result<Looks> {
    let lineage = Lineage::new(objects.ancestors(), log);
    let one = |no: SegmentNo| {
        let home = lineage.home(no);
        async move {
            let Some(home) = home else { return Ok(None) };
            let tail = look(objects.at(home.whose).data.log_tail(&objects.segment_at(home, no)).await)?;
            Ok::<_, crate::Error>(Some((no, (home, tail))))
        }
    };
    let looks = parallel::try_all(numbers.into_iter().map(|no| one(no).boxed()).collect()).await?;
    Ok(looks.into_iter().flatten().collect())
}

/// The log from its replay point on, as recovery finds it: it has ended when a whole window of numbers is missing.
async fn probe(objects: &Objects, log: &LogRecord) -> Result<Looks> {
    let mut found = Looks::new();
    let mut next = log.replay_from.0;
    let mut last_seen = next.saturating_sub(1);
    while !log.clean && next <= last_seen + CREATE_WINDOW {
        let numbers = (next..=last_seen + CREATE_WINDOW).map(SegmentNo).collect();
        next = last_seen + CREATE_WINDOW + 1;
        let looks = look_at(objects, log, numbers).await?;
        for (no, look) in looks.into_iter().filter(|(_, (_, tail))| !matches!(tail, Look::Gone)) {
            last_seen = last_seen.max(no.0);
            found.insert(no, look);
        }
    }
    Ok(found)
}

/// A segment's content, and what kept it from being read whole.
struct Read {
    content: Content,
    durable: Seq,
    faults: Vec<Fault>,
}

impl Read {
    fn failed(why: String) -> Self {
        Self { content: Content::default(), durable: Seq(0), faults: vec![Fault::Tail { why }] }
    }
}

/// `replayed`: replay will read it, so its end is what replay makes of it.
async fn read(objects: &Objects, no: SegmentNo, epoch: Epoch, tail: LogTail, replayed: bool) -> Result<Read> {
    let name = objects.segment(epoch, no);
    let identity = objects.segment_identity(epoch, no);
    let mut faults = Vec::new();
    let bytes = match look(objects.data.read(&name, 0, tail.len).await)? {
        Look::Found(bytes) => bytes,
        Look::Gone => return Ok(Read::failed("it went away".to_owned())),
        Look::Damaged(why) => return Ok(Read::failed(why)),
    };
    let atomic = objects.data.limits().atomic_appends;
    if (bytes.len() as u64) < tail.len && (atomic || tail.summary_len > 0) {
        faults.push(Fault::Tail { why: format!("has {} of {} bytes", bytes.len(), tail.len) });
    }
    let data_end = (tail.len - u64::from(tail.summary_len)) as usize;
    let (data, seal) = bytes.split_at(data_end.min(bytes.len()));
    let seal = match tail.summary_len {
        0 => None,
        _ => decode_seal(&identity, seal)
            .or_else(|error| {
                faults.push(Fault::Summary { why: error.to_string() });
                // Of the two parts of the seal the second may still be good.
                let summary = seal.get(block_table_len(data.len() / BLOCK_BYTES as usize)..).unwrap_or_default();
                decode_summary(&identity, summary).map(|summary| Seal { sums: Vec::new(), summary })
            })
            .ok(),
    };
    let rule = if replayed && !atomic { TailRule::MayBeTorn } else { TailRule::Whole };
    let content = segment::verify(&identity, data, seal.as_ref(), rule);
    let sealed = seal.as_ref().map_or(Seq(0), |seal| seal.summary.durable);
    let durable = said_behind(&identity, data, 0).max(sealed);
    Ok(Read { content, durable, faults })
}

fn take_in(
    name: &ObjectName,
    epoch: Epoch,
    tail: LogTail,
    may_be_torn: bool,
    read: Read,
    report: &mut CheckReport,
) -> Segment {
    let Read { mut content, durable, faults } = read;
    let batches = &content.batches;
    report.checked.segments += 1;
    report.checked.log_bytes += tail.len;
    report.checked.batches += batches.len() as u64;
    report.checked.records += batches.iter().map(|batch| batch.records.len() as u64).sum::<u64>();
    for fault in faults.into_iter().chain(std::mem::take(&mut content.other)) {
        report.add(name, fault);
    }
    let damage = std::mem::take(&mut content.damage);
    let damage = damage.into_iter().map(|(at, fault)| (at, report.add(name, fault))).collect();
    Segment { epoch, tail, content, may_be_torn, durable, damage }
}
