//! Checking and repairing: each class of damage is found, named with the bytes of the image that it hits, and put right as
//! far as it can be without giving anything up.
use crate::common::{Client, MIB, cluster_with_image, pattern, read, settings};
use lsd_core::format::checkpoint::{PageIdentity, PageKind, encode_page};
use lsd_core::format::header::{ImageRecord, LogRecord, encode_requires, key};
use lsd_core::format::root::RootPages;
use lsd_core::format::{ImageUuid, names};
use lsd_core::units::{Epoch, SegmentNo};
use lsd_engine::{CheckReport, ErrorKind, Fault, Image, ImageRef, RepairOptions, RepairReport, Severity};
use lsd_store::{Append, KvPresence, KvUpdate, MEMORY_POOL, MemoryCluster, ObjectName, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

const KIB: u64 = 1 << 10;
/// Writes of 64 KiB each, one after another from the start.
const WRITES: u64 = 40;
const WRITE_BYTES: u64 = 64 * KIB;
const BLOCK_BYTES: u64 = 4 * KIB;

struct Rig {
    cluster: MemoryCluster,
    store: Arc<dyn ObjectStore>,
}

fn disk() -> ImageRef {
    ImageRef::Name("disk".into())
}

fn quiet(_: u64, _: u64) -> lsd_engine::Result<()> {
    Ok(())
}

fn flip(byte: u8) -> [u8; 1] {
    [byte ^ 4]
}

impl Rig {
    /// An image with data, closed (a checkpoint has it all) or crashed (the log has it all).
    async fn new(closed: bool) -> Rig {
        let cluster = cluster_with_image(8 * MIB).await;
        let client = Client::open(&cluster, settings()).await;
        for index in 0..WRITES {
            client.image.write(index * WRITE_BYTES, pattern(index, WRITE_BYTES as usize), false).await.unwrap();
        }
        client.image.flush().await.unwrap();
        if closed {
            client.image.close().await.unwrap();
        } else {
            client.crash(&cluster);
        }
        let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
        Rig { cluster, store }
    }

    async fn check(&self) -> CheckReport {
        Image::check(&self.store, &disk(), &quiet).await.unwrap()
    }

    async fn try_repair(&self, discard_damaged: bool) -> lsd_engine::Result<RepairReport> {
        let options = RepairOptions { discard_damaged, watch_timeout: Duration::from_secs(1) };
        Image::repair(&self.store, &disk(), options, &quiet).await
    }

    async fn repair(&self, discard_damaged: bool) -> RepairReport {
        self.try_repair(discard_damaged).await.unwrap()
    }

    async fn objects(&self, kind: &str) -> Vec<ObjectName> {
        self.store.list(&format!("lsd_{kind}.")).await.unwrap()
    }

    async fn flip(&self, name: &ObjectName, at: u64) {
        let byte = self.store.read(name, at, 1).await.unwrap()[0];
        assert!(self.cluster.corrupt(MEMORY_POOL, &name.0, at as usize, &flip(byte)));
    }

    async fn header_value(&self, key: &str) -> bytes::Bytes {
        let header = self.objects("header").await.remove(0);
        self.store.kv_get(&header, key).await.unwrap()[key].clone()
    }

    async fn set_header_value(&self, key: &str, value: Vec<u8>) {
        let header = self.objects("header").await.remove(0);
        let update = KvUpdate::default().presence(KvPresence::MustExist).set(key, value);
        self.store.kv_update(&header, update).await.unwrap();
    }

    /// The image reads as written, except for the ranges in `zeroes`.
    async fn reads_with_zeroes(&self, zeroes: &[std::ops::Range<u64>]) {
        let client = Client::open(&self.cluster, settings()).await;
        let mut expected = vec![0; 8 * MIB as usize];
        for index in 0..WRITES {
            let start = (index * WRITE_BYTES) as usize;
            expected[start..start + WRITE_BYTES as usize].copy_from_slice(&pattern(index, WRITE_BYTES as usize));
        }
        for range in zeroes {
            expected[range.start as usize..range.end as usize].fill(0);
        }
        assert!(read(&client.image, 0, 8 * MIB).await == expected, "other bytes than expected");
        client.image.close().await.unwrap();
    }
}

/// What a later version keeps beside what this one knows is not opened, not repaired and not removed, however it is asked.
#[tokio::test(start_paused = true)]
async fn an_image_that_requires_what_is_not_known_is_left_alone() {
    let rig = Rig::new(true).await;
    rig.set_header_value(key::REQUIRES, encode_requires(1 << 40)).await;
    let all = async || rig.store.list("lsd_").await.unwrap();
    let before = all().await;
    let unknown = |error: lsd_engine::Error| {
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.to_string().contains("0x10000000000"), "{error}");
    };
    for read_only in [true, false] {
        unknown(Client::try_open(&rig.cluster, settings(), read_only).await.map(drop).unwrap_err());
    }
    unknown(Image::check(&rig.store, &disk(), &quiet).await.map(drop).unwrap_err());
    for discard in [false, true] {
        unknown(rig.try_repair(discard).await.map(drop).unwrap_err());
    }
    unknown(Image::remove(&rig.store, &disk(), &quiet).await.unwrap_err());
    unknown(Image::remove_damaged(&rig.store, &disk(), &quiet).await.unwrap_err());
    assert_eq!(all().await, before);
    rig.set_header_value(key::REQUIRES, encode_requires(0)).await;
    rig.reads_with_zeroes(&[]).await;
}

