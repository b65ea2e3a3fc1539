//! The block checksums of segments in memory: what every read from the store is checked with.
//!
//! Owns: the tables, of this handle's own segments from the moment their batches are encoded, of others when they are
//! first read, and which of them stay. Does not own: their bytes (`lsd_core::format::block_sums`), reading data.
use crate::Result;
use crate::api::error::corrupt;
use crate::api::limits::SUM_TABLES_BYTES;
use crate::objects::Objects;
use lsd_core::format::FormatResult;
use lsd_core::format::batch;
use lsd_core::format::block_sums::{SumBuilder, block_table_len, decode_block_table};
use lsd_core::format::codec::crc32c;
use lsd_core::format::segment::SegmentIdentity;
use lsd_core::replay::TailRule;
use lsd_core::units::{BLOCK_BYTES, SegmentNo};
use lsd_state::lineage::Home;
use lsd_store::LogTail;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One checksum for each block of a segment, from its start.
pub(crate) type Table = Arc<Vec<u32>>;

#[derive(Debug, Default)]
pub(crate) struct ChecksumCache {
    tables: Mutex<Tables>,
    /// One of them is held while a table is read, so that those who need the same one read it once.
    reads: [tokio::sync::Mutex<()>; TABLE_READS],
}

/// Tables that are read side by side; two segments whose numbers share a remainder are read one after the other.
const TABLE_READS: usize = 32;

#[derive(Debug, Default)]
struct Tables {
    by_segment: BTreeMap<SegmentNo, Entry>,
    /// Sealed ones, in the order in which they are looked at for eviction (CLOCK).
    clock: VecDeque<SegmentNo>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    table: Table,
    of: Segment,
    referenced: bool,
}

/// What is known of a table's segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment {
    /// This handle fills it. Its table is never read from the store, where there is less of it: what is missing in it belongs
    /// to batches that are only in memory.
    Own,
    /// Somebody else may be filling it.
    Open,
    Sealed,
}

impl ChecksumCache {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        // Every change is complete in itself, so a panic elsewhere leaves nothing in doubt.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks that this handle appends to a segment of its own; readable before the append is durable.
    pub(crate) fn extend(&self, segment: SegmentNo, sums: &[u32]) {
        let mut tables = self.lock();
        let fresh = || Entry { table: Table::default(), of: Segment::Own, referenced: false };
        let entry = tables.by_segment.entry(segment).or_insert_with(fresh);
        Arc::make_mut(&mut entry.table).extend_from_slice(sums);
    }

    /// A segment of this handle gets no more blocks: its whole table, to be stored with it.
    pub(crate) fn seal(&self, segment: SegmentNo) -> Table {
        let mut tables = self.lock();
        let table = tables.by_segment.get(&segment).map(|entry| entry.table.clone()).unwrap_or_default();
        tables.insert(segment, table.clone(), Segment::Sealed);
        table
    }

    /// The segment is deleted.
    pub(crate) fn forget(&self, segment: SegmentNo) {
        self.lock().remove(segment);
    }

    /// The table of a segment, with at least `blocks` entries if the segment has so many.
    pub(crate) async fn of(&self, objects: &Objects, home: Home, segment: SegmentNo, blocks: usize) -> Result<Table> {
        let known = self.lock().get(segment, blocks);
        match known {
            Some(table) => Ok(table),
            None => Box::pin(self.read_once(objects, home, segment, blocks)).await,
        }
    }

    async fn read_once(&self, objects: &Objects, home: Home, segment: SegmentNo, blocks: usize) -> Result<Table> {
        let _reading = self.reads[segment.0 as usize % TABLE_READS].lock().await;
        if let Some(table) = self.lock().get(segment, blocks) {
            return Ok(table);
        }
        let tail = objects.at(home.whose).data.log_tail(&objects.segment_at(home, segment)).await?;
        let table = Table::new(read_table(objects, home, segment, tail).await?);
        let of = if tail.summary_len > 0 { Segment::Sealed } else { Segment::Open };
        Ok(self.lock().learn(segment, table, of))
    }
}

