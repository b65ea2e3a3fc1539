//! What memory an image of 10 TiB with many scattered extents takes, and for how long it stands still, in a directory store:
//!
//! `prlimit --data=BYTES cargo run -p lsd-engine --example large_map -- DIR [EXTENTS]` (10^6 extents unless told)
//!
//! It writes the extents, overwrites a tenth of them, discards the first half of the image, crashes, opens again, shrinks
//! the image by a quarter, crashes, opens again, and compares all that is left. Each phase prints the peak of resident
//! memory so far, and the longest time that a question to the map waited for the image's lock.
use bytes::Bytes;
use lsd_engine::{CreateOptions, Image, ImageRef, OpenOptions, Settings, Severity};
use lsd_store::{DirStore, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SIZE: u64 = 10 << 40;
const LEN: u64 = 512;

fn content(index: u64) -> Bytes {
    let mut random = StdRng::seed_from_u64(index);
    (0..LEN).map(|_| random.random::<u8>() | 1).collect()
}

/// Asks the image again and again; how long the longest answer took, nanoseconds.
struct Asking {
    longest: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
}

impl Asking {
    fn of(image: &Image) -> Self {
        let (longest, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (image, longest_of, ends_of) = (image.clone(), longest.clone(), ends.clone());
        std::thread::spawn(move || {
            while !ends_of.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::hint::black_box(image.used_bytes());
                longest_of.fetch_max(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Self { longest, ends }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn report(phase: &str, began: Instant, asking: &Asking) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0) >> 10
    };
    println!(
        "{phase:34} {:7.1} s, {:5} MiB resident at most, {:5} MiB data now, longest wait {:7.2} ms",
        began.elapsed().as_secs_f64(),
        field("VmHWM"),
        field("VmData"),
        asking.longest.swap(0, Ordering::Relaxed) as f64 / 1e6,
    );
}

/// A client of its own: its watch ends with it.
fn client(dir: &str) -> Arc<dyn ObjectStore> {
    Arc::new(DirStore::open(dir.as_ref()).expect("a directory store"))
}

async fn open(dir: &str) -> Image {
    let settings = Settings { watch_timeout: Duration::from_secs(1), ..Settings::default() };
    let options = OpenOptions { settings, ..OpenOptions::default() };
    Image::open(&client(dir), &ImageRef::Name("disk".into()), &options).await.expect("open")
}

/// What each place should hold: the number of its content, 0 for nothing. Reads one in so many.
async fn compare(image: &Image, expected: &[(u64, u64)], step: usize) {
    for (offset, index) in expected.iter().filter(|(offset, _)| *offset < image.size()).step_by(step) {
        let found = image.read(*offset, LEN).await.expect("read").to_bytes();
        let zeroes = Bytes::from(vec![0; LEN as usize]);
        assert_eq!(found, if *index == 0 { zeroes } else { content(*index) }, "at {offset}");
    }
    let present = expected.iter().filter(|(offset, index)| *index > 0 && *offset < image.size()).count() as u64;
    assert_eq!(image.used_bytes(), present * LEN);
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("a directory");
    let extents: u64 = args.next().map_or(1_000_000, |text| text.parse().expect("a number"));
    let options = CreateOptions { size: SIZE, ..CreateOptions::default() };
    Image::create(&client(&dir), "disk", &options).await.expect("create");
    let mut random = StdRng::seed_from_u64(1);
    let mut places: Vec<(u64, u64)> = (1..=extents).map(|index| (random.random_range(0..SIZE / LEN), index)).collect();
    places.sort_unstable();
    places.dedup_by_key(|(place, _)| *place);
    places.iter_mut().for_each(|(place, _)| *place *= LEN);
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|index| places[*index].1);

    let image = open(&dir).await;
    image.flush().await.expect("flush");
    let asking = Asking::of(&image);
    let mut began = Instant::now();
    for index in &order {
        let (offset, number) = places[*index];
        image.write(offset, content(number), false).await.expect("write");
    }
    image.flush().await.expect("flush");
    report("written", began, &asking);
    began = Instant::now();
    for index in order.iter().step_by(10) {
        let (offset, number) = &mut places[*index];
        *number += extents;
        image.write(*offset, content(*number), false).await.expect("write");
    }
    image.flush().await.expect("flush");
    report("a tenth overwritten", began, &asking);
    began = Instant::now();
    image.collect(&|_, _| Ok(())).await.expect("collect");
    report("collected", began, &asking);
    began = Instant::now();
    image.discard(0, SIZE / 2, true).await.expect("discard");
    report("half discarded", began, &asking);
    places.iter_mut().filter(|(offset, _)| *offset < SIZE / 2).for_each(|(_, number)| *number = 0);
    let (image, asking) = reopen(image, asking, &dir).await;
    began = Instant::now();
    compare(&image, &places, 100).await;
    image.resize(SIZE / 4 * 3, true, &|_, _| Ok(())).await.expect("shrink");
    report("shrunk by a quarter", began, &asking);
    let (image, asking) = reopen(image, asking, &dir).await;
    began = Instant::now();
    compare(&image, &places, 1).await;
    report("compared", began, &asking);
    began = Instant::now();
    image.close().await.expect("close");
    report("closed", began, &asking);
    let check = Image::check(&client(&dir), &ImageRef::Name("disk".into()), &|_, _| Ok(())).await.expect("check");
    assert_eq!(check.count(Severity::Corruption), 0);
}

/// As after a crash: the image goes without a close.
async fn reopen(image: Image, asking: Asking, dir: &str) -> (Image, Asking) {
    drop((image, asking));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let began = Instant::now();
    let image = open(dir).await;
    let asking = Asking::of(&image);
    report("opened after a crash", began, &asking);
    (image, asking)
}
