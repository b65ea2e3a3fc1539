//! The ordering rules of `protocol.rs`, one test for each way to break them: the course of events in which data is lost without
//! the rule. `tests/mutations` takes the rules away one by one and shows that these tests fail then.
mod bases;
mod clones;
mod close;
#[path = "../common/mod.rs"]
mod common;
mod foreign;
mod handover;
mod log;
mod lost;
mod migration;
mod moved;
mod removal;
mod sizes;
mod snapshots;
mod takeover;

use common::{BLOCK, Client, LONG, MIB, Op, cluster_with_image, content, pattern, putting, read, settings, stop};
use lsd_engine::{Error, ErrorKind, Image, OpenOptions, Settings};
use lsd_store::{MemoryCluster, ObjectStore};
use std::time::Duration;
use tokio::task::JoinHandle;

async fn put(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, content(seed), false).await.unwrap();
}

/// This block and the next, with the same content, in one write.
async fn put_both(image: &Image, block: u64, seed: u64) {
    image.write(block * BLOCK, bytes::Bytes::from(content(seed).repeat(2)), false).await.unwrap();
}

fn collecting(image: &Image) -> JoinHandle<Result<(), Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.collect(&|_, _| Ok(())).await })
}

/// Whoever opens the image now finds these blocks. `promised`: why they must be there.
async fn expect(cluster: &MemoryCluster, promised: &str, blocks: &[(u64, u64)]) {
    let reader = match Client::try_open(cluster, settings(), true).await {
        Ok(reader) => reader,
        Err(error) => panic!("{promised}, and now the image does not open: {error}"),
    };
    for (block, seed) in blocks {
        match reader.image.read(block * BLOCK, BLOCK).await {
            Ok(found) if found.to_bytes() == content(*seed) => {}
            Ok(found) if found.to_bytes().iter().all(|byte| *byte == 0) => {
                panic!("{promised}, and block {block} is lost: it reads as zeroes");
            }
            Ok(_) => panic!("{promised}, and block {block} is lost: it has other content"),
            Err(error) => panic!("{promised}, and block {block} is lost: {error}"),
        }
    }
}

fn first_creation() -> impl FnMut(Op, &str) -> bool + Send {
    let mut met = false;
    move |op, _| op == Op::Create && !std::mem::replace(&mut met, true)
}

fn is_header(op: Op, name: &str) -> bool {
    op == Op::Update && name.starts_with("lsd_header.")
}

fn is_log(op: Op, name: &str) -> bool {
    op != Op::Read && name.starts_with("lsd_data.")
}
