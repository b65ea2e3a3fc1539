//! Rules 25 and 48: an image is taken before anything of it is deleted, and who removes it from the trash looks whether it is still there.
use super::*;
use crate::common::Gate;
use lsd_engine::{ImageId, ImageRef, Trash};
use lsd_store::{ObjectStore, Pools};
use std::sync::Arc;

/// A removal whose operations pass a gate.
fn removing(cluster: &MemoryCluster) -> (Arc<Gate>, impl FnOnce() -> JoinHandle<Result<(), Error>>) {
    let gate = Gate::new(Arc::new(cluster.client()));
    let store: Arc<dyn ObjectStore> = gate.clone();
    let start =
        || tokio::spawn(async move { Image::remove(&store, &ImageRef::Name("disk".into()), &|_, _| Ok(())).await });
    (gate, start)
}

async fn cluster_at_rest() -> MemoryCluster {
    let cluster = cluster_with_image(16 * MIB).await;
    let client = Client::open(&cluster, settings()).await;
    put(&client.image, 0, 1).await;
    client.image.close().await.unwrap();
    cluster
}

#[tokio::test(start_paused = true)]
async fn who_opens_an_image_that_is_being_removed_is_told() {
    let cluster = cluster_at_rest().await;
    let (gate, start) = removing(&cluster);
    gate.close(|op, _| op == Op::Remove);
    let removal = start();
    gate.until_waiting(1).await;
    match Client::try_open(&cluster, settings(), false).await {
        Err(error) => assert_eq!(error.kind, ErrorKind::NotFound, "{error}"),
        Ok(writer) => {
            put(&writer.image, 1, 2).await;
            writer.image.flush().await.unwrap();
            gate.open();
            removal.await.unwrap().unwrap();
            expect(&cluster, "a flush returned while the image was being removed", &[(0, 1), (1, 2)]).await;
            unreachable!("the image is gone");
        }
    }
    gate.open();
    removal.await.unwrap().unwrap();
}

/// It has looked who uses the image; then somebody opens it and writes.
#[tokio::test(start_paused = true)]
async fn a_removal_does_not_take_the_image_from_who_was_faster() {
    let cluster = cluster_at_rest().await;
    let (gate, start) = removing(&cluster);
    gate.close(is_header);
    let removal = start();
    gate.until_waiting(1).await;
    let writer = Client::open(&cluster, settings()).await;
    put(&writer.image, 1, 2).await;
    writer.image.flush().await.unwrap();
    gate.open();
    let removed = removal.await.unwrap();
    expect(&cluster, "a flush returned", &[(0, 1), (1, 2)]).await;
    assert_eq!(removed.unwrap_err().kind, ErrorKind::Busy);
    writer.image.close().await.unwrap();
}

/// The other way round: a handle from before the image was taken becomes its owner no more.
#[tokio::test(start_paused = true)]
async fn who_has_opened_an_image_that_is_then_taken_does_not_become_its_owner() {
    let cluster = cluster_at_rest().await;
    let (gate, start) = removing(&cluster);
    gate.close(is_header);
    let removal = start();
    gate.until_waiting(1).await;
    let late = Client::open(&cluster, settings()).await;
    gate.close(|op, _| op == Op::Remove);
    gate.take().arrive();
    gate.until_waiting(1).await;
    let error = late.image.write(BLOCK, content(2), true).await.expect_err("a write was acknowledged and is gone");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    gate.open();
    removal.await.unwrap().unwrap();
}

async fn cluster_with_trash() -> (MemoryCluster, ImageId) {
    let cluster = cluster_at_rest().await;
    let trash = Trash::new(Arc::new(cluster.client()));
    trash.put("disk", Duration::ZERO).await.unwrap();
    let id = trash.list().await.unwrap().remove(0).id;
    (cluster, id)
}

/// One who works on the trash, and the gate that its operations pass.
fn at_trash(cluster: &MemoryCluster) -> (Arc<Gate>, Trash) {
    let gate = Gate::new(Arc::new(cluster.client()));
    (gate.clone(), Trash::new(gate))
}

fn emptying(trash: &Trash, id: &ImageId) -> JoinHandle<Result<(), Error>> {
    let (trash, id) = (trash.clone(), id.clone());
    tokio::spawn(async move { trash.remove(&id, true, &|_, _| Ok(())).await })
}

