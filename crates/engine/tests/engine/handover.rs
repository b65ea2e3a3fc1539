//! Two clients write one image in turn or at once: ownership moves, and nothing that was flushed is lost.
use crate::common::{Client, MIB, Op, cluster_with_image, pattern, read, settings};
use futures::future::BoxFuture;
use lsd_core::format::header::{LogRecord, Tombs};
use lsd_core::format::notice::{self, Answer, Notice};
use lsd_engine::{ErrorKind, Image, ImageRef, OpenOptions, Settings};
use lsd_store::{
    LockMode, LockRequest, MEMORY_POOL, MemoryCluster, ObjectStore, Pools, Presence, StoreError, WatchHandler,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const BLOCK: u64 = 4096;

async fn two(cluster: &MemoryCluster, settings: Settings) -> (Client, Client) {
    (Client::open(cluster, settings.clone()).await, Client::open(cluster, settings).await)
}

/// A block that says who wrote it and how often it was written before.
fn stamped(block: u64, writer: u64, version: u64) -> bytes::Bytes {
    let stamp = [block, writer, version].map(u64::to_le_bytes).concat();
    stamp.iter().copied().cycle().take(BLOCK as usize).collect()
}

fn stamp_of(data: &[u8]) -> (u64, u64, u64) {
    let word = |index: usize| u64::from_le_bytes(data[index * 8..index * 8 + 8].try_into().unwrap());
    assert!(data.chunks(24).all(|chunk| *chunk == data[..chunk.len()]), "a block of two writes");
    (word(0), word(1), word(2))
}

#[tokio::test(start_paused = true)]
async fn a_live_owner_hands_over_and_takes_back() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), false).await.unwrap();
    assert!(first.image.locks().is_owner());
    second.image.write(4096, pattern(2, 4096), true).await.unwrap();
    assert!(second.image.locks().is_owner() && !first.image.locks().is_owner());
    assert_eq!(read(&second.image, 0, 4096).await, pattern(1, 4096), "the hand-over makes every write durable");
    first.image.write(8192, pattern(3, 4096), true).await.unwrap();
    assert_eq!(read(&first.image, 4096, 4096).await, pattern(2, 4096));
    second.image.close().await.unwrap();
    first.image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn writing_in_turn_loses_nothing() {
    let cluster = cluster_with_image(4 * MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    let mut random = StdRng::seed_from_u64(7);
    let mut model = vec![0; 4 * MIB as usize];
    for turn in 0..1000u64 {
        let client = if turn % 2 == 0 { &first } else { &second };
        let len = random.random_range(1..20_000usize);
        let offset = random.random_range(0..model.len() - len);
        if random.random_bool(0.1) {
            client.image.discard(offset as u64, len as u64, false).await.unwrap();
            model[offset..offset + len].fill(0);
        } else {
            let data = pattern(turn, len);
            client.image.write(offset as u64, data.clone(), false).await.unwrap();
            model[offset..offset + len].copy_from_slice(&data);
        }
        if random.random_bool(0.5) {
            client.image.flush().await.unwrap();
        }
        assert!(client.image.locks().is_owner());
        let at = random.random_range(0..model.len() - 4096);
        assert_eq!(read(&client.image, at as u64, 4096).await, model[at..at + 4096], "turn {turn}");
    }
    assert_eq!(read(&second.image, 0, 4 * MIB).await, model);
    second.image.flush().await.unwrap();
    first.crash(&cluster);
    second.crash(&cluster);
    let reader = Client::open(&cluster, settings()).await;
    assert_eq!(read(&reader.image, 0, 4 * MIB).await, model);
}

/// Writes its own blocks over and over; returns the versions that a flush covered.
async fn write_own_blocks(image: Image, writer: u64, rounds: u64) -> Vec<u64> {
    let mut versions = vec![0; 32];
    let mut random = StdRng::seed_from_u64(writer);
    for round in 1..=rounds {
        let block = random.random_range(0..versions.len());
        let place = (block as u64 * 2 + writer) * BLOCK;
        image.write(place, stamped(block as u64, writer, round), false).await.unwrap();
        versions[block] = round;
        if round % 16 == 0 {
            image.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
        }
    }
    image.flush().await.unwrap();
    versions
}

#[tokio::test(start_paused = true)]
async fn writing_at_once_loses_nothing_and_starves_nobody() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, Settings { max_dirty_bytes: 0, ..settings() }).await;
    let writers = [(&first, 0), (&second, 1)]
        .map(|(client, writer)| tokio::spawn(write_own_blocks(client.image.clone(), writer, 2000)));
    let mut expected = Vec::new();
    for writer in writers {
        expected.push(writer.await.unwrap());
    }
    first.crash(&cluster);
    second.crash(&cluster);
    let reader = Client::open(&cluster, settings()).await;
    for (writer, versions) in expected.into_iter().enumerate() {
        for (block, version) in versions.into_iter().enumerate().filter(|(_, version)| *version > 0) {
            let data = read(&reader.image, (block * 2 + writer) as u64 * BLOCK, BLOCK).await;
            assert_eq!(stamp_of(&data), (block as u64, writer as u64, version));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn compare_and_write_is_atomic_across_owners() {
    const COUNTS: u64 = 60;
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    let count = |image: Image| {
        tokio::spawn(async move {
            for _ in 0..COUNTS {
                loop {
                    let now = read(&image, 0, 512).await;
                    let number = u64::from_le_bytes(now[..8].try_into().unwrap());
                    let next: bytes::Bytes = (number + 1).to_le_bytes().iter().copied().cycle().take(512).collect();
                    match image.compare_and_write(0, now.into(), next).await {
                        Ok(()) => break,
                        Err(error) => assert!(matches!(error.kind, ErrorKind::Mismatch { .. }), "{error}"),
                    }
                }
            }
        })
    };
    for counter in [count(first.image.clone()), count(second.image.clone())] {
        counter.await.unwrap();
    }
    first.image.write(8192, pattern(1, 1), false).await.unwrap();
    assert_eq!(read(&first.image, 0, 8).await, (2 * COUNTS).to_le_bytes());
}

/// The hand-over waits for the range that is being compared, and whoever compares writes without asking for the image again.
#[tokio::test(start_paused = true)]
async fn a_hand_over_lets_a_compare_and_write_finish() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, Settings { cache_bytes: 0, ..settings() }).await;
    first.image.write(0, pattern(1, 4096), false).await.unwrap();
    first.image.flush().await.unwrap();
    first.memory.hold();
    let comparing = tokio::spawn({
        let image = first.image.clone();
        async move { image.compare_and_write(0, pattern(1, 4096), pattern(2, 4096)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let writing = tokio::spawn({
        let image = second.image.clone();
        async move { image.write(0, pattern(3, 100), true).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!comparing.is_finished() && !writing.is_finished());
    first.memory.release();
    tokio::time::timeout(Duration::from_secs(60), comparing).await.unwrap().unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(60), writing).await.unwrap().unwrap().unwrap();
    let found = read(&second.image, 0, 4096).await;
    assert_eq!((&found[..100], &found[100..]), (&pattern(3, 100)[..], &pattern(2, 4096)[100..]));
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_waits_for_appends_that_are_stuck() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), true).await.unwrap();
    first.image.write(4096, pattern(2, 4096), false).await.unwrap();
    first.memory.hold();
    let taking = tokio::spawn({
        let image = second.image.clone();
        async move { image.write(8192, pattern(3, 4096), true).await }
    });
    let waiting = tokio::spawn({
        let image = first.image.clone();
        async move { image.write(12_288, pattern(4, 4096), true).await }
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!taking.is_finished(), "an owner that lives and says that it will release is waited for");
    first.memory.release();
    taking.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
    for (block, seed) in [(0, 1), (1, 2), (2, 3), (3, 4)] {
        assert_eq!(read(&second.image, block * 4096, 4096).await, pattern(seed, 4096));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_delays_the_hand_over_and_loses_nothing() {
    let cluster = cluster_with_image(16 * MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), true).await.unwrap();
    cluster.set_full(MEMORY_POOL, true);
    first.image.write(4096, pattern(2, 65_536), false).await.unwrap();
    let taking = tokio::spawn({
        let image = second.image.clone();
        async move { image.write(MIB, pattern(3, 4096), true).await }
    });
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!taking.is_finished());
    assert_eq!(first.image.flush().await.unwrap_err().kind, ErrorKind::NoSpace);
    first.image.write(2 * MIB, pattern(4, 4096), false).await.unwrap();
    cluster.set_full(MEMORY_POOL, false);
    taking.await.unwrap().unwrap();
    first.crash(&cluster);
    for (offset, seed, len) in [(4096, 2, 65_536), (MIB, 3, 4096), (2 * MIB, 4, 4096)] {
        assert_eq!(read(&second.image, offset, len).await, pattern(seed, len as usize));
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_dies_while_it_is_asked_is_replaced() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), true).await.unwrap();
    first.image.write(4096, pattern(2, 4096), false).await.unwrap();
    first.memory.hold();
    let taking = tokio::spawn({
        let image = second.image.clone();
        async move { image.write(8192, pattern(3, 4096), true).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.expire(&first.memory);
    taking.await.unwrap().unwrap();
    first.memory.release();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(first.image.write(0, pattern(9, 4096), true).await.unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(read(&second.image, 0, 4096).await, pattern(1, 4096));
    assert_eq!(read(&second.image, 8192, 4096).await, pattern(3, 4096));
}

#[tokio::test(start_paused = true)]
async fn a_requester_that_dies_leaves_the_owner_working() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), true).await.unwrap();
    // It asks, and dies before it takes the lock.
    let header = format!("lsd_header.{}", first.image.info().id);
    let wanted = notice::encode(&Notice::LockWanted).into();
    let reply = second.memory.notify(&header.as_str().into(), wanted, Duration::from_secs(1)).await.unwrap();
    let answers: Vec<_> = reply.acks.iter().filter_map(|(_, answer)| notice::decode_answer(answer).ok()).collect();
    assert_eq!(answers, [Answer::WillRelease]);
    second.crash(&cluster);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!first.image.locks().is_owner());
    first.image.write(4096, pattern(2, 4096), true).await.unwrap();
    assert!(first.image.locks().is_owner());
    assert_eq!(read(&first.image, 4096, 4096).await, pattern(2, 4096));
}

#[tokio::test(start_paused = true)]
async fn a_second_opener_sees_what_was_written_before_the_lock_was_given_back() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), false).await.unwrap();
    first.image.locks().release().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(read(&second.image, 0, 4096).await, pattern(1, 4096));
    first.image.write(0, pattern(2, 4096), true).await.unwrap();
    second.image.invalidate_cache().await.unwrap();
    assert_eq!(read(&second.image, 0, 4096).await, pattern(2, 4096), "a flushed write is there to be read");
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_segments_the_owner_deleted_reads_the_newer_state() {
    let cluster = cluster_with_image(4 * MIB).await;
    let settings = Settings { cache_bytes: 0, checkpoint_log_bytes: MIB, ..settings() };
    let (first, second) = two(&cluster, settings).await;
    first.image.write(0, pattern(0, 4 * MIB as usize), true).await.unwrap();
    second.image.write(0, pattern(1, 4096), true).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for round in 2..10 {
        second.image.write(0, pattern(round, 4 * MIB as usize), true).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let gone = cluster.client().list("lsd_data.").await.unwrap();
    assert!(gone.iter().all(|name| !name.0.contains(".00000001.")), "the first owner's segments are deleted: {gone:?}");
    let found = read(&first.image, MIB, 4096).await;
    let whole = |round: u64| pattern(round, 4 * MIB as usize).slice(MIB as usize..MIB as usize + 4096);
    assert!((1..10).any(|round| found == whole(round)), "it is the content of one of the states");
}

#[tokio::test(start_paused = true)]
async fn a_lock_taken_by_hand_stays() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    second.image.write(0, pattern(1, 4096), true).await.unwrap();
    first.image.locks().acquire().await.unwrap();
    first.image.locks().acquire().await.unwrap();
    assert!(first.image.locks().is_owner());
    assert_eq!(second.image.locks().owner().await.unwrap().client, first.memory.identity().0);
    assert_eq!(second.image.write(0, pattern(2, 4096), true).await.unwrap_err().kind, ErrorKind::ReadOnly);
    assert_eq!(second.image.locks().release().await.unwrap_err().kind, ErrorKind::Invalid);
    first.image.locks().release().await.unwrap();
    assert_eq!(first.image.write(0, pattern(3, 4096), true).await.unwrap_err().kind, ErrorKind::ReadOnly);
    assert_eq!(first.image.locks().owner().await.unwrap_err().kind, ErrorKind::NotFound);
    second.image.write(0, pattern(4, 4096), true).await.unwrap();
    first.image.locks().acquire().await.unwrap();
    assert_eq!(read(&first.image, 0, 4096).await, pattern(4, 4096));
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_lock_is_broken_fails_for_good() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.locks().acquire().await.unwrap();
    first.image.write(0, pattern(1, 4096), true).await.unwrap();
    let owner = second.image.locks().owner().await.unwrap();
    assert_eq!(second.image.locks().break_owner("127.0.0.1:0/1").await.unwrap_err().kind, ErrorKind::Busy);
    assert_eq!(first.image.locks().break_owner(&owner.addr).await.unwrap_err().kind, ErrorKind::Busy);
    second.image.locks().break_owner(&owner.addr).await.unwrap();
    second.image.write(4096, pattern(2, 4096), true).await.unwrap();
    assert_eq!(first.image.write(0, pattern(3, 4096), true).await.unwrap_err().kind, ErrorKind::Fenced);
    assert_eq!(read(&second.image, 0, 4096).await, pattern(1, 4096));
}

#[tokio::test(start_paused = true)]
async fn an_advisory_lock_keeps_writers_away() {
    let cluster = cluster_with_image(MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    first.image.locks().lock_advisory("mine", None).await.unwrap();
    assert_eq!(first.image.locks().lock_advisory("mine", None).await.unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(second.image.locks().lock_advisory("mine", None).await.unwrap_err().kind, ErrorKind::Busy);
    assert_eq!(second.image.write(0, pattern(1, 4096), true).await.unwrap_err().kind, ErrorKind::Busy);
    first.image.locks().unlock_advisory("mine").await.unwrap();
    second.image.write(0, pattern(1, 4096), true).await.unwrap();
    assert_eq!(first.image.locks().lock_advisory("mine", Some("tag")).await.unwrap_err().kind, ErrorKind::Busy);
}

/// What a reader of the image shows, next to what was flushed at least a second before.
#[tokio::test(start_paused = true)]
async fn who_does_not_own_the_image_sees_what_was_flushed_a_second_ago() {
    let cluster = cluster_with_image(8 * MIB).await;
    let settings = Settings { cache_bytes: 0, checkpoint_log_bytes: 3 * MIB, ..settings() };
    let (owner, second) = two(&cluster, settings.clone()).await;
    let reader = Client::try_open(&cluster, settings, true).await.unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let mut model = vec![0; 8 * MIB as usize];
    for round in 0..300u64 {
        for _ in 0..random.random_range(1..6) {
            let len = random.random_range(1..200_000usize);
            let offset = random.random_range(0..model.len() - len);
            if random.random_bool(0.2) {
                owner.image.discard(offset as u64, len as u64, false).await.unwrap();
                model[offset..offset + len].fill(0);
            } else {
                let data = pattern(round, len);
                owner.image.write(offset as u64, data.clone(), false).await.unwrap();
                model[offset..offset + len].copy_from_slice(&data);
            }
        }
        owner.image.flush().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        for other in [&second, &reader] {
            assert!(read(&other.image, 0, 8 * MIB).await == model, "round {round}");
        }
    }
    assert!(owner.image.locks().is_owner());
}

#[tokio::test(start_paused = true)]
async fn a_flush_and_invalidate_cache_of_a_reader_show_the_newest_at_once() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, second) = two(&cluster, settings()).await;
    for round in 0..20 {
        owner.image.write(0, pattern(round, 4096), true).await.unwrap();
        if round % 2 == 0 {
            second.image.flush().await.unwrap();
        } else {
            second.image.invalidate_cache().await.unwrap();
        }
        assert_eq!(read(&second.image, 0, 4096).await, pattern(round, 4096));
    }
}

/// The owner writes the blocks in turn, each with the number of the round: at every moment the first ones are one round ahead.
#[tokio::test(start_paused = true)]
async fn what_a_reader_sees_is_of_one_moment() {
    const BLOCKS: u64 = 64;
    let cluster = cluster_with_image(MIB).await;
    let settings = Settings { cache_bytes: 0, checkpoint_log_bytes: MIB, ..settings() };
    let (owner, second) = two(&cluster, settings).await;
    let image = owner.image.clone();
    let writing = tokio::spawn(async move {
        for round in 0.. {
            for block in 0..BLOCKS {
                image.write(block * BLOCK, stamped(block, 0, round), block % 7 == 0).await.unwrap();
                tokio::time::sleep(Duration::from_millis(13)).await;
            }
        }
    });
    let mut last = 0;
    for _ in 0..400 {
        tokio::time::sleep(Duration::from_millis(370)).await;
        let found = read(&second.image, 0, BLOCKS * BLOCK).await;
        let rounds: Vec<u64> = found
            .chunks(BLOCK as usize)
            .map(|block| if block.iter().all(|byte| *byte == 0) { 0 } else { stamp_of(block).2 })
            .collect();
        assert!(rounds.is_sorted_by(|one, next| one >= next), "blocks of several moments: {rounds:?}");
        assert!(rounds[0] - rounds[rounds.len() - 1] <= 1, "blocks of several moments: {rounds:?}");
        assert!(rounds[0] >= last, "from round {last} back to {}", rounds[0]);
        last = rounds[0];
    }
    assert!(last > 100);
    writing.abort();
}

/// Neither an image that nobody reads nor its owner looks for anything.
#[tokio::test(start_paused = true)]
async fn who_does_not_read_does_not_look() {
    let cluster = cluster_with_image(MIB).await;
    let (owner, second) = two(&cluster, settings()).await;
    owner.image.write(0, pattern(1, 4096), true).await.unwrap();
    assert_eq!(read(&second.image, 4096, 4096).await.len(), 4096);
    let before = cluster.reads(MEMORY_POOL).operations;
    for round in 2..60 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        owner.image.write(0, pattern(round, 4096), true).await.unwrap();
    }
    assert_eq!(cluster.reads(MEMORY_POOL).operations, before);
    assert_eq!(read(&second.image, 0, 4096).await, pattern(59, 4096));
    assert!(cluster.reads(MEMORY_POOL).operations > before);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_holds_its_moment_shows_it_or_fails() {
    let cluster = cluster_with_image(4 * MIB).await;
    let settings = Settings { cache_bytes: 0, checkpoint_log_bytes: MIB, ..settings() };
    let owner = Client::open(&cluster, settings.clone()).await;
    let moment = pattern(0, 4 * MIB as usize);
    owner.image.write(0, moment.clone(), true).await.unwrap();
    let store: std::sync::Arc<dyn ObjectStore> = std::sync::Arc::new(cluster.client());
    let options = OpenOptions { read_only: true, hold_moment: true, settings, ..OpenOptions::default() };
    let holding = Image::open(&store, &ImageRef::Name("disk".into()), &options).await.unwrap();
    let mut outdated = 0;
    for round in 1..12 {
        owner.image.write(0, pattern(round, 4 * MIB as usize), true).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        for at in 0..4 {
            match holding.read(at * MIB, MIB).await {
                Ok(found) => assert!(found.to_bytes() == moment[(at * MIB) as usize..((at + 1) * MIB) as usize]),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Outdated, "{error}");
                    outdated += 1;
                }
            }
        }
    }
    assert!(outdated > 0, "the owner collected nothing");
}

