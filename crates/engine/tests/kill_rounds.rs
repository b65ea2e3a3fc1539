//! `kill -9` of a process that writes to an image in a directory, 16 overlapping changes in flight: what the next owner finds
//! is a prefix of the order of the calls, with everything in it that was flushed. tests/librbd/crash_prefix.rs is the same on
//! RADOS, through the C API.
//!
//! `LSD_TEST_KILL_ROUNDS` sets the number of kills (6), `LSD_TEST_SEED` the first seed. Rounds take turns in how often they
//! flush, in what goes on behind the writer, and in whether it is killed while it writes or while it opens the image; each
//! goes on with what the round before left. The writer is this very test in a process of its own, started with `WRITER` set.
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use lsd_engine::{CreateOptions, Image, ImageRef, OpenOptions, Settings};
use lsd_store::{DirStore, ObjectStore};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const WRITER: &str = "LSD_KILL_ROUND_WRITER";
const SECTOR: usize = 512;
/// The changes stay within, so that they overlap often; the image is larger, so that an owner can write outside.
const SPAN: u64 = 8 << 20;
const SECTORS: u64 = SPAN / SECTOR as u64;
const IMAGE_BYTES: u64 = 64 << 20;
/// Large and small writes go there in turn, which nobody checks: they fill segments of the default size.
const BULK: std::ops::Range<u64> = 16 << 20..64 << 20;
/// Changes between two runs of them.
const BULK_EVERY: u64 = 500;
/// Sectors.
const LARGEST_CHANGE: u64 = 128;
const DEPTH: usize = 16;
const MAGIC: u64 = 0x7866_6572_7064_7376;

/// Who a sector is from; number 0 is a sector of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Origin {
    seed: u64,
    number: u64,
}

/// What the image holds after the changes up to `number`.
struct Model {
    number: u64,
    sectors: Vec<Origin>,
}

/// A change is a function of its seed and number, so that the check needs no record of what was sent.
struct Change {
    sector: u64,
    count: u64,
    zero: bool,
}

/// What goes on in one round.
struct Round {
    seed: u64,
    /// Changes between two flushes.
    flush_every: u64,
    /// Small segments, a checkpoint for each megabyte, and garbage that is never worth keeping.
    busy_behind: bool,
    /// Killed so long after its start or, without `while_opening`, after its first flush.
    delay: Duration,
    while_opening: bool,
}

fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Change {
    fn of(seed: u64, number: u64) -> Self {
        let random = mixed(mixed(seed) ^ number);
        let zero = random.is_multiple_of(16);
        // Mostly small.
        let most = if (random >> 8).is_multiple_of(8) { LARGEST_CHANGE } else { 16 };
        let count = 1 + (random >> 16) % most;
        Self { sector: (random >> 32) % (SECTORS - count + 1), count, zero }
    }

    /// Every sector carries the seed, the number and its own place, at both ends.
    fn data(&self, seed: u64, number: u64) -> Bytes {
        let mut data = Vec::with_capacity(self.count as usize * SECTOR);
        for sector in self.sector..self.sector + self.count {
            let stamp: Vec<u8> = [MAGIC, seed, number, sector].iter().flat_map(|word| word.to_le_bytes()).collect();
            data.extend_from_slice(&stamp);
            data.resize(data.len() + SECTOR - 2 * stamp.len(), number as u8);
            data.extend_from_slice(&stamp);
        }
        data.into()
    }
}

impl Model {
    fn apply(&mut self, seed: u64) {
        self.number += 1;
        let change = Change::of(seed, self.number);
        let origin = if change.zero { Origin::default() } else { Origin { seed, number: self.number } };
        self.sectors[change.sector as usize..][..change.count as usize].fill(origin);
    }

    /// Goes on to what was found, and fails unless some number of changes, and at least `flushed`, gives exactly that.
    fn advance_to(&mut self, found: &[Origin], seed: u64, flushed: u64) -> Result<(), String> {
        let latest = found.iter().filter(|origin| origin.seed == seed).map(|origin| origin.number).max().unwrap_or(0);
        while self.number < latest {
            self.apply(seed);
        }
        // Zeroing leaves no stamp: changes after the latest stamp may be there too, while they zero.
        while (self.sectors != found || self.number < flushed) && Change::of(seed, self.number + 1).zero {
            self.apply(seed);
        }
        if let Some(sector) = (0..found.len()).find(|at| found[*at] != self.sectors[*at]) {
            let (wanted, found) = (self.sectors[sector], found[sector]);
            return Err(format!("not a prefix of {}: sector {sector} is {found:?}, not {wanted:?}", self.number));
        }
        if self.number < flushed {
            return Err(format!("lost: {flushed} were flushed, {} are there", self.number));
        }
        Ok(())
    }
}

