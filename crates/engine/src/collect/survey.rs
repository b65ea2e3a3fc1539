//! What still lives in a segment: its records, asked of the map.
use crate::Result;
use crate::objects::Objects;
use crate::recovery;
use crate::shared::Shared;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::map::Extent;
use lsd_core::units::{Loc, SegmentNo};
use lsd_state::lineage::Home;

/// Records looked up in one critical section.
const LOOKUPS_AT_ONCE: usize = 256;

/// A part of the image that lives in the segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct LiveExtent {
    /// Byte address in the image.
    pub(super) offset: u64,
    pub(super) from: Loc,
    pub(super) len: u32,
    /// It was copied before.
    pub(super) is_copy: bool,
}

#[derive(Debug)]
pub(super) struct Survey {
    pub(super) segment: SegmentNo,
    pub(super) home: Home,
    pub(super) extents: Vec<LiveExtent>,
}

/// `None` for a segment of an epoch that is not known: nothing can live there.
pub(super) async fn survey(objects: &Objects, shared: &Shared, segment: SegmentNo) -> Result<Option<Survey>> {
    let Some(home) = shared.lock().view.lineage.home(segment) else { return Ok(None) };
    let tail = objects.data.log_tail(&objects.segment_at(home, segment)).await?;
    let found = recovery::read_segment(objects, segment, home.epoch, tail).await?;
    let of_batch = found.batches.iter().flat_map(|batch| batch.records.iter().map(move |record| (batch, record)));
    let with_data = of_batch.filter_map(|(batch, record)| Some((record, batch.loc(record.data()?.offset))));
    let all: Vec<(&Record, Loc)> = with_data.collect();
    let mut survey = Survey { segment, home, extents: Vec::new() };
    for some in all.chunks(LOOKUPS_AT_ONCE) {
        look_up(objects, shared, some, &mut survey).await?;
    }
    Ok(Some(survey))
}

async fn look_up(objects: &Objects, shared: &Shared, records: &[(&Record, Loc)], survey: &mut Survey) -> Result<()> {
    let mut rest = records;
    let mut found: Vec<Extent> = Vec::new();
    loop {
        let missing = {
            let state = shared.lock();
            loop {
                let Some(((record, at), behind)) = rest.split_first() else { return Ok(()) };
                found.clear();
                if state.view.map.lookup(record.offset, record.len(), &mut found).is_err() {
                    break state.view.map.missing(record.offset, record.len());
                }
                survey.add(record, *at, &found);
                rest = behind;
            }
        };
        shared.load_leaves_again(objects, missing).await?;
    }
}

impl Survey {
    /// `at`: where the record's data begins; `found`: what the map says of its range.
    fn add(&mut self, record: &Record, at: Loc, found: &[Extent]) {
        let is_copy = matches!(record.kind, RecordKind::Relocate { .. });
        for extent in found {
            let from = at.advance((extent.offset - record.offset) as u32);
            if extent.loc == Some(from) {
                self.extents.push(LiveExtent { offset: extent.offset, from, len: extent.len as u32, is_copy });
            }
        }
    }
}
