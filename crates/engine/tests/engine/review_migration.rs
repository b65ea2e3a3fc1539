//! Migrations: what went wrong where somebody else changes something, or something cannot be brought back.
use crate::clones::{client, expect, expect_of, named, open, open_at, put};
use crate::common::{Gate, MIB, Op, kind, settings, silent};
use lsd_engine::{
    Catalog, CreateOptions, ErrorKind, Features, Groups, Image, ImageId, ImageRef, MigrationOptions, MigrationState,
    Migrations, OpenOptions, RepairOptions, Trash,
};
use lsd_store::{KvUpdate, MemoryCluster, ObjectStore};
use std::sync::Arc;
use std::time::Duration;

fn options() -> OpenOptions {
    OpenOptions { settings: settings(), ..OpenOptions::default() }
}

fn migrations(store: &Arc<dyn ObjectStore>) -> Migrations {
    Migrations::new(store.clone(), options())
}

async fn prepare(store: &Arc<dyn ObjectStore>, from: &str, to: &str) -> lsd_engine::Result<ImageId> {
    migrations(store).prepare(from, (store, to), &MigrationOptions::default()).await
}

async fn state(store: &Arc<dyn ObjectStore>, name: &str) -> MigrationState {
    migrations(store).status(name).await.unwrap().state
}

/// `name` with block 0 as 1 at its snapshots `a` and `b`, and as 2 now.
async fn source(store: &Arc<dyn ObjectStore>, name: &str) -> ImageId {
    let id = Image::create(store, name, &CreateOptions { size: 8 * MIB, ..CreateOptions::default() }).await.unwrap();
    let image = open(store, name).await;
    put(&image, 0, 1).await;
    for snapshot in ["a", "b"] {
        image.snapshots().create(snapshot).await.unwrap();
    }
    put(&image, 0, 2).await;
    image.close().await.unwrap();
    id
}

/// Names, and whether they are protected, by id.
async fn snapshots(image: &Image) -> Vec<(u64, String, bool)> {
    let all = image.snapshots().list().await.unwrap();
    all.into_iter().map(|one| (one.id, one.name, one.is_protected)).collect()
}

fn refuses(_: u64, _: u64) -> lsd_engine::Result<()> {
    Err(lsd_engine::Error::new(ErrorKind::Canceled, "enough"))
}

/// Cancels at the part of this number.
fn until(part: u64) -> impl Fn(u64, u64) -> lsd_engine::Result<()> {
    move |done, total| if done >= part { refuses(done, total) } else { Ok(()) }
}

#[tokio::test(start_paused = true)]
async fn snapshots_change_their_names_in_a_circle_and_come_back_so() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    prepare(&store, "old", "new").await.unwrap();
    let image = open(&store, "new").await;
    image.snapshots().create("c").await.unwrap();
    // a, b and c become b, c and a; and d has c's former id but one.
    image.snapshots().rename("c", "x").await.unwrap();
    image.snapshots().rename("b", "c").await.unwrap();
    image.snapshots().rename("a", "b").await.unwrap();
    image.snapshots().rename("x", "a").await.unwrap();
    image.snapshots().create("gone").await.unwrap();
    image.snapshots().remove("gone").await.unwrap();
    put(&image, 0, 3).await;
    image.snapshots().create("d").await.unwrap();
    image.snapshots().protect("d").await.unwrap();
    image.snapshots().protect("b").await.unwrap();
    let before = snapshots(&image).await;
    image.close().await.unwrap();
    // Broken off when one of two new ones is there.
    assert_eq!(kind(migrations(&store).abort("new", &until(1)).await), Some(ErrorKind::Canceled));
    migrations(&store).abort("new", &silent).await.unwrap();
    let image = open(&store, "old").await;
    assert_eq!(snapshots(&image).await, before);
    image.close().await.unwrap();
    expect(&open_at(&store, "old", "b").await, &[(0, 1)]).await;
    expect(&open_at(&store, "old", "a").await, &[(0, 2)]).await;
    expect(&open_at(&store, "old", "d").await, &[(0, 3)]).await;
}

