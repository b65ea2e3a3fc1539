//! The life of one client: it opens the image, becomes its owner, works, and ends well or not.
//!
//! Owns: the steps of a life and what is checked at each. Does not own: single operations (`work.rs`), who is cut when (`mod.rs`).
use crate::run::scenario::Scenario;
use crate::run::work::Work;
use crate::verdict::history::{SharedHistory, lock};
use crate::verdict::owners::{Found, Who, check_found};
use lsd_engine::{AckMode, Error, ErrorKind, Image, OpenOptions, ReadData, Settings, Thresholds};
use lsd_store::ObjectStore;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often something is tried while operations may fail, and before it counts as impossible.
const TRIES_IN_WEATHER: u32 = 3;
const TRIES: u32 = 200;

/// How a life ends that nobody cuts short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Close,
    /// The handle goes away without a close.
    Drop,
}

pub struct Life {
    pub scenario: Arc<Scenario>,
    pub client: usize,
    pub store: Arc<dyn ObjectStore>,
    pub random: StdRng,
    pub ending: Ending,
    /// Operations that it issues.
    pub operations: u32,
}

/// Options that make a short run see many segments, checkpoints and evictions; in half of the lives the segments that users run with.
pub fn settings(random: &mut StdRng) -> Settings {
    let one_of = |random: &mut StdRng, from: &[u64]| from[random.random_range(0..from.len())];
    Settings {
        ack: if random.random_bool(0.3) { AckMode::Journal } else { AckMode::Writeback },
        writethrough_until_flush: random.random_bool(0.3),
        cache_bytes: one_of(random, &[0, 64 << 10, 1 << 20]),
        max_dirty_bytes: 0,
        max_age: Duration::from_millis(one_of(random, &[5, 50, 1000])),
        map_cache_bytes: one_of(random, &[0, 4 << 10, 1 << 20]),
        watch_timeout: Duration::from_millis(1000),
        segment_bytes: match random.random_bool(0.5) {
            true => Settings::default().segment_bytes,
            false => one_of(random, &[140 << 10, 256 << 10, 1 << 20]) as u32,
        },
        checkpoint_log_bytes: one_of(random, &[64 << 10, 256 << 10, 1 << 20, 64 << 20]),
        gc_thresholds: Thresholds {
            least_live: one_of(random, &[256 << 10, 512 << 10, 256 << 20]),
            ..Settings::default().gc_thresholds
        },
        ..Settings::default()
    }
}

impl Life {
    pub async fn live(mut self) {
        let options = OpenOptions { read_only: false, settings: settings(&mut self.random), ..OpenOptions::default() };
        let Some(image) = self.open(&options).await else { return };
        if !self.own(&image).await {
            return;
        }
        if !self.recover(&image).await {
            return;
        }
        let work = Work {
            scenario: self.scenario.clone(),
            client: self.client,
            store: self.store.clone(),
            image: image.clone(),
            options,
            flushed: Arc::default(),
            gave_up: Arc::default(),
        };
        self.look_at_snapshots(&work).await;
        work.run(&mut self.random, self.operations).await;
        if self.scenario.judge.failure().is_some() || work.gave_up.load(Ordering::Relaxed) {
            return;
        }
        self.settle(&image, &work).await;
        if self.ending == Ending::Close {
            self.close(&image, &work).await;
        }
    }

    /// At times all of them, as a new owner.
    async fn look_at_snapshots(&mut self, work: &Work) {
        let Some(album) = &self.scenario.album else { return };
        if self.random.random_bool(0.5) {
            return;
        }
        let visitor = work.visitor();
        visitor.list().await;
        for snap in album.all() {
            visitor.look(&snap, &[]).await;
        }
    }

    /// Opens the image and, at times, looks at what a reader sees.
    async fn open(&mut self, options: &OpenOptions) -> Option<Image> {
        let reference = self.scenario.image();
        let history = self.scenario.owners.history();
        let before = lock(&history).tick();
        let mut tries = 0;
        let image = loop {
            match Image::open_with_clock(&self.store, &reference, options, self.scenario.site.clock.clone()).await {
                Ok(image) => break image,
                Err(error) => self.endure("open", &error, &mut tries).await?,
            }
        };
        if self.random.random_bool(0.3) {
            self.look(&image, &history, before).await;
        }
        Some(image)
    }

    /// What a reader finds is a prefix with everything that was durable before it opened.
    async fn look(&mut self, image: &Image, history: &SharedHistory, before: u64) {
        let size = image.size();
        let data = image.read(0, size).await;
        // Meanwhile others may have come and gone.
        if self.scenario.net.is_cut(self.client) {
            return;
        }
        match data {
            Ok(data) => {
                let checked = self.scenario.disk.decode_all(&data).and_then(|stamps| {
                    let (found, end) = (Found { stamps, size }, self.scenario.disk.first_beyond(size));
                    check_found(history, &found, before, end, Who::Reader)
                });
                self.scenario.net.count(|coverage| coverage.checks += 1);
                if let Err(why) = checked {
                    self.scenario.judge.fail(format!("client {} reads after opening: {why}", self.client));
                }
            }
            // The owner may have shrunk the image since.
            Err(error) if error.kind == ErrorKind::Invalid && image.size() < size => {}
            // The owner's checkpoint may delete what a reader's older map points at; no pin keeps it for readers.
            Err(error) if error.kind == ErrorKind::Corrupt && error.to_string().contains("No such file") => {}
            Err(error) => self.scenario.judge.error(self.client, "read after opening", &error, false),
        }
    }

