//! Rule 13: what is lost of a log is no crash's end of it.
use super::*;
use common::Gate;
use lsd_engine::{CreateOptions, ErrorKind, Fault, Finding, Image, ImageRef, RepairOptions, Severity};
use lsd_store::{DirStore, ObjectName};
use std::sync::Arc;

const WRITE_BYTES: u64 = 256 << 10;
const WRITES: u64 = 96;

fn disk() -> ImageRef {
    ImageRef::Name("disk".into())
}

/// Writes one after another, each durable before the next.
async fn write_durably(image: &Image) {
    for index in 0..WRITES {
        image.write(index * WRITE_BYTES, pattern(index, WRITE_BYTES as usize), true).await.unwrap();
    }
}

/// Segments of the image, in the order of their numbers.
async fn segments(store: &Arc<dyn ObjectStore>) -> Vec<ObjectName> {
    let mut names = store.list("lsd_data.").await.unwrap();
    names.sort_by_key(|name| name.0.rsplit('.').next().map(|number| number[..8].to_owned()));
    names
}

/// Nobody opens the image, a check says what is lost, and only a repair that may discard mends it. Returns which of the writes are
/// there then; nothing is in the place of the others.
async fn is_damage(store: &Arc<dyn ObjectStore>, lost: &ObjectName) -> Vec<bool> {
    let options = OpenOptions { read_only: true, settings: settings(), ..OpenOptions::default() };
    let error = Image::open(store, &disk(), &options).await.map(drop).expect_err("it opens as if nothing were lost");
    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&lost.0), "the error does not name {lost}: {error}");
    let found = Image::check(store, &disk(), &|_, _| Ok(())).await.unwrap();
    assert_eq!(found.worst(), Some(Severity::Corruption));
    let is_named = |finding: &Finding| {
        matches!(finding.fault, Fault::LogLost { .. } | Fault::Data { .. }) && finding.object == lost.0
    };
    assert!(found.findings.iter().any(is_named), "{:?}", found.findings);
    let before = segments(store).await;
    let mut repair = RepairOptions { discard_damaged: false, watch_timeout: Duration::from_secs(1) };
    let report = Image::repair(store, &disk(), repair, &|_, _| Ok(())).await.unwrap();
    assert!(report.refused.is_some());
    let after = segments(store).await;
    assert!(before.iter().all(|name| after.contains(name)), "a repair that may not discard took something away");
    repair.discard_damaged = true;
    let report = Image::repair(store, &disk(), repair, &|_, _| Ok(())).await.unwrap();
    assert_eq!(report.refused, None);
    assert!(report.after.worst().is_none_or(|worst| worst == Severity::Note), "{:?}", report.after.findings);
    let image = Image::open(store, &disk(), &options).await.unwrap();
    let mut kept = Vec::new();
    for index in 0..WRITES {
        let found = read(&image, index * WRITE_BYTES, WRITE_BYTES).await;
        let whole = found == pattern(index, WRITE_BYTES as usize);
        assert!(whole || found.iter().all(|byte| *byte == 0), "something else in the place of write {index}");
        kept.push(whole);
    }
    image.close().await.unwrap();
    kept
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_is_lost_is_no_end_of_the_log() {
    for segment in [0, 2, 7] {
        let cluster = cluster_with_image(64 * MIB).await;
        let client = Client::open(&cluster, settings()).await;
        write_durably(&client.image).await;
        client.crash(&cluster);
        let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
        let lost = segments(&store).await.remove(segment);
        store.remove(&lost).await.unwrap();
        let kept = is_damage(&store, &lost).await;
        assert!(kept.is_sorted_by(|one, next| one >= next) && kept.contains(&false), "no prefix: {kept:?}");
    }
}

/// A reader looks at one segment after another, and the owner goes on: a segment that is looked at late says that something was
/// durable which came behind what the reader has seen of another.
#[tokio::test(start_paused = true)]
async fn what_an_owner_appends_meanwhile_is_not_lost() {
    let cluster = cluster_with_image(64 * MIB).await;
    let owner = Client::open(&cluster, Settings { segment_bytes: 8 << 20, ..settings() }).await;
    let write = async |range: std::ops::Range<u64>| {
        for block in range {
            owner.image.write(block * BLOCK, content(block), true).await.unwrap();
        }
    };
    write(0..8).await;
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    gate.close(|op, name| op == Op::Look && name.contains(".00000002"));
    let opening = tokio::spawn(Client::open_behind(gate.clone(), memory, settings()));
    gate.until_waiting(1).await;
    write(8..24).await;
    gate.open();
    let reader = opening.await.expect("the reader takes it for a loss");
    for block in 0..24 {
        let found = read(&reader.image, block * BLOCK, BLOCK).await;
        assert_eq!(found, content(block), "the reader does not see block {block}");
    }
}

/// In a directory an append may be torn by a power cut, and then it was never durable. What was is not torn.
#[tokio::test]
async fn a_flipped_bit_in_an_open_segment_is_no_torn_tail() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store: Arc<dyn ObjectStore> = Arc::new(DirStore::open(&path).unwrap());
    let options = CreateOptions { size: 64 * MIB, ..CreateOptions::default() };
    Image::create(&store, "disk", &options).await.unwrap();
    let large = Settings { segment_bytes: 8 << 20, ..settings() };
    let options = OpenOptions { read_only: false, settings: large, ..OpenOptions::default() };
    let image = Image::open(&store, &disk(), &options).await.unwrap();
    write_durably(&image).await;
    let lost = segments(&store).await.remove(1);
    // Without a close the image stays as a kill leaves it.
    drop(image);
    drop(store);
    let files = walk(&path);
    let file = files.iter().find(|file| file.to_string_lossy().contains(&lost.0)).expect("no file of the segment");
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(file, bytes).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(DirStore::open(&path).unwrap());
    let kept = is_damage(&store, &lost).await;
    assert_eq!(kept.iter().filter(|kept| !**kept).count(), 1, "only what was hit is given up");
}

fn walk(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|entry| if entry.is_dir() { walk(&entry) } else { vec![entry] }).collect()
}