/// An owner that watches and says nothing.
struct Silent;

impl WatchHandler for Silent {
    fn notified(&self, _notifier: u64, _payload: bytes::Bytes) -> BoxFuture<'static, bytes::Bytes> {
        Box::pin(std::future::ready(bytes::Bytes::new()))
    }

    fn lost(&self, _error: StoreError) {}
}

#[tokio::test(start_paused = true)]
async fn behind_a_silent_owner_all_who_wait_fail_together() {
    let cluster = cluster_with_image(256 * MIB).await;
    let other: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let header = other.list("lsd_header.").await.unwrap().remove(0);
    let watch = other.watch(&header, Duration::from_secs(30), Arc::new(Silent)).await.unwrap();
    let (name, cookie) = ("rbd_lock".to_owned(), "auto 1".to_owned());
    let request = LockRequest { name, cookie, mode: LockMode::Exclusive, tag: "internal".to_owned() };
    other.lock(&header, request).await.unwrap();
    let client = Client::open(&cluster, Settings { watch_timeout: Duration::from_secs(30), ..settings() }).await;
    let begun = Instant::now();
    let changes: Vec<_> = (0..48u64)
        .map(|index| {
            let image = client.image.clone();
            let at = index * BLOCK;
            tokio::spawn(async move {
                let done = match index % 3 {
                    0 => image.write(at, pattern(1, 4096), false).await,
                    1 => image.discard(at, BLOCK, false).await,
                    _ => image.compare_and_write(at, vec![0; 4096].into(), pattern(1, 4096)).await,
                };
                (done, begun.elapsed())
            })
        })
        .collect();
    for change in changes {
        let (done, after) = change.await.unwrap();
        assert_eq!(done.unwrap_err().kind, ErrorKind::Busy);
        assert!(after < Duration::from_secs(41), "it was waited for {after:?}");
    }
    // The next one tries anew.
    other.unwatch(watch).await.unwrap();
    client.image.write(0, pattern(2, 4096), true).await.unwrap();
}