impl Tables {
    /// `None` when it has to be read: not there, or of a segment that has grown since.
    fn get(&mut self, segment: SegmentNo, blocks: usize) -> Option<Table> {
        let entry = self.by_segment.get_mut(&segment)?;
        entry.referenced = true;
        (entry.of != Segment::Open || entry.table.len() >= blocks).then(|| entry.table.clone())
    }

    /// A table that was read. This handle may have begun to fill the segment meanwhile; then its own table stays.
    fn learn(&mut self, segment: SegmentNo, table: Table, of: Segment) -> Table {
        match self.by_segment.get(&segment) {
            Some(entry) if entry.of == Segment::Own => entry.table.clone(),
            _ => {
                self.insert(segment, table.clone(), of);
                table
            }
        }
    }

    fn insert(&mut self, segment: SegmentNo, table: Table, of: Segment) {
        self.remove(segment);
        if of == Segment::Sealed {
            self.bytes += size_of_val(table.as_slice());
            self.clock.push_back(segment);
        }
        self.by_segment.insert(segment, Entry { table, of, referenced: false });
        self.trim();
    }

    fn remove(&mut self, segment: SegmentNo) {
        if let Some(Entry { table, of: Segment::Sealed, .. }) = self.by_segment.remove(&segment) {
            self.bytes -= size_of_val(table.as_slice());
            self.clock.retain(|other| *other != segment);
        }
    }

    fn trim(&mut self) {
        while self.bytes > SUM_TABLES_BYTES {
            let Some(segment) = self.clock.pop_front() else { return };
            match self.by_segment.get_mut(&segment) {
                Some(entry) if entry.referenced => {
                    entry.referenced = false;
                    self.clock.push_back(segment);
                }
                Some(entry) => {
                    self.bytes -= size_of_val(entry.table.as_slice());
                    self.by_segment.remove(&segment);
                }
                None => {}
            }
        }
    }
}

/// The table that a sealed segment carries. One that was left open, by a crash or because its owner goes on with it, is
/// read as a whole, and its batches' own checksums say how far it is good.
async fn read_table(objects: &Objects, home: Home, segment: SegmentNo, tail: LogTail) -> Result<Vec<u32>> {
    let objects = objects.at(home.whose);
    let name = objects.segment(home.epoch, segment);
    let identity = objects.segment_identity(home.epoch, segment);
    let data_len = tail.len.saturating_sub(u64::from(tail.summary_len));
    if tail.summary_len > 0 {
        let blocks = data_len / u64::from(BLOCK_BYTES);
        let bytes = objects.data.read(&name, data_len, block_table_len(blocks as usize) as u64).await?;
        let (sums, _) = decode_block_table(&identity, &bytes).map_err(|error| corrupt(&name, error))?;
        return Ok(sums);
    }
    let bytes = objects.data.read(&name, 0, data_len).await?;
    let rule = if objects.data.limits().atomic_appends { TailRule::Whole } else { TailRule::MayBeTorn };
    sums_of_batches(&identity, &bytes, rule).map_err(|error| corrupt(&name, error))
}

/// The sums of a segment's bytes as far as its batches reach. A record whose data does not verify makes its own blocks
/// unreadable and no others.
fn sums_of_batches(identity: &SegmentIdentity, bytes: &[u8], rule: TailRule) -> FormatResult<Vec<u32>> {
    let mut damaged = Vec::new();
    let mut end = 0;
    while end < bytes.len() {
        let batch = match batch::decode(&identity.place(end as u32), &bytes[end..], false) {
            Ok(batch) => batch,
            Err(_) if rule == TailRule::MayBeTorn => break,
            Err(error) => return Err(error),
        };
        for record in &batch.records {
            let Some(data) = record.data() else { continue };
            let at = end + data.offset as usize..end + (data.offset + data.len) as usize;
            if crc32c(&bytes[at.clone()]) != data.crc {
                damaged.push(at.start / BLOCK_BYTES as usize..at.end.div_ceil(BLOCK_BYTES as usize));
            }
        }
        end += batch.total_len as usize;
    }
    let mut builder = SumBuilder::default();
    builder.push(&bytes[..end], &[]);
    let mut sums = builder.finish();
    // No data has the inverse of its checksum as its checksum.
    damaged.into_iter().flatten().for_each(|block| sums[block] = !sums[block]);
    Ok(sums)
}

#[cfg(test)]
mod tests;