/// The faults that are no notes, with their objects.
fn troubles(report: &CheckReport) -> Vec<(&Fault, &str)> {
    let findings = report.findings.iter().filter(|finding| finding.fault.severity() > Severity::Note);
    findings.map(|finding| (&finding.fault, finding.object.as_str())).collect()
}

#[tokio::test(start_paused = true)]
async fn sound_images_are_found_sound_in_every_state() {
    for closed in [true, false] {
        let rig = Rig::new(closed).await;
        let report = rig.check().await;
        assert_eq!(report.findings, [], "closed: {closed}");
        assert_eq!((report.checked.records, report.in_use, report.moving), (WRITES, false, false));
        let client = Client::open(&rig.cluster, settings()).await;
        client.image.write(0, pattern(0, WRITE_BYTES as usize), false).await.unwrap();
        client.image.discard(7 * MIB, KIB, true).await.unwrap();
        let report = rig.check().await;
        assert_eq!(report.count(Severity::Corruption), 0, "{:?}", report.findings);
        assert!(report.in_use);
        assert_eq!(rig.try_repair(false).await.map(|report| report.deleted).unwrap_or(0), 0);
        client.image.close().await.unwrap();
        assert_eq!(rig.check().await.count(Severity::Corruption), 0);
        rig.reads_with_zeroes(&[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn flipped_data_is_found_with_its_range_and_given_up_only_when_told() {
    let rig = Rig::new(true).await;
    let segment = rig.objects("data").await.remove(0);
    rig.flip(&segment, 4096 + 100).await;
    let report = rig.check().await;
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert!(matches!(finding.fault, Fault::Data { .. }) && finding.object == segment.0, "{finding:?}");
    let [range] = &finding.ranges[..] else { panic!("{finding:?}") };
    assert_eq!((range.start % BLOCK_BYTES, range.end - range.start), (0, BLOCK_BYTES), "as exact as the checksums");
    // Nothing can be derived, so nothing changes.
    let kept = rig.repair(false).await;
    assert_eq!((kept.given_up.len(), troubles(&kept.after)), (0, troubles(&kept.before)));
    let mended = rig.repair(true).await;
    assert_eq!(mended.given_up, finding.ranges);
    // The bytes in the segment are as damaged as before, but nothing needs them.
    assert!(mended.after.findings.iter().all(|finding| finding.ranges.is_empty()), "{:?}", mended.after.findings);
    rig.reads_with_zeroes(&mended.given_up).await;
}

#[tokio::test(start_paused = true)]
async fn every_flipped_bit_of_a_segment_is_found_where_it_matters() {
    let rig = Rig::new(true).await;
    for segment in rig.objects("data").await {
        let size = rig.store.stat(&segment).await.unwrap();
        for at in (0..size).step_by(3001) {
            rig.flip(&segment, at).await;
            let report = rig.check().await;
            // What no checksum covers is padding.
            let byte = rig.store.read(&segment, at, 1).await.unwrap()[0];
            let padding = flip(byte) == [0];
            assert!(report.worst() == Some(Severity::Corruption) || padding, "{segment} at {at}");
            assert!(report.findings.iter().all(|finding| finding.object == segment.0), "{:?}", report.findings);
            rig.flip(&segment, at).await;
        }
    }
    assert_eq!(rig.check().await.findings, []);
}

/// A sealed segment: its header pages are in the summary too, and the summary's records in the batches.
#[tokio::test(start_paused = true)]
async fn batches_and_summary_of_a_sealed_segment_stand_in_for_each_other() {
    let cluster = cluster_with_image(32 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for index in 0..24 {
        client.image.write(index * MIB, pattern(index, MIB as usize), false).await.unwrap();
    }
    client.image.close().await.unwrap();
    let rig = Rig { store: client.store.clone(), cluster };
    let mut sealed = Vec::new();
    for name in rig.objects("data").await {
        let tail = rig.store.log_tail(&name).await.unwrap();
        sealed.extend((tail.summary_len > 0).then_some((name, tail)));
    }
    let (segment, tail) = sealed.swap_remove(0);
    let summary = tail.len - u64::from(tail.summary_len);
    for (at, in_summary) in [(130, false), (summary + 20, true), (summary + 70, true)] {
        rig.flip(&segment, at).await;
        let report = rig.check().await;
        let [finding] = &report.findings[..] else { panic!("{at}: {:?}", report.findings) };
        let as_expected = match &finding.fault {
            Fault::Batch { at, .. } => !in_summary && *at == (0..4096),
            Fault::Summary { .. } => in_summary,
            _ => false,
        };
        assert!(as_expected && finding.ranges.is_empty(), "{at}: {finding:?}");
        rig.flip(&segment, at).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_gone_is_found_with_its_ranges() {
    let rig = Rig::new(true).await;
    let segment = rig.objects("data").await.remove(0);
    rig.store.remove(&segment).await.unwrap();
    let report = rig.check().await;
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((&finding.fault, &finding.object), (&Fault::SegmentGone, &segment.0));
    assert!(!finding.ranges.is_empty());
    let mended = rig.repair(true).await;
    assert_eq!(mended.given_up, finding.ranges);
    assert_eq!(mended.after.findings, []);
    rig.reads_with_zeroes(&mended.given_up).await;
}

#[tokio::test(start_paused = true)]
async fn a_map_that_is_lost_is_made_again_from_a_log_that_is_whole() {
    for remove in [false, true] {
        for page in [0, 1] {
            let rig = Rig::new(true).await;
            let name = rig.objects("map").await.remove(page);
            if remove {
                rig.store.remove(&name).await.unwrap();
            } else {
                rig.flip(&name, 60).await;
            }
            let report = rig.check().await;
            assert_eq!(report.worst(), Some(Severity::Corruption), "{name}");
            assert!(report.findings.iter().any(|finding| finding.object == name.0), "{:?}", report.findings);
            let mended = rig.repair(false).await;
            assert_eq!((mended.refused, mended.given_up), (None, vec![]), "{name}");
            assert_eq!(mended.after.findings, [], "{name}");
            rig.reads_with_zeroes(&[]).await;
        }
    }
}

/// An image whose log has lost its dead segments.
async fn with_dead_segments() -> Rig {
    let rig = Rig::new(true).await;
    for _ in 0..3 {
        let client = Client::open(&rig.cluster, settings()).await;
        for index in 0..WRITES {
            client.image.write(index * WRITE_BYTES, pattern(index, WRITE_BYTES as usize), false).await.unwrap();
        }
        client.image.close().await.unwrap();
    }
    rig
}

#[tokio::test(start_paused = true)]
async fn a_leaf_that_is_lost_for_good_is_given_up_only_when_told() {
    let rig = with_dead_segments().await;
    assert_eq!(rig.check().await.findings, []);
    let leaves = rig.objects("map").await.remove(0);
    rig.flip(&leaves, 60).await;
    let kept = rig.repair(false).await;
    assert!(kept.refused.is_some() && kept.given_up.is_empty());
    assert_eq!(kept.after.findings.len(), kept.before.findings.len());
    let mended = rig.repair(true).await;
    assert_eq!(mended.given_up, vec![0..8 * MIB; 1]);
    assert_eq!(mended.after.findings, []);
    rig.reads_with_zeroes(&mended.given_up).await;
}

#[tokio::test(start_paused = true)]
async fn a_root_that_is_lost_for_good_is_left_alone() {
    let rig = with_dead_segments().await;
    let root = rig.objects("map").await.pop().unwrap();
    rig.flip(&root, 60).await;
    for discard in [false, true] {
        let report = rig.repair(discard).await;
        assert!(report.refused.is_some());
        assert_eq!(troubles(&report.after), troubles(&report.before));
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_log_ends_at_the_damage_only_when_told() {
    let rig = Rig::new(false).await;
    let last = rig.objects("data").await.pop().unwrap();
    rig.flip(&last, 40).await;
    let report = rig.check().await;
    assert!(troubles(&report).iter().any(|(fault, object)| matches!(fault, Fault::Batch { .. }) && *object == last.0));
    assert_eq!(Client::try_open(&rig.cluster, settings(), true).await.err().unwrap().kind, ErrorKind::Corrupt);
    assert!(rig.repair(false).await.refused.is_some());
    let mended = rig.repair(true).await;
    assert_eq!(mended.refused, None);
    assert!(mended.after.findings.iter().all(|finding| finding.ranges.is_empty()), "{:?}", mended.after.findings);
    let client = Client::open(&rig.cluster, settings()).await;
    // A prefix of the writes, and zeroes after it.
    let found = read(&client.image, 0, WRITES * WRITE_BYTES).await;
    let whole = (0..WRITES).take_while(|index| {
        let start = (index * WRITE_BYTES) as usize;
        found[start..start + WRITE_BYTES as usize] == pattern(*index, WRITE_BYTES as usize)[..]
    });
    let whole = whole.count() as u64;
    assert!(whole > 0 && found[(whole * WRITE_BYTES) as usize..].iter().all(|byte| *byte == 0), "{whole}");
    client.image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wrong_live_bytes_are_found_and_counted_again() {
    for (change, severity) in [(-4096i64, Severity::Corruption), (4096, Severity::Leak)] {
        let rig = Rig::new(true).await;
        let log = LogRecord::decode(&rig.header_value("log").await).unwrap();
        let uuid: ImageUuid = ImageRecord::decode(&rig.header_value("image").await).unwrap().uuid;
        let at = log.checkpoint.unwrap();
        let name = rig.objects("map").await.pop().unwrap();
        let size = rig.store.stat(&name).await.unwrap();
        let bytes = rig.store.read(&name, 0, size).await.unwrap();
        let identity = PageIdentity { image: uuid, checkpoint: at.id, page: at.first_root_page };
        let mut pages = RootPages::default();
        pages.add(&identity, &bytes).unwrap();
        let mut root = pages.decode().unwrap();
        let entry = &mut root.segments[0];
        entry.live = (i64::from(entry.live) + change) as u32;
        entry.kept = entry.live;
        rig.store.remove(&name).await.unwrap();
        let page = encode_page(&identity, PageKind::MomentRoot, &root.encode());
        rig.store.put(&name, page.into()).await.unwrap();
        let report = rig.check().await;
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert!(matches!(finding.fault, Fault::Live { .. }), "{finding:?}");
        assert_eq!(finding.fault.severity(), severity);
        let mended = rig.repair(false).await;
        assert_eq!((mended.refused, mended.after.findings), (None, vec![]));
        rig.reads_with_zeroes(&[]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn orphans_are_leaks_and_go() {
    let rig = Rig::new(true).await;
    let id = rig.objects("header").await.remove(0).0["lsd_header.".len()..].to_owned();
    let page = ObjectName(format!("lsd_map.{id}.0000000100000063.00000000"));
    rig.store.put(&page, pattern(1, 5000)).await.unwrap();
    let segment = ObjectName::from(names::segment(&id, Epoch(1), SegmentNo(0xff)));
    let append = Append { epoch: 1, at: 0, data: vec![pattern(2, 8192)], summary_len: 0, urgent: false };
    rig.store.append(&segment, append).await.unwrap();
    let stranger = ObjectName(format!("lsd_map.{id}.something else"));
    rig.store.put(&stranger, pattern(1, 10)).await.unwrap();
    let report = rig.check().await;
    let expected = [(&Fault::OrphanPage, page.0.as_str()), (&Fault::OrphanSegment, segment.0.as_str())];
    assert_eq!(troubles(&report), expected);
    assert_eq!(report.worst(), Some(Severity::Leak));
    let mended = rig.repair(false).await;
    assert_eq!((mended.deleted, mended.after.findings), (2, vec![]));
    assert_eq!(rig.store.stat(&stranger).await.unwrap(), 10);
    rig.reads_with_zeroes(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn tombstones_of_a_finished_takeover_stay() {
    let rig = Rig::new(false).await;
    rig.reads_with_zeroes(&[]).await;
    let client = Client::open(&rig.cluster, settings()).await;
    client.image.write(0, pattern(0, WRITE_BYTES as usize), true).await.unwrap();
    client.image.close().await.unwrap();
    let before = rig.store.list("lsd_data.").await.unwrap();
    assert_eq!(rig.check().await.findings, vec![]);
    let mended = rig.repair(false).await;
    assert_eq!((mended.deleted, mended.after.findings), (0, vec![]));
    assert_eq!(rig.store.list("lsd_data.").await.unwrap(), before);
    rig.reads_with_zeroes(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn damaged_values_of_the_header_are_named() {
    for key in ["image", "state", "epoch", "log", "name"] {
        let rig = Rig::new(true).await;
        let mut value = rig.header_value(key).await.to_vec();
        *value.last_mut().unwrap() ^= 1;
        rig.set_header_value(key, value).await;
        let report = rig.check().await;
        let damaged =
            |(fault, _): &(&Fault, &str)| matches!(fault, Fault::HeaderValue { key: found, .. } if found == key);
        assert!(troubles(&report).iter().any(damaged), "{key}: {:?}", report.findings);
        let mended = rig.repair(false).await;
        if key == "name" {
            assert_eq!(mended.after.findings, []);
            rig.reads_with_zeroes(&[]).await;
        } else {
            assert!(mended.refused.is_some(), "{key}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_the_directory_lost_is_listed_again() {
    let rig = Rig::new(true).await;
    let id = rig.objects("header").await.remove(0).0["lsd_header.".len()..].to_owned();
    rig.store.remove(&"lsd_directory".into()).await.unwrap();
    let by_id = ImageRef::Id(lsd_engine::ImageId(id));
    let report = Image::check(&rig.store, &by_id, &quiet).await.unwrap();
    assert_eq!(troubles(&report), [(&Fault::Unlisted { name: "disk".into() }, "lsd_directory")]);
    let mended = Image::repair(&rig.store, &by_id, RepairOptions::default(), &quiet).await.unwrap();
    assert_eq!(mended.after.findings, []);
    rig.reads_with_zeroes(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn an_image_in_use_is_not_repaired() {
    let rig = Rig::new(true).await;
    let segment = rig.objects("data").await.remove(0);
    rig.flip(&segment, 4096 + 100).await;
    let user = Client::open(&rig.cluster, settings()).await;
    for discard in [false, true] {
        assert_eq!(rig.try_repair(discard).await.unwrap_err().kind, ErrorKind::Busy);
    }
    assert!(rig.check().await.in_use);
    user.image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_header_that_is_gone_and_an_unknown_image() {
    let rig = Rig::new(true).await;
    let header = rig.objects("header").await.remove(0);
    rig.store.remove(&header).await.unwrap();
    assert_eq!(troubles(&rig.check().await), [(&Fault::HeaderGone, header.0.as_str())]);
    assert!(rig.repair(true).await.refused.is_some());
    let unknown = Image::check(&rig.store, &ImageRef::Name("nothing".into()), &quiet).await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
}
