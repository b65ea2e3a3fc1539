//! The operations that an owner issues, each with its entry in the history.
use crate::run::asker;
use crate::run::scenario::Scenario;
use crate::run::snapshots::{Deed, Visitor};
use crate::verdict::history::{Kind, Outcome};
use crate::verdict::history::{SharedHistory, lock};
use crate::verdict::owners::check_read;
use crate::world::disk::{BULK, GRANULE, Stamp};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use lsd_engine::{AckMode, Error, ErrorKind, Image, OpenOptions, Settings};
use lsd_store::ObjectStore;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A longer write is several records, of which a crash may leave the first.
const RECORD_GRANULES: usize = (1 << 20) / GRANULE as usize;

/// How often an operation is [`Work::bulk`], in a life that has segments of the default size.
const BULK_LIKELY: f64 = 0.0005;

/// How often something is done with snapshots, where a run takes any.
const SNAPSHOTS_LIKELY: f64 = 0.06;

#[derive(Clone)]
pub struct Work {
    pub scenario: Arc<Scenario>,
    pub client: usize,
    pub store: Arc<dyn ObjectStore>,
    pub image: Image,
    pub options: OpenOptions,
    /// A flush was issued.
    pub flushed: Arc<AtomicBool>,
    /// A rollback left the handle useless.
    pub gave_up: Arc<AtomicBool>,
}

type Running = FuturesUnordered<BoxFuture<'static, ()>>;

impl Work {
    pub fn history(&self) -> SharedHistory {
        self.scenario.owners.history_of(self.client)
    }

    /// True if this client's reads show the present: it owns the image, as far as it knows, and nobody takes it away by force.
    fn sees_the_present(&self) -> bool {
        self.image.locks().is_owner() && lock(&self.history()).trusts(self.client)
    }

    /// True if a read that began in `history` is to be checked: nobody else got the image meanwhile.
    fn is_still(&self, history: &SharedHistory) -> bool {
        Arc::ptr_eq(history, &self.history())
    }

    /// Issues `count` operations, several at a time.
    pub async fn run(&self, random: &mut StdRng, count: u32) {
        let depth = random.random_range(1..=12);
        let mut running: Running = FuturesUnordered::new();
        for _ in 0..count {
            if self.scenario.judge.failure().is_some() || self.gave_up.load(Ordering::Relaxed) {
                return;
            }
            while running.len() >= depth {
                running.next().await;
            }
            if random.random_bool(0.01) && self.scenario.owners.is_alone(self.client) {
                while running.next().await.is_some() {}
                let shared = self.scenario.album.is_some() && !self.scenario.owners.is_alone(self.client);
                if !shared && !self.is_in_doubt() {
                    self.resize(random).await;
                }
                continue;
            }
            if self.scenario.album.is_some() && random.random_bool(SNAPSHOTS_LIKELY) {
                running.extend(self.do_with_snapshots(random));
                continue;
            }
            running.push(self.start(random));
            if random.random_bool(0.3) {
                let pause = Duration::from_millis(random.random_range(0..120));
                let _ = tokio::time::timeout(pause, running.next()).await;
            }
        }
        while running.next().await.is_some() {}
    }

    pub fn visitor(&self) -> Visitor {
        Visitor {
            scenario: self.scenario.clone(),
            client: self.client,
            store: self.store.clone(),
            image: self.image.clone(),
            options: self.options.clone(),
            is_owner: true,
        }
    }

