//! The state driven by a stream of events, with nothing else there: no store, no runtime, no lock.
//!
//! After every event the state shows what was written. After a crash at any moment, whatever of the log has landed by then, replay
//! gives an image that there was, and nothing that was said to be durable is missing from it.
use bytes::Bytes;
use lsd_core::format::ImageUuid;
use lsd_core::format::batch::{BATCH_HEADER_BYTES, Batch};
use lsd_core::format::checkpoint::LeafPlace;
use lsd_core::format::header::{EpochStart, LogRecord};
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::map::{Extent, ExtentMap};
use lsd_core::replay::{in_order, join};
use lsd_core::units::{Epoch, Loc, SegmentNo, Seq};
use lsd_state::buffers::Cached;
use lsd_state::log::{BatchJob, Job, Stream, Writer, WriterConfig};
use lsd_state::segments::Segments;
use lsd_state::state::{Attempt, Chunk, Copied, Relocation, State, cleared_range};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const SECTOR: u64 = 512;
const SECTORS: u64 = 512;
const SIZE: u64 = SECTORS * SECTOR;

/// What happens to the image. Ranges are in sectors.
#[derive(Clone, Copy, Debug)]
enum Event {
    Write {
        at: u64,
        len: u64,
    },
    Discard {
        at: u64,
        len: u64,
    },
    /// Data is read in order to be copied.
    BeginCopy {
        at: u64,
    },
    /// What was read longest ago is entered into the log.
    EndCopy,
    /// Somebody waits for all that was accepted.
    Flush,
    /// The next append of one of the segments has landed; which, counted from the oldest.
    Land {
        which: usize,
    },
    /// The segments that are being filled end.
    CloseSegments,
    /// The machine dies, and all that has landed is read.
    Crash,
}

fn event() -> impl Strategy<Value = Event> {
    let range = || (0..SECTORS, prop_oneof![4 => Just(8u64), 2 => 1u64..64, 1 => 64u64..400]);
    let inside = |(at, len): (u64, u64)| (at, len.min(SECTORS - at));
    prop_oneof![
        12 => range().prop_map(inside).prop_map(|(at, len)| Event::Write { at, len }),
        // Small and to few places: one takes the place of another in the open group.
        6 => (0..4u64).prop_map(|block| Event::Write { at: block * 8, len: 8 }),
        2 => range().prop_map(inside).prop_map(|(at, len)| Event::Discard { at, len }),
        2 => (0..SECTORS).prop_map(|at| Event::BeginCopy { at }),
        2 => Just(Event::EndCopy),
        4 => Just(Event::Flush),
        12 => (0..16usize).prop_map(|which| Event::Land { which }),
        1 => Just(Event::CloseSegments),
        1 => Just(Event::Crash),
    ]
}

fn empty() -> (State, LogRecord) {
    let start = EpochStart { epoch: Epoch(1), first_segment: SegmentNo(1), first_seq: Seq(1) };
    let log = LogRecord { checkpoint: None, replay_from: SegmentNo(1), epochs: vec![start], clean: false };
    let map: ExtentMap<LeafPlace> = ExtentMap::new();
    (State::new(SIZE, log.clone(), map, Segments::default(), 0), log)
}

/// What each sector holds; 0: nothing.
type Content = Vec<u64>;

struct World {
    state: State,
    log: LogRecord,
    /// What the guest wrote.
    content: Content,
    /// The same at the end of each sequence, as it was when the next began.
    history: BTreeMap<Seq, Content>,
    writes: u64,
    /// By segment, what was sent and has not landed.
    on_its_way: BTreeMap<SegmentNo, VecDeque<Job>>,
    landed: Vec<Batch>,
    /// Data of the log by its place, landed or not.
    stored: BTreeMap<Loc, Bytes>,
    copies: VecDeque<Relocation>,
}

impl World {
    fn new() -> Self {
        let (mut state, log) = empty();
        let config =
            WriterConfig { uuid: ImageUuid([7; 16]), epoch: Epoch(1), alignment: 4096, segment_bytes: 256 << 10 };
        state.writer = Some(Writer::new(config, Seq(0), SegmentNo(1)));
        let content = vec![0; SECTORS as usize];
        let history = BTreeMap::from([(Seq(0), content.clone())]);
        let (on_its_way, stored) = (BTreeMap::new(), BTreeMap::new());
        Self {
            state,
            log,
            content,
            history,
            writes: 0,
            on_its_way,
            landed: Vec::new(),
            stored,
            copies: VecDeque::new(),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Write { at, len } => self.write(at, len),
            Event::Discard { at, len } => self.discard(at, len),
            Event::BeginCopy { at } => self.begin_copy(at),
            Event::EndCopy => self.end_copy(),
            Event::Flush => self.state.want_durable(self.state.view.end),
            Event::Land { which } => self.land(which),
            Event::CloseSegments => self.state.close_segments(),
            Event::Crash => self.crash(),
        }
        self.history.insert(self.state.view.end, self.content.clone());
        self.take_jobs();
    }

    fn write(&mut self, at: u64, len: u64) {
        self.writes += 1;
        let tag = self.writes;
        let data: Vec<u8> = (0..len * SECTOR / 8).flat_map(|_| tag.to_le_bytes()).collect();
        let done = self.state.try_write(at * SECTOR, &[Chunk::new(data.into())], false);
        assert!(matches!(done, Ok(Attempt::Done(_))), "{done:?}");
        self.content[at as usize..(at + len) as usize].fill(tag);
    }

