//! Flushes some writes, crashes with others under way, and opens the image again as another client.
//!
//! `cargo run -p lsd-engine --example crash_and_recover`
//!
//! The store is in memory. It outlives the client that crashes, as a cluster does.
use bytes::Bytes;
use lsd_engine::{CreateOptions, Image, ImageRef, OpenOptions, Severity};
use lsd_store::{MemoryCluster, ObjectStore};
use std::error::Error;
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;
const FLUSHED: u64 = 10;
const WRITTEN: u64 = 20;

// An error that `main` returns is printed, and the program exits with 1.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // An image on a cluster in memory, opened by a first client.
    let cluster = MemoryCluster::new();
    let first = cluster.client();
    let store: Arc<dyn ObjectStore> = Arc::new(first.clone());
    Image::create(&store, "disk", &CreateOptions { size: 64 * MIB, ..CreateOptions::default() }).await?;
    let disk = ImageRef::Name("disk".into());
    let image = Image::open(&store, &disk, &OpenOptions::default()).await?;

    // These are promised: the flush returns when the log has them.
    for index in 0..FLUSHED {
        image.write(index * BLOCK, block(index), false).await?;
    }
    image.flush().await?;
    println!("the first client wrote {FLUSHED} blocks and flushed");

    // From here on nothing of this client arrives. It writes on, and is told that the writes are done: they are in its
    // memory. Nobody has promised more.
    first.hold();
    for index in FLUSHED..WRITTEN {
        image.write(index * BLOCK, block(index), false).await?;
    }
    println!("it wrote {} more and did not flush", WRITTEN - FLUSHED);

    // The crash: its memory is gone, the lock stays, and after a while the cluster no longer counts it as alive.
    drop((image, store));
    cluster.expire(&first);
    println!("it crashed, without closing the image");

    // A second client reads the last checkpoint and replays the log behind it.
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let image = Image::open(&store, &disk, &OpenOptions::default()).await?;
    for index in 0..WRITTEN {
        let found = image.read(index * BLOCK, BLOCK).await?.to_bytes();
        let expected = if index < FLUSHED { block(index) } else { Bytes::from(vec![0; BLOCK as usize]) };
        if found != expected {
            return Err(format!("block {index} has other content than what survives the crash").into());
        }
    }
    println!("the second client reads the {FLUSHED} blocks; the others were lost with the first client's memory");

    // Its first write makes it the owner: the dead one is cut off, and what it sent may arrive now, without effect.
    image.write(0, block(WRITTEN), true).await?;
    first.release();
    image.close().await?;
    let report = Image::check(&store, &disk, &|_, _| Ok(())).await?;
    if report.worst().is_some_and(|worst| worst > Severity::Note) {
        return Err(format!("the image is damaged: {:?}", report.findings).into());
    }
    println!("it took the image over, wrote and closed; a check finds no damage");
    Ok(())
}

/// What block `index` holds.
fn block(index: u64) -> Bytes {
    Bytes::from(vec![index as u8 + 1; BLOCK as usize])
}
