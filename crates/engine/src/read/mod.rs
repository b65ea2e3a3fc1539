//! Reading: map lookup, what is in memory, and one store operation for each segment that has some of the rest. What was never written
//! is read from the image's base, if it has one.
mod base;
pub(crate) mod beside;
pub(crate) mod fetch;
pub(crate) mod prefetch;

use crate::api::limits::BASE_EXTENTS_BYTES;
use crate::api::stats::Counter;
use crate::compiled_here;
use crate::objects::Objects;
use crate::objects::base::parts;
use crate::objects::checksums::ChecksumCache;
use crate::read::fetch::{Fetched, Unchecked, fetch, fetch_many};
use crate::shared::Shared;
use crate::{Error, ErrorKind, ReadData, ReadPiece, ReadTarget, Result};
use futures::future::{try_join, try_join_all};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::map::{Extent, ExtentMap};
use lsd_core::units::{LeafNo, Loc, SegmentNo};
use lsd_state::buffers::{Cached, Keep};
use lsd_state::lineage::Home;
use std::collections::BTreeMap;
use std::ops::Range;

/// One piece of a read before fetching.
enum Plan {
    Ready(ReadPiece),
    Fetch {
        loc: Loc,
        len: u32,
        home: Home,
    },
    /// From the base, no more than one read of it may have.
    Base(Range<u64>),
}

/// One piece of a read, in memory.
enum Part {
    Ready(ReadPiece),
    /// `len` bytes at `loc`, with what was fetched for them.
    Fetched {
        loc: Loc,
        len: u32,
        blocks: Unchecked,
    },
}

/// A read with all it needs in memory; what came from the store has yet to be checked.
#[derive(Default)]
pub(crate) struct Parts(Vec<Part>);

impl Parts {
    /// As buffers that nobody copied. `Corrupt`.
    pub(crate) fn into_data(self, shared: &Shared, keep: Keep) -> Result<ReadData> {
        let (mut pieces, mut fetched) = (Vec::with_capacity(self.0.len()), Vec::new());
        for part in self.0 {
            pieces.push(match part {
                Part::Ready(piece) => piece,
                Part::Fetched { loc, len, blocks } => {
                    let blocks = blocks.check()?;
                    let piece = ReadPiece::Data(blocks.part(loc, len));
                    fetched.push(blocks);
                    piece
                }
            });
        }
        offer(shared, fetched, keep);
        Ok(ReadData { pieces })
    }

    /// Copied to where they go. `Corrupt`.
    pub(crate) fn copy_to(self, target: &mut dyn ReadTarget, shared: &Shared, keep: Keep) -> Result<()> {
        let mut fetched = Vec::new();
        for part in self.0 {
            match part {
                Part::Ready(ReadPiece::Data(bytes)) => target.data(&bytes),
                Part::Ready(ReadPiece::Zero(len)) => target.zeroes(len),
                Part::Fetched { loc, len, blocks } => fetched.push(blocks.check_into(loc, len, target)?),
            }
        }
        offer(shared, fetched, keep);
        Ok(())
    }
}

fn offer(shared: &Shared, fetched: Vec<Fetched>, keep: Keep) {
    if fetched.is_empty() {
        return;
    }
    let mut state = shared.lock();
    for Fetched { loc, bytes } in fetched {
        match &shared.parents {
            Some(parents) if !state.view.lineage.is_own(loc.segment()) => parents.offer(loc, bytes, keep),
            _ => state.buffers.offer(loc, bytes, keep),
        }
    }
}

enum Lookup {
    Plan(Vec<Plan>),
    NeedLeaves(Vec<(LeafNo, LeafPlace)>),
}