    async fn own(&mut self, image: &Image) -> bool {
        let mut tries = 0;
        loop {
            // A write of nothing makes this handle the owner and changes nothing.
            match image.write(0, bytes::Bytes::new(), false).await {
                Ok(()) => break,
                Err(error) => {
                    if self.endure("own", &error, &mut tries).await.is_none() {
                        return false;
                    }
                }
            }
        }
        !self.scenario.net.is_cut(self.client)
    }

    /// Reads everything while this client is the owner.
    async fn read_as_owner(&mut self, image: &Image) -> Option<(u64, lsd_engine::Result<ReadData>)> {
        loop {
            let unlocks = self.scenario.net.unlocks(self.client);
            let size = image.size();
            let owned = image.locks().is_owner();
            let data = image.read(0, size).await;
            if self.scenario.net.is_cut(self.client) {
                return None;
            }
            if owned && image.locks().is_owner() && self.scenario.net.unlocks(self.client) == unlocks {
                return Some((size, data));
            }
            // Somebody else asked for the image meanwhile and got it.
            if !self.own(image).await {
                return None;
            }
        }
    }

    /// Reads everything and begins the new owner's history. False if there is no sense in going on.
    async fn recover(&mut self, image: &Image) -> bool {
        let net = self.scenario.net.clone();
        net.set_calm(self.client, true);
        let read = self.read_as_owner(image).await;
        net.set_calm(self.client, false);
        let Some((size, data)) = read else { return false };
        net.taken_over();
        net.count(|coverage| coverage.checks += 1);
        let history = self.scenario.owners.history();
        let end = self.scenario.disk.first_beyond(size);
        let checked = data.map_err(|error| format!("{:?}: {error}", error.kind)).and_then(|data| {
            let found = Found { stamps: self.scenario.disk.decode_all(&data)?, size };
            check_found(&history, &found, self.scenario.owners.tick(), end, Who::Owner)?;
            Ok(found)
        });
        match checked {
            Ok(found) => {
                net.note(self.client, "recovered", "", "");
                self.scenario.owners.begin(self.client, image, found, end);
                true
            }
            Err(why) => {
                self.scenario.judge.fail(format!("client {} took over: {why}", self.client));
                false
            }
        }
    }

    /// Once nothing fails any more, a flush succeeds and the content is right.
    async fn settle(&mut self, image: &Image, work: &Work) {
        let net = self.scenario.net.clone();
        net.set_calm(self.client, true);
        while self.scenario.judge.is_full() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        tokio::time::sleep(Duration::from_secs(15)).await;
        while self.scenario.judge.is_full() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let since = lock(&work.history()).tick();
        let flushed = image.flush().await;
        if net.is_cut(self.client) {
            return;
        }
        match flushed {
            Ok(()) => lock(&work.history()).flushed(self.client, since),
            // The pool may have become full again.
            Err(error) if matches!(error.kind, ErrorKind::NoSpace | ErrorKind::Fenced) => {
                self.scenario.judge.error(self.client, "flush", &error, true)
            }
            Err(error) => {
                let why =
                    format!("client {} cannot flush though nothing fails: {:?}: {error}", self.client, error.kind);
                return self.scenario.judge.fail(why);
            }
        }
        work.read_all().await;
        net.set_calm(self.client, self.random.random_bool(0.5));
    }

    async fn close(&mut self, image: &Image, work: &Work) {
        let since = lock(&work.history()).tick();
        match image.close().await {
            Ok(()) => {
                lock(&work.history()).flushed(self.client, since);
                self.scenario.net.count(|coverage| coverage.clean_closes += 1);
            }
            Err(error) => self.scenario.judge.error(self.client, "close", &error, true),
        }
    }

    /// An error that may pass: waits. `None` when there is no sense in trying again.
    async fn endure(&mut self, doing: &str, error: &Error, tries: &mut u32) -> Option<()> {
        self.scenario.judge.error(self.client, doing, error, false);
        *tries += 1;
        if self.scenario.judge.failure().is_some() || error.kind == ErrorKind::Fenced {
            return None;
        }
        if *tries >= TRIES_IN_WEATHER {
            self.scenario.net.set_calm(self.client, true);
        }
        if *tries >= TRIES {
            self.scenario.judge.fail(format!("client {} cannot {doing}: {:?}: {error}", self.client, error.kind));
            return None;
        }
        tokio::time::sleep(Duration::from_millis(700)).await;
        Some(())
    }
}