    fn do_with_snapshots(&self, random: &mut StdRng) -> Option<BoxFuture<'static, ()>> {
        let album = self.scenario.album.as_ref()?;
        match random.random_range(0..100) {
            0..12 => self.roll_back(random),
            12..25 => {
                self.scenario.keep(tokio::spawn(asker::ask(self.scenario.clone(), random.random())));
                None
            }
            _ => {
                let (deed, visitor) = (Deed::choose(random, &self.scenario, album)?, self.visitor());
                Some(async move { visitor.act(deed).await }.boxed())
            }
        }
    }

    /// True if a rollback is under way, or nobody knows what became of one.
    fn is_in_doubt(&self) -> bool {
        lock(&self.history()).rolled_back.is_some()
    }

    /// An error of this client.
    pub fn error(&self, doing: &str, error: &Error) {
        self.scenario.judge.error(self.client, doing, error, !self.scenario.is_lent());
    }

    fn start(&self, random: &mut StdRng) -> BoxFuture<'static, ()> {
        self.scenario.net.count(|coverage| coverage.operations += 1);
        let work = self.clone();
        let kind = random.random_range(0..100);
        if kind < 8 {
            return async move { work.flush().await }.boxed();
        }
        if kind < 9 && random.random_bool(0.3) {
            return async move { work.collect().await }.boxed();
        }
        if kind < 10 {
            return async move { work.forget_cache().await }.boxed();
        }
        if self.has_default_segments() && random.random_bool(BULK_LIKELY) {
            return self.clone().bulk(random);
        }
        let fua = random.random_bool(0.08);
        let (lo, count) = self.scenario.disk.pick(random);
        let hi = (lo + count).min(self.scenario.disk.first_beyond(self.image.size()));
        if hi <= lo {
            return async {}.boxed();
        }
        let history = self.history();
        let history = lock(&history);
        let (quiet, clear) = (history.is_quiet(lo, hi), history.is_shared(lo, hi));
        drop(history);
        match kind {
            10..28 => async move { work.read(lo, hi).await }.boxed(),
            28..46 if quiet => {
                let kind = random.random_range(0..3);
                let hi = if kind == 0 { self.far(random, lo, hi) } else { hi.min(lo + RECORD_GRANULES) };
                work.clear(lo, hi, kind, fua)
            }
            46..54 if quiet => work.compare_and_write(lo, hi.min(lo + 512)),
            _ if clear => work.write(lo, hi, fua),
            _ => async {}.boxed(),
        }
    }

    fn has_default_segments(&self) -> bool {
        self.options.settings.segment_bytes == Settings::default().segment_bytes
    }

    /// Large writes, then small ones, where nobody looks: enough to fill segments of the default size with both.
    fn bulk(self, random: &mut StdRng) -> BoxFuture<'static, ()> {
        self.scenario.net.count(|coverage| coverage.bulks += 1);
        let large = random.random_range(1..20u64);
        let small = random.random_range(0..6000u64);
        let len = [512, 4096, 4096, 5000][random.random_range(0..4)];
        async move {
            if self.image.size() < BULK.end {
                return;
            }
            let data = Bytes::from(vec![0xb5; 1 << 20]);
            let span = BULK.end - BULK.start;
            for index in 0..large {
                let at = BULK.start + (index << 20) % span;
                if self.image.write(at, data.clone(), false).await.is_err() {
                    return;
                }
            }
            for index in 0..small {
                let at = BULK.start + index * 8192 % span;
                if self.image.write(at, data.slice(..len), false).await.is_err() {
                    return;
                }
            }
        }
        .boxed()
    }

    /// A discard may reach over several windows.
    fn far(&self, random: &mut StdRng, lo: usize, hi: usize) -> usize {
        let end = self.scenario.disk.first_beyond(self.image.size());
        let far = random.random_range(hi..=end.max(hi)).min(end);
        let likely = if self.scenario.disk.has_blocks() { 0.01 } else { 0.1 };
        if random.random_bool(likely) && lock(&self.history()).is_quiet(lo, far) { far } else { hi }
    }

    /// What the acknowledgement mode promises of an operation that returns.
    fn is_durable_on_return(&self, fua: bool) -> bool {
        let flushed = self.flushed.load(Ordering::Relaxed);
        let settings = &self.options.settings;
        fua || settings.ack == AckMode::Journal || (settings.writethrough_until_flush && !flushed)
    }

    fn done(&self, doing: &str, parts: &[Stamp], result: Result<(), Error>, fua: bool) {
        let durable = self.is_durable_on_return(fua);
        let outcome = if result.is_ok() { Outcome::Done } else { Outcome::Failed };
        for part in parts {
            lock(&self.history()).returned(*part, outcome, durable);
        }
        match result {
            Ok(()) => self.scenario.owners.wrote(self.client),
            Err(error) => {
                if error.kind == ErrorKind::Fenced {
                    self.scenario.owners.distrust(self.client);
                }
                self.error_of(parts, doing, &error);
            }
        }
    }

    /// The same of an operation, beyond whose range a rollback may have put the image's end.
    fn error_of(&self, parts: &[Stamp], doing: &str, error: &Error) {
        let is_perhaps = |part: &Stamp| lock(&self.history()).is_perhaps(*part);
        if error.kind != ErrorKind::Invalid || !(self.is_in_doubt() || parts.iter().any(is_perhaps)) {
            self.error(doing, error);
        }
    }

    /// Enters the write into the history; the returned future does it.
    fn write(self, lo: usize, hi: usize, fua: bool) -> BoxFuture<'static, ()> {
        let (mut parts, mut data) = (Vec::new(), Vec::new());
        for from in (lo..hi).step_by(RECORD_GRANULES) {
            let to = hi.min(from + RECORD_GRANULES);
            let stamp = self.scenario.stamp();
            lock(&self.history()).issue(self.client, Kind::Write, stamp, from..to, parts.last().copied());
            parts.push(stamp);
            data.push(self.scenario.disk.data(stamp, from, to - from));
        }
        let data = if data.len() == 1 { data.remove(0) } else { Bytes::from(data.concat()) };
        async move {
            let result = self.image.write(self.scenario.disk.address(lo), data, fua).await;
            self.done("write", &parts, result, fua);
        }
        .boxed()
    }

    fn clear(self, lo: usize, hi: usize, kind: u32, fua: bool) -> BoxFuture<'static, ()> {
        let op = self.scenario.stamp();
        lock(&self.history()).issue(self.client, Kind::Clear, op, lo..hi, None);
        let start = self.scenario.disk.address(lo);
        let len = self.scenario.disk.address(hi - 1) + GRANULE - start;
        async move {
            let result = match kind {
                0 => self.image.discard(start, len, fua).await,
                1 => self.image.write_zeroes(start, len, false, fua).await,
                _ => self.image.write_zeroes(start, len, true, fua).await,
            };
            self.done("clear", &[op], result, fua);
        }
        .boxed()
    }

    /// Nobody else touches the range meanwhile, so what is read first must be what is compared.
    fn compare_and_write(self, lo: usize, hi: usize) -> BoxFuture<'static, ()> {
        let stamp = self.scenario.stamp();
        lock(&self.history()).issue(self.client, Kind::Compare, stamp, lo..hi, None);
        async move { self.compare(lo, hi, stamp).await }.boxed()
    }

    async fn compare(&self, lo: usize, hi: usize, stamp: Stamp) {
        let start = self.scenario.disk.address(lo);
        let len = (hi - lo) as u64 * GRANULE;
        // Who does not own the image yet reads an earlier state.
        let (stale, history) = (!self.sees_the_present() || self.is_in_doubt(), self.history());
        let present = match self.image.read(start, len).await {
            Ok(present) => present.to_bytes(),
            Err(error) => {
                lock(&self.history()).returned(stamp, Outcome::Refused, false);
                return self.error_of(&[stamp], "read to compare", &error);
            }
        };
        let data = self.scenario.disk.data(stamp, lo, hi - lo);
        let spoilt = stamp.is_multiple_of(3);
        let compare = if spoilt { self.scenario.disk.data(stamp, lo, hi - lo) } else { present };
        match self.image.compare_and_write(start, compare, data).await {
            Err(Error { kind: ErrorKind::Mismatch { .. }, .. })
                if spoilt || stale || self.is_in_doubt() || !self.is_still(&history) =>
            {
                lock(&self.history()).returned(stamp, Outcome::Refused, false);
            }
            Ok(()) if spoilt => self.scenario.judge.fail(format!("client {}: a wrong compare matched", self.client)),
            result => self.done("compare-and-write", &[stamp], result, false),
        }
    }

    async fn flush(&self) {
        self.flushed.store(true, Ordering::Relaxed);
        let since = lock(&self.history()).tick();
        match self.image.flush().await {
            Ok(()) => lock(&self.history()).flushed(self.client, since),
            Err(error) => self.error("flush", &error),
        }
    }

    async fn collect(&self) {
        let moved = AtomicBool::new(false);
        let progress = |_: u64, total: u64| {
            moved.fetch_or(total > 0, Ordering::Relaxed);
            Ok(())
        };
        match self.image.collect(&progress).await {
            Ok(()) => {
                self.scenario.net.count(|coverage| coverage.collections += u64::from(moved.load(Ordering::Relaxed)))
            }
            // The image was handed over or closed meanwhile.
            Err(error) if matches!(error.kind, ErrorKind::ReadOnly | ErrorKind::Closed) => {}
            Err(error) => self.error("collect", &error),
        }
    }

    async fn forget_cache(&self) {
        if let Err(error) = self.image.invalidate_cache().await {
            self.error("invalidate_cache", &error);
        }
    }

    async fn read(&self, lo: usize, hi: usize) {
        let history = self.history();
        let since = lock(&history).tick();
        let len = (hi - lo) as u64 * GRANULE;
        let present = self.sees_the_present();
        self.scenario.net.count(|coverage| coverage.reads += 1);
        match self.image.read(self.scenario.disk.address(lo), len).await {
            Ok(data) => {
                let seen = self.scenario.disk.decode(lo, hi - lo, &data.to_bytes());
                if let Err(why) = check_read(&history, lo, &seen, since)
                    && present
                    && self.is_still(&history)
                {
                    self.scenario.judge.fail(format!("client {}: {why}", self.client));
                }
            }
            Err(error) if error.kind == ErrorKind::Invalid && !self.is_still(&history) => {}
            Err(error) => self.error_of(&[], "read", &error),
        }
    }

    /// Reads the whole image from the store.
    pub async fn read_all(&self) {
        self.forget_cache().await;
        let history = self.history();
        let since = lock(&history).tick();
        let size = self.image.size();
        let end = self.scenario.disk.first_beyond(size);
        let present = self.sees_the_present();
        self.scenario.net.count(|coverage| coverage.checks += 1);
        match self.image.read(0, size).await {
            Ok(data) => {
                let checked = self.scenario.disk.decode_all(&data);
                let checked = checked.and_then(|found| check_read(&history, 0, &found[..end], since));
                if let Err(why) = checked
                    && present
                    && self.is_still(&history)
                {
                    self.scenario.judge.fail(format!("client {} reads everything: {why}", self.client));
                }
            }
            Err(error) if error.kind == ErrorKind::Invalid && !self.is_still(&history) => {}
            Err(error) => self.error_of(&[], "read everything", &error),
        }
    }

    /// Changes the size, at a granule's border of the last window or back to the first size. Nothing else is under way.
    async fn resize(&self, random: &mut StdRng) {
        let disk = &self.scenario.disk;
        let old = self.image.size();
        let last = disk.pick_last(random);
        let size = if random.random_bool(0.5) { disk.size } else { disk.address(last) };
        let beyond = disk.first_beyond(size.min(old))..disk.granules;
        let op = self.scenario.stamp();
        // Who was fenced stays in its old history, and asks whoever owns the image now.
        let of_others =
            || Some(self.scenario.owners.present()).filter(|present| !Arc::ptr_eq(present, &self.history()));
        let asked = of_others();
        for history in asked.iter().chain([&self.history()]) {
            lock(history).resizing(size);
        }
        lock(&self.history()).issue(self.client, Kind::Clear, op, beyond, None);
        let result = self.image.resize(size, true, &|_, _| Ok(())).await;
        let known = of_others().is_none() && asked.is_none();
        lock(&self.history()).resized_to(result.is_ok().then_some(size).filter(|_| known));
        asked.iter().for_each(|history| lock(history).resized_to(None));
        self.done("resize", &[op], result, true);
    }
}