    fn discard(&mut self, at: u64, len: u64) {
        let record = Record { offset: at * SECTOR, kind: RecordKind::Discard { len: len * SECTOR } };
        let done = self.state.try_clear(record, false);
        assert!(matches!(done, Ok(Attempt::Done(_))), "{done:?}");
        self.content[at as usize..(at + len) as usize].fill(0);
    }

    fn begin_copy(&mut self, at: u64) {
        let mut found: Vec<Extent> = Vec::new();
        self.state.view.map.lookup(at * SECTOR, SIZE - at * SECTOR, &mut found).unwrap();
        let Some((extent, from)) = found.iter().find_map(|extent| Some((extent, extent.loc?))) else { return };
        // Only what is on its way or has landed can be read from a segment.
        let Some(data) = read_stored(&self.stored, from, extent.len as usize) else { return };
        self.copies.push_back(Relocation { offset: extent.offset, from, chunk: Chunk::new(data) });
    }

    fn end_copy(&mut self) {
        let Some(copy) = self.copies.pop_front() else { return };
        let done = self.state.try_relocate(Stream::Moved, &[copy], false);
        assert!(matches!(done, Ok(Copied::Done(_))), "{done:?}");
    }

    fn take_jobs(&mut self) {
        for job in self.state.take_jobs() {
            let segment = match &job {
                Job::Batch(job) => {
                    self.store(job);
                    job.batch.place.segment
                }
                Job::CloseSegment { segment, .. } => *segment,
            };
            self.on_its_way.entry(segment).or_default().push_back(job);
        }
    }

    fn store(&mut self, job: &BatchJob) {
        let mut at = BATCH_HEADER_BYTES as u32;
        for piece in &job.pieces {
            self.stored.insert(job.batch.loc(at), piece.data.clone());
            at += piece.data.len() as u32;
        }
    }

    fn land(&mut self, which: usize) {
        self.on_its_way.retain(|_, jobs| !jobs.is_empty());
        let which = which % self.on_its_way.len().max(1);
        let Some(job) = self.on_its_way.values_mut().nth(which).and_then(VecDeque::pop_front) else { return };
        if let Job::Batch(job) = job {
            self.landed.push((*job.batch).clone());
            self.state.on_durable(&job);
        }
    }

    /// What the next owner finds.
    fn crash(&self) {
        let log = join(self.landed.clone(), Seq(0), &self.log.epochs).unwrap();
        let durable = self.state.writer.as_ref().map_or(Seq(0), Writer::durable);
        assert!(log.end >= durable, "the log ends at {}, but {durable} was said to be durable", log.end);
        let (mut state, _) = empty();
        for group in log.groups() {
            state.begin_replay(group);
            for (_, batch, record) in in_order(group) {
                state.replay(batch, record).unwrap();
                let (offset, len) = cleared_range(record);
                state.clear(offset, len).unwrap();
            }
        }
        let expected = self.history.get(&log.end).expect("the log ends inside a group");
        assert_eq!(&shown(&mut state, &self.stored), expected, "after write {}", log.end);
    }
}

/// From as many pieces as lie side by side there.
fn read_stored(stored: &BTreeMap<Loc, Bytes>, loc: Loc, len: usize) -> Option<Bytes> {
    let mut found = Vec::with_capacity(len);
    while found.len() < len {
        let at = Loc(loc.0 + found.len() as u64);
        let (start, bytes) = stored.range(..=at).next_back()?;
        let rest = bytes.get((at.0 - start.0) as usize..).filter(|rest| !rest.is_empty())?;
        found.extend_from_slice(&rest[..rest.len().min(len - found.len())]);
    }
    Some(found.into())
}

/// What a reader sees: from memory what is there, the rest from the log.
fn shown(state: &mut State, stored: &BTreeMap<Loc, Bytes>) -> Content {
    let mut found: Vec<Extent> = Vec::new();
    state.view.map.lookup(0, SIZE, &mut found).unwrap();
    let mut content = Content::new();
    for Extent { len, loc, .. } in found {
        let Some(loc) = loc else {
            content.extend((0..len / SECTOR).map(|_| 0));
            continue;
        };
        let mut parts = Vec::new();
        state.buffers.lookup(loc, len as u32, &mut parts);
        let mut at = loc.0;
        for part in parts {
            let bytes = match part {
                Cached::Hit(bytes) => bytes,
                Cached::Miss(len) => {
                    read_stored(stored, Loc(at), len as usize).expect("what is not in memory was sent")
                }
            };
            at += bytes.len() as u64;
            let sectors = bytes.chunks(SECTOR as usize);
            content.extend(sectors.map(|sector| u64::from_le_bytes(sector[..8].try_into().unwrap())));
        }
    }
    content
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_state_shows_what_was_written_and_the_log_can_be_replayed(events in proptest::collection::vec(event(), 1..150)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            assert_eq!(shown(&mut world.state, &world.stored), world.content, "after {event:?}");
        }
        world.crash();
        // What lands later changes nothing of what was there.
        world.state.want_durable(world.state.view.end);
        for _ in 0..2000 {
            world.land(0);
            world.take_jobs();
        }
        assert_eq!(world.state.writer.as_ref().map(Writer::durable), Some(world.state.view.end));
        world.crash();
    }
}
