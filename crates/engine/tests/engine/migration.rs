//! Migrations: the destination is the image from the first step on, and each step can be broken off anywhere.
use crate::clones::{client, expect, expect_of, named, open, open_at, put};
use crate::common::{BLOCK, Gate, MIB, Op, kind, settings, silent, stored};
use lsd_engine::{
    Catalog, CloneOptions, CreateOptions, ErrorKind, Features, Image, ImageRef, MigrationOptions, MigrationState,
    Migrations, OpenOptions, Severity, SnapRef, Trash, TrashSource,
};
use lsd_store::{MemoryCluster, ObjectStore};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn options() -> OpenOptions {
    OpenOptions { settings: settings(), ..OpenOptions::default() }
}

fn migrations(store: &Arc<dyn ObjectStore>) -> Migrations {
    Migrations::new(store.clone(), options())
}

async fn check_clean(store: &Arc<dyn ObjectStore>, name: &str) {
    let report = Image::check(store, &named(name), &silent).await.unwrap();
    let worse = report.findings.iter().filter(|finding| finding.fault.severity() > Severity::Note);
    assert_eq!(worse.collect::<Vec<_>>(), Vec::<&lsd_engine::Finding>::new(), "{name}");
}

/// What a crash has left the next owner clears away.
async fn settle(store: &Arc<dyn ObjectStore>, name: &str) {
    let image = open(store, name).await;
    image.metadata().set("settled", "1").await.unwrap();
    image.metadata().remove("settled").await.unwrap();
    image.close().await.unwrap();
    check_clean(store, name).await;
}

/// Far apart: a leaf for each.
const FAR: u64 = 16 * MIB / BLOCK;

/// `old`: blocks 0, 1 and `FAR` as 1, 2 and 3 at the snapshot `s`; later 1 is 12, and `2 * FAR` is 4.
async fn source(store: &Arc<dyn ObjectStore>) {
    Image::create(store, "old", &CreateOptions { size: 64 * MIB, ..CreateOptions::default() }).await.unwrap();
    fill(store).await;
}

async fn fill(store: &Arc<dyn ObjectStore>) {
    let image = open(store, "old").await;
    put(&image, 0, 1).await;
    put(&image, 1, 2).await;
    put(&image, FAR, 3).await;
    image.snapshots().create("s").await.unwrap();
    put(&image, 1, 12).await;
    put(&image, 2 * FAR, 4).await;
    image.metadata().set("who", "me").await.unwrap();
    image.close().await.unwrap();
}

const AT_S: [(u64, u64); 4] = [(0, 1), (1, 2), (FAR, 3), (2 * FAR, 0)];
const NOW: [(u64, u64); 4] = [(0, 1), (1, 12), (FAR, 3), (2 * FAR, 4)];

async fn prepare(store: &Arc<dyn ObjectStore>, from: &str, to: &str) -> lsd_engine::ImageId {
    migrations(store).prepare(from, (store, to), &MigrationOptions::default()).await.unwrap()
}

async fn state(store: &Arc<dyn ObjectStore>, name: &str) -> MigrationState {
    migrations(store).status(name).await.unwrap().state
}

