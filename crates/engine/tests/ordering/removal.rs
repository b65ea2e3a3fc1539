//! Rule 25: an image is taken before anything of it is deleted.
use super::*;
use crate::common::Gate;
use lsd_engine::ImageRef;
use lsd_store::ObjectStore;
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
