//! What the clients of one run share: the image on its disk, whose history counts, and who judges them.
//!
//! Owns: the numbers of operations. Does not own: everything else here, which others do; in which pools the image is, and who
//! lives when (`mod.rs`).
use crate::verdict::history::History;
use crate::verdict::judge::Judge;
use crate::verdict::owners::Owners;
use crate::world::disk::{Disk, Stamp};
use crate::world::net::Net;
use lsd_engine::ImageId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct Scenario {
    pub net: Arc<Net>,
    pub disk: Disk,
    pub id: ImageId,
    pub owners: Owners,
    pub judge: Arc<Judge>,
    last_stamp: AtomicU32,
}

impl Scenario {
    pub fn new(net: Arc<Net>, disk: Disk, id: ImageId) -> Arc<Self> {
        let owners = Owners::new(net.clone(), History::new(vec![0; disk.granules], disk.size));
        let judge = Arc::new(Judge::new(net.clone()));
        Arc::new(Self { net, disk, id, owners, judge, last_stamp: AtomicU32::new(0) })
    }

    /// The number of another operation.
    pub fn stamp(&self) -> Stamp {
        self.last_stamp.fetch_add(1, Ordering::Relaxed) + 1
    }
}
