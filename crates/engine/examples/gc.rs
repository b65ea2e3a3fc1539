//! What garbage collection costs: an image of which 70 % is written is overwritten at random, and the log's space and
//! write amplification are printed.
//!
//! `cargo run --release -p lsd-engine --example gc -- MIB OVERWRITES uniform|80-20 [SEGMENT_MIB [START STOP LIMIT]]`
//! (thresholds in hundredths of the live bytes)
//!
//! It runs on the memory store and one thread. Space is the most that the store held at any moment, map pages
//! included; write amplification is what the store was given, headers, summaries, padding and checkpoints
//! included, per byte of the guest.
use bytes::Bytes;
use lsd_engine::{CreateOptions, Image, ImageRef, OpenOptions, Settings};
use lsd_store::{MEMORY_POOL, MemoryCluster, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const BLOCK: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Part of the image that is written, and of that the part that is hot, in hundredths.
const LIVE_PERCENT: u64 = 70;
const HOT_PERCENT: u64 = 20;
const HOT_WRITES_PERCENT: u32 = 80;

struct Load {
    blocks: u64,
    is_hot_cold: bool,
    random: StdRng,
}

impl Load {
    fn next(&mut self) -> u64 {
        let hot = self.blocks * HOT_PERCENT / 100;
        match self.is_hot_cold {
            true if self.random.random_ratio(HOT_WRITES_PERCENT, 100) => self.random.random_range(0..hot),
            true => self.random.random_range(hot..self.blocks),
            false => self.random.random_range(0..self.blocks),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |index: usize, default: u64| args.get(index).map_or(default, |text| text.parse().expect("a number"));
    let (size_mib, overwrites, segment_mib) = (number(1, 256), number(2, 20), number(4, 8));
    let is_hot_cold = match args.get(3).map_or("uniform", String::as_str) {
        "uniform" => false,
        "80-20" => true,
        other => panic!("{other} is no load: uniform or 80-20"),
    };
    let cluster = MemoryCluster::new();
    let store: Arc<dyn ObjectStore> = Arc::new(cluster.client());
    let options = CreateOptions { size: size_mib * MIB, ..CreateOptions::default() };
    Image::create(&store, "disk", &options).await.expect("create");
    let mut settings = Settings { segment_bytes: (segment_mib * MIB) as u32, cache_bytes: 0, ..Settings::default() };
    settings.max_dirty_bytes = settings.max_dirty_bytes.min(size_mib * MIB / 64);
    let thresholds = &mut settings.gc_thresholds;
    thresholds.start_percent = number(5, thresholds.start_percent.into()) as u32;
    thresholds.stop_percent = number(6, thresholds.stop_percent.into()) as u32;
    thresholds.limit_percent = number(7, thresholds.limit_percent.into()) as u32;
    settings.gc_thresholds.least_live = settings.gc_thresholds.least_live.min(size_mib * MIB / 8);
    let options = OpenOptions { read_only: false, settings, ..OpenOptions::default() };
    let image = Image::open(&store, &ImageRef::Name("disk".into()), &options).await.expect("open");
    image.flush().await.expect("flush");

    let blocks = size_mib * MIB * LIVE_PERCENT / 100 / BLOCK;
    let block = Bytes::from(vec![0x5a; BLOCK as usize]);
    for index in 0..blocks {
        image.write(index * BLOCK, block.clone(), false).await.expect("fill");
    }
    image.flush().await.expect("flush");
    let live = image.used_bytes();
    let mut load = Load { blocks, is_hot_cold, random: StdRng::seed_from_u64(1) };
    let (mut peak, mut written) = (0, 0);
    cluster.take_peak_bytes(MEMORY_POOL);
    let at_start = cluster.written_bytes(MEMORY_POOL);
    for round in 1..=overwrites {
        let round_start = cluster.written_bytes(MEMORY_POOL);
        for _ in 0..blocks {
            image.write(load.next() * BLOCK, block.clone(), false).await.expect("write");
        }
        let round_peak = cluster.take_peak_bytes(MEMORY_POOL);
        written += blocks * BLOCK;
        peak = peak.max(round_peak);
        let amplification = (cluster.written_bytes(MEMORY_POOL) - round_start) as f64 / (blocks * BLOCK) as f64;
        println!("{round}: space up to {:.4} x live, write amplification {amplification:.3}", ratio(round_peak, live));
    }
    let amplification = (cluster.written_bytes(MEMORY_POOL) - at_start) as f64 / written as f64;
    let load = if is_hot_cold { "80/20" } else { "uniform" };
    println!(
        "{load}, {size_mib} MiB, {LIVE_PERCENT} % live, overwritten {overwrites} times: space up to {:.4} x live, write amplification {amplification:.3}",
        ratio(peak, live)
    );
    image.close().await.expect("close");
}

fn ratio(bytes: u64, live: u64) -> f64 {
    bytes as f64 / live as f64
}