/// A removal that has looked at everything, and takes the image next.
async fn about_to_take(cluster: &MemoryCluster, id: &ImageId) -> (Arc<Gate>, JoinHandle<Result<(), Error>>) {
    let (gate, trash) = at_trash(cluster);
    gate.close(is_header);
    let removal = emptying(&trash, id);
    gate.until_waiting(1).await;
    (gate, removal)
}

fn restoring(trash: &Trash, id: &ImageId) -> JoinHandle<Result<(), Error>> {
    let (trash, id) = (trash.clone(), id.clone());
    tokio::spawn(async move { trash.restore(&id, None).await })
}

/// Rule 48: it was brought back while the removal looked at it.
#[tokio::test(start_paused = true)]
async fn an_image_that_came_back_from_the_trash_is_not_removed() {
    let (cluster, id) = cluster_with_trash().await;
    let (gate, removal) = about_to_take(&cluster, &id).await;
    Trash::new(Arc::new(cluster.client())).restore(&id, None).await.unwrap();
    gate.open();
    let removed = removal.await.unwrap();
    expect(&cluster, "an image was brought back from the trash", &[(0, 1)]).await;
    assert_eq!(removed.unwrap_err().kind, ErrorKind::Busy);
    // Whoever opens it becomes its owner as before.
    let writer = Client::open(&cluster, settings()).await;
    put(&writer.image, 1, 2).await;
    writer.image.close().await.unwrap();
}

/// Rule 48: nor does it matter where that removal dies.
#[tokio::test(start_paused = true)]
async fn a_removal_that_dies_takes_nothing_that_came_back_from_the_trash() {
    let (cluster, id) = cluster_with_trash().await;
    let (gate, removal) = about_to_take(&cluster, &id).await;
    Trash::new(Arc::new(cluster.client())).restore(&id, None).await.unwrap();
    let taking = gate.take();
    gate.close(|op, name| op == Op::Values && name == "lsd_directory");
    taking.arrive();
    while !removal.is_finished() && gate.waiting() == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    removal.abort();
    let _ = removal.await;
    drop(gate.take());
    expect(&cluster, "an image was brought back from the trash", &[(0, 1)]).await;
}

/// Rule 48, the other way round.
#[tokio::test(start_paused = true)]
async fn an_image_that_is_being_removed_does_not_come_back_from_the_trash() {
    let (cluster, id) = cluster_with_trash().await;
    let (gate, trash) = at_trash(&cluster);
    gate.close(|op, _| op == Op::Remove);
    let removal = emptying(&trash, &id);
    gate.until_waiting(1).await;
    let restored = Trash::new(Arc::new(cluster.client())).restore(&id, None).await;
    gate.open();
    let removed = removal.await.unwrap();
    if restored.is_ok() {
        expect(&cluster, "an image was brought back from the trash", &[(0, 1)]).await;
    }
    assert_eq!(restored.unwrap_err().kind, ErrorKind::Busy);
    removed.unwrap();
    let left = cluster.client().list("lsd_").await.unwrap();
    assert_eq!(left.iter().map(|name| &*name.0).collect::<Vec<_>>(), ["lsd_directory"]);
    assert_eq!(trash.list().await.unwrap(), []);
}

/// Rule 48: one removal has taken the image and finds that it is on its way back; another one has met it in the trash, and deletes.
#[tokio::test(start_paused = true)]
async fn a_removal_that_another_one_goes_on_with_does_not_give_the_image_back() {
    let (cluster, id) = cluster_with_trash().await;
    let ((of_first, first), (of_second, second), (of_third, third)) =
        (at_trash(&cluster), at_trash(&cluster), at_trash(&cluster));
    of_first.close(is_header);
    let removal = emptying(&first, &id);
    of_first.until_waiting(1).await;
    let taking = of_first.take();
    of_first.close(|op, name| op == Op::Values && name == "lsd_directory");
    taking.arrive();
    of_first.until_waiting(1).await;
    of_second.close(|op, _| op == Op::Remove);
    let another = emptying(&second, &id);
    of_second.until_waiting(1).await;
    of_third.close(is_header);
    let bringing = restoring(&third, &id);
    of_third.until_waiting(1).await;
    of_first.open();
    assert_eq!(removal.await.unwrap().unwrap_err().kind, ErrorKind::Busy);
    of_third.open();
    let restored = bringing.await.unwrap();
    of_second.open();
    another.await.unwrap().unwrap();
    if restored.is_ok() {
        expect(&cluster, "an image was brought back from the trash", &[(0, 1)]).await;
    }
    assert_eq!(restored.unwrap_err().kind, ErrorKind::Busy);
}