impl Round {
    fn of(seed: u64) -> Self {
        let random = mixed(seed);
        let while_opening = random.is_multiple_of(4);
        let most_ms = if while_opening { 60 } else { 1000 };
        Self {
            seed,
            flush_every: [150, 150, u64::MAX][(seed % 3) as usize],
            busy_behind: !seed.is_multiple_of(3),
            delay: Duration::from_millis((random >> 8) % most_ms),
            while_opening,
        }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if self.busy_behind {
            settings.segment_bytes = 1 << 20;
            settings.checkpoint_log_bytes = 1 << 20;
            settings.gc_thresholds.least_live = 1 << 20;
        }
        settings
    }
}

async fn open(dir: &Path, settings: Settings) -> Image {
    let store: Arc<dyn ObjectStore> = Arc::new(DirStore::open(dir).unwrap());
    let options = OpenOptions { read_only: false, settings, ..OpenOptions::default() };
    Image::open(&store, &ImageRef::Name("disk".into()), &options).await.unwrap()
}

fn tell_flushed(number: u64) {
    // One write of a whole line, so that the reader of the pipe has all of it or nothing.
    std::io::stdout().write_all(format!("flushed {number}\n").as_bytes()).unwrap();
}

/// Large writes, then small ones; 16 to 47 MiB.
async fn write_bulk(image: &Image, random: u64) {
    let data = Bytes::from(vec![0xb5; 1 << 20]);
    let span = BULK.end - BULK.start;
    for index in 0..16 + random % 32 {
        image.write(BULK.start + (index << 20) % span, data.clone(), false).await.unwrap();
    }
    for index in 0..random % 5000 {
        image.write(BULK.start + index * 8192 % span, data.slice(..4096), false).await.unwrap();
    }
}

/// Writes until it is killed.
async fn write_on(dir: &Path, round: &Round, mut number: u64) {
    let image = open(dir, round.settings()).await;
    image.flush().await.unwrap();
    tell_flushed(number);
    let mut in_flight = FuturesUnordered::new();
    loop {
        if !round.busy_behind && number.is_multiple_of(BULK_EVERY) {
            write_bulk(&image, mixed(round.seed ^ number)).await;
        }
        number += 1;
        let change = Change::of(round.seed, number);
        let image = &image;
        let mut call = Box::pin(async move {
            let (offset, data) = (change.sector * SECTOR as u64, change.data(round.seed, number));
            let done = if change.zero {
                image.write_zeroes(offset, data.len() as u64, false, false).await
            } else {
                image.write(offset, data, false).await
            };
            done.unwrap();
            None
        });
        let mut flush = Box::pin(async move {
            image.flush().await.unwrap();
            Some(number)
        });
        // The first poll is the call: the order of the calls is the order of the changes.
        if futures::poll!(call.as_mut()).is_pending() {
            in_flight.push(call as futures::future::BoxFuture<'_, Option<u64>>);
        }
        if number.is_multiple_of(round.flush_every) {
            match futures::poll!(flush.as_mut()) {
                std::task::Poll::Ready(_) => tell_flushed(number),
                std::task::Poll::Pending => in_flight.push(flush),
            }
        }
        while in_flight.len() >= DEPTH {
            if let Some(Some(flushed)) = in_flight.next().await {
                tell_flushed(flushed);
            }
        }
    }
}

/// The process that is killed. It also ends when the test does, whose end of the pipe closes.
fn run_writer(job: &str) -> ! {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(3);
    });
    let mut words = job.splitn(3, ' ');
    let mut number = || words.next().unwrap().parse().unwrap();
    let (seed, from) = (number(), number());
    let dir = words.next().unwrap();
    runtime().block_on(write_on(Path::new(dir), &Round::of(seed), from));
    unreachable!("it writes for ever");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn start_writer(dir: &Path, seed: u64, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_survives_kill_9_in_a_directory_is_a_prefix", "--nocapture"])
        .env(WRITER, format!("{seed} {from} {}", dir.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs a writer and kills it; returns the last number that it said was flushed.
fn write_and_kill(dir: &Path, round: &Round, from: u64) -> u64 {
    let mut writer = start_writer(dir, round.seed, from);
    let mut lines = BufReader::new(writer.stdout.take().unwrap());
    let mut flushed = from;
    let mut line = String::new();
    while !round.while_opening && !line.starts_with("flushed") {
        line.clear();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "seed {}: the writer ended by itself", round.seed);
    }
    // What it says meanwhile must not fill the pipe.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        lines.read_to_string(&mut text).unwrap();
        text
    });
    std::thread::sleep(round.delay);
    writer.kill().unwrap();
    let status = writer.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "the writer ended by itself: {status}");
    for line in reading.join().unwrap().split_inclusive('\n') {
        if let Some(number) = line.strip_prefix("flushed ").and_then(|rest| rest.strip_suffix('\n')) {
            flushed = number.parse().unwrap();
        }
    }
    flushed
}

