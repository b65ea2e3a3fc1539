//! Snapshots: each keeps what the image was, whatever happens to the image afterwards, and gives its space back when it goes.
use crate::common::{BLOCK, Client, Gate, MIB, Op, cluster_with_image, content, kind, read, settings, silent, stored};
use lsd_engine::{CreateOptions, ErrorKind, Features, Image, ImageRef, OpenOptions, Severity, SnapRef};
use lsd_store::{MemoryCluster, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

async fn shown(cluster: &MemoryCluster, snapshot: SnapRef) -> lsd_engine::Result<Image> {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = OpenOptions { snapshot: Some(snapshot), settings: settings(), ..OpenOptions::default() };
    Image::open(&store, &ImageRef::Name("disk".into()), &options).await
}

async fn snapshot(cluster: &MemoryCluster, name: &str) -> Image {
    shown(cluster, SnapRef::Name(name.into())).await.unwrap()
}

async fn check_clean(cluster: &MemoryCluster) {
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let report = Image::check(&store, &ImageRef::Name("disk".into()), &silent).await.unwrap();
    let worse = report.findings.iter().filter(|finding| finding.fault.severity() > Severity::Note);
    assert_eq!(worse.collect::<Vec<_>>(), Vec::<&lsd_engine::Finding>::new());
}

async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_what_was_and_the_image_goes_on() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    put(&client.image, 1, 2).await;
    client.image.snapshots().create("one").await.unwrap();
    put(&client.image, 1, 3).await;
    client.image.discard(0, BLOCK, false).await.unwrap();
    client.image.resize(4 * MIB, true, &silent).await.unwrap();
    client.image.snapshots().create("two").await.unwrap();
    put(&client.image, 1, 4).await;
    client.image.flush().await.unwrap();
    for _ in 0..2 {
        let one = snapshot(&cluster, "one").await;
        assert_eq!(one.size(), 8 * MIB);
        assert!(read(&one, 0, 2 * BLOCK).await == [content(1), content(2)].concat());
        let two = snapshot(&cluster, "two").await;
        assert_eq!(two.size(), 4 * MIB);
        assert!(read(&two, 0, 2 * BLOCK).await == [vec![0; BLOCK as usize], content(3).to_vec()].concat());
        assert_eq!(kind(two.write(0, content(9), false).await), Some(ErrorKind::ReadOnly));
        assert!(read(&client.image, BLOCK, BLOCK).await == content(4));
        // Once more with every superseded byte collected.
        client.image.collect(&silent).await.unwrap();
    }
    let names: Vec<_> = client.image.snapshots().list().await.unwrap().into_iter().map(|snap| snap.name).collect();
    assert_eq!(names, ["one", "two"]);
    client.image.close().await.unwrap();
    check_clean(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn names_limits_and_protection_are_as_in_librbd() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let snapshots = client.image.snapshots();
    snapshots.create("a").await.unwrap();
    assert_eq!(kind(snapshots.create("a").await), Some(ErrorKind::Exists));
    assert_eq!(kind(snapshots.create("a@b").await), Some(ErrorKind::Invalid));
    assert_eq!(kind(snapshots.remove("b").await), Some(ErrorKind::NotFound));
    snapshots.protect("a").await.unwrap();
    assert_eq!(kind(snapshots.protect("a").await), Some(ErrorKind::Busy));
    assert_eq!(kind(snapshots.remove("a").await), Some(ErrorKind::Busy));
    snapshots.unprotect("a").await.unwrap();
    assert_eq!(kind(snapshots.unprotect("a").await), Some(ErrorKind::Invalid));
    assert!(snapshots.knows(1) && !snapshots.knows(2));
    snapshots.create("b").await.unwrap();
    assert_eq!(kind(snapshots.rename("a", "b").await), Some(ErrorKind::Exists));
    snapshots.rename("a", "c").await.unwrap();
    let edquot = Some(ErrorKind::Io { errno: nix::libc::EDQUOT });
    assert_eq!(kind(snapshots.set_limit(Some(1)).await), Some(ErrorKind::Io { errno: nix::libc::ERANGE }));
    snapshots.set_limit(Some(2)).await.unwrap();
    assert_eq!(kind(snapshots.create("d").await), edquot);
    assert_eq!(snapshots.limit().await.unwrap(), Some(2));
    snapshots.remove("b").await.unwrap();
    snapshots.create("d").await.unwrap();
    let list: Vec<_> = snapshots.list().await.unwrap().into_iter().map(|snap| (snap.id, snap.name)).collect();
    assert_eq!(list, [(1, "c".to_owned()), (3, "d".to_owned())], "no id is given out twice");
    client.image.close().await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let removed = Image::remove(&store, &ImageRef::Name("disk".into()), &silent).await;
    assert_eq!(kind(removed), Some(ErrorKind::NotEmpty));
    check_clean(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn only_an_image_with_layering_has_protected_snapshots() {
    let cluster = MemoryCluster::new();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = CreateOptions { size: MIB, features: Features::EXCLUSIVE_LOCK, ..CreateOptions::default() };
    Image::create(&store, "disk", &options).await.unwrap();
    let client = Client::open(&cluster, settings()).await;
    let snapshots = client.image.snapshots();
    snapshots.create("a").await.unwrap();
    assert_eq!(kind(snapshots.protect("a").await), Some(ErrorKind::Unimplemented));
    assert_eq!(kind(snapshots.unprotect("a").await), Some(ErrorKind::Invalid));
    snapshots.remove("a").await.unwrap();
    client.image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn space_comes_back_when_the_last_snapshot_that_needs_it_goes() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let fill = async |seed: u64| {
        for block in 0..16 * MIB / BLOCK {
            put(&client.image, block, seed + block).await;
        }
        client.image.flush().await.unwrap();
    };
    fill(1).await;
    client.image.snapshots().create("one").await.unwrap();
    client.image.snapshots().create("again").await.unwrap();
    fill(100_000).await;
    client.image.collect(&silent).await.unwrap();
    let both = stored(&cluster, "lsd_data.").await;
    assert!(both > 32 * MIB, "{both} bytes for 32 MiB");
    client.image.snapshots().remove("one").await.unwrap();
    client.image.collect(&silent).await.unwrap();
    assert!(stored(&cluster, "lsd_data.").await >= 32 * MIB, "the other snapshot needs them, too");
    assert!(read(&snapshot(&cluster, "again").await, 5 * BLOCK, BLOCK).await == content(6));
    client.image.snapshots().remove("again").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.image.collect(&silent).await.unwrap();
    let left = stored(&cluster, "lsd_data.").await;
    assert!(left < 18 * MIB, "{left} bytes for 16 MiB");
    client.image.close().await.unwrap();
    check_clean(&cluster).await;
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    Image::remove(&store, &ImageRef::Name("disk".into()), &silent).await.unwrap();
    assert_eq!(store.list("lsd_data.").await.unwrap().len() + store.list("lsd_map.").await.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_collection_leaves_alone_what_a_snapshot_needs() {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    // Scattered: neighbours in the image lie far apart in the log.
    for block in (0..1024).map(|block| block * 389 % 1024) {
        put(&client.image, block, block).await;
    }
    client.image.snapshots().create("s").await.unwrap();
    put(&client.image, 7, 5000).await;
    client.image.flush().await.unwrap();
    let before = stored(&cluster, "lsd_data.").await;
    client.image.collect(&silent).await.unwrap();
    let after = stored(&cluster, "lsd_data.").await;
    assert!(after <= before + 64 * 1024, "{after} bytes are stored instead of {before}");
    assert_eq!(changed(&client.image, Some(&snapshot(&cluster, "s").await)).await, [(7 * BLOCK, BLOCK, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_brings_everything_back_and_can_be_taken_back() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("good").await.unwrap();
    client.image.resize(4 * MIB, true, &silent).await.unwrap();
    put(&client.image, 0, 2).await;
    put(&client.image, 1, 3).await;
    client.image.snapshots().create("bad").await.unwrap();
    client.image.snapshots().rollback("good").await.unwrap();
    assert_eq!(client.image.size(), 8 * MIB);
    let expected = [content(1).to_vec(), vec![0; BLOCK as usize]].concat();
    assert!(read(&client.image, 0, 2 * BLOCK).await == expected);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(read(&reader.image, 0, 2 * BLOCK).await == expected, "who reads sees it as well");
    assert_eq!(reader.image.size(), 8 * MIB);
    put(&client.image, 2, 4).await;
    client.image.flush().await.unwrap();
    client.crash(&cluster);
    let client = Client::open(&cluster, settings()).await;
    let expected = [expected, content(4).to_vec()].concat();
    assert!(read(&client.image, 0, 3 * BLOCK).await == expected);
    client.image.snapshots().rollback("bad").await.unwrap();
    assert!(read(&client.image, 0, 2 * BLOCK).await == [content(2), content(3)].concat());
    client.image.collect(&silent).await.unwrap();
    assert!(read(&snapshot(&cluster, "good").await, 0, BLOCK).await == content(1));
    client.image.close().await.unwrap();
    check_clean(&cluster).await;
}

/// With the feature it is refused, as in librbd; a dead owner is in nobody's way.
#[tokio::test(start_paused = true)]
async fn a_rollback_takes_an_exclusive_image_from_nobody_who_lives() {
    let cluster = cluster_with_image(8 * MIB).await;
    let (owner, other) = (Client::open(&cluster, settings()).await, Client::open(&cluster, settings()).await);
    owner.image.snapshots().create("one").await.unwrap();
    put(&owner.image, 0, 1).await;
    assert_eq!(kind(other.image.snapshots().rollback("one").await), Some(ErrorKind::ReadOnly));
    assert!(owner.image.locks().is_owner() && read(&owner.image, 0, BLOCK).await == content(1));
    owner.image.update_features(Features::EXCLUSIVE_LOCK | Features::OBJECT_MAP, false).await.unwrap();
    other.image.snapshots().rollback("one").await.unwrap();
    put(&owner.image, 1, 2).await;
    owner.image.update_features(Features::EXCLUSIVE_LOCK, true).await.unwrap();
    assert!(read(&owner.image, 0, BLOCK).await == vec![0; BLOCK as usize]);
    owner.crash(&cluster);
    other.image.snapshots().rollback("one").await.unwrap();
    other.image.close().await.unwrap();
    check_clean(&cluster).await;
}

#[tokio::test(start_paused = true)]
async fn who_reads_a_snapshot_that_is_removed_is_told() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("gone").await.unwrap();
    let reader = snapshot(&cluster, "gone").await;
    put(&client.image, 0, 2).await;
    client.image.flush().await.unwrap();
    client.image.snapshots().remove("gone").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.image.collect(&silent).await.unwrap();
    assert_eq!(kind(reader.read(0, BLOCK).await), Some(ErrorKind::NotFound));
    assert_eq!(kind(shown(&cluster, SnapRef::Id(1)).await), Some(ErrorKind::NotFound));
}

#[tokio::test(start_paused = true)]
async fn what_an_image_has_beside_a_snapshot_can_be_counted() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in [0, 1, 2, 5000, 9000] {
        put(&client.image, block, block).await;
    }
    client.image.snapshots().create("then").await.unwrap();
    let then = snapshot(&cluster, "then").await;
    assert_eq!(client.image.bytes_beside(&then).await.unwrap(), 0);
    put(&client.image, 1, 100).await;
    put(&client.image, 6000, 101).await;
    client.image.discard(0, BLOCK, false).await.unwrap();
    client.image.resize(32 * MIB, true, &silent).await.unwrap();
    client.image.flush().await.unwrap();
    // What is written since is in the log only, also for who reads.
    let reader = Client::try_open(&cluster, settings(), true).await.unwrap();
    for image in [&client.image, &reader.image] {
        assert_eq!(image.bytes_beside(&then).await.unwrap(), 2 * BLOCK);
        assert_eq!(then.bytes_beside(image).await.unwrap(), 3 * BLOCK, "one discarded, one overwritten, one cut off");
    }
    client.image.snapshots().create("now").await.unwrap();
    let now = snapshot(&cluster, "now").await;
    assert_eq!(now.bytes_beside(&then).await.unwrap(), 2 * BLOCK);
    assert_eq!(reader.image.bytes_beside(&now).await.unwrap(), 0);
    client.image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_opens_a_snapshot_while_it_is_removed_is_told() {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.snapshots().create("gone").await.unwrap();
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(|_, name| name.starts_with("lsd_map."));
    let store: Arc<dyn ObjectStore> = gate.clone();
    let options = OpenOptions { snapshot: Some(SnapRef::Name("gone".into())), ..OpenOptions::default() };
    // It has read the header, and now wants the map.
    let opening =
        tokio::spawn(async move { Image::open(&store, &ImageRef::Name("disk".into()), &options).await.map(drop) });
    gate.until_waiting(1).await;
    put(&client.image, 0, 2).await;
    client.image.snapshots().remove("gone").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.image.collect(&silent).await.unwrap();
    gate.open();
    assert_eq!(kind(opening.await.unwrap()), Some(ErrorKind::NotFound));
}

/// A request waits for the maintenance lock of an owner that gives the image away, and gets it back before the request's turn comes.
#[tokio::test(start_paused = true)]
async fn a_request_of_a_former_ownership_is_not_carried_out_again() {
    let cluster = cluster_with_image(8 * MIB).await;
    let (owner, gate) = Client::open_gated(&cluster, settings()).await;
    let (next, asker) = (Client::open(&cluster, settings()).await, Client::open(&cluster, settings()).await);
    put(&owner.image, 0, 1).await;
    gate.close(|op, name| op == Op::Lock || op == Op::Update && name.starts_with("lsd_header."));
    let image = next.image.clone();
    let taking = tokio::spawn(async move { put(&image, 1, 2).await });
    // The last checkpoint of the owner.
    gate.until_waiting(1).await;
    let image = owner.image.clone();
    let taking_back = tokio::spawn(async move { put(&image, 2, 3).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let image = asker.image.clone();
    let creating = tokio::spawn(async move { image.snapshots().create("once").await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    gate.take().arrive();
    taking.await.unwrap();
    creating.await.unwrap().unwrap();
    asker.image.snapshots().remove("once").await.unwrap();
    gate.open();
    taking_back.await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let list = asker.image.snapshots().list().await.unwrap();
    assert!(list.is_empty(), "it was removed, and is there again: {list:?}");
}

#[tokio::test(start_paused = true)]
async fn another_client_takes_a_snapshot_of_an_image_that_is_written() {
    let cluster = cluster_with_image(8 * MIB).await;
    let writer = Client::open(&cluster, settings()).await;
    let other = Client::open(&cluster, settings()).await;
    let image = writer.image.clone();
    // Block by block in order: what a snapshot has is a prefix of it.
    let writing = tokio::spawn(async move {
        for round in 1u64..=40 {
            for block in 0..64 {
                put(&image, block, round * 1000 + block).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        image.flush().await.unwrap();
    });
    for number in 0..20 {
        other.image.snapshots().create(&format!("s{number}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(37)).await;
    }
    writing.await.unwrap();
    for number in 0..20 {
        let shown = snapshot(&cluster, &format!("s{number}")).await;
        let found = read(&shown, 0, 64 * BLOCK).await;
        let rounds: Vec<u64> = found
            .chunks(BLOCK as usize)
            .enumerate()
            .map(|(block, bytes)| (0..=40).find(|round| is_round(bytes, *round, block as u64)).expect("of some round"))
            .collect();
        let first = rounds[0];
        let steps = rounds.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(steps <= 1 && rounds.iter().all(|round| *round == first || *round + 1 == first), "{rounds:?}");
    }
}

fn is_round(bytes: &[u8], round: u64, block: u64) -> bool {
    if round == 0 { bytes.iter().all(|byte| *byte == 0) } else { bytes == content(round * 1000 + block) }
}

/// Extents that follow one another become one.
async fn changed(image: &Image, from: Option<&Image>) -> Vec<(u64, u64, bool)> {
    let mut found: Vec<(u64, u64, bool)> = Vec::new();
    let mut each = |change: lsd_engine::Extent| {
        match found.last_mut() {
            Some(last) if last.0 + last.1 == change.offset && last.2 == change.data => last.1 += change.len,
            _ => found.push((change.offset, change.len, change.data)),
        }
        Ok(())
    };
    image.changes(from, 0, u64::MAX, &mut each).await.unwrap();
    found
}

#[tokio::test(start_paused = true)]
async fn a_difference_is_exact_and_leaves_out_what_was_only_moved() {
    let cluster = cluster_with_image(64 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    for block in 0..1024 {
        put(&client.image, block * 3, block).await;
    }
    client.image.snapshots().create("a").await.unwrap();
    assert_eq!(changed(&client.image, Some(&snapshot(&cluster, "a").await)).await, []);
    put(&client.image, 6, 5000).await;
    put(&client.image, 7, 5001).await;
    client.image.discard(9 * BLOCK, BLOCK, false).await.unwrap();
    client.image.write(40 * MIB + 100, content(7).slice(..512), false).await.unwrap();
    client.image.snapshots().create("b").await.unwrap();
    let expected =
        [(6 * BLOCK, 2 * BLOCK, true), (9 * BLOCK, BLOCK, false), (40 * MIB + 100, 512, true)].map(Some).to_vec();
    let expected: Vec<_> = expected.into_iter().flatten().collect();
    let (a, b) = (snapshot(&cluster, "a").await, snapshot(&cluster, "b").await);
    assert_eq!(changed(&b, Some(&a)).await, expected);
    assert_eq!(changed(&client.image, Some(&a)).await, expected);
    let all = changed(&b, None).await;
    assert_eq!(all.iter().map(|(_, len, _)| len).sum::<u64>(), 1024 * BLOCK + 512);
    // Everything that neither snapshot holds any more is moved.
    client.image.snapshots().remove("a").await.unwrap();
    client.image.snapshots().create("c").await.unwrap();
    let c = snapshot(&cluster, "c").await;
    for block in (0..1024).step_by(2) {
        put(&client.image, block * 3, 9000 + block).await;
    }
    client.image.snapshots().remove("b").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.image.collect(&silent).await.unwrap();
    let found = changed(&client.image, Some(&c)).await;
    assert_eq!(found.len(), 512, "every other block");
    // A rollback makes old data new.
    client.image.snapshots().create("d").await.unwrap();
    client.image.snapshots().rollback("c").await.unwrap();
    let d = snapshot(&cluster, "d").await;
    assert_eq!(changed(&client.image, Some(&d)).await.len(), 512);
}

const SIZE: u64 = 4 * MIB;

/// What the image and each snapshot hold.
struct World {
    cluster: MemoryCluster,
    /// `None` between a crash and the next opening.
    client: Option<Client>,
    rng: StdRng,
    now: Vec<u8>,
    snapshots: BTreeMap<String, Vec<u8>>,
    count: u64,
}

impl World {
    async fn step(&mut self) {
        let image = self.image();
        let offset = self.rng.random_range(0..SIZE / 512) * 512;
        let len = (self.rng.random_range(1..=64) * 512u64).min(SIZE - offset);
        let range = offset as usize..(offset + len) as usize;
        self.count += 1;
        match self.rng.random_range(0..100) {
            0..60 => {
                let data = crate::common::pattern(self.count, len as usize);
                self.now[range].copy_from_slice(&data);
                image.write(offset, data, false).await.unwrap();
            }
            60..68 => {
                self.now[range].fill(0);
                image.discard(offset, len, false).await.unwrap();
            }
            68..76 => {
                let name = format!("s{}", self.count);
                image.snapshots().create(&name).await.unwrap();
                self.snapshots.insert(name, self.now.clone());
            }
            76..82 => {
                let Some(name) = self.any_name() else { return };
                image.snapshots().remove(&name).await.unwrap();
                self.snapshots.remove(&name);
            }
            82..85 => {
                let Some(name) = self.any_name() else { return };
                image.snapshots().rollback(&name).await.unwrap();
                self.now = self.snapshots[&name].clone();
            }
            85..89 => image.collect(&silent).await.unwrap(),
            89..93 => image.flush().await.unwrap(),
            93..95 => self.reopen().await,
            95..98 => self.compare().await,
            _ => self.look().await,
        }
    }

    fn image(&self) -> Image {
        self.client.as_ref().unwrap().image.clone()
    }

    fn any_name(&mut self) -> Option<String> {
        let index = self.rng.random_range(0..self.snapshots.len().max(1));
        self.snapshots.keys().nth(index).cloned()
    }

    async fn reopen(&mut self) {
        let client = self.client.take().unwrap();
        if self.rng.random_bool(0.5) {
            client.image.close().await.unwrap();
        } else {
            client.image.flush().await.unwrap();
            client.crash(&self.cluster);
        }
        self.client = Some(Client::open(&self.cluster, settings()).await);
        self.look().await;
    }

    /// Every difference covers what differs.
    async fn compare(&mut self) {
        let Some(name) = self.any_name() else { return };
        let (from, image) = (snapshot(&self.cluster, &name).await, self.image());
        let before = &self.snapshots[&name];
        let mut left = before.clone();
        for (offset, len, data) in changed(&image, Some(&from)).await {
            let range = offset as usize..(offset + len) as usize;
            assert!(data || self.now[range.clone()].iter().all(|byte| *byte == 0));
            left[range.clone()].copy_from_slice(&self.now[range]);
        }
        assert!(left == self.now, "{name} and its difference to the head after {} steps", self.count);
    }

    async fn look(&mut self) {
        assert!(read(&self.image(), 0, SIZE).await == self.now, "the head after {} steps", self.count);
        for (name, expected) in &self.snapshots {
            let shown = snapshot(&self.cluster, name).await;
            assert!(read(&shown, 0, SIZE).await == *expected, "{name} after {} steps", self.count);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_snapshot_keeps_its_content_whatever_happens() {
    for seed in 0..12u64 {
        let cluster = cluster_with_image(SIZE).await;
        let client = Client::open(&cluster, settings()).await;
        let (now, snapshots) = (vec![0; SIZE as usize], BTreeMap::new());
        let rng = StdRng::seed_from_u64(seed);
        let mut world = World { cluster, client: Some(client), rng, now, snapshots, count: 0 };
        for _ in 0..250 {
            world.step().await;
        }
        world.look().await;
        world.image().close().await.unwrap();
        check_clean(&world.cluster).await;
        let client = Client::open(&world.cluster, settings()).await;
        for name in world.snapshots.keys() {
            client.image.snapshots().remove(name).await.unwrap();
        }
        client.image.close().await.unwrap();
        let client = Client::open(&world.cluster, settings()).await;
        client.image.collect(&silent).await.unwrap();
        assert!(read(&client.image, 0, SIZE).await == world.now, "seed {seed}");
        client.image.close().await.unwrap();
        check_clean(&world.cluster).await;
        let left = stored(&world.cluster, "lsd_data.").await;
        assert!(left < 2 * SIZE + MIB, "seed {seed}: {left} bytes for an image of {SIZE}");
    }
}
