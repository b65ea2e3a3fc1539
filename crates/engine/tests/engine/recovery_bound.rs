//! What recovery reads is bounded by the rule that says when a checkpoint is due (docs/DURABILITY.md, section on replay):
//! counted in bytes and operations, never in time.
use crate::common::{Client, MIB, cluster_with_image, pattern, settings};
use lsd_core::format::header::{LogRecord, key};
use lsd_core::format::names;
use lsd_core::format::segment::seal_len;
use lsd_engine::Settings;
use lsd_store::{Blobs, Keyed, MEMORY_POOL, MemoryCluster, MemoryReads, Pools};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SIZE: u64 = 256 * MIB;
const SEGMENT: u64 = MIB;
/// Segments that are filled side by side.
const LANES: u64 = 8;
const WINDOW: u64 = 16;

/// What the log holds behind its last checkpoint: segments, and bytes in them.
async fn behind_the_checkpoint(cluster: &MemoryCluster) -> (u64, u64) {
    let store = cluster.client();
    let header = store.list("lsd_header.").await.unwrap().remove(0);
    let log = LogRecord::decode(&store.kv_get(&header, key::LOG).await.unwrap()[key::LOG]).unwrap();
    let (mut segments, mut bytes) = (0, 0);
    let id = &header.0["lsd_header.".len()..];
    for name in store.list("lsd_data.").await.unwrap() {
        let (_, number) = names::parse_segment(id, &name.0).unwrap();
        if number >= log.replay_from {
            segments += 1;
            bytes += store.stat(&name).await.unwrap();
        }
    }
    (segments, bytes)
}

/// Writes `bytes` in random blocks of 4 KiB, crashes, opens again: what lay behind the checkpoint, and what was read.
async fn crash_after(bytes: u64, settings: Settings) -> (u64, u64, MemoryReads) {
    let cluster = cluster_with_image(SIZE).await;
    let client = Client::open(&cluster, settings.clone()).await;
    let mut random = StdRng::seed_from_u64(bytes);
    let mut last = 0;
    for index in 0..bytes / 4096 {
        last = random.random_range(0..SIZE / 4096) * 4096;
        client.image.write(last, pattern(index, 4096), false).await.unwrap();
        if index % 64 == 0 {
            client.image.flush().await.unwrap();
        }
    }
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let (segments, log_bytes) = behind_the_checkpoint(&cluster).await;
    let before = cluster.reads(MEMORY_POOL);
    let reader = Client::try_open(&cluster, settings, true).await.unwrap();
    let after = cluster.reads(MEMORY_POOL);
    let read = MemoryReads { operations: after.operations - before.operations, bytes: after.bytes - before.bytes };
    assert_eq!(crate::common::read(&reader.image, last, 4096).await, pattern(bytes / 4096 - 1, 4096));
    (segments, log_bytes, read)
}

/// Sealed segments are read by what seals them, open ones whole; the checkpoint by its root and the leaves that the log touches.
fn most_read(segments: u64) -> MemoryReads {
    let sealing_part = seal_len((SEGMENT / 4096) as usize, 300, (SEGMENT / 4096) as usize) as u64;
    let leaves = SIZE / (16 * MIB);
    MemoryReads {
        operations: segments + 1 + leaves,
        bytes: segments * sealing_part + LANES * SEGMENT + leaves * (33 << 10) + 28 * leaves + 24 * 4 * SIZE / SEGMENT,
    }
}

#[tokio::test(start_paused = true)]
async fn replay_reads_what_seals_segments_and_not_their_data() {
    let settings = Settings { checkpoint_log_bytes: 1 << 40, segment_bytes: SEGMENT as u32, ..settings() };
    let (segments, log_bytes, read) = crash_after(128 * MIB, settings).await;
    assert!(log_bytes > 128 * MIB, "everything is behind the checkpoint: {log_bytes} bytes");
    let most = most_read(segments);
    assert!(
        read.operations <= most.operations && read.bytes <= most.bytes,
        "{read:?} of {log_bytes}; {most:?} expected"
    );
    assert!(read.bytes < log_bytes / 8, "{read:?} of {log_bytes} bytes");
}

#[tokio::test(start_paused = true)]
async fn the_log_behind_a_checkpoint_is_bounded() {
    let due = 8 * MIB;
    let settings = Settings { checkpoint_log_bytes: due, segment_bytes: SEGMENT as u32, ..settings() };
    for written in [8, 24, 64, 160] {
        let (segments, log_bytes, read) = crash_after(written * MIB, settings.clone()).await;
        // The checkpoint costs what its leaves take: at most 33 KiB for 16 MiB of the image, and it is due at eight times that.
        let cost = SIZE / (16 * MIB) * (33 << 10);
        let most_log = due.max(8 * cost) + 2 * LANES * SEGMENT;
        assert!(log_bytes <= most_log, "{log_bytes} bytes of log after {written} MiB; {most_log} expected");
        let most = most_read(segments + WINDOW);
        assert!(read.operations <= most.operations && read.bytes <= most.bytes, "{read:?}; {most:?} expected");
    }
}
