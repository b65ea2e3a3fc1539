//! Leaves of the map that a checkpoint stores as a patch of an older copy: they come back right, whatever becomes of the
//! checkpoints between, and damage to either part is found.
use crate::common::{Client, Gate, MIB, Op, cluster_with_image, pattern, settings};
use lsd_core::format::checkpoint::{LeafPlace, LeafPointer, PageIdentity};
use lsd_core::format::header::{ImageRecord, LogRecord, key};
use lsd_core::format::names;
use lsd_core::format::root::RootPages;
use lsd_engine::{CheckReport, Fault, Image, ImageRef, RepairOptions, Settings};
use lsd_store::{MEMORY_POOL, MemoryCluster, ObjectName, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SIZE: u64 = 40 * MIB;
const BLOCK: u64 = 4096;
/// Blocks of the first two leaves.
const BLOCKS: u64 = 32 * MIB / BLOCK;

/// An image and what it holds: the seed of each block that was written.
struct Rig {
    cluster: MemoryCluster,
    store: Arc<dyn ObjectStore>,
    written: BTreeMap<u64, u64>,
    random: StdRng,
}

fn disk() -> ImageRef {
    ImageRef::Name("disk".into())
}

impl Rig {
    /// Both leaves have many scattered blocks, and are stored whole.
    async fn new() -> Rig {
        let cluster = cluster_with_image(SIZE).await;
        let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
        let mut rig = Rig { cluster, store, written: BTreeMap::new(), random: StdRng::seed_from_u64(1) };
        rig.session(3000).await;
        assert!(rig.places().await.iter().all(|place| place.patch.is_none()));
        rig
    }

    /// Opens, changes so many blocks, and closes, which writes a checkpoint.
    async fn session(&mut self, blocks: u64) {
        let client = Client::open(&self.cluster, settings()).await;
        self.change(&client.image, blocks).await;
        client.image.close().await.unwrap();
    }

    /// Writes so many blocks anywhere, and empties a few.
    async fn change(&mut self, image: &Image, blocks: u64) {
        for _ in 0..blocks {
            let (block, seed) = (self.random.random_range(0..BLOCKS), self.random.random_range(1..1000));
            if self.random.random_bool(0.1) {
                image.discard(block * BLOCK, BLOCK, false).await.unwrap();
                self.written.remove(&block);
            } else {
                image.write(block * BLOCK, pattern(seed, BLOCK as usize), false).await.unwrap();
                self.written.insert(block, seed);
            }
        }
        image.flush().await.unwrap();
    }

    /// The image reads as written, but for the leaves in `lost`, which read as zeroes.
    async fn reads_right(&self, lost: &[u64]) {
        let client = Client::try_open(&self.cluster, settings(), true).await.unwrap();
        let mut expected = vec![0; SIZE as usize];
        for (block, seed) in self.written.iter().filter(|(block, _)| !lost.contains(&(**block * BLOCK / (16 * MIB)))) {
            let start = (block * BLOCK) as usize;
            expected[start..start + BLOCK as usize].copy_from_slice(&pattern(*seed, BLOCK as usize));
        }
        assert!(crate::common::read(&client.image, 0, SIZE).await == expected, "other bytes than expected");
        client.image.close().await.unwrap();
    }

    async fn check(&self) -> CheckReport {
        Image::check(&self.store, &disk(), &|_, _| Ok(())).await.unwrap()
    }

    /// Where the root in force says that the leaves are.
    async fn places(&self) -> Vec<LeafPlace> {
        let header = self.store.list("lsd_header.").await.unwrap().remove(0);
        let values = self.store.kv_get(&header, "").await.unwrap();
        let at = LogRecord::decode(&values[key::LOG]).unwrap().checkpoint.unwrap();
        let image = ImageRecord::decode(&values[key::IMAGE]).unwrap();
        let mut pages = RootPages::default();
        for page in at.first_root_page..at.first_root_page + at.root_pages {
            let name = ObjectName::from(names::map_page(&image.id, at.id, page));
            let size = self.store.stat(&name).await.unwrap();
            let bytes = self.store.read(&name, 0, size).await.unwrap();
            pages.add(&PageIdentity { image: image.uuid, checkpoint: at.id, page }, &bytes).unwrap();
        }
        pages.decode().unwrap().leaves.iter().map(|entry| entry.at).collect()
    }

    async fn page_of(&self, at: LeafPointer) -> ObjectName {
        let header = self.store.list("lsd_header.").await.unwrap().remove(0);
        let id = header.0.strip_prefix("lsd_header.").unwrap();
        names::map_page(id, at.checkpoint, at.page).into()
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_with_patches_comes_back_right() {
    let mut rig = Rig::new().await;
    let first = rig.places().await;
    let mut bases = 0;
    for blocks in [20, 50, 1, 300, 40, 8000, 30] {
        let before = rig.places().await;
        rig.session(blocks).await;
        let places = rig.places().await;
        bases += places.iter().zip(&before).filter(|(now, before)| now.base != before.base).count();
        assert_eq!(rig.check().await.findings, [], "after {blocks} more blocks");
        rig.reads_right(&[]).await;
        // Nothing is left but the root, and pages that hold something which it names.
        let mut pages: Vec<_> =
            places.iter().flat_map(LeafPlace::pointers).map(|at| (at.checkpoint, at.page)).collect();
        pages.sort_unstable();
        pages.dedup();
        assert_eq!(rig.store.list("lsd_map.").await.unwrap().len(), pages.len() + 1);
        if blocks == 50 {
            assert!(places.iter().zip(&first).all(|(now, first)| now.base == first.base && now.patch.is_some()));
        }
    }
    assert!(bases > 0, "no base was ever written again");
    Image::remove(&rig.store, &disk(), &|_, _| Ok(())).await.unwrap();
    assert!(rig.store.list("lsd_map.").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_whole_block_or_empty_is_stored_without_a_patch() {
    let mut rig = Rig::new().await;
    rig.session(30).await;
    let client = Client::open(&rig.cluster, settings()).await;
    client.image.write(16 * MIB + 512, pattern(5, 512), false).await.unwrap();
    client.image.discard(0, 16 * MIB, false).await.unwrap();
    client.image.close().await.unwrap();
    let places = rig.places().await;
    assert!(places.len() == 1 && places[0].patch.is_none(), "{places:?}");
    assert_eq!(rig.check().await.findings, []);
    let client = Client::open(&rig.cluster, settings()).await;
    assert_eq!(crate::common::read(&client.image, 16 * MIB + 512, 512).await, pattern(5, 512));
    assert!(crate::common::read(&client.image, 0, 16 * MIB).await.iter().all(|byte| *byte == 0));
    client.image.close().await.unwrap();
}

/// Writes a checkpoint when a little was written.
fn eager() -> Settings {
    Settings { checkpoint_log_bytes: 64 << 10, ..settings() }
}

/// A checkpoint fails at its last step after `first` blocks were changed and `meanwhile` more while it was written.
async fn fail_a_checkpoint(rig: &mut Rig, client: &Client, gate: &Gate, first: u64, meanwhile: u64) {
    gate.close(|op, name| op == Op::Update && name.starts_with("lsd_header."));
    rig.change(&client.image, first).await;
    gate.until_waiting(1).await;
    rig.change(&client.image, meanwhile).await;
    drop(gate.take());
    gate.open();
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_fails_spoils_none_after_it() {
    // Patches that fail, and new bases that fail, before patches and bases that do not.
    for (failed, meanwhile, next) in [(80, 30, 60), (2500, 30, 60), (2500, 0, 60), (80, 0, 2500), (2500, 900, 100)] {
        let mut rig = Rig::new().await;
        rig.session(40).await;
        let before = rig.places().await;
        let (client, gate) = Client::open_gated(&rig.cluster, eager()).await;
        rig.change(&client.image, 1).await;
        fail_a_checkpoint(&mut rig, &client, &gate, failed, meanwhile).await;
        assert_eq!(rig.places().await, before, "a checkpoint was committed");
        rig.change(&client.image, next).await;
        // The next one is tried after a while.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_ne!(rig.places().await, before, "no checkpoint was committed");
        rig.change(&client.image, 20).await;
        client.crash(&rig.cluster);
        rig.reads_right(&[]).await;
        rig.session(10).await;
        rig.reads_right(&[]).await;
        let troubles = rig.check().await.findings;
        let is_orphan = |finding: &lsd_engine::Finding| finding.fault == Fault::OrphanPage;
        assert!(troubles.iter().all(is_orphan), "{failed}, {meanwhile}, {next}: {troubles:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_damaged_patch_and_a_missing_base_are_found_with_their_ranges() {
    for (what, is_gone) in [("patch", false), ("patch", true), ("base", false), ("base", true)] {
        let mut rig = Rig::new().await;
        // Segments die meanwhile, so that the log alone does not tell what the map was.
        rig.session(40).await;
        let client = Client::open(&rig.cluster, settings()).await;
        client.image.collect(&|_, _| Ok(())).await.unwrap();
        client.image.close().await.unwrap();
        rig.session(30).await;
        assert_eq!(rig.check().await.findings, []);
        let place = rig.places().await[1];
        let at = if what == "patch" { place.patch.unwrap().at } else { place.base };
        let name = rig.page_of(at).await;
        if is_gone {
            rig.store.remove(&name).await.unwrap();
        } else {
            let byte = rig.store.read(&name, u64::from(at.offset) + 60, 1).await.unwrap()[0];
            assert!(rig.cluster.corrupt(MEMORY_POOL, &name.0, at.offset as usize + 60, &[byte ^ 4]));
        }
        let findings = rig.check().await.findings;
        let [finding] = &findings[..] else { panic!("{what}: {findings:?}") };
        assert_eq!(finding.object, name.0);
        match &finding.fault {
            Fault::Page { .. } if is_gone => assert_eq!(finding.ranges, [0..16 * MIB, 16 * MIB..32 * MIB]),
            Fault::Leaf { leaf: 1, .. } if !is_gone => assert_eq!(finding.ranges, [16 * MIB..32 * MIB; 1]),
            other => panic!("{what}: {other:?}"),
        }
        let client = Client::try_open(&rig.cluster, settings(), true).await.unwrap();
        let error = client.image.read(16 * MIB, 16 * MIB).await.unwrap_err();
        assert!(error.to_string().contains(&name.0), "{error}");
        client.crash(&rig.cluster);
        let options = RepairOptions { discard_damaged: true, watch_timeout: Duration::from_secs(1) };
        let mended = Image::repair(&rig.store, &disk(), options, &|_, _| Ok(())).await.unwrap();
        assert_eq!(mended.refused, None, "{what}");
        // A page with a flipped byte stays in use for the other leaf, which verifies.
        assert!(mended.after.findings.iter().all(|left| !is_gone && left.ranges.is_empty()), "{what}");
        let lost: Vec<u64> = mended.given_up.iter().map(|range| range.start / (16 * MIB)).collect();
        assert_eq!(lost, if is_gone { vec![0, 1] } else { vec![1] });
        rig.reads_right(&lost).await;
    }
}
