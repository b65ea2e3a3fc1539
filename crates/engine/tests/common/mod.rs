//! What the engine's tests share: images on a memory cluster, and the model they are compared with.
#![allow(dead_code, reason = "each test uses its part")]
mod gate;

use bytes::Bytes;
#[allow(unused_imports, reason = "each test uses its part")]
pub use gate::{Gate, Op};
use lsd_engine::{CreateOptions, Error, ErrorKind, Image, ImageRef, OpenOptions, Settings};
use lsd_store::{Blobs, MemoryCluster, MemoryStore, ObjectStore, Pools};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

pub const MIB: u64 = 1 << 20;
pub const BLOCK: u64 = 4096;
/// Longer than anything takes that nothing holds up; virtual time.
pub const LONG: Duration = Duration::from_secs(10);

/// A client of the cluster and the image that it opened. Dropping it is a crash: the client's watches expire.
pub struct Client {
    pub memory: MemoryStore,
    pub store: Arc<dyn ObjectStore>,
    pub image: Image,
}

impl Client {
    pub async fn open(cluster: &MemoryCluster, settings: Settings) -> Client {
        Self::try_open(cluster, settings, false).await.unwrap()
    }

    pub async fn try_open(cluster: &MemoryCluster, settings: Settings, read_only: bool) -> lsd_engine::Result<Client> {
        let memory = cluster.client();
        let store: Arc<dyn ObjectStore> = Arc::new(memory.clone());
        Self::open_through(memory, store, OpenOptions { read_only, settings, ..OpenOptions::default() }).await
    }

    /// A client whose operations pass a gate.
    pub async fn open_gated(cluster: &MemoryCluster, settings: Settings) -> (Client, Arc<Gate>) {
        let memory = cluster.client();
        let gate = Gate::new(Arc::new(memory.clone()));
        let options = OpenOptions { read_only: false, settings, ..OpenOptions::default() };
        (Self::open_through(memory, gate.clone(), options).await.unwrap(), gate)
    }

    /// A client that the gate stands before from the start.
    pub async fn open_behind(gate: Arc<Gate>, memory: MemoryStore, settings: Settings) -> Client {
        Self::open_through(memory, gate, OpenOptions { read_only: true, settings, ..OpenOptions::default() })
            .await
            .unwrap()
    }

    async fn open_through(
        memory: MemoryStore,
        store: Arc<dyn ObjectStore>,
        options: OpenOptions,
    ) -> lsd_engine::Result<Client> {
        let image = Image::open(&store, &ImageRef::Name("disk".into()), &options).await?;
        Ok(Client { memory, store, image })
    }

    /// The client dies: its memory is gone, its watches run out.
    pub fn crash(self, cluster: &MemoryCluster) {
        cluster.expire(&self.memory);
    }
}

/// A cluster with an image `disk` of `size` bytes.
pub async fn cluster_with_image(size: u64) -> MemoryCluster {
    let cluster = MemoryCluster::new();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    Image::create(&store, "disk", &CreateOptions { size, ..CreateOptions::default() }).await.unwrap();
    cluster
}

/// Small segments and a short patience, so that tests see many of everything.
pub fn settings() -> Settings {
    Settings {
        writethrough_until_flush: false,
        segment_bytes: 1 << 20,
        watch_timeout: Duration::from_secs(1),
        cache_bytes: 256 << 10,
        ..Settings::default()
    }
}

pub async fn read(image: &Image, offset: u64, len: u64) -> Vec<u8> {
    image.read(offset, len).await.unwrap().to_bytes().to_vec()
}

pub fn pattern(seed: u64, len: usize) -> Bytes {
    (0..len).map(|index| (seed.wrapping_mul(31).wrapping_add(index as u64 * 7) % 251) as u8 + 1).collect()
}

/// What a block holds after its write number `seed`.
pub fn content(seed: u64) -> Bytes {
    pattern(seed, BLOCK as usize)
}

/// A write of one block that is durable when it returns, under way.
pub fn putting(image: &Image, block: u64, seed: u64) -> JoinHandle<Result<(), Error>> {
    let image = image.clone();
    tokio::spawn(async move { image.write(block * BLOCK, content(seed), true).await })
}

/// Its caller gives it up.
pub async fn stop<T>(task: JoinHandle<T>) {
    task.abort();
    let _ = task.await;
}

/// A progress that goes on.
pub fn silent(_: u64, _: u64) -> lsd_engine::Result<()> {
    Ok(())
}

/// Of the error, if it is one.
pub fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

/// Bytes of the objects whose names begin so.
pub async fn stored(cluster: &MemoryCluster, prefix: &str) -> u64 {
    let store = cluster.client();
    let mut bytes = 0;
    for name in store.list(prefix).await.unwrap() {
        bytes += store.stat(&name).await.unwrap();
    }
    bytes
}