#[tokio::test(start_paused = true)]
async fn more_snapshots_than_the_source_might_have_come_back() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    let image = open(&store, "old").await;
    image.snapshots().set_limit(Some(2)).await.unwrap();
    image.close().await.unwrap();
    prepare(&store, "old", "new").await.unwrap();
    let image = open(&store, "new").await;
    image.snapshots().set_limit(Some(3)).await.unwrap();
    image.snapshots().create("c").await.unwrap();
    image.close().await.unwrap();
    migrations(&store).abort("new", &silent).await.unwrap();
    let image = open(&store, "old").await;
    assert_eq!((image.snapshots().limit().await.unwrap(), snapshots(&image).await.len()), (Some(3), 3));
}

#[tokio::test(start_paused = true)]
async fn a_protected_snapshot_comes_back_to_a_source_without_layering() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let create = CreateOptions { size: 8 * MIB, features: Features::EXCLUSIVE_LOCK, ..CreateOptions::default() };
    Image::create(&store, "old", &create).await.unwrap();
    let wanted = MigrationOptions {
        features: Some(Features::EXCLUSIVE_LOCK | Features::LAYERING),
        ..MigrationOptions::default()
    };
    migrations(&store).prepare("old", (&store, "new"), &wanted).await.unwrap();
    let image = open(&store, "new").await;
    image.snapshots().create("a").await.unwrap();
    image.snapshots().protect("a").await.unwrap();
    image.close().await.unwrap();
    migrations(&store).abort("new", &silent).await.unwrap();
    let image = open(&store, "old").await;
    assert!(snapshots(&image).await[0].2);
    image.snapshots().unprotect("a").await.unwrap();
}

/// An abort that cannot end: the migration goes on, and a later abort brings back what is there by then.
#[tokio::test(start_paused = true)]
async fn an_execution_leads_out_of_an_abort_that_does_not_end() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    prepare(&store, "old", "new").await.unwrap();
    let image = open(&store, "new").await;
    put(&image, 1, 10).await;
    image.snapshots().create("t").await.unwrap();
    put(&image, 1, 11).await;
    image.close().await.unwrap();
    // When the new snapshot is there.
    assert_eq!(kind(migrations(&store).abort("new", &until(1)).await), Some(ErrorKind::Canceled));
    assert_eq!(kind(Image::open(&store, &named("new"), &options()).await), Some(ErrorKind::ReadOnly));
    assert_eq!(state(&store, "new").await, MigrationState::Aborting);
    migrations(&store).execute("new", &silent).await.unwrap();
    assert_eq!(state(&store, "new").await, MigrationState::Executed);
    let image = open(&store, "new").await;
    expect(&image, &[(0, 2), (1, 11)]).await;
    image.snapshots().remove("t").await.unwrap();
    put(&image, 1, 12).await;
    // It is called as one that was brought back already.
    image.snapshots().create("t").await.unwrap();
    put(&image, 1, 13).await;
    image.close().await.unwrap();
    migrations(&store).abort("new", &silent).await.unwrap();
    expect_of(&store, "old", &[(0, 2), (1, 13)]).await;
    expect(&open_at(&store, "old", "t").await, &[(1, 12)]).await;
    expect(&open_at(&store, "old", "a").await, &[(0, 1), (1, 0)]).await;
    // What is given back is led nowhere.
    assert_eq!(kind(migrations(&store).execute("old", &silent).await), Some(ErrorKind::Invalid));
}

