//! Large writes, at default sizes: at the bound on dirty memory, what has gone to the store by then, and that nobody waits there for
//! ever; and beside small ones, that the segments they share stay what the next opening understands.
use crate::common::{Client, MIB, Op, cluster_with_image, pattern, read};
use bytes::Bytes;
use lsd_core::format::batch::{self, BATCH_HEADER_BYTES, Batch, BatchPlace};
use lsd_core::format::checkpoint::PageIdentity;
use lsd_core::format::codec::crc32c;
use lsd_core::format::header::{ImageRecord, LogRecord, key};
use lsd_core::format::names;
use lsd_core::format::record::{Record, RecordKind};
use lsd_core::format::root::{Root, RootPages};
use lsd_core::format::segment::{SegmentIdentity, encode_seal};
use lsd_core::units::{Epoch, MAX_SEGMENT_BYTES, SegmentNo, Seq};
use lsd_engine::{Image, ImageRef, Settings};
use lsd_store::{Append, ObjectName, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

const WRITES: u64 = 40;

/// Writes of a MiB each, all at once, to a store that answers none of them: the batches that it has been sent when nobody gets any
/// further. Then it answers, and everything is there.
async fn batches_at_the_bound(max_dirty_bytes: u64) -> usize {
    let cluster = cluster_with_image(WRITES * MIB).await;
    let settings = Settings {
        writethrough_until_flush: false,
        max_dirty_bytes,
        watch_timeout: Duration::from_secs(1),
        ..Settings::default()
    };
    let (client, gate) = Client::open_gated(&cluster, settings.clone()).await;
    client.image.write(0, pattern(99, 4096), true).await.unwrap();
    gate.close(|op, _| matches!(op, Op::Create | Op::Append));
    let writes: Vec<_> = (0..WRITES)
        .map(|index| {
            let image = client.image.clone();
            tokio::spawn(async move { image.write(index * MIB, pattern(index, MIB as usize), false).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(writes.iter().filter(|write| write.is_finished()).count() as u64, max_dirty_bytes / MIB);
    let sent = gate.waiting();
    gate.open();
    for write in writes {
        write.await.unwrap().unwrap();
    }
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let reader = Client::try_open(&cluster, settings, true).await.unwrap();
    for index in 0..WRITES {
        assert_eq!(read(&reader.image, index * MIB, MIB).await, pattern(index, MIB as usize), "write {index}");
    }
    sent
}

/// Two small ones while the store was idle, then full ones. What comes after them gathers: it has to wait anyway.
#[tokio::test(start_paused = true)]
async fn batches_are_full_when_the_store_is_busy() {
    assert_eq!(batches_at_the_bound(24 * MIB).await, 2 + 5);
}

/// What is in the open batch would never come back otherwise.
#[tokio::test(start_paused = true)]
async fn the_open_batch_goes_when_it_holds_the_memory_that_is_waited_for() {
    assert_eq!(batches_at_the_bound(4 * MIB).await, 2 + 1);
}

fn defaults() -> Settings {
    Settings { watch_timeout: Duration::from_secs(1), ..Settings::default() }
}

/// A batch of records of `len` bytes each, `count` of them, from `at` of the image on; as an append to the end of a segment.
fn crafted(place: BatchPlace, first: u64, at: u64, len: usize, count: u64) -> (Batch, Vec<Bytes>) {
    let data: Vec<Bytes> = (0..count).map(|index| pattern(at + index, len)).collect();
    let records = data.iter().zip(0..).map(|(data, index)| {
        let data_offset = (BATCH_HEADER_BYTES as u64 + index * len as u64) as u32;
        let kind = RecordKind::Write { len: len as u32, data_offset, data_crc: crc32c(data) };
        Record { offset: at + index * len as u64, kind }
    });
    let mut batch = Batch {
        place,
        first_seq: Seq(first),
        timestamp_ns: 1,
        durable: Seq(0),
        total_len: 0,
        records: records.collect(),
        share: None,
    };
    let parts = batch::encode(&batch, (len as u64 * count) as u32, 4096);
    batch.total_len = parts.total_len;
    let bytes = std::iter::once(parts.head.into()).chain(data).chain([parts.tail.into()]);
    (batch, bytes.collect())
}

/// Until November 2026 what is written behind the data could lie beyond 16 MiB. Such an image opens with every byte, and its
/// next checkpoint is in the format again.
async fn reads_what_is_too_long(sealed: bool) {
    let cluster = cluster_with_image(1024 * MIB).await;
    let client = Client::open(&cluster, defaults()).await;
    client.image.write(900 * MIB, pattern(7, 4096), true).await.unwrap();
    client.crash(&cluster);
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let name = store.list("lsd_data.").await.unwrap().into_iter().find(|name| name.0.contains(".00000001.00000001"));
    let name = name.unwrap();
    let header = store.list("lsd_header.").await.unwrap().remove(0);
    let values = store.kv_get(&header, "").await.unwrap();
    let uuid = ImageRecord::decode(&values[key::IMAGE]).unwrap().uuid;
    let identity = SegmentIdentity { image: uuid, epoch: Epoch(1), segment: SegmentNo(1) };
    let mut end = store.log_tail(&name).await.unwrap().len as u32;
    let whole = store.read(&name, 0, end.into()).await.unwrap();
    let mut batches = vec![batch::decode(&identity.place(0), &whole, true).unwrap()];
    let mut bytes = whole.to_vec();
    // Three of large writes, and one of small writes whose data ends where the format ends.
    let (mut seq, mut at, mut contents) = (2, 0, Vec::new());
    for _ in 0..4 {
        let rest = MAX_SEGMENT_BYTES - end - BATCH_HEADER_BYTES as u32;
        let (len, count) = if rest > 5 << 20 { (1 << 20, 4) } else { (4096, u64::from(rest / 4096)) };
        let (batch, data) = crafted(identity.place(end), seq, at, len, count);
        let mut append = Append { epoch: 1, at: end.into(), data, summary_len: 0, urgent: false };
        append.data.iter().for_each(|part| bytes.extend_from_slice(part));
        contents.extend((0..count).map(|index| (at + index * len as u64, at + index, len)));
        (seq, at, end) = (seq + count, at + count * len as u64, end + batch.total_len);
        batches.push(batch);
        if sealed && end > MAX_SEGMENT_BYTES {
            let sums: Vec<u32> = bytes.chunks(4096).map(crc32c).collect();
            let seal = encode_seal(&identity, &sums, &batches, Seq(0), 4096);
            append.summary_len = seal.len() as u32;
            append.data.push(seal.into());
        }
        store.append(&name, append).await.unwrap();
    }
    assert!(end > MAX_SEGMENT_BYTES + 16_384, "{end} is not too long");
    let sound = async || {
        let found = Image::check(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.unwrap();
        assert_eq!(found.worst(), None, "{:?}", found.findings);
    };
    sound().await;
    for _ in 0..2 {
        let owner = Client::open(&cluster, defaults()).await;
        owner.image.write(901 * MIB, pattern(8, 4096), true).await.unwrap();
        for (at, seed, len) in &contents {
            assert_eq!(read(&owner.image, *at, *len as u64).await, pattern(*seed, *len), "at {at}");
        }
        assert_eq!(read(&owner.image, 900 * MIB, 4096).await, pattern(7, 4096));
        owner.image.close().await.unwrap();
        sound().await;
    }
    let root = root_of(&store, &header).await;
    assert!(root.segments.iter().all(|entry| entry.len <= MAX_SEGMENT_BYTES), "{:?}", root.segments);
}

/// Of the last checkpoint.
async fn root_of(store: &Arc<dyn ObjectStore>, header: &ObjectName) -> Root {
    let values = store.kv_get(header, "").await.unwrap();
    let image = ImageRecord::decode(&values[key::IMAGE]).unwrap();
    let pointer = LogRecord::decode(&values[key::LOG]).unwrap().checkpoint.unwrap();
    let mut pages = RootPages::default();
    for page in pointer.first_root_page..pointer.first_root_page + pointer.root_pages {
        let name: ObjectName = names::map_page(&image.id, pointer.id, page).into();
        let size = store.stat(&name).await.unwrap();
        let identity = PageIdentity { image: image.uuid, checkpoint: pointer.id, page };
        pages.add(&identity, &store.read(&name, 0, size).await.unwrap()).unwrap();
    }
    pages.decode().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_open_segment_that_was_written_too_long_is_read() {
    reads_what_is_too_long(false).await;
}

#[tokio::test(start_paused = true)]
async fn a_sealed_segment_that_was_written_too_long_is_read() {
    reads_what_is_too_long(true).await;
}