/// Reads a range that lies inside the image. `NotFound` when a segment or page vanished: its data was moved on
/// (`retry_moved.rs`).
pub(crate) async fn read(objects: &Objects, shared: &Shared, offset: u64, len: u64) -> Result<Parts> {
    let plan = loop {
        match look_up(shared, offset, len)? {
            Lookup::Plan(plan) => break plan,
            Lookup::NeedLeaves(leaves) => shared.load_leaves(objects, leaves).await?,
        }
    };
    Ok(Parts(match <[Plan; 1]>::try_from(plan) {
        // Most reads, and without the machinery for several at once.
        Ok([part]) => vec![get(objects, &shared.checksums, part).await?],
        Err(plan) => get_all(objects, &shared.checksums, plan).await?,
    }))
}

fn look_up(shared: &Shared, offset: u64, len: u64) -> Result<Lookup> {
    let mut state = shared.lock();
    state.check(offset, len)?;
    let mut extents: Vec<Extent> = Vec::new();
    if state.view.map.lookup(offset, len, &mut extents).is_err() {
        return Ok(Lookup::NeedLeaves(state.view.map.missing(offset, len)));
    }
    let unwritten = unwritten(&state.view.map, offset, len);
    let mut plan = Vec::with_capacity(extents.len());
    let mut cached = Vec::new();
    for extent in extents {
        let Some(loc) = extent.loc else {
            plan_hole(extent.offset..extent.offset + extent.len, &unwritten, &mut plan);
            continue;
        };
        cached.clear();
        // Mapped extents stay within one segment, so their length fits.
        match &shared.parents {
            Some(parents) if !state.view.lineage.is_own(loc.segment()) => {
                parents.lookup(loc, extent.len as u32, &mut cached);
            }
            _ => state.buffers.lookup(loc, extent.len as u32, &mut cached),
        }
        let home = state.view.lineage.home(loc.segment());
        let mut at = loc;
        for part in cached.drain(..) {
            let (len, counter) = match &part {
                Cached::Hit(bytes) => (bytes.len() as u32, Counter::CacheHitBytes),
                Cached::Miss(len) => (*len, Counter::CacheMissBytes),
            };
            shared.counters.add(counter, len.into());
            plan.push(match (part, home) {
                (Cached::Hit(bytes), _) => Plan::Ready(ReadPiece::Data(bytes)),
                (Cached::Miss(len), Some(home)) => Plan::Fetch { loc: at, len, home },
                (Cached::Miss(_), None) => {
                    return Err(Error::new(ErrorKind::Corrupt, format!("the map points at {loc}, of no known epoch")));
                }
            });
            at = Loc(at.0 + u64::from(len));
        }
    }
    Ok(Lookup::Plan(plan))
}

/// What of a range that is in memory is the base's; in order.
fn unwritten(map: &ExtentMap<LeafPlace>, offset: u64, len: u64) -> Vec<Range<u64>> {
    let mut found = Vec::new();
    if map.zeroed_below() > offset {
        // Its leaves are there: they were looked up just now.
        let _ = map.unwritten(offset, len, &mut found);
    }
    found.into_iter().map(|(start, len)| start..start + len).collect()
}

fn plan_hole(hole: Range<u64>, unwritten: &[Range<u64>], plan: &mut Vec<Plan>) {
    if unwritten.is_empty() {
        return plan.push(Plan::Ready(ReadPiece::Zero(hole.end - hole.start)));
    }
    for (part, is_bases) in base::split(hole, unwritten) {
        match is_bases {
            true => plan.extend(parts(part).map(Plan::Base)),
            false => plan.push(Plan::Ready(ReadPiece::Zero(part.end - part.start))),
        }
    }
}

