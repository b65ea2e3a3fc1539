//! Writes to an image, closes it, opens it again and reads.
//!
//! `cargo run -p lsd-engine --example write_and_reopen`
//!
//! The store is in memory. It stands for a Ceph pool, and is gone when the program ends.
use bytes::Bytes;
use lsd_engine::{CreateOptions, Image, ImageRef, OpenOptions};
use lsd_store::{MEMORY_POOL, MemoryCluster, ObjectStore};
use std::error::Error;
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;

// An error that `main` returns is printed, and the program exits with 1.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // A cluster, and a client of it. Everything that the engine does goes through the trait `ObjectStore`.
    let cluster = MemoryCluster::new();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());

    // An image of 64 MiB. Nothing is stored of it but its header and its name.
    Image::create(&store, "disk", &CreateOptions { size: 64 * MIB, ..CreateOptions::default() }).await?;
    let disk = ImageRef::Name("disk".into());
    let image = Image::open(&store, &disk, &OpenOptions::default()).await?;
    println!("created and opened an image of {} MiB", image.size() / MIB);

    // The first flush ends the caution for clients that never flush: until then every write waits until it is durable.
    image.flush().await?;

    // A hundred writes. Each returns when it is in memory; the log sends many of them in one operation.
    let before = cluster.written_bytes(MEMORY_POOL);
    for index in 0..100 {
        image.write(index * MIB / 2, block(index), false).await?;
    }
    // When the flush returns, all of them survive a crash of this client.
    image.flush().await?;
    let written = cluster.written_bytes(MEMORY_POOL) - before;
    println!("wrote 100 blocks of 4 KiB: the store was given {written} bytes");

    // What was overwritten and what was discarded reads as it was left.
    image.write(0, block(100), false).await?;
    image.discard(MIB, MIB, false).await?;

    // Closing flushes, writes a checkpoint of the map, and gives the lock back.
    image.close().await?;

    // Another client finds everything in the store.
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let image = Image::open(&store, &disk, &OpenOptions::default()).await?;
    for index in 0..100 {
        let expected = match index {
            0 => block(100),
            2 | 3 => Bytes::from(vec![0; BLOCK as usize]),
            _ => block(index),
        };
        let found = image.read(index * MIB / 2, BLOCK).await?.to_bytes();
        if found != expected {
            return Err(format!("block {index} has other content than what was written").into());
        }
    }
    println!("opened it again: all 100 blocks are as they were left");
    image.close().await?;
    Ok(())
}

/// What block `index` holds.
fn block(index: u64) -> Bytes {
    Bytes::from(vec![index as u8 + 1; BLOCK as usize])
}
