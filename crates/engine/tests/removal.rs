//! Removing images that are damaged: never without being told while anything of them verifies, and then without a rest.
mod common;

use common::{Client, MIB, cluster_with_image, pattern, settings};
use lsd_engine::{Catalog, ErrorKind, Image, ImageRef};
use lsd_store::{KvPresence, KvUpdate, MemoryCluster, ObjectName, ObjectStore};
use std::sync::Arc;

fn disk() -> ImageRef {
    ImageRef::Name("disk".into())
}

fn quiet(_: u64, _: u64) -> lsd_engine::Result<()> {
    Ok(())
}

async fn image_with_data() -> (MemoryCluster, Arc<dyn ObjectStore>, ObjectName) {
    let cluster = cluster_with_image(8 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    client.image.write(0, pattern(1, 3 << 20), false).await.unwrap();
    client.image.close().await.unwrap();
    let header = client.store.list("lsd_header.").await.unwrap().remove(0);
    (cluster, client.store.clone(), header)
}

async fn objects(store: &Arc<dyn ObjectStore>) -> Vec<ObjectName> {
    store.list("lsd_").await.unwrap()
}

async fn is_listed(store: &Arc<dyn ObjectStore>) -> bool {
    !Catalog::new(store.clone()).list().await.unwrap().is_empty()
}

#[tokio::test(start_paused = true)]
async fn a_damaged_header_is_removed_only_when_told() {
    for key in ["image", "state", "epoch", "log", "name"] {
        let (_cluster, store, header) = image_with_data().await;
        let before = objects(&store).await;
        let damage = KvUpdate::default().presence(KvPresence::MustExist).set(key, &b"nonsense"[..]);
        store.kv_update(&header, damage).await.unwrap();
        let error = Image::remove(&store, &disk(), &quiet).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Corrupt, "{key}");
        assert_eq!(objects(&store).await, before, "{key}");
        Image::remove_damaged(&store, &disk(), &quiet).await.unwrap();
        assert_eq!(objects(&store).await, ["lsd_directory".into()], "{key}");
        assert!(!is_listed(&store).await, "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_header_what_is_left_goes() {
    let (_cluster, store, header) = image_with_data().await;
    store.remove(&header).await.unwrap();
    assert!(!store.list("lsd_data.").await.unwrap().is_empty());
    Image::remove(&store, &disk(), &quiet).await.unwrap();
    assert_eq!(objects(&store).await, ["lsd_directory".into()]);
    assert!(!is_listed(&store).await);
    let by_id = ImageRef::Id(lsd_engine::ImageId("0123456789abcd".into()));
    assert_eq!(Image::remove(&store, &by_id, &quiet).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_was_broken_off_can_be_completed() {
    let (_cluster, store, _) = image_with_data().await;
    for name in objects(&store).await.into_iter().filter(|name| name.0 != "lsd_directory") {
        store.remove(&name).await.unwrap();
    }
    Image::remove(&store, &disk(), &quiet).await.unwrap();
    assert!(!is_listed(&store).await);
    assert_eq!(Image::remove(&store, &disk(), &quiet).await.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_image_in_use_is_not_removed_by_force() {
    let (cluster, store, header) = image_with_data().await;
    let client = Client::open(&cluster, settings()).await;
    for damaged in [false, true] {
        if damaged {
            let damage = KvUpdate::default().presence(KvPresence::MustExist).set("log", &b"nonsense"[..]);
            store.kv_update(&header, damage).await.unwrap();
        }
        let error = Image::remove_damaged(&store, &disk(), &quiet).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy);
    }
    client.image.close().await.unwrap();
}