fn origin_of(data: &[u8], sector: u64) -> Result<Origin, String> {
    if data.iter().all(|byte| *byte == 0) {
        return Ok(Origin::default());
    }
    let words =
        |part: &[u8]| -> Vec<u64> { part.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect() };
    let (first, last) = (words(&data[..32]), words(&data[SECTOR - 32..]));
    if first != last || first[0] != MAGIC || first[3] != sector {
        return Err(format!("sector {sector} holds what was never written there: {first:?}, {last:?}"));
    }
    Ok(Origin { seed: first[1], number: first[2] })
}

/// Takes the image over, and finds out who wrote each sector. Closed only if all is well, so that the rest stays as it is.
async fn check(dir: &Path, model: &mut Model, round: &Round, flushed: u64) -> Result<(), String> {
    let image = open(dir, Settings::default()).await;
    image.write(SPAN, Bytes::from(vec![0; SECTOR]), true).await.unwrap();
    let mut found = Vec::with_capacity(SECTORS as usize);
    for offset in (0..SPAN).step_by(1 << 20) {
        let data = image.read(offset, 1 << 20).await.unwrap().to_bytes();
        for (index, sector) in data.chunks(SECTOR).enumerate() {
            found.push(origin_of(sector, offset / SECTOR as u64 + index as u64)?);
        }
    }
    model.advance_to(&found, round.seed, flushed)?;
    image.close().await.unwrap();
    Ok(())
}

fn number_from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map(|text| text.parse().expect(name)).unwrap_or(default)
}

#[test]
fn what_survives_kill_9_in_a_directory_is_a_prefix() {
    if let Ok(job) = std::env::var(WRITER) {
        run_writer(&job);
    }
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    let runtime = runtime();
    runtime.block_on(async {
        let store: Arc<dyn ObjectStore> = Arc::new(DirStore::open(&dir).unwrap());
        let options = CreateOptions { size: IMAGE_BYTES, ..CreateOptions::default() };
        Image::create(&store, "disk", &options).await.unwrap();
    });
    let mut model = Model { number: 0, sectors: vec![Origin::default(); SECTORS as usize] };
    let first = number_from_environment("LSD_TEST_SEED", 1000);
    for seed in first..first + number_from_environment("LSD_TEST_KILL_ROUNDS", 6) {
        let round = Round::of(seed);
        let before = model.number;
        let flushed = write_and_kill(&dir, &round, before);
        if let Err(violation) = runtime.block_on(check(&dir, &mut model, &round, flushed)) {
            let kept = scratch.keep();
            panic!("seed {seed} from {before}, {flushed} flushed: {violation}; kept in {}", kept.display());
        }
        let Round { delay, while_opening, .. } = round;
        let when = if while_opening { "its start" } else { "its first flush" };
        println!("seed {seed}: killed {delay:?} after {when}, {flushed} flushed, {} survived", model.number);
    }
}

/// The check itself: each kind of violation is found, and what is allowed is not one.
#[test]
fn the_check_tells_a_prefix_from_what_is_none() {
    let model_at = |number| {
        let mut model = Model { number: 0, sectors: vec![Origin::default(); SECTORS as usize] };
        while model.number < number {
            model.apply(7);
        }
        model
    };
    let found = model_at(400).sectors;
    assert_eq!(model_at(100).advance_to(&found, 7, 390), Ok(()));
    assert!(model_at(100).advance_to(&found, 7, 500).is_err(), "flushed changes are missing");
    for sector in (0..found.len()).filter(|at| found[*at].number > 390).step_by(SECTOR) {
        let mut lost = found.clone();
        lost[sector] = Origin { seed: 7, number: 1 };
        assert!(model_at(100).advance_to(&lost, 7, 0).is_err(), "sector {sector} is of another time");
    }
    let data = Change::of(7, 3).data(7, 3);
    assert!(origin_of(&data[..SECTOR], Change::of(7, 3).sector).is_ok());
    assert!(origin_of(&data[..SECTOR], Change::of(7, 3).sector + 1).is_err(), "a sector in another's place");
}