/// The lock cannot be given back when the image is handed over: it goes when the other asks again.
#[tokio::test(start_paused = true)]
async fn a_lock_that_was_not_given_back_is_given_back_when_it_is_asked_for() {
    for by_close in [false, true] {
        let cluster = cluster_with_image(MIB).await;
        let (first, gate) = Client::open_gated(&cluster, settings()).await;
        first.image.write(0, pattern(1, 4096), true).await.unwrap();
        gate.close(|op, _| op == Op::Unlock);
        let second = Client::open(&cluster, settings()).await;
        let image = second.image.clone();
        let taking = tokio::spawn(async move { image.write(4096, pattern(2, 4096), true).await });
        // Nothing of the first few tries arrives.
        for _ in 0..5 {
            gate.until_waiting(1).await;
            drop(gate.take());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        gate.open();
        if by_close {
            first.image.close().await.unwrap();
        }
        taking.await.unwrap().unwrap();
        assert!(second.image.locks().is_owner());
        if !by_close {
            first.image.write(8192, pattern(3, 4096), true).await.unwrap();
            assert_eq!(read(&first.image, 4096, 4096).await, pattern(2, 4096));
        }
    }
}

/// Who could not give the lock back takes the image again: nobody asked for it twice.
#[tokio::test(start_paused = true)]
async fn who_could_not_give_the_lock_back_can_own_the_image_again() {
    let cluster = cluster_with_image(MIB).await;
    let (first, gate) = Client::open_gated(&cluster, settings()).await;
    first.image.write(0, pattern(1, 4096), true).await.unwrap();
    gate.close(|op, _| op == Op::Unlock);
    let image = first.image.clone();
    let releasing = tokio::spawn(async move { image.locks().release().await });
    for _ in 0..5 {
        gate.until_waiting(1).await;
        drop(gate.take());
    }
    let _ = releasing.await.unwrap();
    assert!(!first.image.locks().is_owner());
    gate.open();
    first.image.locks().acquire().await.unwrap();
    first.image.write(0, pattern(2, 4096), true).await.unwrap();
    first.image.locks().release().await.unwrap();
    let second = Client::open(&cluster, settings()).await;
    assert_eq!(read(&second.image, 0, 4096).await, pattern(2, 4096));
    second.image.write(0, pattern(3, 4096), true).await.unwrap();
}

/// What is kept of each ownership goes when nothing needs it any more.
#[tokio::test(start_paused = true)]
async fn owners_in_turn_leave_nothing_that_grows() {
    let cluster = cluster_with_image(4 * MIB).await;
    let (first, second) = two(&cluster, settings()).await;
    let store = first.store.clone();
    let header = store.list("lsd_header.").await.unwrap().remove(0);
    let mut counts = Vec::new();
    for turn in 0..300u64 {
        let client = if turn % 2 == 0 { &first } else { &second };
        // A block that stays keeps its segment, and with that its epoch.
        let block = if turn == 7 { 100 } else { turn % 5 };
        client.image.write(block * BLOCK, stamped(block, turn % 2, turn), true).await.unwrap();
        assert!(client.image.locks().is_owner());
        let values = store.kv_get(&header, "").await.unwrap();
        let log = LogRecord::decode(&values["log"]).unwrap();
        assert!(log.epochs.len() <= 12, "turn {turn}: {} epochs in the header", log.epochs.len());
        assert!(Tombs::decode(&values["tombs"]).unwrap().list.is_empty(), "everybody gave the image back");
        counts.push(store.list("lsd_").await.unwrap().len());
    }
    let most = |counts: &[usize]| counts.iter().copied().max().unwrap_or_default();
    assert!(most(&counts[200..]) <= most(&counts[..100]), "objects: {counts:?}");
    assert_eq!(stamp_of(&read(&second.image, 100 * BLOCK, BLOCK).await), (100, 1, 7));
    for client in [first, second] {
        client.image.close().await.unwrap();
    }
    let reader = Client::open(&cluster, settings()).await;
    for (block, turn) in [(100, 7), (0, 295), (1, 296), (2, 297), (3, 298), (4, 299)] {
        assert_eq!(stamp_of(&read(&reader.image, block * BLOCK, BLOCK).await), (block, turn % 2, turn));
    }
    reader.image.close().await.unwrap();
    let disk = ImageRef::Name("disk".into());
    assert!(Image::check(&store, &disk, &|_, _| Ok(())).await.unwrap().findings.is_empty());
    Image::remove(&store, &disk, &|_, _| Ok(())).await.unwrap();
    assert_eq!(store.list("lsd_data.").await.unwrap(), []);
    assert_eq!(store.list("lsd_map.").await.unwrap(), []);
}
