//! What the clients of one run share: the image on its disk, whose history counts, its snapshots, and who judges them.
//!
//! Owns: the numbers of operations, how another client comes to the image. Does not own: everything else here, which others do; who
//! lives when (`mod.rs`).
use crate::options::{makes_clones, migrates, takes_snapshots};
use crate::verdict::album::Album;
use crate::verdict::brood::Brood;
use crate::verdict::judge::Judge;
use crate::verdict::owners::Owners;
use crate::world::disk::{Disk, Stamp};
use crate::world::net::Net;
use crate::world::store::SimStore;
use lsd_engine::{Clock, ImageId, ImageRef};
use lsd_store::{ObjectStore, PoolId};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;

/// Where the image is, and what its clients go by.
#[derive(Clone)]
pub struct Site {
    pub id: ImageId,
    /// Where the header is.
    pub pool: PoolId,
    /// Where log data goes.
    pub data_pool: PoolId,
    pub blocklist_lags: bool,
    pub clock: Arc<dyn Clock>,
}

pub struct Scenario {
    pub net: Arc<Net>,
    pub disk: Disk,
    pub site: Site,
    pub owners: Owners,
    pub judge: Arc<Judge>,
    /// The run is one of migrations, and of nothing else.
    pub migrates: bool,
    /// In a run that takes snapshots.
    pub album: Option<Album>,
    /// In one that makes clones of them.
    pub brood: Option<Brood>,
    /// The owner lent the image to this client, and has not got it back.
    lent_to: Mutex<Option<usize>>,
    askers: Mutex<Vec<JoinHandle<()>>>,
    last_stamp: AtomicU32,
}

impl Scenario {
    pub fn new(net: Arc<Net>, disk: Disk, site: Site, seed: u64) -> Arc<Self> {
        let owners = Owners::new(net.clone(), disk.granules, disk.size);
        let judge = Arc::new(Judge::new(net.clone(), makes_clones(seed)));
        let album = takes_snapshots(seed).then(Album::default);
        let brood = makes_clones(seed).then(Brood::default);
        let (lent_to, askers, last_stamp) = (Mutex::default(), Mutex::default(), AtomicU32::new(0));
        let migrates = migrates(seed);
        Arc::new(Self { net, disk, site, owners, judge, migrates, album, brood, lent_to, askers, last_stamp })
    }

    /// The number of another operation.
    pub fn stamp(&self) -> Stamp {
        self.last_stamp.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn image(&self) -> ImageRef {
        ImageRef::Id(self.site.id.clone())
    }

    /// Another client, and its view of the header's pool.
    pub async fn connect(&self) -> (usize, Arc<dyn ObjectStore>) {
        let (client, memory) = self.net.add_client();
        (client, SimStore::open(&self.net, client, &memory, self.site.pool, self.site.blocklist_lags).await)
    }

    /// Another client takes the image from its owner for a while.
    pub fn lend(&self, to: usize) {
        *self.lent() = Some(to);
    }

    /// Whom the image was lent to; the owner has it again, or is gone.
    pub fn take_back(&self) -> Option<usize> {
        self.lent().take()
    }

    pub fn is_lent(&self) -> bool {
        self.lent().is_some()
    }

    fn lent(&self) -> MutexGuard<'_, Option<usize>> {
        self.lent_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task that lives beside the owners, and comes to an end by itself.
    pub fn keep(&self, asker: JoinHandle<()>) {
        self.askers.lock().unwrap_or_else(PoisonError::into_inner).push(asker);
    }

    /// Waits until no such task is left.
    pub async fn wait_for_askers(&self) {
        let askers = std::mem::take(&mut *self.askers.lock().unwrap_or_else(PoisonError::into_inner));
        for asker in askers {
            let _ = asker.await;
        }
    }
}
