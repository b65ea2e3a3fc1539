//! What the writer makes of any mix of sizes, at the sizes that users run with and at others.
use super::*;
use lsd_core::format::batch::{self, BATCH_HEADER_BYTES};
use lsd_core::format::segment::{SegmentIdentity, encode_seal};
use lsd_core::units::{BLOCK_BYTES, MAX_SEGMENT_BYTES};
use proptest::prelude::*;
use std::collections::BTreeMap;

const IMAGE: ImageUuid = ImageUuid([7; 16]);

/// A run of records: whose, of how many bytes, how many. Without data: discards.
#[derive(Clone, Copy, Debug)]
struct Run {
    stream: Stream,
    len: u32,
    count: u32,
}

/// Runs that fill several segments, most of them of sizes at which something changes.
fn runs() -> impl Strategy<Value = Vec<Run>> {
    let fresh = prop_oneof![Just(Stream::Fresh), Just(Stream::FreshCold)];
    let stream = prop_oneof![3 => fresh, 1 => prop_oneof![Just(Stream::Moved), Just(Stream::MovedHot)]];
    let large = prop_oneof![Just(1u32 << 20), Just(256 << 10), Just((256 << 10) - 512), 4097u32..1 << 20];
    let small = prop_oneof![Just(0u32), Just(512), Just(4096), 1u32..8192];
    let one = prop_oneof![(large, 1u32..40), (small, 1u32..9000)];
    let run = (stream, one).prop_map(|(stream, (len, count))| Run { stream, len, count });
    proptest::collection::vec(run, 1..10)
}

fn piece(len: u32) -> Piece {
    static ZEROES: [u8; 1 << 20] = [0; 1 << 20];
    Piece { data: Bytes::from_static(&ZEROES[..len as usize]), sums: None }
}

fn writer(segment_bytes: u32, alignment: u32) -> Writer {
    let config = WriterConfig { uuid: IMAGE, epoch: Epoch(1), alignment, segment_bytes };
    Writer::new(config, Seq(0), SegmentNo(1))
}

fn push(writer: &mut Writer, run: Run) {
    let Run { stream, len, .. } = run;
    match (len, stream.is_fresh()) {
        (0, _) => drop(writer.push_plain(Record { offset: 0, kind: RecordKind::Discard { len: 1 } }).unwrap()),
        (_, true) => drop(writer.push_write(stream, 0, piece(len), 0).unwrap()),
        (_, false) => drop(writer.push_copy(stream, 0, Loc::new(SegmentNo(1), 4096), piece(len), 0).unwrap()),
    }
}

/// Encodes what the appender would, and compares with what was planned. `lengths`: of each segment, without what seals it.
fn take_in(job: &Job, alignment: u32, lengths: &mut BTreeMap<SegmentNo, u32>) {
    let sealed = |segment: SegmentNo, len: u32, batches: &[Arc<Batch>], durable| {
        let identity = SegmentIdentity { image: IMAGE, epoch: Epoch(1), segment };
        let sums = vec![0; (len / BLOCK_BYTES) as usize];
        let end = len as usize + encode_seal(&identity, &sums, batches, durable, alignment).len();
        assert!(end <= MAX_SEGMENT_BYTES as usize, "{end} bytes, sealed");
    };
    match job {
        Job::Batch(job) => {
            let batch = &job.batch;
            let parts = batch::encode(batch, job.data_len, alignment);
            assert_eq!(parts.total_len, batch.total_len);
            let end = lengths.entry(batch.place.segment).or_default();
            assert_eq!(*end, batch.place.offset);
            *end += parts.total_len;
            assert!(*end <= MAX_SEGMENT_BYTES, "{end} bytes");
            let bytes = [&parts.head[..], &vec![0; job.data_len as usize], &parts.tail].concat();
            assert_eq!(batch::decode(&batch.place, &bytes, false).as_ref(), Ok(&**batch));
            assert!(job.data_len as usize + BATCH_HEADER_BYTES <= batch.total_len as usize);
            if let Some(batches) = &job.seals {
                sealed(batch.place.segment, *end, batches, batch.durable);
            }
        }
        Job::CloseSegment { segment, at, batches, durable } => {
            assert_eq!(lengths.get(segment), Some(at));
            sealed(*segment, *at, batches, *durable);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No segment becomes longer than the format has room for, and every length is as planned.
    #[test]
    fn every_mix_of_sizes_fits_its_segments(
        runs in runs(),
        segment_bytes in prop_oneof![3 => Just(8u32 << 20), 1 => Just(1 << 20), 1 => Just(64 << 10)],
        alignment in prop_oneof![3 => Just(4096u32), 1 => Just(8192), 1 => Just(12_288), 1 => Just(192 << 10)],
        answered in any::<bool>(),
    ) {
        let mut writer = writer(segment_bytes, alignment);
        let mut lengths = BTreeMap::new();
        // What is durable lets more be sealed, which comes behind it.
        let mut settle = |writer: &mut Writer, answers: bool| loop {
            let jobs = writer.take_jobs();
            if jobs.is_empty() {
                break;
            }
            for job in &jobs {
                take_in(job, alignment, &mut lengths);
                if let (Job::Batch(job), true) = (job, answers) {
                    writer.retire(&job.batch);
                }
            }
        };
        for run in runs {
            for _ in 0..run.count {
                push(&mut writer, run);
                settle(&mut writer, answered);
            }
            if !run.stream.is_fresh() {
                writer.seal();
            }
        }
        writer.close_segments();
        settle(&mut writer, true);
    }
}