#[tokio::test(start_paused = true)]
async fn a_destination_is_the_image_from_the_first_step_on() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store).await;
    let old = Catalog::new(store.clone()).id_of("old").await.unwrap();
    let options = MigrationOptions { order: Some(23), ..MigrationOptions::default() };
    let id = migrations(&store).prepare("old", (&store, "new"), &options).await.unwrap();
    assert_ne!(id, old);
    assert_eq!(kind(Catalog::new(store.clone()).id_of("old").await), Some(ErrorKind::NotFound));
    let trash = Trash::new(store.clone()).list().await.unwrap();
    assert_eq!((trash.len(), &trash[0].id, trash[0].source), (1, &old, TrashSource::Migration));
    let image = open(&store, "new").await;
    assert_eq!((image.size(), image.info().order), (64 * MIB, 23));
    assert_ne!(image.info().features & Features::MIGRATING, 0);
    assert_eq!(image.metadata().get("who").await.unwrap(), "me");
    expect(&image, &NOW).await;
    expect(&open_at(&store, "new", "s").await, &AT_S).await;
    // A guest goes on, with snapshots of its own.
    put(&image, 0, 100).await;
    image.snapshots().create("t").await.unwrap();
    put(&image, 3, 101).await;
    image.discard(2 * FAR * BLOCK, BLOCK, false).await.unwrap();
    image.flush().await.unwrap();
    let status = migrations(&store).status("old").await.unwrap();
    assert_eq!((status.source.name.as_str(), status.destination.name.as_str()), ("old", "new"));
    assert_eq!(status.state, MigrationState::Prepared);
    assert_eq!(kind(migrations(&store).commit("new", &silent).await), Some(ErrorKind::Invalid));
    check_clean(&store, "new").await;
    let other = client(&cluster);
    migrations(&other).execute("new", &silent).await.unwrap();
    assert_eq!(state(&store, "new").await, MigrationState::Executed);
    put(&image, 4, 102).await;
    migrations(&other).commit("old", &silent).await.unwrap();
    let now = [(0, 100), (1, 12), (FAR, 3), (2 * FAR, 0), (3, 101), (4, 102)];
    expect(&image, &now).await;
    image.close().await.unwrap();
    assert_eq!(stored(&cluster, &format!("lsd_data.{old}")).await, 0);
    assert_eq!(stored(&cluster, &format!("lsd_map.{old}")).await, 0);
    assert!(Trash::new(store.clone()).list().await.unwrap().is_empty());
    assert_eq!(kind(migrations(&store).status("new").await), Some(ErrorKind::Invalid));
    let image = open(&store, "new").await;
    assert_eq!(image.info().features & Features::MIGRATING, 0);
    expect(&image, &now).await;
    expect(&open_at(&store, "new", "s").await, &AT_S).await;
    expect(&open_at(&store, "new", "t").await, &[(0, 100), (1, 12), (FAR, 3), (2 * FAR, 4), (3, 0)]).await;
    image.snapshots().rollback("s").await.unwrap();
    expect(&image, &AT_S).await;
    image.close().await.unwrap();
    check_clean(&store, "new").await;
    let image = open(&store, "new").await;
    for snapshot in ["s", "t"] {
        image.snapshots().remove(snapshot).await.unwrap();
    }
    image.close().await.unwrap();
    check_clean(&store, "new").await;
    Image::remove(&store, &named("new"), &silent).await.unwrap();
    assert_eq!(stored(&cluster, "lsd_data.").await + stored(&cluster, "lsd_map.").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_source_is_left_alone() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store).await;
    let old = Catalog::new(store.clone()).id_of("old").await.unwrap();
    let used = open(&store, "old").await;
    let other = client(&cluster);
    let asked = migrations(&other).prepare("old", (&other, "old"), &MigrationOptions::default()).await;
    assert_eq!(kind(asked), Some(ErrorKind::Busy));
    used.close().await.unwrap();
    prepare(&store, "old", "old").await;
    let by_id = ImageRef::Id(old.clone());
    assert_eq!(kind(Image::open(&store, &by_id, &options()).await), Some(ErrorKind::ReadOnly));
    let reader = OpenOptions { read_only: true, ..options() };
    expect(&Image::open(&store, &by_id, &reader).await.unwrap(), &NOW).await;
    assert_eq!(kind(Image::remove(&store, &by_id, &silent).await), Some(ErrorKind::ReadOnly));
    let trash = Trash::new(store.clone());
    assert_eq!(kind(trash.remove(&old, true, &silent).await), Some(ErrorKind::ReadOnly));
    assert_eq!(kind(trash.restore(&old, None).await), Some(ErrorKind::Invalid));
    let snapshot = SnapRef::Name("s".into());
    let cloned = Image::clone_from((&store, &by_id, &snapshot), (&store, "clone"), &CloneOptions::default()).await;
    assert_eq!(kind(cloned), Some(ErrorKind::ReadOnly));
    // Nor is the destination removed, nor does it get clones that would need the source.
    assert_eq!(kind(Image::remove(&store, &named("old"), &silent).await), Some(ErrorKind::Busy));
    assert_eq!(kind(trash.put("old", std::time::Duration::ZERO).await), Some(ErrorKind::Busy));
    let of_destination =
        Image::clone_from((&store, &named("old"), &snapshot), (&store, "clone"), &CloneOptions::default()).await;
    assert_eq!(kind(of_destination), Some(ErrorKind::Busy));
    let again = migrations(&store).prepare("old", (&store, "third"), &MigrationOptions::default()).await;
    assert_eq!(kind(again), Some(ErrorKind::Busy));
    migrations(&store).execute("old", &silent).await.unwrap();
    Image::clone_from((&store, &named("old"), &snapshot), (&store, "clone"), &CloneOptions::default()).await.unwrap();
    migrations(&store).commit("old", &silent).await.unwrap();
    expect_of(&store, "clone", &AT_S).await;
    expect_of(&store, "old", &NOW).await;
    check_clean(&store, "old").await;
    check_clean(&store, "clone").await;
}

