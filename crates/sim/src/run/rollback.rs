//! Rolling the image back to a snapshot, by its owner or by another client that takes it for that.
//!
//! Owns: calling for it, finding out what became of it. Does not own: what may follow from it (`verdict/owners.rs`).
use crate::run::asker::{self, died};
use crate::run::work::Work;
use crate::verdict::album::Picked;
use crate::verdict::history::{SharedHistory, lock};
use crate::verdict::owners::Found;
use crate::world::net::Cut;
use futures::FutureExt;
use futures::future::BoxFuture;
use lsd_engine::{Error, ErrorKind, Image};
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often the owner tries to get its image and read it.
const TRIES: u32 = 20;
/// A rollback by another client that takes longer is stuck, virtual time.
const STUCK_AFTER: Duration = Duration::from_secs(1200);

/// How another client behaves that rolls back.
#[derive(Clone, Copy, Debug)]
struct Guest {
    /// It dies at this step.
    dies_at: Option<u64>,
    closes: bool,
}

impl Work {
    /// Enters the rollback into the histories; the returned future does it. `None`: there is nothing to roll back to, or one is in
    /// doubt.
    pub fn roll_back(&self, random: &mut StdRng) -> Option<BoxFuture<'static, ()>> {
        let album = self.scenario.album.as_ref()?;
        // One that was cut off may have given the image away since: it would take it from who has it.
        if self.scenario.net.is_cut(self.client) {
            return None;
        }
        let snap = album.pick(random, &|snap| snap.found.is_some())?;
        let end = snap.found.as_ref().map_or(0, |found| self.scenario.disk.first_beyond(found.size));
        let begun = snap.found.as_ref().and_then(|found| self.scenario.owners.roll_back(self.client, found, end));
        let Some(before) = begun else {
            album.free(snap.key);
            return None;
        };
        let guest = random.random_bool(0.4).then(|| Guest {
            dies_at: random.random_bool(0.4).then(|| random.random_range(1..150)),
            closes: random.random_bool(0.5),
        });
        let work = self.clone();
        self.scenario.net.note(self.client, "roll back", &snap.name, if guest.is_some() { "by another" } else { "" });
        Some(
            async move {
                match guest {
                    None => work.roll_back_as_owner(&snap, &before).await,
                    Some(guest) => work.be_rolled_back(&snap, &before, guest).await,
                }
            }
            .boxed(),
        )
    }

    async fn roll_back_as_owner(&self, snap: &Picked, before: &SharedHistory) {
        let result = self.image.snapshots().rollback(&snap.name).await;
        self.free(snap);
        match result {
            Ok(()) => self.is_rolled_back(before),
            Err(error) => {
                // One that was cut off knows an older list.
                if error.kind != ErrorKind::NotFound || !self.scenario.net.is_cut(self.client) {
                    self.error("snap-rollback", &error);
                }
                self.find_out(before).await;
            }
        }
    }

    /// Another client takes the image away and rolls it back; then this one takes it back.
    async fn be_rolled_back(&self, snap: &Picked, before: &SharedHistory, guest: Guest) {
        let net = self.scenario.net.clone();
        if net.is_cut(self.client) {
            // It may not own the image any more: the guest would take it from who does.
            self.free(snap);
            return self.scenario.owners.not_rolled_back(before);
        }
        let (client, store) = self.scenario.connect().await;
        self.scenario.lend(client);
        if let Some(step) = guest.dies_at {
            net.cut_at(client, step, Cut::Crash);
        }
        let rolling = async {
            let clock = self.scenario.site.clock.clone();
            let image = Image::open_with_clock(&store, &self.scenario.image(), &asker::options(), clock).await?;
            // From a client that lives nobody takes an image to roll it back: it becomes the owner before, by a collection that it
            // breaks off.
            let stop = |_, _| Err(Error::new(ErrorKind::Canceled, "it only wants the image"));
            match image.collect(&stop).await {
                Err(error) if error.kind != ErrorKind::Canceled => return Err(error),
                _ => {}
            }
            let result = image.snapshots().rollback(&snap.name).await;
            Ok::<_, Error>((image, result?))
        };
        let result = tokio::select! {
            biased;
            () = died(&net, client) => None,
            result = rolling => Some(result),
            () = tokio::time::sleep(STUCK_AFTER) => {
                return self.scenario.judge.fail(format!("client {client} rolls back for ever"));
            }
        };
        self.free(snap);
        let done = matches!(result, Some(Ok(_)));
        match result {
            Some(Ok((image, ()))) => {
                self.is_rolled_back(before);
                net.count(|coverage| coverage.rollbacks_by_others += 1);
                if guest.closes {
                    tokio::select! {
                        () = died(&net, client) => {}
                        closed = image.close() => if let Err(error) = closed {
                            self.scenario.judge.error_of_asker(client, "close", &error);
                        }
                    }
                }
            }
            Some(Err(error)) => self.scenario.judge.error_of_asker(client, "snap-rollback", &error),
            None => {}
        }
        if !net.is_dead(client) {
            net.bury(client);
        }
        if !done {
            return self.find_out(before).await;
        }
        if self.take_back().await.is_some() {
            self.scenario.take_back();
        }
    }

    fn free(&self, snap: &Picked) {
        self.scenario.album.iter().for_each(|album| album.free(snap.key));
    }

    fn is_rolled_back(&self, before: &SharedHistory) {
        self.scenario.net.note(self.client, "rolled back", "", "");
        self.scenario.net.count(|coverage| coverage.rollbacks += 1);
        self.scenario.owners.rolled_back(before);
    }

    /// Becomes the owner and reads everything. `None`: it cannot.
    async fn take_back(&self) -> Option<Found> {
        for _ in 0..TRIES {
            if self.scenario.net.is_cut(self.client) {
                return None;
            }
            match self.read_as_owner().await {
                Ok(Some(found)) => return Some(found),
                Ok(None) => {}
                Err(error) => {
                    self.error("take back", &error);
                    if error.kind == ErrorKind::Fenced {
                        return None;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        None
    }

    /// `None`: it lost the image meanwhile.
    async fn read_as_owner(&self) -> Result<Option<Found>, Error> {
        self.image.write(0, bytes::Bytes::new(), false).await?;
        let (unlocks, size) = (self.scenario.net.unlocks(self.client), self.image.size());
        let owned = self.image.locks().is_owner();
        let data = self.image.read(0, size).await?;
        let still = owned && self.image.locks().is_owner() && self.scenario.net.unlocks(self.client) == unlocks;
        match self.scenario.disk.decode_all(&data) {
            Ok(stamps) if still => Ok(Some(Found { stamps, size })),
            Ok(_) => Ok(None),
            Err(why) => {
                self.scenario.judge.fail(format!("client {} reads after a rollback: {why}", self.client));
                Ok(None)
            }
        }
    }

    /// Nobody was told that the rollback happened: what is there now says so, and it is one or the other.
    async fn find_out(&self, before: &SharedHistory) {
        self.scenario.net.count(|coverage| coverage.rollbacks_in_doubt += 1);
        let since = self.scenario.owners.tick();
        let Some(found) = self.take_back().await else {
            // The image failed for good, or somebody else has it: who comes next finds one or the other.
            self.gave_up.store(true, Ordering::Relaxed);
            return;
        };
        if self.scenario.net.is_cut(self.client) {
            return;
        }
        self.scenario.take_back();
        let seen = &found.stamps[..self.scenario.disk.first_beyond(found.size)];
        let explains = |history: &SharedHistory| {
            let history = lock(history);
            history.check_size(found.size).and_then(|()| history.check_read(0, seen, since))
        };
        let instead = lock(before).rolled_back.clone();
        match (explains(before), instead.map(|instead| explains(&instead))) {
            (Ok(()), _) => self.scenario.owners.not_rolled_back(before),
            (Err(_), Some(Ok(()))) => self.is_rolled_back(before),
            (Err(why), other) => {
                let other = other.and_then(Result::err).unwrap_or_default();
                self.scenario.judge.fail(format!(
                    "client {}: a rollback left something in between: {why}; and if it happened: {other}",
                    self.client
                ));
            }
        }
    }
}