/// An abort that was broken off, an execution, and the commit.
#[tokio::test(start_paused = true)]
async fn what_an_abort_has_begun_is_gone_with_the_source() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let old = source(&store, "old").await;
    prepare(&store, "old", "old").await.unwrap();
    let image = open(&store, "old").await;
    put(&image, 1, 10).await;
    image.close().await.unwrap();
    assert!(migrations(&store).abort("old", &refuses).await.is_err());
    migrations(&store).execute("old", &silent).await.unwrap();
    migrations(&store).commit("old", &silent).await.unwrap();
    expect_of(&store, "old", &[(0, 2), (1, 10)]).await;
    for prefix in ["lsd_data.", "lsd_map.", "lsd_header."] {
        assert!(store.list(&format!("{prefix}{old}")).await.unwrap().is_empty(), "{prefix}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_sources_of_one_name_are_told_apart_by_their_destinations() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    prepare(&store, "old", "one").await.unwrap();
    source(&store, "old").await;
    prepare(&store, "old", "two").await.unwrap();
    assert_eq!(kind(migrations(&store).abort("old", &silent).await), Some(ErrorKind::Invalid));
    migrations(&store).abort("two", &silent).await.unwrap();
    assert_eq!(kind(migrations(&store).status("two").await), Some(ErrorKind::NotFound));
    assert_eq!(state(&store, "one").await, MigrationState::Prepared);
    // The name is taken.
    assert_eq!(kind(migrations(&store).abort("one", &silent).await), Some(ErrorKind::Exists));
    Catalog::new(store.clone()).rename("old", "other").await.unwrap();
    migrations(&store).abort("one", &silent).await.unwrap();
    expect_of(&store, "old", &[(0, 2)]).await;
}

/// Of the directory and the header's copy of the name the directory has the word.
#[tokio::test(start_paused = true)]
async fn a_source_is_called_as_the_directory_says() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let id = source(&store, "old").await;
    let stray = lsd_core::format::header::encode_text("stray");
    store.kv_update(&format!("lsd_header.{id}").into(), KvUpdate::default().set("name", stray)).await.unwrap();
    prepare(&store, "old", "old").await.unwrap();
    assert_eq!(migrations(&store).status("old").await.unwrap().destination.name, "old");
    migrations(&store).abort("old", &silent).await.unwrap();
    expect_of(&store, "old", &[(0, 2)]).await;
}