/// `old` is a clone of `base@b`, which has block 7 as 70 and 8 as 80; block 8 was overwritten and given back.
async fn cloned_source(store: &Arc<dyn ObjectStore>) {
    Image::create(store, "base", &CreateOptions { size: 64 * MIB, ..CreateOptions::default() }).await.unwrap();
    let base = open(store, "base").await;
    put(&base, 7, 70).await;
    put(&base, 8, 80).await;
    put(&base, 3 * FAR, 90).await;
    base.snapshots().create("b").await.unwrap();
    base.close().await.unwrap();
    let snapshot = SnapRef::Name("b".into());
    Image::clone_from((store, &named("base"), &snapshot), (store, "old"), &CloneOptions::default()).await.unwrap();
    fill(store).await;
    // A leaf that the source has stored, with nothing but what is its parent's.
    let image = open(store, "old").await;
    put(&image, 3 * FAR + 1, 91).await;
    image.close().await.unwrap();
    let image = open(store, "old").await;
    image.discard((3 * FAR + 1) * BLOCK, BLOCK, true).await.unwrap();
    image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_destination_of_a_clone_is_a_clone() {
    for flatten in [false, true] {
        let cluster = MemoryCluster::new();
        let store = client(&cluster);
        cloned_source(&store).await;
        let options = MigrationOptions { flatten, ..MigrationOptions::default() };
        migrations(&store).prepare("old", (&store, "old"), &options).await.unwrap();
        let image = open(&store, "old").await;
        let base = Catalog::new(store.clone()).id_of("base").await.unwrap();
        assert_eq!(image.parent().await.unwrap().id, base);
        let now = [(0, 1), (1, 12), (7, 70), (8, 80), (3 * FAR, 90), (3 * FAR + 1, 0)];
        expect(&image, &now).await;
        image.close().await.unwrap();
        check_clean(&store, "old").await;
        migrations(&store).execute("old", &silent).await.unwrap();
        migrations(&store).commit("old", &silent).await.unwrap();
        let image = open(&store, "old").await;
        assert_eq!(image.parent().await.is_ok(), !flatten);
        expect(&image, &now).await;
        expect(&open_at(&store, "old", "s").await, &[(7, 70), (1, 2), (3 * FAR, 90)]).await;
        image.close().await.unwrap();
        check_clean(&store, "old").await;
        check_clean(&store, "base").await;
        let base = open(&store, "base").await;
        assert_eq!(base.children(None).await.unwrap().len(), usize::from(!flatten));
        base.close().await.unwrap();
    }
}

/// What a guest does to the destination: more than one snapshot, another size.
async fn work(image: &Image) {
    put(image, 0, 100).await;
    image.snapshots().create("t").await.unwrap();
    image.snapshots().protect("t").await.unwrap();
    put(image, 3, 101).await;
    image.discard(FAR * BLOCK, BLOCK, false).await.unwrap();
    image.resize(80 * MIB, true, &silent).await.unwrap();
    put(image, 79 * MIB / BLOCK, 102).await;
    image.snapshots().rename("s", "r").await.unwrap();
    image.metadata().set("who", "you").await.unwrap();
}

const WORKED: [(u64, u64); 6] = [(0, 100), (1, 12), (FAR, 0), (2 * FAR, 4), (3, 101), (79 * MIB / BLOCK, 102)];

async fn expect_worked(store: &Arc<dyn ObjectStore>, name: &str) {
    let image = open(store, name).await;
    assert_eq!(image.size(), 80 * MIB);
    expect(&image, &WORKED).await;
    assert_eq!(image.metadata().get("who").await.unwrap(), "you");
    expect(&open_at(store, name, "r").await, &AT_S).await;
    expect(&open_at(store, name, "t").await, &[(0, 100), (1, 12), (FAR, 3), (2 * FAR, 4), (3, 0)]).await;
    let snapshots = image.snapshots().list().await.unwrap();
    let protected: Vec<(&str, bool)> = snapshots.iter().map(|one| (one.name.as_str(), one.is_protected)).collect();
    assert_eq!(protected, [("r", false), ("t", true)]);
    image.close().await.unwrap();
    check_clean(store, name).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_gives_the_source_back_with_what_was_written_since() {
    for (to, executes) in [("old", false), ("new", false), ("old", true), ("new", true)] {
        let cluster = MemoryCluster::new();
        let store = client(&cluster);
        cloned_source(&store).await;
        let id = prepare(&store, "old", to).await;
        let image = open(&store, to).await;
        work(&image).await;
        let other = client(&cluster);
        assert_eq!(kind(migrations(&other).abort(to, &silent).await), Some(ErrorKind::Busy));
        if executes {
            migrations(&other).execute(to, &silent).await.unwrap();
        }
        put(&image, 3, 101).await;
        image.close().await.unwrap();
        migrations(&store).abort(to, &silent).await.unwrap();
        expect_worked(&store, "old").await;
        assert_eq!(kind(migrations(&store).status("old").await), Some(ErrorKind::Invalid));
        for prefix in ["lsd_data.", "lsd_map.", "lsd_header."] {
            assert_eq!(stored(&cluster, &format!("{prefix}{id}")).await, 0, "{prefix}");
        }
        assert!(Trash::new(store.clone()).list().await.unwrap().is_empty());
        let base = open(&store, "base").await;
        assert_eq!(base.children(None).await.unwrap().len(), 1);
        base.close().await.unwrap();
    }
}

/// Does `what` as a client that is killed before its `at`-th change of the store. False: it came to its end before.
async fn killed<F, R>(cluster: &MemoryCluster, at: usize, what: F) -> bool
where
    F: FnOnce(Arc<dyn ObjectStore>) -> R,
    R: Future<Output = lsd_engine::Result<()>> + Send + 'static,
{
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    gate.close(move |op, _| {
        let changes = !matches!(op, Op::Look | Op::Read | Op::Values);
        changes && count.fetch_add(1, Ordering::Relaxed) + 1 >= at
    });
    let task = tokio::spawn(what(gate.clone()));
    while !task.is_finished() && gate.waiting() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let is_over = task.is_finished() && gate.waiting() == 0;
    if is_over {
        task.await.unwrap().unwrap();
    } else {
        task.abort();
        let _ = task.await;
    }
    // Dead clients send nothing any more.
    drop(gate.take());
    cluster.expire(&memory);
    !is_over
}

async fn at_least_one_opens(store: &Arc<dyn ObjectStore>, ids: &[lsd_engine::ImageId]) {
    let reader = OpenOptions { read_only: true, ..options() };
    for id in ids {
        if let Ok(image) = Image::open(store, &ImageRef::Id(id.clone()), &reader).await {
            expect(&image, &[(1, 12), (2 * FAR, 4)]).await;
            image.close().await.unwrap();
            return;
        }
    }
    panic!("neither image opens");
}

#[tokio::test(start_paused = true)]
async fn a_preparation_that_is_broken_off_anywhere_can_be_taken_back() {
    let mut is_over = false;
    for at in 1.. {
        let cluster = MemoryCluster::new();
        let store = client(&cluster);
        cloned_source(&store).await;
        let before = stored(&cluster, "lsd_header.").await;
        let old = Catalog::new(store.clone()).id_of("old").await.unwrap();
        let to = if at % 2 == 0 { "old" } else { "new" };
        let was_killed = killed(&cluster, at, |store| async move {
            let options = MigrationOptions::default();
            Migrations::new(store.clone(), self::options()).prepare("old", (&store, to), &options).await.map(drop)
        })
        .await;
        let store = client(&cluster);
        at_least_one_opens(&store, std::slice::from_ref(&old)).await;
        match migrations(&store).abort("old", &silent).await {
            Ok(()) => {}
            // Nothing had begun.
            Err(error) if error.kind == ErrorKind::Invalid => {}
            Err(error) => panic!("killed before change {at}: {error}"),
        }
        expect_of(&store, "old", &NOW).await;
        assert_eq!(Catalog::new(store.clone()).id_of("old").await.unwrap(), old, "{at}");
        assert_eq!(Catalog::new(store.clone()).list().await.unwrap().len(), 2);
        settle(&store, "old").await;
        check_clean(&store, "base").await;
        let base = open(&store, "base").await;
        assert_eq!(base.children(None).await.unwrap().len(), 1, "{at}");
        base.close().await.unwrap();
        assert_eq!(stored(&cluster, "lsd_header.").await, before);
        if !was_killed {
            is_over = at > 10;
            break;
        }
    }
    assert!(is_over);
}

#[tokio::test(start_paused = true)]
async fn an_execution_and_a_commit_that_are_broken_off_anywhere_go_on() {
    for commits in [false, true] {
        for at in 1.. {
            let cluster = MemoryCluster::new();
            let store = client(&cluster);
            cloned_source(&store).await;
            let id = prepare(&store, "old", "old").await;
            let image = open(&store, "old").await;
            put(&image, 5, 50).await;
            image.snapshots().create("t").await.unwrap();
            image.close().await.unwrap();
            if commits {
                migrations(&store).execute("old", &silent).await.unwrap();
            }
            let was_killed = killed(&cluster, at, |store| async move {
                let migrations = Migrations::new(store, options());
                if commits { migrations.commit("old", &silent).await } else { migrations.execute("old", &silent).await }
            })
            .await;
            let store = client(&cluster);
            at_least_one_opens(&store, &[id]).await;
            if was_killed && state(&store, "old").await != MigrationState::Executed {
                migrations(&store).execute("old", &silent).await.unwrap();
            }
            if was_killed || !commits {
                match migrations(&store).commit("old", &silent).await {
                    Ok(()) => {}
                    Err(error) => panic!("killed before change {at}: {error}"),
                }
            }
            expect_of(&store, "old", &NOW).await;
            expect_of(&store, "old", &[(5, 50), (7, 70), (3 * FAR, 90)]).await;
            expect(&open_at(&store, "old", "s").await, &AT_S).await;
            settle(&store, "old").await;
            check_clean(&store, "base").await;
            assert!(Trash::new(store.clone()).list().await.unwrap().is_empty());
            if !was_killed {
                assert!(at > 5);
                break;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_is_broken_off_anywhere_goes_on() {
    for (to, executes) in [("old", false), ("new", true)] {
        for at in 1.. {
            let cluster = MemoryCluster::new();
            let store = client(&cluster);
            source(&store).await;
            let old = Catalog::new(store.clone()).id_of("old").await.unwrap();
            let id = prepare(&store, "old", to).await;
            let image = open(&store, to).await;
            work(&image).await;
            image.close().await.unwrap();
            if executes {
                migrations(&store).execute(to, &silent).await.unwrap();
            }
            let was_killed =
                killed(&cluster, at, |store| async move { Migrations::new(store, options()).abort(to, &silent).await })
                    .await;
            let store = client(&cluster);
            at_least_one_opens(&store, &[id.clone(), old.clone()]).await;
            if was_killed {
                match migrations(&store).abort("old", &silent).await {
                    Ok(()) => {}
                    // It was over.
                    Err(error) if error.kind == ErrorKind::Invalid => {}
                    Err(error) => panic!("killed before change {at}: {error}"),
                }
            }
            settle(&store, "old").await;
            expect_worked(&store, "old").await;
            assert!(Trash::new(store.clone()).list().await.unwrap().is_empty());
            assert_eq!(Catalog::new(store.clone()).list().await.unwrap().len(), 1);
            for prefix in ["lsd_data.", "lsd_map.", "lsd_header."] {
                assert_eq!(stored(&cluster, &format!("{prefix}{id}")).await, 0, "{prefix} {at}");
            }
            if !was_killed {
                assert!(at > 10);
                break;
            }
        }
    }
}

/// What a commit has begun to remove is not given back, and the commit can be ended.
#[tokio::test(start_paused = true)]
async fn an_abort_behind_a_commit_that_was_broken_off_changes_nothing() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    Image::create(&store, "old", &CreateOptions { size: 8 * MIB, ..CreateOptions::default() }).await.unwrap();
    let image = open(&store, "old").await;
    put(&image, 1, 1).await;
    image.close().await.unwrap();
    let migrations = migrations(&store);
    migrations.prepare("old", (&store, "new"), &MigrationOptions::default()).await.unwrap();
    migrations.execute("new", &silent).await.unwrap();
    let refuses = |_: u64, _: u64| Err(lsd_engine::Error::new(ErrorKind::Canceled, "enough"));
    assert!(migrations.commit("new", &refuses).await.is_err());
    assert_eq!(kind(migrations.abort("new", &silent).await), Some(ErrorKind::Busy));
    let image = open(&store, "new").await;
    put(&image, 2, 2).await;
    image.close().await.unwrap();
    migrations.commit("new", &silent).await.unwrap();
    expect_of(&store, "new", &[(1, 1), (2, 2)]).await;
    assert_eq!(store.list("lsd_header.").await.unwrap().len(), 1);
}

/// Two commands change a migration at once: what an abort has frozen no execute sets free again.
#[tokio::test(start_paused = true)]
async fn an_execute_that_comes_late_does_not_free_what_an_abort_has_frozen() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    Image::create(&store, "old", &CreateOptions { size: 8 * MIB, ..CreateOptions::default() }).await.unwrap();
    migrations(&store).prepare("old", (&store, "new"), &MigrationOptions::default()).await.unwrap();
    let gate = Gate::new(Arc::new(cluster.client()));
    gate.close(|op, _| op == Op::Update);
    let behind: Arc<dyn ObjectStore> = gate.clone();
    let executing = tokio::spawn(async move { migrations(&behind).execute("new", &silent).await });
    gate.until_waiting(1).await;
    migrations(&store).abort("new", &silent).await.unwrap();
    gate.open();
    assert!(executing.await.unwrap().is_err());
    expect_of(&store, "old", &[(0, 0)]).await;
}