/// Several parts: those of one segment in one operation.
#[compiled_here]
async fn get_all(objects: &Objects, sums: &ChecksumCache, plan: Vec<Plan>) -> Result<Vec<Part>> {
    let mut got: Vec<Option<Part>> = Vec::with_capacity(plan.len());
    let mut wanted: BTreeMap<SegmentNo, Wanted> = BTreeMap::new();
    let (mut of_base, mut base_indices) = (Vec::new(), Vec::new());
    for (index, part) in plan.into_iter().enumerate() {
        match part {
            Plan::Ready(piece) => got.push(Some(Part::Ready(piece))),
            Plan::Base(range) => {
                got.push(None);
                of_base.push(range);
                base_indices.push(index);
            }
            Plan::Fetch { loc, len, home } => {
                got.push(None);
                let of_segment = || Wanted { home, parts: Vec::new(), indices: Vec::new() };
                let wanted = wanted.entry(loc.segment()).or_insert_with(of_segment);
                wanted.parts.push((loc, len));
                wanted.indices.push(index);
            }
        }
    }
    let fetching =
        wanted.iter().map(|(segment, Wanted { home, parts, .. })| fetch_many(objects, sums, *home, *segment, parts));
    let (fetched, read) = try_join(try_join_all(fetching), objects.read_base_ranges(&of_base)).await?;
    for (index, bytes) in base_indices.into_iter().zip(read) {
        got[index] = Some(Part::Ready(ReadPiece::Data(bytes)));
    }
    for (Wanted { parts, indices, .. }, fetched) in wanted.values().zip(fetched) {
        for ((&(loc, len), index), blocks) in parts.iter().zip(indices).zip(fetched) {
            got[*index] = Some(Part::Fetched { loc, len, blocks });
        }
    }
    Ok(got.into_iter().flatten().collect())
}

/// What a read needs of one segment, and the indices of its parts in the read.
struct Wanted {
    home: Home,
    parts: Vec<(Loc, u32)>,
    indices: Vec<usize>,
}

async fn get(objects: &Objects, sums: &ChecksumCache, part: Plan) -> Result<Part> {
    match part {
        Plan::Ready(piece) => Ok(Part::Ready(piece)),
        Plan::Base(range) => {
            let bytes = objects.read_base(range.start, range.end - range.start).await?;
            Ok(Part::Ready(ReadPiece::Data(bytes)))
        }
        Plan::Fetch { loc, len, home } => {
            Ok(Part::Fetched { loc, len, blocks: fetch(objects, sums, home, loc, len).await? })
        }
    }
}

/// What of a range has content (`NotFound` as for a read): extents that cover it, data and holes alternating.
#[compiled_here]
pub(crate) async fn extents(objects: &Objects, shared: &Shared, offset: u64, len: u64) -> Result<Vec<crate::Extent>> {
    loop {
        let looked_up = {
            let state = shared.lock();
            state.check(offset, len)?;
            let mut found: Vec<Extent> = Vec::new();
            match state.view.map.lookup(offset, len, &mut found) {
                Ok(()) => {
                    let told = |Extent { offset, len, loc }| crate::Extent { offset, len, data: loc.is_some() };
                    Ok((join(found.into_iter().map(told)), unwritten(&state.view.map, offset, len)))
                }
                Err(_) => Err(state.view.map.missing(offset, len)),
            }
        };
        match looked_up {
            Ok((found, unwritten)) if unwritten.is_empty() => return Ok(found),
            Ok((found, unwritten)) => return base::with_base(objects, found, &unwritten).await,
            Err(missing) => shared.load_leaves(objects, missing).await?,
        }
    }
}

/// The same for the start of a range: as much as has at most `most` leaves with content.
pub(crate) async fn first_extents(
    objects: &Objects,
    shared: &Shared,
    (offset, len): (u64, u64),
    most: usize,
) -> Result<Vec<crate::Extent>> {
    let len = {
        let state = shared.lock();
        state.check(offset, len)?;
        let len = state.view.map.len_with_leaves(offset, len, most);
        if state.view.map.zeroed_below() > offset { len.min(BASE_EXTENTS_BYTES) } else { len }
    };
    extents(objects, shared, offset, len).await
}

/// Extents that follow on each other, those of one kind as one.
fn join(found: impl Iterator<Item = crate::Extent>) -> Vec<crate::Extent> {
    let mut joined: Vec<crate::Extent> = Vec::new();
    for extent in found {
        match joined.last_mut() {
            Some(last) if last.data == extent.data => last.len += extent.len,
            _ => joined.push(extent),
        }
    }
    joined
}