/// The source is frozen, and who did it does not hear so.
#[tokio::test(start_paused = true)]
async fn a_freeze_whose_answer_is_lost_is_one() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    let gate = Gate::new(Arc::new(cluster.client()));
    let mut is_closed = false;
    gate.close(move |op, name| {
        is_closed |= op == Op::Unlock;
        is_closed && op == Op::Update && name.starts_with("lsd_header.")
    });
    let behind: Arc<dyn ObjectStore> = gate.clone();
    let preparing = tokio::spawn(async move { prepare(&behind, "old", "new").await });
    gate.until_waiting(1).await;
    let freeze = gate.take();
    gate.open();
    freeze.arrive_unheard();
    preparing.await.unwrap().unwrap();
    assert_eq!(state(&store, "new").await, MigrationState::Prepared);
    expect_of(&store, "new", &[(0, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn parts_of_a_groups_snapshots_stay_where_they_are() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let old = source(&store, "old").await;
    let groups = Groups::new(store.clone(), options());
    groups.create("g").await.unwrap();
    groups.add_image("g", &store, &named("old")).await.unwrap();
    groups.snap_create("g", "s", lsd_engine::Quiesce::Skip).await.unwrap();
    assert_eq!(kind(prepare(&store, "old", "new").await), Some(ErrorKind::Busy));
    groups.remove_image("g", &store, &named("old")).await.unwrap();
    assert_eq!(kind(prepare(&store, "old", "new").await), Some(ErrorKind::Busy));
    groups.snap_remove("g", "s").await.unwrap();
    prepare(&store, "old", "new").await.unwrap();
    // Nor does the source get into one.
    let added = groups.add_image("g", &store, &ImageRef::Id(old)).await;
    assert_eq!(kind(added), Some(ErrorKind::ReadOnly));
    assert!(groups.images("g").await.unwrap().is_empty());
    // The destination does; it goes only without what is the group's.
    groups.add_image("g", &store, &named("new")).await.unwrap();
    groups.snap_create("g", "s", lsd_engine::Quiesce::Skip).await.unwrap();
    groups.remove_image("g", &store, &named("new")).await.unwrap();
    assert_eq!(kind(migrations(&store).abort("new", &silent).await), Some(ErrorKind::Busy));
    groups.snap_remove("g", "s").await.unwrap();
    migrations(&store).abort("new", &silent).await.unwrap();
    expect_of(&store, "old", &[(0, 2)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_repair_leaves_the_names_of_a_migration_alone() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    let id = prepare(&store, "old", "new").await.unwrap();
    let header = format!("lsd_header.{id}").into();
    store.kv_update(&header, KvUpdate::default().set("name", "damage")).await.unwrap();
    let repaired = Image::repair(&store, &ImageRef::Id(id), RepairOptions::default(), &silent).await;
    assert_eq!(kind(repaired), Some(ErrorKind::Busy));
    assert_eq!(store.kv_get(&header, "name").await.unwrap()["name"], "damage");
}

/// A guest that has the image open while its migration ends.
#[tokio::test(start_paused = true)]
async fn an_image_requires_nothing_of_a_migration_that_is_over() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    source(&store, "old").await;
    let id = prepare(&store, "old", "new").await.unwrap();
    let guest = open(&store, "new").await;
    put(&guest, 1, 10).await;
    let other = client(&cluster);
    migrations(&other).execute("new", &silent).await.unwrap();
    migrations(&other).commit("new", &silent).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    guest.snapshots().create("c").await.unwrap();
    let values = store.kv_get(&format!("lsd_header.{id}").into(), "requires").await.unwrap();
    let bits = lsd_core::format::header::decode_requires(&values["requires"]).unwrap();
    assert_eq!(bits & lsd_core::format::header::REQUIRES_MIGRATION, 0);
}

/// Who prepares is slower than an abort and dies when it has exchanged the names.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_left_in_the_trash_comes_back() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let old = source(&store, "old").await;
    let memory = cluster.client();
    let gate = Gate::new(Arc::new(memory.clone()));
    gate.close(|op, name| op == Op::Update && name == "lsd_directory");
    let behind: Arc<dyn ObjectStore> = gate.clone();
    let preparing = tokio::spawn(async move { prepare(&behind, "old", "old").await });
    gate.until_waiting(1).await;
    let trash = Trash::new(store.clone());
    migrations(&store).abort("old", &silent).await.unwrap();
    preparing.abort();
    let _ = preparing.await;
    gate.take().arrive();
    cluster.expire(&memory);
    assert_eq!(kind(Image::open(&store, &named("old"), &options()).await), Some(ErrorKind::NotFound));
    assert_eq!(trash.list().await.unwrap()[0].id, old);
    trash.restore(&old, None).await.unwrap();
    expect_of(&store, "old", &[(0, 2)]).await;
    assert!(trash.list().await.unwrap().is_empty());
    assert_eq!(Catalog::new(store.clone()).list().await.unwrap().len(), 1);
}

/// A commit has looked, then an abort freezes the destination, then the commit takes the source and dies: the abort comes too late,
/// and a commit leads to the end.
#[tokio::test(start_paused = true)]
async fn an_abort_that_a_commit_was_faster_than_leaves_nothing_frozen() {
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    let old = source(&store, "old").await;
    prepare(&store, "old", "new").await.unwrap();
    migrations(&store).execute("new", &silent).await.unwrap();
    let of_source = format!("lsd_header.{old}");

    let memory = cluster.client();
    let committer = Gate::new(Arc::new(memory.clone()));
    let object = of_source.clone();
    committer.close(move |op, name| op == Op::Update && name == object);
    let behind: Arc<dyn ObjectStore> = committer.clone();
    let commit = tokio::spawn(async move { migrations(&behind).commit("new", &silent).await });
    committer.until_waiting(1).await;

    let aborter = Gate::new(Arc::new(cluster.client()));
    aborter.close(move |op, name| op == Op::Update && name == of_source);
    let behind: Arc<dyn ObjectStore> = aborter.clone();
    let abort = tokio::spawn(async move { migrations(&behind).abort("new", &silent).await });
    aborter.until_waiting(1).await;
    assert_eq!(state(&store, "new").await, MigrationState::Aborting);

    let taken = committer.take();
    committer.close(|op, _| !matches!(op, Op::Look | Op::Read | Op::Values));
    taken.arrive();
    committer.until_waiting(1).await;
    commit.abort();
    let _ = commit.await;
    drop(committer.take());
    cluster.expire(&memory);
    aborter.open();
    assert!(abort.await.unwrap().is_err());

    migrations(&store).commit("new", &silent).await.unwrap();
    let image = Image::open(&store, &ImageRef::Name("new".into()), &options()).await.unwrap();
    put(&image, 9, 9).await;
    image.close().await.unwrap();
    assert_eq!(store.list("lsd_header.").await.unwrap().len(), 1);
}
